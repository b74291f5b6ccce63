"""Measures how far the eyes are open, and finds blinks as stretches of time.

The measure is the eye aspect ratio (Soukupova & Cech 2016, eq. 1) of landmarks turned to face the camera,
together with the mesh's own eyeBlink coefficients. A blink is a quick dip below the person's own level
both of the second before it and of the second after, so that looking down, which lowers the lids and keeps
them there, is no blink.
How many blinks a living person shows is put to an exact test (1806.02877 looked at their absence only).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import pdtr, pdtrc

from unmask.signals.filters import resample, running_percentile, stretches

RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)
"""Landmarks of the 478-point mesh round the person's eyes, in the order p1 .. p6 of the aspect ratio."""
GRID = 100.0
"""Samples per second on which blinks are looked for, whatever the frame rate."""
SMOOTHING = 0.012
"""Standard deviation in seconds of the smoothing of the closure."""
LEVEL_WINDOW = 1.0
"""Seconds before, and seconds after a moment, that give the level of the open eye."""
LEVEL_PERCENT = 75.0
ENTER = 0.30
"""Closure from which a dip is a blink (0: as open as around it, 1: shut)."""
LEAVE = 0.15
"""Closure below which it is over."""
NOISE_FACTOR = 5.0
"""A dip must also exceed so many standard deviations of the closure's noise."""
LONGEST = 0.8
"""Seconds; what lasts longer is closing the eyes, or looking down, and no blink."""
SHORTEST = 0.03
LEAST_SYNCHRONY = 0.4
"""Share of one eye's closure that the other must reach: below it one eye winks."""
PERSON_PERCENT = 90.0
"""Percentile of the whole track that counts as the person's open eye."""
COMPLETE = 0.7
"""Closure from which a blink counts as complete."""
LOWEST_RATE, HIGHEST_RATE = 4.5, 50.0
"""Blinks a minute that people show: 4.5 is the mean while reading, 26 in conversation (Bentivoglio et al.
1997, doi 10.1002/mds.870120629); the upper end, about twice the latter, is set by hand."""


@dataclass(frozen=True)
class Blink:
    """One blink: `start`, `peak` and `end` in seconds; `amplitude` is the closure at its peak, 0..1.

    Start and end are where the closure passes half of the amplitude. `synchrony` is the lesser of the two
    eyes' closures over the greater, 1 where both close alike.
    """

    start: float
    peak: float
    end: float
    amplitude: float
    synchrony: float

    @property
    def duration(self) -> float:
        """Seconds from start to end, at half of the amplitude."""
        return self.end - self.start


@dataclass(frozen=True)
class Closure:
    """How far the eyes are shut on an even grid: `times` (M,) seconds, `eyes` (M, 2) right and left, 0..1.

    `both` is the smoothed mean of the eyes, `noise` the standard deviation of its noise.
    """

    times: np.ndarray
    eyes: np.ndarray
    both: np.ndarray
    noise: float


def eye_aspect_ratio(landmarks: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return the aspect ratio of the person's right and left eye, (N, 2): about 0.3 open, 0.1 shut.

    Args:
        landmarks: (N, 478, 3) in pixels.
        rotations: (N, 3, 3) head rotations; the landmarks are turned back by them before x and y are read.
    """
    eyes = landmarks[:, np.array([RIGHT_EYE, LEFT_EYE])]
    level = np.einsum("neki,nij->nekj", eyes.astype(np.float64), rotations)[..., :2]
    first, second, width = (
        np.linalg.norm(level[..., a, :] - level[..., b, :], axis=-1) for a, b in ((1, 5), (2, 4), (0, 3))
    )
    return np.asarray((first + second) / (2 * np.maximum(width, 1e-9)))


def closure(times: np.ndarray, ratios: np.ndarray, coefficients: np.ndarray) -> Closure:
    """Turn aspect ratios and eyeBlink coefficients into how far each eye is shut.

    Each measure counts from its level of the moment (0), in units of the way from the person's open eye to
    the shut one, and the two are averaged. The aspect ratio of shut eyes is taken as a quarter of
    the open one.

    Args:
        times: (N,) rising seconds.
        ratios: (N, 2) aspect ratios of right and left eye; NaN where unknown.
        coefficients: (N, 2) eyeBlink coefficients 0..1 of right and left eye; NaN where unknown.

    Raises:
        ValueError: fewer than two samples are known.
    """
    grid, values = resample(times, np.concatenate([ratios, coefficients], axis=1), GRID)
    width = round(LEVEL_WINDOW * GRID)
    open_ratio = _levels(values[:, :2], width)
    open_coefficient = -_levels(-values[:, 2:], width)
    person = np.percentile(values[:, :2], PERSON_PERCENT, axis=0)
    person_coefficient = np.percentile(values[:, 2:], 100 - PERSON_PERCENT, axis=0)
    by_ratio = (open_ratio - values[:, :2]) / (0.75 * np.maximum(person, 1e-6))
    by_coefficient = (values[:, 2:] - open_coefficient) / np.maximum(1 - person_coefficient, 0.3)
    eyes = np.clip((by_ratio + by_coefficient) / 2, -1, 1)
    both = gaussian_filter1d(eyes.mean(axis=1), SMOOTHING * GRID)
    # Noise from differences between frames, which blinks touch rarely: the median does not see them.
    step = np.diff(np.interp(times, grid, both))
    noise = 1.4826 * float(np.median(np.abs(step))) / np.sqrt(2) if len(step) else 0.0
    return Closure(grid, eyes, both, noise)


def find_blinks(state: Closure) -> list[Blink]:
    """Find blinks with hysteresis: a dip begins above `ENTER` and ends below `LEAVE`.

    Dips that last longer than `LONGEST`, that stay in the noise, or of one eye alone, are none.
    """
    both = state.both
    enter = max(ENTER, NOISE_FACTOR * state.noise)
    runs = stretches(both > min(LEAVE, enter / 2))
    if not len(runs):
        return []
    peaks = np.array([first + int(both[first:last].argmax()) for first, last in runs])
    blinks = [
        _measure(state, int(peak), int(first), int(last))
        for peak, (first, last) in zip(peaks, runs, strict=True)
        if both[peak] >= enter
    ]
    return [b for b in blinks if SHORTEST <= b.duration <= LONGEST and b.synchrony >= LEAST_SYNCHRONY]


def count_probability(blinks: int, seconds: float) -> float:
    """Return how probable it is that a living person shows a count so far out of the ordinary, 0..1.

    Blinks of a person with a steady rate are Poisson. The rate is not known, so the test takes the human rate
    (`LOWEST_RATE` to `HIGHEST_RATE`) under which the count is least surprising: 1 for counts in between.
    """
    low, high = (rate / 60 * seconds for rate in (LOWEST_RATE, HIGHEST_RATE))
    if blinks < low:
        return float(pdtr(blinks, low))
    if blinks > high:
        return float(pdtrc(blinks - 1, high))
    return 1.0


def _levels(values: np.ndarray, width: int) -> np.ndarray:
    """Return the lower of the high levels before and after each moment, (M, 2), of openness (M, 2)."""
    columns = np.stack([running_percentile(column, width, LEVEL_PERCENT) for column in values.T], axis=1)
    place, half = np.arange(len(values)), width // 2
    before, after = np.maximum(place - half, 0), np.minimum(place + half, len(values) - 1)
    return np.asarray(np.minimum(columns[before], columns[after]))


def _measure(state: Closure, peak: int, first: int, last: int) -> Blink:
    """Measure the dip whose samples are `first` to `last` (excluded), highest at `peak`."""
    both, times = state.both, state.times
    half = both[peak] / 2
    before = np.flatnonzero(both[first : peak + 1] < half)
    after = np.flatnonzero(both[peak:last] < half)
    start = first + int(before[-1]) + 1 if before.size else first
    end = peak + int(after[0]) - 1 if after.size else last - 1
    around = state.eyes[max(0, peak - 3) : peak + 4].mean(axis=0)
    synchrony = float(np.clip(around.min() / max(around.max(), 1e-9), 0, 1))
    return Blink(float(times[start]), float(times[peak]), float(times[end]), float(both[peak]), synchrony)
