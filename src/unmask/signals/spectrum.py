"""Looks at a picture's frequencies: power spectrum, profiles, slope, peaks of up-sampling, autocorrelation.

Generators build pictures by repeated up-sampling. What they leave in the spectrum is described in Durall
et al. 2019 (1911.00686) and 2020 (2003.01826), and in Frank et al. 2020 (2003.08685). Frequencies are in
cycles per pixel: 0.5 is the highest that pixels can carry.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

FLOOR = 1e-6
"""Added to powers (grey levels squared) before a logarithm: a flat picture has a spectrum, too."""
FACTORS = (2, 4, 8)
"""Up-sampling factors whose peaks are looked for."""
NEAR, FAR = 1, 7
"""A peak is the mean of (2 NEAR + 1)^2 bins; its background lies beyond twice NEAR and within FAR bins."""


def power_spectrum(plane: np.ndarray, *, window: bool = True) -> np.ndarray:
    """Return the power spectrum of an (H, W) plane as its (H, W // 2 + 1) half (rows in FFT order).

    The mean is taken away and the plane weighed by a Hann window, whose loss is made up for: white noise
    of variance v has the expected power v at every frequency.
    """
    values = np.asarray(plane, np.float32)
    if window:
        weights, total, scale = _hann(*values.shape)
        middle = float(np.vdot(values, weights)) / total
        values = (values - np.float32(middle)) * weights
    else:
        values = values - values.mean()
        scale = float(values.size)
    half = fft.rfft2(values)
    return (half.real**2 + half.imag**2) / np.float32(scale)


def whole(half: np.ndarray, width: int) -> np.ndarray:
    """Return the (H, W) spectrum of width `width` with frequency 0 in the middle, from its half."""
    height = half.shape[0]
    full = np.empty((height, width), half.dtype)
    full[:, : half.shape[1]] = half
    mirrored = np.roll(half[::-1], 1, axis=0)[:, 1 : (width + 1) // 2][:, ::-1]
    full[:, half.shape[1] :] = mirrored
    return np.fft.fftshift(full)


def radial_profile(half: np.ndarray, width: int, *, bins: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (bins,) and the mean power (bins,) in rings of equal width from 0 to 0.5.

    The frequency 0 itself is left out. A ring of a small picture that no bin falls into takes its value
    from its neighbours.
    """
    index, weight, count = _rings(half.shape[0], width, bins)
    total = np.bincount(index, weights=half.ravel() * weight, minlength=bins + 1)[:bins]
    centres = (np.arange(bins) + 0.5) * 0.5 / bins
    known = count > 0
    if not known.any():
        return centres, np.zeros(bins)
    return centres, np.interp(centres, centres[known], total[known] / count[known])


def angular_profile(half: np.ndarray, width: int, *, bins: int = 8, low: float = 0.1) -> np.ndarray:
    """Return the mean power (bins,) by direction of the wave, 0 to 180 degrees, of frequencies low..0.5.

    0 degrees are waves that run along x (upright stripes); the first bin is centred there.
    """
    index, weight, count = _sectors(half.shape[0], width, bins, low)
    total = np.bincount(index, weights=half.ravel() * weight, minlength=bins + 1)[:bins]
    return total / np.maximum(count, 1)


def spectral_slope(
    frequency: np.ndarray, power: np.ndarray, *, low: float = 0.05, high: float = 0.45
) -> float:
    """Return the exponent of the power law that fits a profile best between two frequencies.

    White noise has 0; noise whose amplitude falls as 1 / f has -2. Natural pictures have about -2
    (Field 1987, doi 10.1364/JOSAA.4.002379).
    """
    chosen = (frequency >= low) & (frequency <= high)
    if chosen.sum() < 2:
        return 0.0
    x = np.log(frequency[chosen])
    y = np.log(power[chosen] + FLOOR)
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x**2).sum())


def high_frequency_energy(half: np.ndarray, width: int, *, cutoff: float = 0.25) -> float:
    """Return the share of the power, without that of frequency 0, that lies above a cutoff radius (0..1)."""
    all_bins, high_bins = _above(half.shape[0], width, cutoff)
    total = float(np.vdot(half, all_bins))
    return float(np.vdot(half, high_bins)) / total if total > FLOOR else 0.0


def upsampling_peaks(half: np.ndarray, width: int) -> Mapping[int, float]:
    """Return, for each factor of `FACTORS`, how far its peaks stand above their background, in dB.

    Pixels made by an up-sampling of factor k repeat their properties every k pixels, which puts peaks at
    the multiples of 1 / k. For each factor those places are taken that no smaller factor shares, on both
    axes and in the corners; powers and backgrounds (the medians around) are averaged over them. 0 means
    no peak, below 0 a hole; 0 is also given where the picture is too small for a background.
    """
    height = half.shape[0]
    if min(height, width) < 4 * FAR:
        return dict.fromkeys(FACTORS, 0.0)
    full = np.pad(whole(half, width), FAR, mode="wrap")
    y, x, owner = _place_bins(height, width)
    around = full[y[:, None, None] + _SPAN[:, None], x[:, None, None] + _SPAN[None, :]]
    peak = around[:, FAR - NEAR : FAR + NEAR + 1, FAR - NEAR : FAR + NEAR + 1].mean(axis=(1, 2))
    # The median of exponentially distributed powers is ln 2 of their mean.
    ground = np.median(around[:, _BACKGROUND], axis=1) / np.log(2)
    return {
        factor: float(
            10 * np.log10((peak[owner == factor].mean() + FLOOR) / (ground[owner == factor].mean() + FLOOR))
        )
        for factor in FACTORS
    }


class Peak(NamedTuple):
    """A peak of a spectrum: its frequency across (0 to 0.5) and down (-0.5 to 0.5), and its height in dB."""

    across: float
    down: float
    height: float


def highest_peak(half: np.ndarray, width: int, *, low: float = 0.1) -> Peak | None:
    """Return the peak that stands highest above its own background, at any frequency beyond `low`.

    A picture that is scaled after an up-sampling carries its peaks to other places than `upsampling_peaks`
    looks at: enlarged by s, the peak of factor k lies at 1 / (k s). Peak and background are as there.
    None where the picture is too small for a background.
    """
    height = half.shape[0]
    if min(height, width) < 4 * FAR:
        return None
    full = np.asarray(whole(half, width), np.float32)
    peak = ndimage.uniform_filter(full, 2 * NEAR + 1, mode="wrap")
    ground = ndimage.median_filter(full, footprint=_BACKGROUND, mode="wrap") / np.log(2)
    above = 10 * np.log10((peak + FLOOR) / (ground + FLOOR))
    down, across = (np.fft.fftshift(fft.fftfreq(size)) for size in (height, width))
    above[np.hypot(down[:, None], across[None]) < low] = -np.inf
    row, column = np.unravel_index(int(above.argmax()), above.shape)
    # A real picture's spectrum is symmetric: of both places the one to the right is named.
    sign = -1.0 if across[column] < 0 else 1.0
    return Peak(sign * float(across[column]), sign * float(down[row]) + 0.0, float(above[row, column]))


def step_spectrum(plane: np.ndarray) -> np.ndarray:
    """Return the half power spectrum of the magnitudes of steps between neighbours, of an (H, W) plane.

    Interpolated pixels step less from their neighbours than those in between, every k pixels (Gallagher
    2005, doi 10.1109/CRV.2005.33): `upsampling_peaks` of this spectrum sees an interpolation that leaves
    no peak in the picture's own. The edges of JPEG blocks have peaks here, too, at 1/8, 1/4 and 1/2.
    """
    values = np.asarray(plane, np.float32)
    across = np.abs(np.diff(values[:-1], axis=1))
    down = np.abs(np.diff(values[:, :-1], axis=0))
    return (power_spectrum(across) + power_spectrum(down)) / 2


def autocorrelation(half: np.ndarray, width: int, *, lags: int = 4) -> np.ndarray:
    """Return the autocorrelation (lags + 1, 2 lags + 1) of the plane that the spectrum belongs to.

    Entry [dy, lags + dx] is the correlation of pixels dx to the right and dy below each other, -1..1,
    by the Wiener-Khinchin theorem. It is 1 at shift 0 (0 everywhere for a flat plane).
    """
    values = fft.irfft2(half, s=(half.shape[0], width))
    energy = float(values[0, 0])
    rows = np.arange(lags + 1) % half.shape[0]
    columns = np.arange(-lags, lags + 1) % width
    if energy * values.size <= FLOOR:
        return np.zeros((lags + 1, 2 * lags + 1))
    return np.asarray(values[np.ix_(rows, columns)] / energy, np.float64)


def decibel(power: np.ndarray) -> np.ndarray:
    """Return powers (grey levels squared) in dB."""
    return 10 * np.log10(np.asarray(power, np.float64) + FLOOR)


@functools.lru_cache(maxsize=32)
def _hann(height: int, width: int) -> tuple[np.ndarray, float, float]:
    """Return the window, its sum and the sum of its squares."""

    def one(size: int) -> np.ndarray:
        return np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2

    weights = np.outer(one(height), one(width)).astype(np.float32)
    return weights, float(weights.sum()), float((weights**2).sum())


@functools.lru_cache(maxsize=32)
def _radius(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequency of each bin of the half, and how often it counts in the whole (1 or 2)."""
    radius = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None])
    weight = np.full(radius.shape, 2.0, np.float32)
    weight[:, 0] = 1.0
    if width % 2 == 0:
        weight[:, -1] = 1.0
    return radius, weight


@functools.lru_cache(maxsize=32)
def _above(height: int, width: int, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each bin of the half counts among all but frequency 0, and among the high ones."""
    radius, weight = _radius(height, width)
    return np.where(radius > 0, weight, np.float32(0)), np.where(radius > cutoff, weight, np.float32(0))


@functools.lru_cache(maxsize=32)
def _rings(height: int, width: int, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    radius, weight = _radius(height, width)
    index = np.minimum((radius / 0.5 * bins).astype(int), bins)
    index[(radius > 0.5) | (radius == 0)] = bins
    return _counted(index, weight, bins)


@functools.lru_cache(maxsize=32)
def _sectors(height: int, width: int, bins: int, low: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    radius, weight = _radius(height, width)
    angle = np.arctan2(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]) % np.pi
    index = np.rint(angle / np.pi * bins).astype(int) % bins
    index[(radius > 0.5) | (radius < low)] = bins
    return _counted(index, weight, bins)


def _counted(index: np.ndarray, weight: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat, weights = index.ravel(), weight.ravel()
    return flat, weights, np.bincount(flat, weights=weights, minlength=bins + 1)[:bins]


@functools.lru_cache(maxsize=8)
def _places(factor: int) -> tuple[tuple[float, float], ...]:
    """Return the frequencies (row, column) of a factor's own peaks, one of each opposite pair."""
    steps = [k / factor for k in range(factor // 2 + 1)]
    shared = {k / (factor // 2) for k in range(factor // 2 + 1)} if factor > 2 else {0.0}
    return tuple(
        (sign * row, column)
        for row in steps
        for column in steps
        for sign in (1, -1)
        if not (row in shared and column in shared)
        and not (sign < 0 and (row in (0.0, 0.5) or column in (0.0, 0.5)))
    )


@functools.lru_cache(maxsize=32)
def _place_bins(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column (of the padded whole spectrum) and factor of every place looked at."""
    rows, columns, owners = [], [], []
    for factor in FACTORS:
        for row, column in _places(factor):
            rows.append(FAR + (height // 2 + round(row * height)) % height)
            columns.append(FAR + (width // 2 + round(column * width)) % width)
            owners.append(factor)
    return np.array(rows), np.array(columns), np.array(owners)


def _ring_mask() -> np.ndarray:
    distance = np.maximum(*np.abs(np.mgrid[-FAR : FAR + 1, -FAR : FAR + 1]))
    return np.asarray(distance > 2 * NEAR)


_BACKGROUND = _ring_mask()
_SPAN = np.arange(-FAR, FAR + 1)
