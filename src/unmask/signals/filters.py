"""Brings uneven samples onto an even grid, takes trends away, and finds lines in spectra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import percentile_filter
from scipy.signal import butter, sosfiltfilt, welch

HALF_LINE = 0.1
"""Half the width in Hz within which power counts as belonging to a line (6 per minute)."""


def frame_rate(times: np.ndarray) -> float:
    """Return the typical rate in Hz of (N,) rising times in seconds: one over the median step; 0 below 2."""
    steps = np.diff(np.asarray(times, np.float64))
    steps = steps[steps > 0]
    return float(1.0 / np.median(steps)) if steps.size else 0.0


def longest_step(times: np.ndarray) -> float:
    """Return the longest step in seconds between (N,) times; infinite for fewer than two."""
    return float(np.diff(times).max()) if len(times) > 1 else float("inf")


def resample(times: np.ndarray, values: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate samples at uneven times on the straight line between neighbours, onto an even grid.

    Args:
        times: (N,) seconds, not falling.
        values: (N, ...) samples; along the first axis, samples that are not finite are left out.
        rate: of the grid in Hz.

    Returns:
        (M,) times from the first to the last, and (M, ...) values.

    Raises:
        ValueError: fewer than two samples in some column.
    """
    times = np.asarray(times, np.float64)
    values = np.asarray(values, np.float64)
    if len(times) < 2 or not times[-1] > times[0]:
        raise ValueError("at least two samples at different times are needed")
    grid = times[0] + np.arange(int((times[-1] - times[0]) * rate + 1e-6) + 1) / rate
    columns = values.reshape(len(times), -1)
    finite = np.isfinite(columns)
    if (finite.sum(axis=0) < 2).any():
        raise ValueError("at least two finite samples are needed")
    if finite.all():
        place = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, len(times) - 2)
        span = np.maximum(times[place + 1] - times[place], 1e-12)
        share = np.clip((grid - times[place]) / span, 0, 1)[:, None]
        result = columns[place] * (1 - share) + columns[place + 1] * share
    else:
        result = np.stack(
            [np.interp(grid, times[ok], column[ok]) for column, ok in zip(columns.T, finite.T, strict=True)],
            axis=1,
        )
    return grid, result.reshape(len(grid), *values.shape[1:])


def detrend(values: np.ndarray, smoothness: float) -> np.ndarray:
    """Take away the smooth trend of evenly spaced samples: smoothness priors (Tarvainen et al. 2002).

    The result is z - (I + l^2 D'D)^-1 z, with D the second differences (eq. 5 of doi 10.1109/10.979357).

    Args:
        values: (N, ...) samples; the first axis is time.
        smoothness: the parameter l; at a rate of r Hz it acts as a high pass at about
            r / (2 pi sqrt(l)) Hz.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    if count < 3:
        return values - values.mean(axis=0)
    strength = smoothness**2
    # The bands of D'D: what (1, -2, 1) gives with itself, less at the ends.
    main = np.full(count, 6.0)
    first, second = np.full(count, -4.0), np.full(count, 1.0)
    main[[0, -1]], main[[1, -2]] = 1.0, 5.0
    first[[1, -1]] = -2.0
    if count == 3:
        main[:] = (1.0, 4.0, 1.0)
    elif count == 4:
        main[:] = (1.0, 5.0, 5.0, 1.0)
    bands = np.stack([strength * second, strength * first, 1 + strength * main])
    trend = solveh_banded(bands, values.reshape(count, -1)).reshape(values.shape)
    return np.asarray(values - trend)


def smoothness_for(cutoff: float, rate: float) -> float:
    """Return the parameter of `detrend` that halves the amplitude at `cutoff` Hz, for samples at `rate` Hz.

    A wave of angular frequency w (radians a sample) keeps 1 - 1 / (1 + l^2 (2 sin(w/2))^4) of its amplitude.
    """
    return float(1.0 / (2.0 * np.sin(np.pi * cutoff / rate)) ** 2)


def bandpass(values: np.ndarray, rate: float, low: float, high: float, *, order: int = 3) -> np.ndarray:
    """Keep `low` to `high` Hz of (N, ...) samples at `rate` Hz: Butterworth, forwards and backwards."""
    sections = butter(order, (low, min(high, 0.49 * rate)), "bandpass", fs=rate, output="sos")
    return np.asarray(sosfiltfilt(sections, values, axis=0, padlen=min(len(values) - 1, int(3 * rate / low))))


def running_percentile(values: np.ndarray, width: int, percent: float) -> np.ndarray:
    """Return the percentile of the `width` samples round each of (N,) samples, mirrored at the ends."""
    return np.asarray(percentile_filter(values, percent, size=max(1, width), mode="mirror"))


@dataclass(frozen=True)
class Line:
    """The strongest line of a spectrum: frequency in Hz and how it stands out, in dB.

    `snr` is the power close to the line and to its second harmonic over the rest of the band (de Haan &
    Jeanne 2013, doi 10.1109/TBME.2013.2266196).
    """

    frequency: float
    snr: float


def spectrum(values: np.ndarray, rate: float, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (F,) in Hz and power (..., F) of (N, ...) samples: Welch's mean of periodograms.

    Windows are `window` seconds long (or the whole, if shorter), half overlapping; zeros between the samples
    of the spectrum bring them to at most 1/60 Hz.
    """
    length = min(len(values), max(8, round(window * rate)))
    points = max(length, int(2 ** np.ceil(np.log2(60 * rate))))
    frequencies, power = welch(
        values, rate, nperseg=length, noverlap=length // 2, nfft=points, detrend="constant", axis=0
    )
    return frequencies, np.moveaxis(power, 0, -1)


def strongest_line(
    frequencies: np.ndarray, power: np.ndarray, low: float, high: float, *, half_line: float = HALF_LINE
) -> Line:
    """Find the strongest line of a spectrum (F,) between `low` and `high` Hz, placed by a parabola.

    `half_line` is half the width in Hz within which power counts as the line's. A band without power gives
    its middle and -infinity dB.
    """
    inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
    band = power[inside]
    if not band.sum() > 0:
        return Line((low + high) / 2, float("-inf"))
    top = int(inside[band.argmax()])
    frequency = float(frequencies[top])
    if 0 < top < len(power) - 1:
        left, middle, right = np.log(np.maximum(power[top - 1 : top + 2], 1e-300))
        bend = left - 2 * middle + right
        if bend < 0:
            frequency += float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) * float(
                frequencies[1] - frequencies[0]
            )
    return Line(frequency, line_snr(frequencies, power, frequency, low, high, half_line=half_line))


def line_snr(
    frequencies: np.ndarray,
    power: np.ndarray,
    line: float,
    low: float,
    high: float,
    *,
    half_line: float = HALF_LINE,
) -> float:
    """Return how a line at `line` Hz and its second harmonic stand out of the band, in dB; see `Line`."""
    inside = (frequencies >= low) & (frequencies <= high)
    near = (np.abs(frequencies - line) <= half_line) | (np.abs(frequencies - 2 * line) <= half_line)
    signal, rest = float(power[inside & near].sum()), float(power[inside & ~near].sum())
    if not signal > 0:
        return float("-inf")
    return float(10 * np.log10(signal / max(rest, 1e-12 * signal)))


def stretches(mask: np.ndarray) -> np.ndarray:
    """Return (K, 2) first and one-past-last places of the runs of True in an (N,) mask."""
    edges = np.diff(np.concatenate([[0], np.asarray(mask, np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
