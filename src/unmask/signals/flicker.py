"""Periodic change of brightness or of fine detail: how strong, at which frequency, and when.

All functions take times, so that a clip of 15 frames a second gives what it gives at 30, up to the
frequency that its frames can show (half the frame rate), and uneven frame intervals do no harm.
"""

from __future__ import annotations

import cv2
import numpy as np

BAND = (3.0, 12.0)
"""Frequencies in Hz that are searched: above those of nodding, as far as 25 frames a second show."""
STEP = 0.5
"""Hz between the frequencies tried."""
NYQUIST_SHARE = 0.9
"""Frequencies above this share of half the frame rate are left out: they cannot be told from slower ones."""
MIN_SAMPLES = 6
"""A window with fewer samples has no spectrum."""


LEAST_SPAN = 0.7
"""Share of the window that its samples must span: in less, a slow drift looks like a wave."""


def amplitude_spectrum(times: np.ndarray, values: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Return the amplitude of the best-fitting sinusoid at each frequency (least squares, with a trend).

    Args:
        times: (N,) seconds, N >= 6.
        values: (N,), in any unit.
        frequencies: (F,) in Hz, above 0.

    Returns:
        (F,) amplitudes in the unit of the values: A for `A * sin(2 pi f t)`, 0 for a straight line. The
        samples are weighted by a Hann window, so that other frequencies leak little.

    Raises:
        ValueError: there are too few samples, or times and values differ in number.
    """
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    if times.shape != values.shape or times.size < MIN_SAMPLES:
        raise ValueError(f"at least {MIN_SAMPLES} times and as many values are needed")
    middle = (times[0] + times[-1]) / 2
    span = max(times[-1] - times[0], 1e-9) * (1 + 2 / len(times))
    root = np.sqrt(0.5 + 0.5 * np.cos(2 * np.pi * (times - middle) / span))
    trend = np.stack([np.ones_like(times), (times - middle) / span]) * root
    target = values * root
    phase = 2 * np.pi * np.asarray(frequencies, np.float64)[:, None] * (times - middle)
    # (F, N, 4): the two waves and the trend, fitted together
    design = np.stack(
        [np.cos(phase) * root, np.sin(phase) * root, *(np.broadcast_to(t, phase.shape) for t in trend)],
        axis=2,
    )
    normal = np.swapaxes(design, 1, 2) @ design + 1e-9 * np.eye(4)
    solution = np.linalg.solve(normal, (np.swapaxes(design, 1, 2) @ target)[..., None])[..., 0]
    return np.hypot(solution[:, 0], solution[:, 1])


def band_frequencies(times: np.ndarray, band: tuple[float, float] = BAND) -> np.ndarray:
    """Return the frequencies of a band that samples at these times (N,) can show; empty if there are none."""
    if len(times) < 2:
        return np.empty(0)
    interval = float(np.median(np.diff(times)))
    top = min(band[1], NYQUIST_SHARE / (2 * interval)) if interval > 0 else band[1]
    return np.arange(band[0], top + 1e-9, STEP)


def flicker_over_time(
    times: np.ndarray,
    values: np.ndarray,
    *,
    window: float = 1.0,
    band: tuple[float, float] = BAND,
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for every sample, amplitude and frequency of the strongest wave in the window round it.

    Args:
        times: (N,) seconds, ascending.
        values: (N,), in any unit.
        window: length in seconds; near the ends it lies to one side.
        band: frequencies in Hz.

    Returns:
        (N,) amplitudes in the unit of the values, and (N,) frequencies in Hz. Both are 0 where the window
        holds fewer than 6 samples, or where the frames are too slow to show the band.
    """
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    amplitudes, found = np.zeros(len(times)), np.zeros(len(times))
    frequencies = band_frequencies(times, band)
    if not len(frequencies):
        return amplitudes, found
    half = window / 2
    middles = np.clip(times, times[0] + half, max(times[-1] - half, times[0] + half))
    first = np.searchsorted(times, middles - half, "left")
    last = np.searchsorted(times, middles + half, "right")
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        if b - a < MIN_SAMPLES or times[b - 1] - times[a] < LEAST_SPAN * window:
            continue
        spectrum = amplitude_spectrum(times[a:b], values[a:b], frequencies)
        best = int(spectrum.argmax())
        amplitudes[i], found[i] = spectrum[best], frequencies[best]
    return amplitudes, found


def high_frequency_energy(grey: np.ndarray) -> float:
    """Return the natural logarithm of 1 + the variance of the Laplacian of a grey picture (H, W)."""
    return float(np.log1p(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F).var()))
