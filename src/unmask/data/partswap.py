"""Part swaps: eyes, nose, mouth or the whole face of another person, fitted, coloured alike and blended in.

A self-blend shows the seam of a swap but one person; composites made by hand, and swaps by networks that draw
no seam, show two persons in one face: parts that do not belong together. As in Face X-ray (Li et al. 2020,
1912.13458) two real pictures make a fake, here by parts, by landmarks, and with two ways to hide the seam.

Works on two upright squares (`data.pairs.canvas_matrix`) with the 478 landmarks of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from unmask.data.selfblend import SelfBlend, change_appearance
from unmask.faces.align import similarity

# fmt: off
_RIGHT_EYE = (
    70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 33, 7, 163, 144, 145, 153, 154, 155, 133, 226, 31, 228, 229,
)
_LEFT_EYE = (
    300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 263, 249, 390, 373, 374, 380, 381, 382, 362, 446, 261,
    448, 449,
)
_NOSE = (168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 49, 279, 48, 278, 64, 294, 193, 417)
_MOUTH = (61, 291, 0, 17, 37, 267, 40, 270, 185, 409, 91, 321, 84, 314, 57, 287, 164, 18, 43, 273, 106, 335)
_NOSE_AND_MOUTH = (*_NOSE, *_MOUTH)
_INNER = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 352, 411, 432, 430, 200, 210, 212, 187, 123)
_FACE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on
PARTS: dict[str, tuple[tuple[int, ...], ...]] = {
    "eyes": (_RIGHT_EYE, _LEFT_EYE),
    "one eye": (_RIGHT_EYE,),
    "nose": (_NOSE,),
    "mouth": (_MOUTH,),
    "nose and mouth": (_NOSE_AND_MOUTH,),
    "inner face": (_INNER,),
    "face": (_FACE,),
}
"""By name, the landmarks round each patch that is taken over together."""
SHARES = (0.2, 0.06, 0.14, 0.2, 0.1, 0.15, 0.15)
"""How often each of the parts is drawn."""
SEAMLESS = 0.4
"""Share of the swaps blended in the gradients (Perez et al. 2003) in place of by a soft mask."""


def nearest(points: np.ndarray, others: Sequence[np.ndarray]) -> int:
    """Return which of several faces' (5, 2) points are posed most like `points`, size and place apart."""

    def off(other: np.ndarray) -> float:
        matrix = similarity(other, points)
        moved = other @ matrix[:, :2].T + matrix[:, 2]
        spread = np.linalg.norm(points - points.mean(axis=0), axis=1).mean()
        return float(np.linalg.norm(moved - points, axis=1).mean() / spread)

    return int(np.argmin([off(other) for other in others]))


def part_swap(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    donor: np.ndarray,
    donor_landmarks: np.ndarray,
    rng: np.random.Generator,
) -> SelfBlend:
    """Put a part of one face into another.

    Args:
        pixels: (H, W, 3) uint8 RGB, the square that keeps its surroundings.
        landmarks: (478, 2) mesh points in it.
        donor: (H, W, 3) uint8 RGB, the square of another person.
        donor_landmarks: (478, 2) mesh points in that.
        rng: the source of every draw.
    """
    height, width = pixels.shape[:2]
    name = list(PARTS)[rng.choice(len(PARTS), p=SHARES)]
    groups = PARTS[name]
    if name == "one eye" and rng.random() < 0.5:
        groups = (_LEFT_EYE,)
    looks = change_appearance(donor, rng) if rng.random() < 0.3 else donor
    fake, source, mask = pixels.astype(np.float32), pixels, np.zeros((height, width), np.float32)
    grow = rng.uniform(0.95, 1.05) if name in ("face", "inner face") else rng.uniform(1.1, 1.4)
    softness = rng.uniform(0.015, 0.06) * width
    seamless = rng.random() < SEAMLESS
    for group in groups:
        place = landmarks[list(group)]
        matrix = similarity(donor_landmarks[list(group)], place)
        moved = cv2.warpAffine(
            looks, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        hard = _patch(place, (height, width), grow)
        if not hard.any():
            continue
        soft = cv2.GaussianBlur(cv2.erode(hard, np.ones((3, 3))), (0, 0), softness)
        soft = np.clip(soft / max(float(soft.max()), 1e-6), 0, 1)
        moved = _coloured(moved, fake, hard, donor=donor)
        if seamless:
            moved = _seamless(moved, fake, hard)
        fake = soft[..., None] * moved + (1 - soft[..., None]) * fake
        source = np.where(hard[..., None] > 0, np.clip(moved, 0, 255), source).astype(np.uint8)
        mask = np.maximum(mask, soft)
    return SelfBlend(np.clip(np.round(fake), 0, 255).astype(np.uint8), source, mask)


def _patch(points: np.ndarray, shape: tuple[int, int], grow: float) -> np.ndarray:
    """Return the hard mask (H, W) float32 of the hull of points, grown round its middle."""
    middle = points.mean(axis=0)
    hull = cv2.convexHull(np.round(middle + (points - middle) * grow).astype(np.int32))
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    return mask


def _coloured(moved: np.ndarray, target: np.ndarray, mask: np.ndarray, *, donor: np.ndarray) -> np.ndarray:
    """Give a patch the mean and deviation of what it covers, in Lab (Reinhard et al. 2001)."""
    inside = mask > 0
    new = cv2.cvtColor(moved, cv2.COLOR_RGB2LAB).astype(np.float32)
    old = cv2.cvtColor(np.clip(target, 0, 255).astype(np.uint8), cv2.COLOR_RGB2LAB).astype(np.float32)
    mean, deviation = new[inside].mean(0), new[inside].std(0) + 1.0
    gain = np.clip((old[inside].std(0) + 1.0) / deviation, 0.6, 1.6)
    fitted = (new - mean) * gain + old[inside].mean(0)
    return cv2.cvtColor(np.clip(fitted, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB).astype(np.float32)


def _seamless(moved: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blend a patch in the gradients; as it was where it touches the edge of the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    height, width = mask.shape
    if top < 2 or left < 2 or bottom > height - 3 or right > width - 3:
        return moved
    middle = (int(left + right) // 2, int(top + bottom) // 2)
    area = (mask * 255).astype(np.uint8)
    whole = cv2.seamlessClone(
        np.clip(moved, 0, 255).astype(np.uint8),
        np.clip(target, 0, 255).astype(np.uint8),
        area,
        middle,
        cv2.NORMAL_CLONE,
    )
    return np.asarray(whole, np.float32)
