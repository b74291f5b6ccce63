"""Turns pictures into the planes that the signals are measured on: luma and two colour differences."""

from __future__ import annotations

import cv2
import numpy as np


def planes(pixels: np.ndarray) -> np.ndarray:
    """Return luma, blue and red difference as (3, H, W) float32, luma 0..255, the others about -128..127.

    The matrix is BT.601's, by which JPEG stores pictures. Nothing is rounded.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) grey (the differences are then 0).
    """
    values = np.asarray(pixels, np.float32)
    if values.ndim == 2:
        return np.stack([values, np.zeros_like(values), np.zeros_like(values)])
    return np.stack(cv2.split(cv2.transform(values, _MATRIX)))


def luma(pixels: np.ndarray) -> np.ndarray:
    """Return the luma of (H, W, 3) uint8 RGB or (H, W) grey as (H, W) float32, 0..255."""
    values = np.asarray(pixels, np.float32)
    return values if values.ndim == 2 else cv2.transform(values, _MATRIX[:1])


_MATRIX = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ],
    np.float32,
)
