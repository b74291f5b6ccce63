"""What a second score adds to a first, and what weight beside it follows: "no gain, no weight" rests on this.

`gain` asks what could be had: the first score alone, and the two together, are calibrated by logistic
regression on some groups and judged on the others. `fit_fusion` is what the product does: one weight for
every source, one calibration and one threshold, fitted on *tune*; `change` then judges it on other items.
A second score of NaN could not be had: there the first alone speaks.
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
from unmask.verdict.calibration import Platt, apply_platt, fit_platt
from unmask.verdict.settings import threshold_for_false_alarms

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
    """Compare the first score with both together, out of fold.

    Args:
        fake: (N,) bool.
        first: (N,) logits that the second is to add to.
        second: (N,) logits, NaN where there is none.
        group: (N,) what must not be on both sides of a fold; also what the bootstrap draws.
        draws: bootstrap draws.
    """
    index = np.unique(group, return_inverse=True)[1]
    folds = np.random.default_rng(0).permutation(np.arange(index.max() + 1) % FOLDS)[index]
    seen = ~np.isnan(second)
    alone = _out_of_fold(first[:, None], fake, folds)
    both = alone.copy()
    both[seen] = _out_of_fold(np.stack([first, second], axis=1)[seen], fake[seen], folds[seen])
    return change(fake, alone, both, group, draws=draws)


def change(
    fake: np.ndarray, before: np.ndarray, after: np.ndarray, group: np.ndarray, *, draws: int = DRAWS
) -> Gain:
    """Compare two probabilities (N,) given to the same items; the bootstrap draws groups (N,)."""
    index = np.unique(group, return_inverse=True)[1]
    weights = group_weights(index, draws=draws, generator=np.random.default_rng(1))
    weights = np.concatenate([np.ones((1, len(fake))), weights])
    samples = [Sample.of(fake, scores, index) for scores in (before, after)]
    aucs = [ranking_figures(sample, weights)["auc"] for sample in samples]
    losses = [probability_figures(sample, weights)[LOG_LOSS] for sample in samples]
    return Gain(float(aucs[0][0]), float(losses[0][0]), _difference(*aucs), _difference(*losses))


@dataclass(frozen=True)
class Fusion:
    """The second score's `weight` beside a first of weight 1, and the calibration and threshold for that."""

    weight: float
    platt: Platt
    threshold: float

    def probability(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the probabilities (N,) of items by their logits (N,)."""
        return apply_platt(self.platt, fused(first, second, self.weight))

    def calls_fake(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return which items (N,) reach the threshold for fake."""
        return np.asarray(fused(first, second, self.weight) >= self.threshold)


def fused(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Return the weighted mean of logits (N,), as `verdict.fusion.fuse` forms it."""
    return np.where(np.isnan(second), first, (first + weight * np.nan_to_num(second)) / (1 + weight))


def fit_fusion(
    fake: np.ndarray, first: np.ndarray, second: np.ndarray, *, weight: float, false_alarm_rate: float
) -> Fusion:
    """Fit calibration and threshold for one weight as `unmask calibrate` does for the visual network alone.

    Args:
        fake: (N,) bool, of *tune* items.
        first: (N,) logits.
        second: (N,) logits, NaN where there is none.
        weight: of the second score.
        false_alarm_rate: the share of the reals that may reach the threshold.
    """
    scores = fused(first, second, weight)
    return Fusion(
        weight,
        fit_platt(scores, fake.astype(int)),
        threshold_for_false_alarms(scores[~fake], false_alarm_rate),
    )


def _out_of_fold(scores: np.ndarray, fake: np.ndarray, folds: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    result = np.empty(len(fake))
    for fold in range(FOLDS):
        held = folds == fold
        model = LogisticRegression(C=1.0).fit(scores[~held], fake[~held])
        result[held] = model.predict_proba(scores[held])[:, 1]
    return result


def _difference(before: np.ndarray, after: np.ndarray) -> Interval:
    differences = after - before
    low, high = np.nanpercentile(differences[1:], [2.5, 97.5])
    return Interval(float(differences[0]), float(low), float(high))
