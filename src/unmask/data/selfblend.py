"""Self-blended images: a fake made from one real picture alone (Shiohara & Yamasaki 2022, 2204.08376).

One of two copies of a face is changed a little in colour and sharpness and moved a little; a soft mask
of the face blends it over the other. What is left is what every face swap leaves (a seam, a step in
colour, sharpness and noise), so a detector trained on it does not learn one generator's habits.

Works on an upright crop that is wider than the network's, in which the five points and, where they are
known, the 478 landmarks are given; otherwise the mean mesh of frontal faces is laid on the five points.

Where this departs from the authors' published parameters, and what for:

- Colour: the value of HSV changes by 0.2 of itself, not 0.3, for gain and offset change the brightness again;
  hue, saturation and value together in 70 % of the draws, gain and offset in 50 %, so that copies of one
  colour occur, as of a swap whose colours were matched.
- Resolution: reduced by a factor drawn from 1.4 to 4.0 in 60 % of the draws, not by 2 or by 4, so that no
  two factors are learned by heart; sharpened in 20 % by 0.3 to 1.2 times what a Gaussian of one pixel takes
  away, in place of a blend of 0.2 to 0.5 with a sharpening kernel; in 20 % neither, so that blends whose
  sharpness tells nothing occur.
- Mask: four families of equal share, of which two leave out the forehead and a third, eyes to mouth, does
  not reach it; the authors' hull leaves it out in a quarter of the draws. The crops that are stored often
  end at the brows, and swaps of low resolution replace the inner face. The landmarks are jittered by 0.5 %
  of the width, as a detector's would be.
- Elastic warp: the field is drawn at an eighth of the size, which is faster, and weighted by 0.2; it moves a
  mask of 224 pixels by 1.8 pixels (root mean square a direction), that of the authors by 1.2.
- Softening: the blurs are scaled by the crop's side over 224, in place of resizing the mask to 192 to 256;
  the second takes its own width in 70 % of the draws and else that which OpenCV derives from the kernel,
  so that sharp seams occur.
- What is done to both copies after blending is the augmentation of the training (`data.augment`).

The embedded detectors were trained with these values. They were not compared one by one with the authors',
and another value makes another kind of training material: the records of the trainings would not hold for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import cv2
import numpy as np

from unmask.faces.align import TEMPLATE, similarity

# Mesh points of the face outline above the brows: left out, the mask ends at the brows.
_FOREHEAD = (10, 338, 297, 332, 284, 251, 109, 67, 103, 54, 21, 151, 108, 337, 69, 299, 104, 333, 68, 298)
# Eyes, nose and mouth with their surroundings: the part that low-resolution swaps replace.
_INNER = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 352, 411, 432, 430, 200, 210, 212, 187, 123)


@dataclass(frozen=True)
class SelfBlend:
    """A blended fake (H, W, 3) uint8 with the copy blended in and its mask (H, W) float32 0..1."""

    fake: np.ndarray
    source: np.ndarray
    mask: np.ndarray


@cache
def mean_mesh() -> np.ndarray:
    """Return the (478, 2) median mesh of 297 frontal real faces, in units of `faces.align.TEMPLATE`."""
    with resources.files("unmask.data").joinpath("mean_mesh.npy").open("rb") as file:
        return np.load(file).astype(np.float64)


def lay_mesh(points: np.ndarray) -> np.ndarray:
    """Lay the mean mesh on a face's five points: (478, 2) in the pixels of `points` (5, 2)."""
    matrix = similarity(TEMPLATE, points)
    return mean_mesh() @ matrix[:, :2].T + matrix[:, 2]


def _hull_mask(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1.0)
    return mask


def face_mask(landmarks: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw a hard face mask (H, W): whole face, without the forehead, the inner face, or a shrunken hull."""
    family = rng.choice(4, p=(0.25, 0.25, 0.25, 0.25))
    if family == 0:
        return _hull_mask(landmarks, shape)
    if family == 1:
        return _hull_mask(np.delete(landmarks, _FOREHEAD, axis=0), shape)
    if family == 2:
        chosen = landmarks[list(_INNER)]
    else:
        chosen = np.delete(landmarks, _FOREHEAD, axis=0)
    centre = chosen.mean(axis=0)
    return _hull_mask(centre + (chosen - centre) * rng.uniform(0.75, 1.05, size=2), shape)


def _elastic(mask: np.ndarray, rng: np.random.Generator, *, alpha: float, sigma: float) -> np.ndarray:
    height, width = mask.shape
    small = (max(2, height // 8), max(2, width // 8))
    shift = rng.uniform(-1, 1, size=(2, *small)).astype(np.float32)
    dx, dy = (
        cv2.GaussianBlur(cv2.resize(s, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), sigma) * alpha
        for s in shift
    )
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(mask, x + dx * 0.2, y + dy * 0.2, cv2.INTER_LINEAR)


def soften(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soften a hard mask in the paper's steps: blur, keep what is still whole, blur again, weaken."""
    side = max(mask.shape)
    unit = side / 224

    def kernel() -> tuple[int, int]:
        k = int(rng.integers(5, 26) * unit) // 2 * 2 + 1
        return (k, k)

    soft = cv2.GaussianBlur(mask, kernel(), 0)
    soft[soft < 0.999] = 0.0
    sigma = rng.uniform(5, 46) * unit if rng.random() < 0.7 else 0.0
    soft = cv2.GaussianBlur(soft, kernel(), sigma)
    top = float(soft.max())
    return soft / max(top, 1e-6) * rng.choice((0.25, 0.5, 0.75, 1.0, 1.0, 1.0))


def change_appearance(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change colour a little, and resolution or sharpness: what tells source from target."""
    image = pixels
    if rng.random() < 0.3:
        image = np.clip(image + rng.uniform(-20, 20, size=3), 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-0.1, 0.1) * 30) % 180
        hsv[..., 1] *= 1 + rng.uniform(-0.3, 0.3)
        hsv[..., 2] *= 1 + rng.uniform(-0.2, 0.2)
        image = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    if rng.random() < 0.5:
        gain, offset = 1 + rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1) * 128
        image = np.clip(image.astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)
    choice = rng.random()
    height, width = image.shape[:2]
    if choice < 0.6:
        factor = rng.uniform(1.4, 4.0)
        small = cv2.resize(
            image, (max(8, int(width / factor)), max(8, int(height / factor))), interpolation=cv2.INTER_AREA
        )
        how = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC)))
        image = cv2.resize(small, (width, height), interpolation=how)
    elif choice < 0.8:
        blurred = cv2.GaussianBlur(image, (0, 0), 1.0)
        amount = rng.uniform(0.3, 1.2)
        image = cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)
    return image


def self_blend(pixels: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> SelfBlend:
    """Make a fake of a real face.

    Args:
        pixels: (H, W, 3) uint8 RGB, a crop that holds the whole face where it can.
        landmarks: (478, 2) mesh points in the crop's pixels.
        rng: the source of every draw.
    """
    height, width = pixels.shape[:2]
    if rng.random() < 0.5:
        source, target = change_appearance(pixels, rng), pixels
    else:
        source, target = pixels, change_appearance(pixels, rng)
    jittered = landmarks + rng.normal(0, 0.005 * width, size=landmarks.shape)
    mask = face_mask(jittered, (height, width), rng)
    mask = _elastic(mask, rng, alpha=50 * width / 224, sigma=7 * width / 224)
    scale = rng.uniform(0.95, 1 / 0.95)
    shift = rng.uniform((-0.03, -0.015), (0.03, 0.015)) * (width, height)
    centre = np.array([width, height]) / 2
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float64)
    matrix[:, 2] = centre * (1 - scale) + shift
    source = cv2.warpAffine(source, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.warpAffine(mask, matrix, (width, height))
    mask = soften(mask, rng)
    blended = mask[..., None] * source + (1 - mask[..., None]) * target
    return SelfBlend(np.clip(np.round(blended), 0, 255).astype(np.uint8), source, mask)
