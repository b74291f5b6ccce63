"""How a point or an opening (eye, mouth) moves over time: speed, jerkiness, stillness, rhythm.

Values are per second and in the unit of the input, so that they do not depend on the frame rate as long as
the motion itself is slower than it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STILL = 0.02
"""Speed, in ranges of the motion per second, below which nothing moves."""


@dataclass(frozen=True)
class MotionStatistics:
    """`range` is the 5th to 95th percentile of the values, `speed` and `acceleration` are root mean squares
    per second and per second squared, `jerkiness` is acceleration over speed (1/s; 2 pi f for a sinusoid of
    frequency f), and `still` the share of time at rest, 0..1.
    """

    range: float
    speed: float
    acceleration: float
    jerkiness: float
    still: float


def opening(upper: np.ndarray, lower: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return how far an eye or a mouth is open, as a share of its width.

    Args:
        upper: (..., K, 2) points on the upper lid or lip.
        lower: (..., K, 2) points below them, in the same order.
        corners: (..., 2, 2) the two corners.

    Returns:
        (...) mean gap over width (Soukupova & Cech 2016); 0 where the corners coincide.
    """
    gap = np.linalg.norm(upper - lower, axis=-1).mean(axis=-1)
    width = np.linalg.norm(corners[..., 0, :] - corners[..., 1, :], axis=-1)
    return np.where(width > 1e-9, gap / np.maximum(width, 1e-9), 0.0)


def motion_statistics(times: np.ndarray, values: np.ndarray) -> MotionStatistics | None:
    """Describe the motion of `values` (N,) or (N, D) at ascending `times` (N,) in seconds.

    Returns None where there are fewer than four samples or no time passes.
    """
    times, values = np.asarray(times, np.float64), np.asarray(values, np.float64)
    steps = np.diff(times)
    if len(times) < 4 or not (steps > 0).all():
        return None
    points = values.reshape(len(times), -1)
    velocity = np.diff(points, axis=0) / steps[:, None]
    between = (steps[:-1] + steps[1:]) / 2
    acceleration = np.diff(velocity, axis=0) / between[:, None]
    low, high = np.percentile(points, (5, 95), axis=0)
    extent = float(np.linalg.norm(high - low))
    speeds = np.linalg.norm(velocity, axis=1)
    speed = float(np.sqrt(np.average(speeds**2, weights=steps)))
    pull = float(np.sqrt(np.average((acceleration**2).sum(axis=1), weights=between)))
    still = float(np.average(speeds <= STILL * extent, weights=steps))
    return MotionStatistics(extent, speed, pull, pull / speed if speed > 1e-12 else 0.0, still)
