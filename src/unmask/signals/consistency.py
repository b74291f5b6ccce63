"""Measures whether a face stays itself: its landmarks, proportions, eyes, looks and skin.

All functions take whole series (N frames) and return series; none knows what is normal.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

PROPORTIONS: Mapping[str, tuple[int, int]] = {
    "between the eyes": (133, 362),
    "outer eye corners": (33, 263),
    "nose length": (168, 4),
    "nose width": (129, 358),
    "cheekbones": (116, 345),
    "brow to nose": (9, 2),
}
"""Lengths between landmarks of the 478-point mesh that no expression changes much."""
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Middle and edge of the person's right and left iris."""
CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of the person's right and left eye."""


def lengths(landmarks: np.ndarray) -> np.ndarray:
    """Return the lengths of `PROPORTIONS` in three dimensions, (N, P), each over the frame's mean length.

    `landmarks` is (N, 478, 3).
    """
    pairs = np.array(list(PROPORTIONS.values()))
    apart = landmarks[:, pairs[:, 0]].astype(np.float64) - landmarks[:, pairs[:, 1]]
    distance = np.linalg.norm(apart, axis=2)
    return np.asarray(distance / np.maximum(distance.mean(axis=1, keepdims=True), 1e-9))


def variation(values: np.ndarray) -> np.ndarray:
    """Return the spread of (N, P) lengths over time as a share of each, (P,): robust, without slow drift."""
    middle = np.median(values, axis=0)
    deviation = np.median(np.abs(values - middle), axis=0)
    return np.asarray(1.4826 * deviation / np.maximum(middle, 1e-9))


def jitter(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return how landmarks tremble against each other, (N - 2,), as a share of `scale`.

    The second difference over time of landmarks whose common shift, turn and size have been taken away:
    motion of camera and head moves all of them alike and does not count.

    Args:
        points: (N, K, 2) landmarks that expressions move little.
        scale: (N,) a length of the face in the same unit.
    """
    z = np.asarray(points[..., 0] + 1j * points[..., 1])
    z = z - z.mean(axis=1, keepdims=True)
    shape = z.mean(axis=0)
    # The similarity that brings each frame onto the mean shape is one complex factor: least squares.
    factor = (z.conj() * shape).sum(axis=1) / np.maximum((np.abs(z) ** 2).sum(axis=1), 1e-12)
    aligned = z * factor[:, None]
    size = float(np.median(np.abs(factor) * scale))
    bend = aligned[2:] - 2 * aligned[1:-1] + aligned[:-2]
    # A second difference of independent errors has sqrt(6) times their standard deviation.
    return np.asarray(np.sqrt((np.abs(bend) ** 2).mean(axis=1) / 6) / max(size, 1e-9))


def gaze(landmarks: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return where the irises stand in their eyes, (N, 2 eyes, 2): across (to the picture's right) and down.

    In widths of the eye, from the middle of its corners, in head-pose-corrected coordinates.

    Args:
        landmarks: (N, 478, 3).
        rotations: (N, 3, 3) head rotations.
    """
    corners = landmarks[:, np.array(CORNERS)].astype(np.float64)
    iris = landmarks[:, [group[0] for group in IRISES]].astype(np.float64)
    width = np.linalg.norm(corners[:, :, 0] - corners[:, :, 1], axis=2)
    offset = np.einsum("nei,nij->nej", iris - corners.mean(axis=2), rotations)
    return np.asarray(offset[..., :2] / np.maximum(width, 1e-9)[..., None])


def highlights(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return where the brightest spot of each iris stands, (2 eyes, 3): across, down, and its contrast.

    Place in radii of the iris from its middle; contrast in grey levels above the iris's median. NaN for an
    iris below 4 pixels of radius, or outside the picture.

    Args:
        pixels: (H, W, 3) uint8.
        landmarks: (478, 3) in picture pixels.
    """
    return np.stack([_highlight(pixels, landmarks[list(group), :2]) for group in IRISES])


def _highlight(pixels: np.ndarray, iris: np.ndarray) -> np.ndarray:
    middle = iris[0].astype(np.float64)
    radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
    left, top = np.floor(middle - radius).astype(int)
    right, bottom = np.ceil(middle + radius).astype(int) + 1
    inside = left >= 0 and top >= 0 and right <= pixels.shape[1] and bottom <= pixels.shape[0]
    if radius < 4 or not inside:
        return np.full(3, np.nan)
    grey = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), max(0.5, radius / 8))
    rows, columns = np.mgrid[top:bottom, left:right]
    disc = np.hypot(columns - middle[0], rows - middle[1]) <= radius
    values = np.where(disc, grey, -1)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    contrast = float(values[row, column] - np.median(grey[disc]))
    return np.array([(left + column - middle[0]) / radius, (top + row - middle[1]) / radius, contrast])


def look(crop: np.ndarray) -> np.ndarray:
    """Return the look of a (S, S, 3) uint8 aligned face, (3072,) of length 1, free of light and contrast."""
    small = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    flat = ((small - small.mean(axis=(0, 1))) / (small.std() + 1e-6)).ravel()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-12))


def drift(looks: np.ndarray) -> np.ndarray:
    """Return how far each of (N, D) looks of length 1 is from the mean of all, (N,): 1 - cosine, 0..2."""
    mean = looks.mean(axis=0)
    return np.asarray(1 - looks @ mean / max(float(np.linalg.norm(mean)), 1e-12))


def tone_difference(inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Return the distance (N,) of two series of colours (N, 3) uint8 range, in the a*b* plane of CIELAB."""
    both = np.stack([inside, outside], axis=1).astype(np.float32) / 255
    lab = cv2.cvtColor(both, cv2.COLOR_RGB2LAB).astype(np.float64)
    return np.asarray(np.hypot(*np.moveaxis(lab[:, 0, 1:] - lab[:, 1, 1:], 1, 0)))
