"""Pictures whose frequencies are known beforehand."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def white(side: int, sigma: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(128, sigma, (side, side)).astype(np.float32)


def power_law(side: int, exponent: float, seed: int = 0) -> np.ndarray:
    """Noise whose amplitude goes as frequency ** exponent."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1.0
    noise = np.random.default_rng(seed).normal(size=(side, side))
    shaped = np.fft.ifft2(np.fft.fft2(noise) * frequency**exponent).real
    return (128 + 20 * shaped / shaped.std()).astype(np.float32)


def jpeg(pixels: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture saved and read again, and the (8, 8) luma table by which it was quantised."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    image = Image.open(data)
    return np.asarray(image), np.array(image.quantization[0]).reshape(8, 8)
