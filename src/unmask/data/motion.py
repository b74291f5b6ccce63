"""Films a still picture with a moving camera made in software, through a real video encoder.

Single pictures are plentiful where clips are not: filmed, they show what motion blur, resampling and
H.264 do to a score, though nothing in them lives.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIDE = (240, 480)
"""Smallest and largest side of a film in pixels."""
QUALITY = (20, 34)
"""Best and worst constant rate factor of x264."""
HAND_WINDOW = 15
"""Frames over which the jitter of a hand is smooth."""


def film(
    pixels: np.ndarray, path: Path, rng: np.random.Generator, *, seconds: float = 2.0, rate: int = 15
) -> None:
    """Write an MP4 in which a camera pans, zooms and trembles over a picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        path: the file to write.
        rng: the source of size, motion, noise and quality.
        seconds: length.
        rate: frames a second.
    """
    height, width = pixels.shape[:2]
    side = int(rng.integers(SIDE[0] // 16, SIDE[1] // 16 + 1)) * 16
    scale = side / max(height, width)
    size = (max(16, int(width * scale) // 2 * 2), max(16, int(height * scale) // 2 * 2))
    reduced = pixels
    if scale < 1:
        reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        scale = 1.0
    noise = rng.uniform(0, 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(rng.integers(QUALITY[0], QUALITY[1] + 1)), "preset": "veryfast"}
        for view in _views(round(seconds * rate), reduced.shape[:2], size, scale, rng):
            seen = cv2.warpAffine(
                reduced, view, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            noisy = seen + noise * rng.standard_normal(seen.shape)
            frame = av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _views(
    count: int, shape: tuple[int, int], size: tuple[int, int], scale: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return a (2, 3) map from picture to frame pixels for each frame."""
    window = np.hanning(HAND_WINDOW)
    hand = np.stack(
        [
            np.convolve(rng.standard_normal(count + HAND_WINDOW), window / window.sum(), "valid")[:count]
            for _ in range(3)
        ],
        axis=1,
    )
    along = np.linspace(0, 1, count)
    zooms = np.exp(np.interp(along, [0, 1], rng.uniform(-0.18, 0.0, size=2)))
    pans = np.stack([np.interp(along, [0, 1], rng.uniform(-0.03, 0.03, size=2)) for _ in range(2)], axis=1)
    centre = np.array([shape[1], shape[0]]) / 2
    views = []
    for zoom, pan, jitter in zip(zooms, pans, hand, strict=True):
        angle = np.radians(jitter[2] * 1.5)
        turn = scale * zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        view = np.zeros((2, 3))
        view[:, :2] = turn
        shift = (pan + jitter[:2] * 0.01) * size
        view[:, 2] = np.array(size) / 2 - turn @ centre + shift
        views.append(view)
    return views
