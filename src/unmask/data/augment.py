"""Random changes of a training picture: framing, colour, resolution, noise, re-compression, drop-out.

They take away what separates the data sets by accident (codec, native size, colour, sharpness), so
that the network has to find something else. One `Draw` holds all the random numbers of one picture; a real
picture and the fake made from it share a draw, and then differ by the manipulation alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np

from unmask.faces.align import MARGIN, crop_matrix
from unmask.media.h264 import recompress

DROPPED = ("eyes", "nose", "mouth", "half left", "half right")
"""Parts of a face of which one is covered by `drop`."""
PART_WIDTH = 0.6
"""Breadth of the stroke that covers eyes, nose or mouth, in distances between the eyes."""
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_NEAREST, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class Strength:
    """How often and how strongly each change is applied; probabilities in 0..1."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """In a configuration, a misspelt name is an error."""

    rotation: float = 7.0
    """Largest turn in degrees."""
    scale: float = 0.10
    shift: float = 0.04
    """Largest shift as a share of the crop's side."""
    whole_pixels: float = 0.0
    """Share that is only mirrored and shifted by whole pixels: neither turned nor scaled."""
    colour: float = 0.5
    grey: float = 0.03
    resize: float = 0.35
    smallest: int = 56
    """Smallest side in pixels that a picture is reduced to and enlarged from."""
    blur: float = 0.12
    noise: float = 0.12
    jpeg: float = 0.5
    jpeg_quality: tuple[int, int] = (35, 98)
    video: float = 0.15
    """Share that is encoded as one H.264 frame and decoded."""
    video_crf: tuple[int, int] = (18, 36)
    drop: float = 0.08
    """Share of which a part of the face is covered: eyes, nose, mouth or a half."""
    border: float = 0.0
    """Share of the pictures that are made to end just beyond the face, as those of some data sets do."""


@dataclass
class Draw:
    """The random numbers of one picture, drawn once and used for it and its partner."""

    seed: int
    strength: Strength = field(default_factory=Strength)

    def cut(self, pixels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Maybe cut the picture off beyond the face, so that no source is known by its borders.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            points: (5, 2) points of a face in it.

        Returns:
            What is left, and its (2,) corner in the picture, in pixels (x, y).
        """
        rng = np.random.default_rng((self.seed, 3))
        if rng.random() >= self.strength.border:
            return pixels, np.zeros(2)
        matrix = crop_matrix(points, 1)
        inverse = cv2.invertAffineTransform(matrix)
        middle = inverse[:, 2]
        eyes = 1 / (MARGIN * float(np.hypot(matrix[0, 0], matrix[1, 0])))
        # DFDC face crops end 1.25 to 1.33 (on average, deviation .11 to .17) eye distances from the middle.
        reach = np.maximum(rng.normal(1.29, 0.15, size=4), 0.95) * eyes
        height, width = pixels.shape[:2]
        left, top = np.clip(np.floor(middle - reach[:2]).astype(int), 0, [width - 2, height - 2])
        right, bottom = np.clip(np.ceil(middle + reach[2:]).astype(int), [left + 2, top + 2], [width, height])
        return pixels[top:bottom, left:right], np.array([left, top], float)

    def matrix(self, base: np.ndarray, size: int) -> np.ndarray:
        """Turn, scale, shift and maybe mirror the (2, 3) crop map `base` of a `size`-pixel crop."""
        rng = np.random.default_rng((self.seed, 1))
        s = self.strength
        angle = np.deg2rad(rng.uniform(-s.rotation, s.rotation))
        scale = np.exp(rng.uniform(-s.scale, s.scale))
        shift = rng.uniform(-s.shift, s.shift, size=2) * size
        mirror = -1.0 if rng.random() < 0.5 else 1.0
        if s.whole_pixels and rng.random() < s.whole_pixels:
            angle, scale, shift = 0.0, 1.0, np.round(shift)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = np.diag([mirror, 1.0]) @ turn
        centre = np.full(2, (size - 1) / 2)
        result = turn @ base
        result[:, 2] += centre - turn @ centre + shift
        return result

    def change(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Change the appearance of a crop.

        Args:
            pixels: (S, S, 3) uint8 RGB.
            points: (5, 2) points of the face in it.
        """
        rng = np.random.default_rng((self.seed, 2))
        s = self.strength
        image = pixels
        if rng.random() < s.colour:
            image = _colour(image, rng)
        if rng.random() < s.grey:
            image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        first_jpeg = rng.random() < 0.5
        if rng.random() < s.jpeg and first_jpeg:
            image = _jpeg(image, rng, s.jpeg_quality)
        if rng.random() < s.resize:
            image = _resize(image, rng, s.smallest)
        if rng.random() < s.blur:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
        if rng.random() < s.noise:
            noise = rng.normal(0, rng.uniform(1, 9), size=image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        if rng.random() < s.jpeg and not first_jpeg:
            image = _jpeg(image, rng, s.jpeg_quality)
        if rng.random() < s.video:
            image = _video(image, rng, s.video_crf)
        if rng.random() < s.drop:
            image = _drop(image, points, rng)
        return image


def _colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = 1 + rng.uniform(-0.25, 0.25)
    changed = (image.astype(np.float32) - 128) * gain + 128 + rng.uniform(-25, 25)
    changed += rng.uniform(-10, 10, size=3)
    changed = np.clip(changed, 0, 255)
    grey = changed.mean(axis=2, keepdims=True)
    changed = grey + (changed - grey) * (1 + rng.uniform(-0.35, 0.35))
    changed = np.clip(changed, 0, 255)
    gamma = np.exp(rng.uniform(-0.2, 0.2))
    return (255 * (changed / 255) ** gamma).astype(np.uint8)


def _resize(image: np.ndarray, rng: np.random.Generator, smallest: int) -> np.ndarray:
    size = image.shape[0]
    side = int(np.exp(rng.uniform(np.log(min(smallest, size)), np.log(size))))
    down = int(rng.choice(_INTERPOLATIONS[:3]))
    up = int(rng.choice((*_INTERPOLATIONS[:2], cv2.INTER_LANCZOS4)))
    return cv2.resize(cv2.resize(image, (side, side), interpolation=down), (size, size), interpolation=up)


def _jpeg(image: np.ndarray, rng: np.random.Generator, quality: tuple[int, int]) -> np.ndarray:
    setting = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(quality[0], quality[1] + 1))]
    # The block grid starts anywhere, as it does in a face cut from a picture.
    top, left = rng.integers(0, 8, size=2)
    framed = cv2.copyMakeBorder(image, int(top), 8, int(left), 8, cv2.BORDER_REFLECT_101)
    _, data = cv2.imencode(".jpg", framed[..., ::-1], setting)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
    return np.ascontiguousarray(decoded[top : top + image.shape[0], left : left + image.shape[1]])


def _video(image: np.ndarray, rng: np.random.Generator, crf: tuple[int, int]) -> np.ndarray:
    """Encode the picture as one H.264 frame (deblocked, 4:2:0) with a block grid from anywhere; decode it."""
    top, left = (int(v) for v in rng.integers(0, 16, size=2))
    quality = int(rng.integers(crf[0], crf[1] + 1))
    return recompress(image[None], crf=quality, offset=(top, left))[0]


def _drop(image: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover a part of the face with its mean colour: the eyes, the nose, the mouth, or one half.

    As the winner of DFDC did (github.com/selimsef/dfdc_deepfake_challenge); the outlines follow from
    the five points.
    """
    eyes, nose, mouth = points[:2], points[2:3], points[3:]
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    part = DROPPED[rng.integers(len(DROPPED))]
    if part.startswith("half"):
        covered = _half(image.shape[0], eyes.mean(axis=0), mouth.mean(axis=0), after=part.endswith("right"))
    else:
        ends = {"eyes": eyes, "nose": np.stack([eyes.mean(axis=0), nose[0]]), "mouth": mouth}[part]
        covered = np.zeros(image.shape[:2], np.uint8)
        start, end = (tuple(round(float(v)) for v in point) for point in ends)
        cv2.line(covered, start, end, 1, thickness=max(1, round(PART_WIDTH * distance)))
    image = image.copy()
    chosen = covered > 0
    if chosen.any():
        image[chosen] = image[chosen].mean(axis=0)
    return image


def _half(size: int, eyes: np.ndarray, mouth: np.ndarray, *, after: bool) -> np.ndarray:
    """Return the (S, S) mask of what lies on one side of the line from between the eyes to the mouth."""
    down = mouth - eyes
    y, x = np.mgrid[:size, :size]
    side = (x - eyes[0]) * down[1] - (y - eyes[1]) * down[0]
    return (side > 0 if after else side < 0).astype(np.uint8)
