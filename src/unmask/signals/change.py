"""Sudden changes in a sequence of small pictures: lasting steps, single strange frames, and when they occur.

A step is found by comparing the mean look of the moments before and after (a two-sample statistic in a
sliding window); a single strange frame differs from both neighbours while these resemble each other. Both
use the median over the cells of a picture, so that a blink or a moving mouth, which change a few cells,
do not count.
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


def step_size(before: np.ndarray, after: np.ndarray) -> float:
    """Return by how much the look changes for good between two stretches, in the unit of the cells.

    Args:
        before: (A, K) cells of the samples before, A >= 2.
        after: (B, K) cells of the samples after, B >= 2.

    The median over the cells of the change of the mean, less what the cells vary by within the stretches
    (motion, which goes on at the same pace, is no step). 0 or more.
    """
    change = np.abs(after.mean(axis=0) - before.mean(axis=0))
    within = np.abs(before - before.mean(axis=0)).mean(axis=0) + np.abs(after - after.mean(axis=0)).mean(
        axis=0
    )
    return max(0.0, float(np.median(change - within)))


def suddenness(looks: np.ndarray, at: int, *, reach: int = 3) -> float:
    """Return by how much the change at one sample exceeds the changes just before and after it.

    Args:
        looks: (N, K) cells of samples that follow each other.
        at: the first sample after the change, at least 1.
        reach: so many samples the change may take (a short fade).

    In the unit of the cells, 0 or more. A fast motion, which lasts, is not sudden.
    """
    first, last = max(0, at - (reach + 1) // 2), min(len(looks) - 1, at + reach // 2)
    length = last - first
    change = typical(looks[last] - looks[first])
    earlier = typical(looks[first] - looks[max(0, first - length)])
    later = typical(looks[min(len(looks) - 1, last + length)] - looks[last])
    return max(0.0, change - max(earlier, later))


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
