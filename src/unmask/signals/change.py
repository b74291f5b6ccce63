"""Sudden changes in a sequence of small pictures: lasting steps, single strange frames, and when they occur.

A step is a change from one moment to the next that is still there later and exceeds the changes around it;
a single strange frame differs from both neighbours while these resemble each other. Sizes are medians over
the cells of a picture, so that a blink or a moving mouth, which change a few cells, do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cell_means(pixels: np.ndarray, cells: int) -> np.ndarray:
    """Return the mean of each of `cells` x `cells` equal parts of a square picture: (cells, cells[, C]).

    Raises:
        ValueError: the side is no multiple of `cells`.
    """
    side = pixels.shape[0]
    if side % cells or pixels.shape[1] != side:
        raise ValueError(f"a square picture whose side is a multiple of {cells} is needed")
    part = side // cells
    blocks = pixels.reshape(cells, part, cells, part, *pixels.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def typical(differences: np.ndarray) -> float:
    """Return the median size of (K, ...) differences over all cells and channels."""
    return float(np.median(np.abs(differences)))


def lasts(before: np.ndarray, after: np.ndarray) -> float:
    """Return which share of the change from one sample to the next is still there later.

    Args:
        before: (A, K) cells of the samples before, A >= 1, the last one right before the change.
        after: (B, K) cells of the samples after, B >= 1, the first one right after it.

    The mean of the samples after less that of those before, along the change itself: 1 for a step, about
    1 / B for a single strange sample; 0 where nothing changed.
    """
    change = np.asarray(after[0] - before[-1], float)
    length = float(change @ change)
    return float((after.mean(axis=0) - before.mean(axis=0)) @ change) / length if length else 0.0


def beyond_usual(
    times: np.ndarray,
    changes: np.ndarray,
    *,
    reach: float = 1.0,
    percentile: float = 90.0,
    close: float = 0.15,
) -> np.ndarray:
    """Return by how much each change exceeds most of those around it, and all that are close.

    Args:
        times: (N,) seconds, ascending.
        changes: (N,) what changed from the sample before, 0 or more.
        reach: seconds before and after within which others count, but for the two samples on either side.
        percentile: so many per cent of those are exceeded.
        close: seconds before and after within which every other one is exceeded, but for the sample on
            either side (a change may take two samples).

    Returns:
        (N,), 0 or more, in the unit of the changes. One that has no others within reach stays as it is.
    """
    result = np.zeros(len(times))
    for at in np.flatnonzero(changes > 0):
        moment = times[at]
        left, right = np.searchsorted(times, (moment - reach, moment + reach))
        index = np.arange(left, right)
        apart = np.abs(times[left:right] - moment)
        far = changes[left:right][(apart < reach) & (np.abs(index - at) > 2)]
        near = changes[left:right][(apart < close) & (np.abs(index - at) > 1)]
        usual = max(float(np.percentile(far, percentile)) if len(far) else 0.0, float(near.max(initial=0.0)))
        result[at] = max(0.0, changes[at] - usual)
    return result


def strangeness(before: np.ndarray, cells: np.ndarray, after: np.ndarray) -> float:
    """Return by how much one sample (K,) differs from both its neighbours beyond their own difference.

    In the unit of the cells; 0 or more. Half of the neighbours' difference is expected of steady motion.
    """
    own = min(typical(cells - before), typical(cells - after))
    return max(0.0, own - typical(after - before))


def intervals(
    times: np.ndarray,
    scores: np.ndarray,
    *,
    enter: float,
    leave: float,
    join: float = 0.0,
    shortest: float = 0.0,
) -> list[tuple[float, float]]:
    """Return the stretches in which scores are high, with hysteresis.

    A stretch begins where `scores` reach `leave` and holds at least one sample that reaches `enter`.

    Args:
        times: (N,) seconds, ascending.
        scores: (N,).
        enter: score that a stretch must reach.
        leave: score at which it begins and ends (at most `enter`).
        join: stretches so many seconds apart or less are one.
        shortest: stretches that last less (seconds, from first to last sample) are left out.

    Raises:
        ValueError: `leave` lies above `enter`.
    """
    if leave > enter:
        raise ValueError(f"leave ({leave}) must not lie above enter ({enter})")
    high = np.concatenate([[False], np.asarray(scores) >= leave, [False]])
    edges = np.flatnonzero(high[1:] != high[:-1]).reshape(-1, 2)
    found = [(float(times[a]), float(times[b - 1])) for a, b in edges if np.max(scores[a:b]) >= enter]
    return [(a, b) for a, b in union(found, join=join) if b - a >= shortest]


def union(stretches: Sequence[tuple[float, float]], *, join: float = 0.0) -> list[tuple[float, float]]:
    """Return sorted stretches of which those that overlap, or lie at most `join` apart, are made one."""
    result: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if result and start - result[-1][1] <= join:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def overlap(found: Sequence[tuple[float, float]], true: Sequence[tuple[float, float]]) -> float:
    """Return intersection over union of two sets of stretches in time; 1 where both are empty."""
    a, b = union(found), union(true)
    common = sum(max(0.0, min(x[1], y[1]) - max(x[0], y[0])) for x in a for y in b)
    whole = sum(e - s for s, e in a) + sum(e - s for s, e in b) - common
    return common / whole if whole > 0 else 1.0
