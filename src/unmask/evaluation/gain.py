"""What a second score adds to a first: the difference that combining them makes, out of fold.

"No gain, no weight" is decided by it: both the first score alone and the two together are calibrated by
logistic regression on some groups and judged on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmask.evaluation.metrics import (
    DRAWS,
    Interval,
    Sample,
    group_weights,
    probability_figures,
    ranking_figures,
)

FOLDS = 5
LOG_LOSS = "log_loss"


@dataclass(frozen=True)
class Gain:
    """AUC and log loss of the first score alone, and what both together change, with 95 % intervals.

    A gain is `auc_difference` above 0 and `loss_difference` below 0.
    """

    auc: float
    log_loss: float
    auc_difference: Interval
    loss_difference: Interval


def gain(
    fake: np.ndarray, first: np.ndarray, second: np.ndarray, group: np.ndarray, *, draws: int = DRAWS
) -> Gain:
    """Compare the first score with both together.

    Args:
        fake: (N,) bool.
        first: (N,) logits that the second is to add to.
        second: (N,) logits.
        group: (N,) what must not be on both sides of a fold; also what the bootstrap draws.
        draws: bootstrap draws.
    """
    index = np.unique(group, return_inverse=True)[1]
    folds = np.random.default_rng(0).permutation(np.arange(index.max() + 1) % FOLDS)[index]
    alone = _out_of_fold(first[:, None], fake, folds)
    both = _out_of_fold(np.stack([first, second], axis=1), fake, folds)
    weights = group_weights(index, draws=draws, generator=np.random.default_rng(1))
    weights = np.concatenate([np.ones((1, len(fake))), weights])
    samples = [Sample.of(fake, scores, index) for scores in (alone, both)]
    aucs = [ranking_figures(sample, weights)["auc"] for sample in samples]
    losses = [probability_figures(sample, weights)[LOG_LOSS] for sample in samples]
    return Gain(float(aucs[0][0]), float(losses[0][0]), _difference(*aucs), _difference(*losses))


def _out_of_fold(scores: np.ndarray, fake: np.ndarray, folds: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    result = np.empty(len(fake))
    for fold in range(FOLDS):
        held = folds == fold
        model = LogisticRegression(C=1.0).fit(scores[~held], fake[~held])
        result[held] = model.predict_proba(scores[held])[:, 1]
    return result


def _difference(before: np.ndarray, after: np.ndarray) -> Interval:
    change = after - before
    low, high = np.nanpercentile(change[1:], [2.5, 97.5])
    return Interval(float(change[0]), float(low), float(high))
