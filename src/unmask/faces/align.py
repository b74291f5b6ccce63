"""Cuts a face out of a picture, upright and always framed alike: the same code in training and at run time.

The crop follows from five points (eyes, nose tip, mouth corners) by the least-squares similarity
transform (Umeyama 1991, doi 10.1109/34.88573) onto fixed places. The places are those of the usual
112-pixel template of face recognition; of that template the crop takes a square round (56, 70), between
nose tip and mouth. How wide it is, its margin, is a multiple of the distance between the eyes. Hand-made
measures use the 76-unit square, from the brows to below the mouth, which the tightest pictures at hand
(DFDC face crops, which cut forehead and chin) fill but for 1.7 % of their pixels. A network's card names
the margin that it was trained with: wider crops show the outline of the face, where swaps are blended in.
What lies beyond the picture is mirrored in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float64,
)
"""Where the five points lie in the 112-unit template (Deng et al., 1801.07698)."""
CENTRE = (56.0, 70.0)
SIDE = 76.0
EYES = float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
"""Distance between the template's eyes."""
MARGIN = SIDE / EYES
"""The side of the plain crop as a multiple of the distance between the eyes (2.157)."""
LEAN = 20.0
"""Degrees by which a head may lean in an upright crop."""
NEARLY_NATIVE = (0.8, 1.25)
"""An upright crop that would be scaled by a factor between these is not scaled at all."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the (2, 3) rotation, uniform scale and shift that best maps `source` onto `target`.

    Args:
        source: (N, 2) points.
        target: (N, 2) points.

    Raises:
        ValueError: the source points all coincide.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    variance = (a**2).sum() / len(a)
    if not variance > 1e-12:
        raise ValueError("the points coincide: no similarity transform is defined")
    u, singular, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / variance)
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * rotation
    matrix[:, 2] = target_mean - scale * rotation @ source_mean
    return matrix


def crop_matrix(
    points: np.ndarray, size: int, *, margin: float = MARGIN, upright: bool = False
) -> np.ndarray:
    """Return the (2, 3) map from picture pixels to the pixels of the `size` x `size` crop.

    Args:
        points: (5, 2): right eye, left eye, nose tip, right and left mouth corner, in picture pixels.
        size: side of the crop in pixels.
        margin: side of the crop as a multiple of the distance between the eyes.
        upright: do not turn a head that leans by `LEAN` degrees or less; and where the crop would hardly be
            scaled (`NEARLY_NATIVE`), take the pixels as they are stored, so that no interpolation blurs them.
    """
    side = margin * EYES
    corner = np.array(CENTRE) - side / 2
    matrix = similarity(points, (TEMPLATE - corner) * (size / side))
    if upright and abs(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) <= LEAN:
        return _without_turn(matrix, size)
    # Pixel centres lie at whole numbers: half a pixel of the crop is not half a pixel of the picture.
    return matrix + np.array([[0, 0, -0.5], [0, 0, -0.5]])


def _without_turn(matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the pixel map of an upright crop with the middle and scale of a turned one's `matrix`."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    middle = np.linalg.solve(matrix[:, :2], size / 2 - matrix[:, 2])
    if NEARLY_NATIVE[0] <= scale <= NEARLY_NATIVE[1]:
        scale = 1.0
        middle = np.round(middle - (size - 1) / 2) + (size - 1) / 2
    shift = (size - 1) / 2 - scale * middle
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


@dataclass(frozen=True)
class Framing:
    """How faces are cut for a network; `margin` and `upright` as in `crop_matrix`."""

    margin: float = MARGIN
    upright: bool = False

    def matrix(self, points: np.ndarray, size: int) -> np.ndarray:
        """Return the (2, 3) map from picture pixels to the crop's; see `crop_matrix`."""
        return crop_matrix(points, size, margin=self.margin, upright=self.upright)


PLAIN = Framing()
"""The turned crop of `MARGIN`."""


def warp(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut a `size` x `size` crop by the (2, 3) map `matrix`, averaging over pixels where it shrinks.

    Beyond the picture's edge the picture is mirrored.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.75:
        pixels, matrix = _reduce(pixels, matrix, size, scale)
    return cv2.warpAffine(
        pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def crop(pixels: np.ndarray, points: np.ndarray, *, size: int, framing: Framing = PLAIN) -> np.ndarray:
    """Return the aligned `(size, size, 3)` uint8 RGB crop of a face with the given five points."""
    return warp(pixels, framing.matrix(points, size), size)


def native_side(points: np.ndarray) -> float:
    """Return the crop's side in picture pixels: below the network's input size the face is enlarged."""
    matrix = crop_matrix(points, 1)
    return 1.0 / float(np.hypot(matrix[0, 0], matrix[1, 0]))


def crop_place(points: np.ndarray) -> tuple[tuple[float, float], float]:
    """Return where the aligned crop lies in the picture: its middle (x, y) and its side, in pixels.

    For analysers that look at pixels as they are stored, and must not turn or scale them.
    """
    inverse = cv2.invertAffineTransform(crop_matrix(points, 1))
    # The middle of a crop of one pixel is that pixel's centre.
    return (float(inverse[0, 2]), float(inverse[1, 2])), native_side(points)


def _reduce(pixels: np.ndarray, matrix: np.ndarray, size: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Shrink the neighbourhood of the crop by area averaging, so that the warp after it does not alias.

    It is halved as often as that goes, which OpenCV does ten times as fast as any other reduction.
    """
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) @ inverse[:, :2].T + inverse[:, 2]
    height, width = pixels.shape[:2]
    pad = 2 / scale
    left, top = np.floor(np.clip(corners.min(axis=0) - pad, 0, [width - 1, height - 1])).astype(int)
    right, bottom = np.ceil(np.clip(corners.max(axis=0) + pad, [left + 1, top + 1], [width, height])).astype(
        int
    )
    halvings = int(np.log2(1 / scale))
    multiple = 2**halvings
    # At most a few pixels beyond the crop are lost for the sides to be divisible.
    right = left + max((right - left) // multiple, 1) * multiple if right - left > multiple else right
    bottom = top + max((bottom - top) // multiple, 1) * multiple if bottom - top > multiple else bottom
    part = pixels[top:bottom, left:right]
    small_width, small_height = (
        max(1, round((right - left) * scale)),
        max(1, round((bottom - top) * scale)),
    )
    for _ in range(halvings):
        if part.shape[0] % 2 == 0 and part.shape[1] % 2 == 0:
            part = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    small = cv2.resize(part, (small_width, small_height), interpolation=cv2.INTER_AREA)
    fx, fy = small_width / (right - left), small_height / (bottom - top)
    # small = (picture - corner + 0.5) * f - 0.5, so picture = (small + 0.5) / f - 0.5 + corner
    to_picture = np.array([[1 / fx, 0, 0.5 / fx - 0.5 + left], [0, 1 / fy, 0.5 / fy - 0.5 + top]])
    combined = matrix[:, :2] @ to_picture
    combined[:, 2] += matrix[:, 2]
    return small, combined
