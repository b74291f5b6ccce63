"""What the companion says of its features: logistic regressions, one for all fakes and one for each kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from unmask.data.manifest import Item

OWN_REALS = 0.7
"""Share of the reals of a kind's own data sets among the reals that it is told from."""


@dataclass(frozen=True)
class Answer:
    """What the companion says of features x (N, F): the values are x @ coefficients + constants, (N, 1 + K).

    The first tells all fakes from all reals, each other a kind of manipulation from reals. The logit is
    one * first + kinds * log(sum(exp(others))) + constant: a face is fake if any kind's regression says so.
    """

    coefficients: np.ndarray
    constants: np.ndarray
    one: float = 1.0
    kinds: float = 1.0
    constant: float = 0.0

    def parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first value and what the kinds say together, each (N,)."""
        values = x @ self.coefficients + self.constants
        return values[:, 0], logsumexp(values[:, 1:], axis=1)

    def times(self, factor: float) -> Answer:
        """Return the answer whose log-odds are that much larger."""
        return replace(
            self, one=factor * self.one, kinds=factor * self.kinds, constant=factor * self.constant
        )

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return the log-odds (N,)."""
        one, kinds = self.parts(x)
        return self.one * one + self.kinds * kinds + self.constant


def regression(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray, held_back: float
) -> tuple[np.ndarray, float]:
    """Return coefficients (D,) and constant of a logistic regression.

    Args:
        x: (N, D) float32 of deviation about 1.
        labels: (N,) 0 or 1.
        weights: (N,) whose sum is 1.
        held_back: half of it times the sum of the squared coefficients is added to the mean cross-entropy.
    """
    # scikit-learn's C weighs the sum of the losses against half the squared size.
    fitted = LogisticRegression(C=1 / held_back, max_iter=1000).fit(x, labels, sample_weight=weights)
    return fitted.coef_[0], float(fitted.intercept_[0])


def balance(items: Sequence[Item]) -> np.ndarray:
    """Return the weight of each item: both labels alike, kinds by the root of their number; the sum is 1."""
    keys = [(item.label, item.data_set, item.manipulation) for item in items]
    counts = {key: keys.count(key) for key in set(keys)}
    weights = np.array([counts[key] ** -0.5 for key in keys])
    for label in ("real", "fake"):
        own = np.array([item.label == label for item in items])
        weights[own] /= 2 * weights[own].sum()
    return weights


def told_from(items: Sequence[Item], kind: str) -> np.ndarray:
    """Return the weight of each item where a kind of manipulation is to be told; 0 for the other fakes.

    The kind has half of the sum, which is 1; the reals of its data sets `OWN_REALS` of the other half, the
    other data sets' reals share what is left.
    """
    kinds = np.array([item.manipulation if item.label == "fake" else "" for item in items])
    sources = np.array([item.data_set for item in items])
    own = (kinds == "") & np.isin(sources, sources[kinds == kind])
    others = [(kinds == "") & (sources == s) & ~own for s in dict.fromkeys(sources)]
    others = [rows for rows in others if rows.any()]
    reals = (OWN_REALS if others else 1.0) if own.any() else 0.0
    weights = np.zeros(len(items))
    weights[kinds == kind] = 0.5 / (kinds == kind).sum()
    weights[own] = 0.5 * reals / max(own.sum(), 1)
    for rows in others:
        weights[rows] = 0.5 * (1 - reals) / len(others) / rows.sum()
    return weights


def learn(items: Sequence[Item], x: np.ndarray, held_back: float, untold: Collection[str] = ()) -> Answer:
    """Return the regressions of features x (N, F): all fakes from all reals, and each kind not `untold`."""
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    scaled = (x - mean) / deviation
    kinds = np.array([item.manipulation if item.label == "fake" else "" for item in items])
    found = [regression(scaled, kinds != "", balance(items), held_back)]
    for kind in sorted(set(kinds) - {"", *untold}):
        weights = told_from(items, kind)
        used = weights > 0
        found.append(regression(scaled[used], (kinds == kind)[used], weights[used], held_back))
    coefficients = np.stack([c for c, _ in found], 1) / deviation[:, None]
    constants = np.array([k for _, k in found]) - mean @ coefficients
    return Answer(coefficients.astype(np.float32), constants.astype(np.float32))


def evened(answer: Answer, *looks: np.ndarray) -> Answer:
    """Return the answer whose two parts have equal say, about half of what it says above 0.

    The kinds tell better what training showed, the one answer what it did not (docs/experiments/visual.md,
    section 28).

    Args:
        answer: of features.
        looks: features (N, F) of the same N pictures, of whose parts the means are taken.
    """
    one, kinds = np.mean([answer.parts(x) for x in looks], axis=0)
    answer = replace(answer, one=1 / float(one.std()), kinds=1 / float(kinds.std()), constant=0.0)
    return replace(answer, constant=-float(np.median(mean_logits(answer, *looks))))


def levelled(answer: Answer, *looks: np.ndarray) -> Answer:
    """Return the answer whose log-odds, means over looks (as for `evened`), have mean 0 and deviation 1."""
    logits = mean_logits(answer, *looks)
    answer = replace(answer, constant=answer.constant - float(logits.mean()))
    return answer.times(1 / float(logits.std()))


def mean_logits(answer: Answer, *looks: np.ndarray) -> np.ndarray:
    """Return the log-odds (N,), their means over looks (as for `evened`)."""
    return np.mean([answer.logits(x) for x in looks], axis=0)
