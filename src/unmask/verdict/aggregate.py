"""Combines the logits of a track's frames into one: pure functions, chosen by name in `verdict.json`.

All take a (N,) array of frame logits (N >= 1, above 0 means fake) and return one logit. The learned way is
compared with the others only: `verdict.json` names a way and holds no weights of one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unmask.signals.logistic import expit, logit

CONFIDENT = 0.8
"""A frame at or above this probability is confidently fake, at or below one minus it confidently real."""
CONFIDENT_FAKE_SHARE = 0.4
CONFIDENT_REAL_SHARE = 0.9
MIN_CONFIDENT = 12
"""So many confidently fake frames at least, so that a few bad frames do not decide."""
TOP_SHARE = 0.25
QUARTILE_MIDDLES = (0.125, 0.375, 0.625, 0.875)
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1 before they become logits."""


def mean(logits: np.ndarray) -> float:
    """Return the mean: every frame counts alike."""
    return float(_checked(logits).mean())


def confident(logits: np.ndarray) -> float:
    """Return the confident average of the DFDC winner (Seferbekov 2020), as a logit.

    Where enough frames are confidently fake, only these are averaged; where nearly all are confidently
    real, only those; else all. The average is of probabilities.
    """
    probability = expit(_checked(logits))
    fake, real = probability >= CONFIDENT, probability <= 1 - CONFIDENT
    if fake.sum() >= max(MIN_CONFIDENT, CONFIDENT_FAKE_SHARE * len(probability)):
        probability = probability[fake]
    elif real.sum() >= CONFIDENT_REAL_SHARE * len(probability):
        probability = probability[real]
    return float(logit(np.clip(probability.mean(), EDGE, 1 - EDGE)))


def top(logits: np.ndarray) -> float:
    """Return the mean of the most suspicious quarter of the frames (at least one)."""
    ordered = np.sort(_checked(logits))
    count = max(1, round(TOP_SHARE * len(ordered)))
    return float(ordered[-count:].mean())


def median(logits: np.ndarray) -> float:
    """Return the median: no single frame decides."""
    return float(np.median(_checked(logits)))


def quartile_middles(logits: np.ndarray) -> np.ndarray:
    """Return the (4,) middles of the quarters of the sorted logits, interpolated."""
    return np.quantile(_checked(logits), QUARTILE_MIDDLES)


@dataclass(frozen=True)
class Learned:
    """Combines by a weighted sum of the `quartile_middles`, its weights learned on *tune* films.

    The sum is a logit of its own scale; what it says is the order of clips.
    """

    weights: tuple[float, ...]
    intercept: float

    def __call__(self, logits: np.ndarray) -> float:
        """Return one logit of (N,) frame logits."""
        return float(quartile_middles(logits) @ self.weights + self.intercept)


LEARNED = "learned"
"""The name of the learned way where it is compared with those of `AGGREGATIONS`."""
AGGREGATIONS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": mean,
    "median": median,
    "confident": confident,
    "top": top,
}


def _checked(logits: np.ndarray) -> np.ndarray:
    values = np.asarray(logits, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"frame logits must be a non-empty list of finite numbers, not {logits!r}")
    return values
