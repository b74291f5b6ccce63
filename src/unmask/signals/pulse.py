"""Finds the pulse in the mean colours of regions of the skin: remote photoplethysmography.

Four classical methods turn red, green and blue into one signal: GREEN (Verkruysse et al. 2008,
doi 10.1364/OE.16.021434), ICA (Poh et al. 2010, doi 10.1364/OE.18.010762), CHROM (de Haan & Jeanne 2013,
doi 10.1109/TBME.2013.2266196) and POS (Wang et al. 2017, doi 10.1109/TBME.2016.2609282). Fakes may inherit
the pulse of the person who drove them, so a line alone says little: what counts is that it runs through all
of the face in step, and is absent from what is no skin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.signal import csd

from unmask.signals.filters import (
    bandpass,
    detrend,
    resample,
    smoothness_for,
    spectrum,
    strongest_line,
)

BAND = (0.7, 3.0)
"""Heart rates looked for, in Hz: 42 to 180 a minute."""
GRID = 30.0
"""Samples per second of the even grid, whatever the frame rate."""
WINDOW = 1.6
"""Seconds of the windows of POS and CHROM."""
SPECTRUM_WINDOW = 10.0
TILT = 1.5
"""Spectra are weighted by this power of the frequency, with which what motion and coding leave falls off."""
TREND = 0.4
"""Hz below which a trend is taken away."""
REGIONS: Mapping[str, tuple[int, ...]] = {
    "forehead": (104, 69, 108, 151, 337, 299, 333, 296, 336, 9, 107, 66),
    "right cheek": (117, 118, 119, 100, 36, 205, 187, 123),
    "left cheek": (346, 347, 348, 329, 266, 425, 411, 352),
    "chin": (201, 200, 421, 428, 199, 208),
}
"""Skin, as the landmarks of the 478-point mesh whose convex hull it is."""
EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
SHRINK = 0.9
"""Hulls are drawn together towards their middle by this factor, away from brows, lips and hair."""


@dataclass(frozen=True)
class Pulse:
    """What the colours say about a pulse.

    `rate` (beats a minute) is that of the strongest line that the regions' POS signals share, `snr` in dB how
    it stands out. `coherence` is the mean over pairs of regions of the in-phase part of their coherence at
    the line, -1..1, `phase_spread` the root mean square of their phase differences in degrees. `region_rates`
    are the strongest lines region by region, `method_rates` method by method, `half_rates` those of the two
    halves. `control_coherence` is the coherence 0..1 of the face's line with that of what is no skin (None:
    no control). `times` and `signal` hold the POS signal of all regions together on the even grid;
    `frequencies` (Hz) and `power` the `shared_spectrum` of the regions.
    """

    rate: float
    snr: float
    coherence: float
    phase_spread: float
    region_rates: Mapping[str, float]
    method_rates: Mapping[str, float]
    half_rates: tuple[float, float]
    control_coherence: float | None
    times: np.ndarray
    signal: np.ndarray
    frequencies: np.ndarray
    power: np.ndarray


def region_colours(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the mean colour of each skin region and of the eyes (the last row), (5, 3), 0..255.

    Args:
        pixels: (H, W, 3) uint8.
        landmarks: (478, 3) in picture pixels.

    Rows are NaN where a region lies outside the picture or holds fewer than 20 pixels.
    """
    hulls = [[_hull(landmarks, region)] for region in REGIONS.values()]
    hulls.append([_hull(landmarks, eye) for eye in EYES])
    return np.stack([_mean_colour(pixels, parts) for parts in hulls])


def surroundings_colour(pixels: np.ndarray, boxes: np.ndarray, *, step: int = 8) -> np.ndarray:
    """Return the mean colour (3,) of the picture away from faces and what is below; NaN if little is left.

    Args:
        pixels: (H, W, 3) uint8.
        boxes: (K, 4) x, y, width, height of faces. Left out is each box, wider by a quarter on both sides and
            at the top, down to the lower edge of the picture: neck and hands are skin too.
        step: only every `step`-th row and column is read.
    """
    sparse = pixels[step // 2 :: step, step // 2 :: step]
    outside = np.ones(sparse.shape[:2], bool)
    for x, y, width, height in np.asarray(boxes, np.float64):
        left, right = int((x - width / 4) / step), int((x + 1.25 * width) / step) + 1
        outside[max(0, int((y - height / 4) / step)) :, max(0, left) : max(0, right)] = False
    if outside.sum() < 50:
        return np.full(3, np.nan)
    return np.asarray(sparse[outside].mean(axis=0))


def green(colours: np.ndarray) -> np.ndarray:
    """Return the GREEN signal (N, ...) of colours (N, ..., 3) on the even grid: green, trend taken away."""
    values = detrend(colours[..., 1], smoothness_for(TREND, GRID))
    return np.asarray(values / np.maximum(colours[..., 1].mean(axis=0), 1e-9))


def pos(colours: np.ndarray, rate: float = GRID) -> np.ndarray:
    """Return the POS signal (N, ...) of colours (N, ..., 3) at `rate` Hz: algorithm 1 of Wang et al. 2017.

    Every window of 1.6 s is divided by its mean and projected on S1 = G - B and S2 = -2R + G + B;
    h = S1 + std(S1) / std(S2) S2, less its mean, is added up over windows.
    """
    length = round(WINDOW * rate)
    windows = _normalised_windows(colours, length, 1)
    red, green_, blue = np.moveaxis(windows, -2, 0)
    first, second = green_ - blue, green_ + blue - 2 * red
    ratio = _std(first) / np.maximum(_std(second), 1e-12)
    wave = first + ratio * second
    return _overlap_add(wave - wave.mean(axis=-1, keepdims=True), len(colours), 1)


def chrom(colours: np.ndarray, rate: float = GRID) -> np.ndarray:
    """Return the CHROM signal (N, ...) of colours (N, ..., 3) at `rate` Hz (de Haan & Jeanne 2013).

    Half overlapping windows of 1.6 s are divided by their mean; X = 3R - 2G and Y = 1.5R + G - 1.5B are
    limited to the band; S = X - std(X) / std(Y) Y, times a Hann window, is added up.
    """
    length = 2 * round(WINDOW * rate / 2)
    padded = np.concatenate(
        [colours, np.repeat(colours[-1:], (-len(colours)) % (length // 2) + length // 2, axis=0)]
    )
    windows = _normalised_windows(padded, length, length // 2)
    red, green_, blue = np.moveaxis(windows, -2, 0)
    x = _band_of_windows(3 * red - 2 * green_, rate)
    y = _band_of_windows(1.5 * red + green_ - 1.5 * blue, rate)
    wave = (x - _std(x) / np.maximum(_std(y), 1e-12) * y) * np.hanning(length + 1)[:-1]
    return _overlap_add(wave, len(padded), length // 2)[: len(colours)]


def ica(colours: np.ndarray, rate: float = GRID) -> np.ndarray:
    """Return the independent component (N,) of colours (N, 3) at `rate` Hz with the clearest line.

    Trend taken away, each channel to unit variance, then FastICA with tanh and symmetric orthogonalisation
    (Hyvarinen 1999, doi 10.1109/72.761722).
    """
    values = detrend(colours, smoothness_for(TREND, rate))
    values = values / np.maximum(values.std(axis=0), 1e-12)
    sources = values @ _fast_ica(values).T
    frequencies, power = spectrum(sources, rate, SPECTRUM_WINDOW)
    return np.asarray(sources[:, int(np.argmax([strongest_line(frequencies, p, *BAND).snr for p in power]))])


def track_rate(
    signal: np.ndarray, rate: float = GRID, *, window: float = 8.0, step: float = 1.0
) -> np.ndarray:
    """Follow the line through the spectrogram of a signal (N,): (K, 2) times in seconds and beats a minute.

    Times count from the first sample. The path has the most power on the whole, at a price for changes
    (dynamic programming); empty where the signal is shorter than a window.
    """
    length = round(window * rate)
    if len(signal) < length:
        return np.empty((0, 2))
    hop = round(step * rate)
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(length)
    points = int(2 ** np.ceil(np.log2(60 * rate)))
    frequencies = np.fft.rfftfreq(points, 1 / rate)
    inside = (frequencies >= BAND[0]) & (frequencies <= BAND[1])
    power = np.abs(np.fft.rfft(frames, points, axis=1))[:, inside] ** 2
    gain = np.log(np.maximum(power / np.maximum(power.mean(axis=1, keepdims=True), 1e-300), 1e-6))
    bands = frequencies[inside]
    path = _best_path(gain, 40.0 * (bands[:, None] - bands[None, :]) ** 2 / step)
    middles = (np.arange(len(frames)) * hop + length / 2) / rate
    return np.stack([middles, 60 * bands[path]], axis=1)


def analyse(times: np.ndarray, regions: np.ndarray, control: np.ndarray | None) -> Pulse:
    """Look for a pulse.

    Args:
        times: (N,) rising seconds.
        regions: (N, R, 3) mean colours of the skin regions, in the order of `REGIONS`; NaN where not seen.
        control: (N, 3) mean colour of what is no skin, or None.

    Raises:
        ValueError: too short (less than two windows of 1.6 s), or a region that is hardly ever seen.
    """
    grid, colours = resample(times, regions, GRID)
    if len(grid) < 2 * round(WINDOW * GRID):
        raise ValueError(f"{len(grid) / GRID:.1f} s are too short for a pulse")
    each = bandpass(pos(colours), GRID, *BAND)
    together = bandpass(pos(colours.mean(axis=1)), GRID, *BAND)
    frequencies, power = shared_spectrum(each)
    line = strongest_line(frequencies, power, *BAND)
    coherence, spread = _agreement(each, line.frequency)
    half = len(grid) // 2
    return Pulse(
        rate=60 * line.frequency,
        snr=line.snr,
        coherence=coherence,
        phase_spread=spread,
        region_rates={
            name: 60 * _line_of(each[:, [index]]) for index, name in enumerate(list(REGIONS)[: each.shape[1]])
        },
        method_rates=_method_rates(colours, each),
        half_rates=(60 * _line_of(each[:half]), 60 * _line_of(each[half:])),
        control_coherence=None
        if control is None or not np.isfinite(control).any()
        else coherence_with(times, control, together, 60 * line.frequency),
        times=grid,
        signal=together,
        frequencies=frequencies,
        power=power,
    )


def coherence_with(times: np.ndarray, colours: np.ndarray, signal: np.ndarray, beats: float) -> float:
    """Return the coherence 0..1 of a pulse signal with other colours, at one rate.

    The greater of those with their POS signal and with their green: light that flickers shows in the latter.

    Args:
        times: (N,) rising seconds.
        colours: (N, 3) mean colours of something else at these times; NaN where not seen.
        signal: (M,) the pulse signal, on the even grid that begins at the first of the times.
        beats: the rate, a minute.

    Returns NaN where the other was hardly ever seen.
    """
    try:
        _, even = resample(times, colours, GRID)
    except ValueError:
        return float("nan")
    others = [bandpass(other, GRID, *BAND) for other in (pos(even), green(even))]
    return max(abs(_cross(other, signal, beats / 60)) for other in others)


def shared_spectrum(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies (F,) in Hz and the power (F,) that signals (N, R) on the even grid have in step.

    The mean over pairs of the real part of their cross-spectrum (Welch), negative values set to 0: noise that
    each region has for itself drops out of it, what beats in step stays. One signal has its own spectrum.
    Weighted by the `TILT` power of the frequency.
    """
    count = signals.shape[1]
    if count == 1:
        frequencies, power = spectrum(signals[:, 0], GRID, SPECTRUM_WINDOW)
    else:
        frequencies, total = spectrum(signals.sum(axis=1), GRID, SPECTRUM_WINDOW)
        own = spectrum(signals, GRID, SPECTRUM_WINDOW)[1].sum(axis=0)
        # |sum of all|^2 = sum of each one's power + both orders of every pair
        power = np.maximum(total - own, 0) / (count * (count - 1))
    return frequencies, power * frequencies**TILT


def _method_rates(colours: np.ndarray, pos_signals: np.ndarray) -> dict[str, float]:
    """Return the line of each method, of the regions' colours (N, R, 3); ICA takes their mean."""
    signals = {
        "GREEN": green(colours),
        "CHROM": chrom(colours),
        "ICA": ica(colours.mean(axis=1))[:, None],
    }
    return {"POS": 60 * _line_of(pos_signals)} | {
        name: 60 * _line_of(bandpass(signal, GRID, *BAND)) for name, signal in signals.items()
    }


def _line_of(signals: np.ndarray) -> float:
    return strongest_line(*shared_spectrum(signals), *BAND).frequency


def _cross(a: np.ndarray, b: np.ndarray, line: float) -> complex:
    """Return the coherency of two signals at the line: the cross-spectrum over the root of both powers."""
    length = min(len(a), round(4.0 * GRID))
    options = {"nperseg": length, "noverlap": length // 2, "nfft": int(60 * GRID)}
    frequencies, across = csd(a, b, GRID, **options)
    at = int(np.abs(frequencies - line).argmin())
    power_a, power_b = (float(csd(x, x, GRID, **options)[1][at].real) for x in (a, b))
    return complex(across[at] / np.sqrt(max(power_a * power_b, 1e-300)))


def _agreement(signals: np.ndarray, line: float) -> tuple[float, float]:
    """Return the mean in-phase coherence of pairs of columns, and the spread of their phases in degrees."""
    pairs = [
        _cross(signals[:, i], signals[:, j], line)
        for i in range(signals.shape[1])
        for j in range(i + 1, signals.shape[1])
    ]
    if not pairs:
        return 0.0, 180.0
    phases = np.degrees(np.angle(pairs))
    return float(np.real(pairs).mean()), float(np.sqrt((phases**2).mean()))


def _hull(landmarks: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    points = landmarks[list(indices), :2].astype(np.float32)
    middle = points.mean(axis=0)
    return np.asarray(cv2.convexHull(middle + SHRINK * (points - middle))[:, 0])


def _mean_colour(pixels: np.ndarray, hulls: list[np.ndarray]) -> np.ndarray:
    """Return the mean colour of the pixels inside the hulls, (3,)."""
    corners = np.concatenate(hulls)
    height, width = pixels.shape[:2]
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, [width, height])
    if left >= right or top >= bottom:
        return np.full(3, np.nan)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for hull in hulls:
        # 4 fractional bits: the edge moves by sixteenths of a pixel, not by whole ones
        cv2.fillConvexPoly(mask, np.round((hull - (left, top)) * 16).astype(np.int32), 255, shift=4)
    if cv2.countNonZero(mask) < 20:
        return np.full(3, np.nan)
    return np.array(cv2.mean(pixels[top:bottom, left:right], mask)[:3])


def _normalised_windows(colours: np.ndarray, length: int, step: int) -> np.ndarray:
    """Return windows (M, ..., 3, length) of colours (N, ..., 3), each channel divided by its mean."""
    windows = np.lib.stride_tricks.sliding_window_view(colours, length, axis=0)[::step]
    return np.asarray(windows / np.maximum(windows.mean(axis=-1, keepdims=True), 1e-9))


def _std(windows: np.ndarray) -> np.ndarray:
    return np.asarray(windows.std(axis=-1, keepdims=True))


def _overlap_add(windows: np.ndarray, count: int, step: int) -> np.ndarray:
    """Add up windows (M, ..., length) that begin every `step` samples: (count, ...)."""
    length = windows.shape[-1]
    flat = np.moveaxis(windows, -1, 1).reshape(len(windows), length, -1)
    place = (np.arange(len(windows))[:, None] * step + np.arange(length)).ravel()
    sums = [np.bincount(place, weights=column.ravel(), minlength=count) for column in np.moveaxis(flat, 2, 0)]
    return np.stack(sums, axis=1).reshape(count, *windows.shape[1:-1])


def _band_of_windows(windows: np.ndarray, rate: float) -> np.ndarray:
    """Keep the band of CHROM, 0.7 to 2.5 Hz, of windows (M, ..., length)."""
    return np.moveaxis(bandpass(np.moveaxis(windows, -1, 0), rate, 0.7, 2.5), 0, -1)


def _fast_ica(values: np.ndarray, rounds: int = 200) -> np.ndarray:
    """Return the (3, 3) matrix that takes (N, 3) centred values to independent components."""
    scales, axes = np.linalg.eigh(np.cov(values.T))
    white = (axes / np.sqrt(np.maximum(scales, 1e-12))).T
    x = values @ white.T
    turn = np.eye(3)
    for _ in range(rounds):
        y = np.tanh(x @ turn.T)
        new = y.T @ x / len(x) - (1 - y**2).mean(axis=0)[:, None] * turn
        u, _, vt = np.linalg.svd(new)
        turn, before = u @ vt, turn
        if np.abs(np.abs((turn * before).sum(axis=1)) - 1).max() < 1e-6:
            break
    return np.asarray(turn @ white)


def _best_path(gain: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Return the columns (K,) of the path through `gain` (K, F) with the greatest sum less `price` (F, F)."""
    total = gain[0]
    back = np.zeros(gain.shape, int)
    for step in range(1, len(gain)):
        options = total[:, None] - price
        back[step] = options.argmax(axis=0)
        total = options.max(axis=0) + gain[step]
    path = np.empty(len(gain), int)
    path[-1] = total.argmax()
    for step in range(len(gain) - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return path
