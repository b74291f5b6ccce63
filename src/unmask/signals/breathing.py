"""Finds breathing, 0.1 to 0.5 Hz, in how head and shoulders rise and fall and in the colour of the skin.

Breathing moves the trunk, the trunk carries the head (Balakrishnan et al. 2013, doi 10.1109/CVPR.2013.440,
for the pulse), and it sways the baseline of the pulse signal. Several sources that agree are a breath; one
alone may be anything slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from unmask.signals.filters import bandpass, resample, spectrum, strongest_line

BAND = (0.1, 0.5)
"""Hz: 6 to 30 breaths a minute."""
GRID = 10.0
SPECTRUM_WINDOW = 30.0
HALF_LINE = 0.05
"""Half the width in Hz within which power counts as belonging to a line: 3 breaths a minute."""
PATCH = (48, 96)
"""Rows and columns to which the shoulders' patch is brought."""


@dataclass(frozen=True)
class Breath:
    """The strongest slow line of each source: breaths a minute and how it stands out, in dB."""

    rates: Mapping[str, float]
    snrs: Mapping[str, float]
    times: np.ndarray
    signals: Mapping[str, np.ndarray]


def analyse(times: np.ndarray, sources: Mapping[str, np.ndarray]) -> Breath:
    """Look for breathing.

    Args:
        times: (N,) rising seconds, of at least 10 s in all.
        sources: (N,) signals by name, in any unit; those never seen twice are left out.

    Raises:
        ValueError: too short.
    """
    if len(times) < 2 or times[-1] - times[0] < 1 / BAND[0]:
        raise ValueError("shorter than one slow breath (10 s)")
    signals, lines = {}, {}
    grid = np.empty(0)
    for name, values in sources.items():
        if np.isfinite(values).sum() < 2:
            continue
        grid, even = resample(times, values, GRID)
        signals[name] = bandpass(even, GRID, *BAND, order=2)
        power = spectrum(signals[name], GRID, SPECTRUM_WINDOW)
        lines[name] = strongest_line(*power, *BAND, half_line=HALF_LINE)
    return Breath(
        rates={name: 60 * line.frequency for name, line in lines.items()},
        snrs={name: line.snr for name, line in lines.items()},
        times=grid,
        signals=signals,
    )


def shoulder_patch(pixels: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Return the grey patch (48, 96) float32 below a face's box (x, y, width, height), or None if cut off.

    The patch is as wide as two and a half boxes and reaches from 1.15 to 1.9 heights below the box's top.
    """
    x, y, width, height = (float(value) for value in box)
    left, right = round(x - 0.75 * width), round(x + 1.75 * width)
    top, bottom = round(y + 1.15 * height), round(y + 1.9 * height)
    left, right = max(left, 0), min(right, pixels.shape[1])
    bottom = min(bottom, pixels.shape[0])
    if right - left < PATCH[1] // 2 or bottom - top < PATCH[0] // 3:
        return None
    grey = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, PATCH[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def vertical_shift(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how many rows a patch moved down, for shifts below a row or two (Lucas & Kanade 1981).

    Least squares of the change of brightness on the vertical gradient; 0 where there is no texture.
    """
    slope = np.gradient((before + after) / 2, axis=0)
    power = float((slope**2).sum())
    # Patches of plain cloth have a gradient of noise only, half a grey level a row and below.
    if power < 0.25 * slope.size:
        return 0.0
    return float(-(slope * (after - before)).sum() / power)
