"""Self-swaps: a real face drawn anew at low resolution by a generator and pasted back over itself.

Where a self-blend (`unmask.data.selfblend`) shows the seam alone, a self-swap shows what the generator itself
leaves: texture that a small bottleneck cannot hold, up-sampling, features that moved a little, and a face of
another resolution than the picture round it. No fake made by anybody else is needed, so the network cannot
learn one data set's generator.

The generator is an autoencoder trained on real faces (`unmask.models.autoencoder`), at sizes from 96 to 224
pixels as swappers of live video and inswapper (128) use them; a share goes through plain reduction and
smoothing instead, so that one autoencoder's habits are not all there is to learn.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from unmask.data.selfblend import SelfBlend, face_mask
from unmask.faces.align import TEMPLATE, similarity

Renderer = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Draws an (S, S, 3) uint8 aligned face anew."""

SIZES = (96, 112, 128, 128, 128, 160, 192, 224)
CENTRE = np.array([56.0, 68.0])


def placement(points: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the (2, 3) map from picture to the generator's square, which is 84 to 114 template units wide.

    Args:
        points: (5, 2) in picture pixels.
        size: side of the square in pixels.
        rng: the source of every draw.
    """
    side = rng.uniform(84, 114)
    corner = CENTRE + rng.normal(0, 1.5, size=2) - side / 2
    return similarity(points, (TEMPLATE - corner) * (size / side)) - np.array([[0, 0, 0.5], [0, 0, 0.5]])


def self_swap(
    pixels: np.ndarray,
    points: np.ndarray,
    landmarks: np.ndarray,
    rng: np.random.Generator,
    *,
    renderer: Renderer | None = None,
) -> SelfBlend:
    """Make a fake of a real face.

    Args:
        pixels: (H, W, 3) uint8 RGB, an upright crop that holds the whole face where it can.
        points: (5, 2) eyes, nose tip and mouth corners in the crop's pixels.
        landmarks: (478, 2) mesh points in the crop's pixels.
        rng: the source of every draw.
        renderer: the generator; without one, or in a quarter of the draws, the face is only reduced and
            smoothed.
    """
    height, width = pixels.shape[:2]
    size = int(rng.choice(SIZES))
    there = placement(points, size, rng)
    small = _reduce(pixels, there, size)
    drawn = _smooth(small, rng) if renderer is None or rng.random() < 0.25 else renderer(small, rng)
    if rng.random() < 0.6:  # a generator that holds more than ours
        share = rng.uniform(0.3, 0.8)
        drawn = cv2.addWeighted(drawn, 1 - share, small, share, 0)
    drawn = _other_look(_move_features(drawn, rng), rng)
    mask = _paste_mask(landmarks, there, size, (height, width), rng)
    back = cv2.invertAffineTransform(there)
    how = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC)))
    source = cv2.warpAffine(drawn, back, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    blended = mask[..., None] * source + (1 - mask[..., None]) * pixels
    return SelfBlend(np.clip(np.round(blended), 0, 255).astype(np.uint8), source, mask)


def _reduce(pixels: np.ndarray, there: np.ndarray, size: int) -> np.ndarray:
    """Cut the generator's square as swappers do: softened only as far as the reduction asks."""
    scale = float(np.hypot(there[0, 0], there[1, 0]))
    if scale < 0.8:
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.4 / scale)
    return cv2.warpAffine(
        pixels, there, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def _smooth(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take fine texture away, in one of four ways."""
    kind = rng.integers(4)
    if kind == 0:
        return cv2.bilateralFilter(face, 5, rng.uniform(15, 50), rng.uniform(1, 3))
    if kind == 1:
        return cv2.GaussianBlur(face, (0, 0), rng.uniform(0.5, 1.3))
    if kind == 2:
        return cv2.medianBlur(face, 3)
    side = face.shape[0]
    half = cv2.resize(face, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    # Up-sampling as transposed convolutions do it: zeros between, then a random kernel.
    spread = np.zeros((side // 2 * 2, side // 2 * 2, 3), np.float32)
    spread[::2, ::2] = half
    kernel = (
        cv2.getGaussianKernel(5, rng.uniform(1.0, 1.5)) @ cv2.getGaussianKernel(5, rng.uniform(1.0, 1.5)).T
    )
    kernel = kernel * (1 + rng.normal(0, 0.03, size=kernel.shape))
    filled = cv2.filter2D(spread, -1, 4 * kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return cv2.resize(np.clip(filled, 0, 255).astype(np.uint8), (side, side))


def _move_features(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move eyes, nose and mouth a little against each other: another identity's or expression's shape."""
    side = face.shape[0]
    grid = rng.normal(0, rng.uniform(0, 0.014) * side, size=(2, 5, 5)).astype(np.float32)
    grid[:, (0, -1), :] = 0
    grid[:, :, (0, -1)] = 0
    dx, dy = (cv2.resize(g, (side, side), interpolation=cv2.INTER_CUBIC) for g in grid)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    return cv2.remap(face, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _other_look(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift colour, contrast and, in a third of the draws, sharpness: what colour transfer leaves."""
    image = face.astype(np.float32)
    middle = image.mean(axis=(0, 1))
    image = (
        middle + (image - middle) * rng.uniform(0.88, 1.12) + rng.normal(0, 2.5, size=3) + rng.normal(0, 3)
    )
    if rng.random() < 0.35:
        amount = rng.uniform(0.3, 1.5)
        image += amount * (image - cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 1.6)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _paste_mask(
    landmarks: np.ndarray, there: np.ndarray, size: int, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw the soft mask (H, W) 0..1: the generator's square, shrunken and blurred, or the face's hull."""
    height, width = shape
    if rng.random() < 0.4:
        square = np.zeros((size, size), np.float32)
        rim = int(size * rng.uniform(0.06, 0.16))
        square[rim : size - rim, rim : size - rim] = 1.0
        soft = cv2.GaussianBlur(square, (0, 0), size * rng.uniform(0.015, 0.06))
        back = cv2.invertAffineTransform(there)
        return np.asarray(np.clip(cv2.warpAffine(soft, back, (width, height)), 0, 1), np.float32)
    mask: np.ndarray = face_mask(landmarks + rng.normal(0, 0.004 * width, size=landmarks.shape), shape, rng)
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=int(rng.integers(1, 5)))
    return cv2.GaussianBlur(inside, (0, 0), width * rng.uniform(0.008, 0.04))
