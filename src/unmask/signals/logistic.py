"""Log-odds and probabilities, without the second that loading SciPy's special functions takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def expit(log_odds: ArrayLike) -> np.ndarray:
    """Return the probability 1 / (1 + exp(-x)) of log-odds of any shape, exact at both ends."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(log_odds, np.float64)))


def logit(probability: ArrayLike) -> np.ndarray:
    """Return log(p / (1 - p)) of probabilities of any shape; 0 and 1 give minus and plus infinity."""
    p = np.asarray(probability, np.float64)
    with np.errstate(divide="ignore"):
        return np.log(p) - np.log1p(-p)
