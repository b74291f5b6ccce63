"""Learns from *tune* films how to combine the frames of a clip: logistic regression on the sorted logits.

The ways of `verdict.aggregate` are written down; this one is learned, to see whether learning finds a better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from unmask.verdict.aggregate import Learned, quartile_middles

FOLDS = 5
"""Parts of the films, by group; each is judged by what was learned on the others."""


def fit_learned(frames: Sequence[np.ndarray], fake: Sequence[bool] | np.ndarray) -> Learned:
    """Fit on films: scikit-learn's penalty on standardised statistics, both classes weighed alike.

    Args:
        frames: the frame logits (n,) of each film, n >= 1.
        fake: whether each film is fake.

    Raises:
        ValueError: a class is missing.
    """
    labels = np.asarray(fake, bool)
    if labels.all() or not labels.any():
        raise ValueError("to learn how to combine frames takes real and fake films")
    statistics = np.stack([quartile_middles(logits) for logits in frames])
    centre, spread = statistics.mean(axis=0), statistics.std(axis=0)
    spread[spread == 0] = 1.0
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit((statistics - centre) / spread, labels)
    weights = model.coef_[0] / spread
    return Learned(tuple(map(float, weights)), float(model.intercept_[0] - weights @ centre))


def combine_held_out(
    frames: Sequence[np.ndarray], fake: Sequence[bool], groups: Sequence[str]
) -> np.ndarray | None:
    """Return the logit (N,) of each film by what was learned on films of other groups.

    None where a class has fewer groups than a part each: nothing can then be learned without each part.
    """
    labels, names = np.asarray(fake, bool), np.asarray(groups)
    if min(len(np.unique(names[labels])), len(np.unique(names[~labels]))) < FOLDS:
        return None
    combined = np.empty(len(labels))
    for others, held_out in StratifiedGroupKFold(FOLDS).split(names, labels, names):
        learned = fit_learned([frames[place] for place in others], labels[others])
        combined[held_out] = [learned(frames[place]) for place in held_out]
    return combined
