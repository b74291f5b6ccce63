"""Figures of merit of a detector, each with a bootstrap interval over groups.

Everything is computed for a whole matrix of item weights at once, one row a bootstrap draw: the point
estimate is the row of ones. scikit-learn is the reference in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log loss, so that one sure mistake stays finite."""
BINS = 10
DRAWS = 2000
CELLS = 4_000_000
"""Weights held at once; more draws or items are worked through in pieces."""
FALSE_ALARM_RATES = {"tpr_at_1%_fpr": (0.01, 100), "tpr_at_0.1%_fpr": (0.001, 1000)}
"""Name -> (false-alarm rate, reals needed so that one of them is no more than that rate)."""

Figures = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """Scored items.

    `fake` is (n,) bool; `probability` (n,) in 0..1; `missing` (n,) bool marks items that got no answer
    (no face, unreadable): they count as the worst possible mistake. `group` (n,) holds whole numbers:
    items of one group are drawn together.
    """

    fake: np.ndarray
    probability: np.ndarray
    missing: np.ndarray
    group: np.ndarray

    @classmethod
    def of(
        cls,
        fake: Sequence[bool] | np.ndarray,
        probability: Sequence[float | None] | np.ndarray,
        groups: Sequence[str] | np.ndarray | None = None,
    ) -> Sample:
        """Build a sample; a probability of None or NaN is a missing answer, no groups means one an item.

        Raises:
            ValueError: lengths differ, or a probability lies outside 0..1.
        """
        label = np.asarray(fake, bool)
        value = np.array([np.nan if p is None else p for p in probability], np.float64)
        group = np.arange(len(label)) if groups is None else np.unique(groups, return_inverse=True)[1]
        if not len(label) == len(value) == len(group):
            raise ValueError(f"{len(label)} labels, {len(value)} probabilities and {len(group)} groups")
        missing = np.isnan(value)
        if np.any((value[~missing] < 0) | (value[~missing] > 1)):
            raise ValueError("a probability lies outside 0..1")
        return cls(label, np.where(missing, (~label).astype(float), value), missing, np.asarray(group))

    @property
    def score(self) -> np.ndarray:
        """Scores for ranking: a fake without an answer lies below all, a real without one above all."""
        return np.where(self.missing, np.where(self.fake, -np.inf, np.inf), self.probability)

    def take(self, chosen: np.ndarray) -> Sample:
        """Return the items that the (n,) mask or index array `chosen` names."""
        return Sample(self.fake[chosen], self.probability[chosen], self.missing[chosen], self.group[chosen])

    def __len__(self) -> int:
        return len(self.fake)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Weighted counts at every distinct score, falling: `(draws, k)` fakes and reals at or above it."""

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray


def curve(sample: Sample, weights: np.ndarray) -> Curve:
    """Count fakes and reals at or above each distinct score, for `(draws, n)` weights."""
    score = sample.score
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    weights = weights[:, order]
    positive = sample.fake[order]

    def counts(mask: np.ndarray) -> np.ndarray:
        return np.cumsum(np.add.reduceat(weights * mask, starts, axis=1), axis=1)

    return Curve(ranked[starts], counts(positive), counts(~positive))


def _rates(counts: np.ndarray) -> np.ndarray:
    """Turn cumulative counts `(draws, k)` into rates with a leading 0; NaN where a class is empty."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = counts / counts[:, -1:]
    return np.concatenate([np.where(np.isnan(rate[:, :1]), np.nan, 0.0), rate], axis=1)


def ranking_figures(sample: Sample, weights: np.ndarray) -> Figures:
    """AUC, average precision, equal error rate and true-positive rates at fixed false-alarm rates.

    AUC is the trapezoid area under ROC (ties count half); average precision the step sum over recall, in
    which fakes without an answer are never found;
    the equal error rate lies where the straight lines between ROC points cross 1 - TPR = FPR; a
    true-positive rate is the highest that keeps the false-alarm rate at or below its limit.
    """
    points = curve(sample, weights)
    tpr, fpr = _rates(points.true_positives), _rates(points.false_positives)
    auc = np.sum(np.diff(fpr, axis=1) * (tpr[:, 1:] + tpr[:, :-1]) / 2, axis=1)
    called = points.true_positives + points.false_positives
    precision = np.divide(points.true_positives, called, out=np.zeros_like(called), where=called > 0)
    precision[:, np.isneginf(points.thresholds)] = 0.0
    undefined = np.isnan(auc)
    found = {
        "auc": auc,
        "average_precision": np.where(undefined, np.nan, np.sum(np.diff(tpr, axis=1) * precision, axis=1)),
        "eer": _equal_error_rate(tpr, fpr),
    }
    for name, (rate, needed) in FALSE_ALARM_RATES.items():
        if np.count_nonzero(~sample.fake) >= needed:
            allowed = np.where(fpr <= rate + 1e-12, tpr, 0.0).max(axis=1)
            found[name] = np.where(undefined, np.nan, allowed)
    return found


def _equal_error_rate(tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    """Return where FPR meets 1 - TPR on the piecewise straight ROC; their sum minus 1 rises along it."""
    balance = fpr + tpr - 1
    undefined = np.isnan(balance).any(axis=1)
    after = np.argmax(np.nan_to_num(balance, nan=0.0) >= 0, axis=1)
    after = np.maximum(after, 1)
    rows = np.arange(len(tpr))
    low, high = balance[rows, after - 1], balance[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, -low / (high - low), 0.0)
    rate = fpr[rows, after - 1] + share * (fpr[rows, after] - fpr[rows, after - 1])
    return np.where(undefined, np.nan, rate)


def probability_figures(sample: Sample, weights: np.ndarray, *, bins: int = BINS) -> Figures:
    """Log loss, Brier score and expected calibration error (`bins` equal widths) of the probabilities."""
    total = weights.sum(axis=1)
    fake, probability = sample.fake.astype(float), sample.probability
    clipped = np.clip(probability, CLIP, 1 - CLIP)
    loss = -(fake * np.log(clipped) + (1 - fake) * np.log1p(-clipped))
    member = np.minimum((probability * bins).astype(int), bins - 1)
    gap = np.zeros((len(sample), bins))
    gap[np.arange(len(sample)), member] = probability - fake
    return {
        "log_loss": weights @ loss / total,
        "brier": weights @ (probability - fake) ** 2 / total,
        "expected_calibration_error": np.abs(weights @ gap).sum(axis=1) / total,
    }


def decision_figures(sample: Sample, called: np.ndarray, weights: np.ndarray) -> Figures:
    """Accuracy, balanced accuracy, precision, recall, F1 and false-positive rate of a decision.

    `called` is (n,) bool: called fake. Items without an answer are counted as wrong whatever it says.
    """
    called = np.where(sample.missing, ~sample.fake, called)
    fake = sample.fake

    def weigh(mask: np.ndarray) -> np.ndarray:
        return weights @ mask.astype(float)

    hit, miss = weigh(fake & called), weigh(fake & ~called)
    alarm, rest = weigh(~fake & called), weigh(~fake & ~called)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hit / (hit + miss)
        false_positive_rate = alarm / (alarm + rest)
        precision = hit / (hit + alarm)
        return {
            "accuracy": (hit + rest) / weights.sum(axis=1),
            "balanced_accuracy": (recall + 1 - false_positive_rate) / 2,
            "precision": precision,
            "recall": recall,
            "f1": 2 * hit / (2 * hit + alarm + miss),
            "false_positive_rate": false_positive_rate,
        }


def group_weights(group: np.ndarray, *, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Draw groups with replacement: `(draws, n)` times that each item's group was drawn."""
    present, index = np.unique(group, return_inverse=True)
    times = generator.multinomial(len(present), np.full(len(present), 1 / len(present)), size=draws)
    return times[:, index].astype(np.float64)


def with_intervals(
    sample: Sample,
    figures: Callable[[Sample, np.ndarray], Figures],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Evaluate `figures` on the sample and on bootstrap draws of its groups, each with its `interval`.

    Raises:
        ValueError: the sample is empty.
    """
    drawn = bootstrap(sample, figures, draws=draws, seed=seed)
    return {name: interval(values) for name, values in drawn.items()}


def bootstrap(
    sample: Sample,
    figures: Callable[[Sample, np.ndarray], Figures],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Figures:
    """Return each figure of the whole sample, then of bootstrap draws of its groups: (1 + draws,).

    Raises:
        ValueError: the sample is empty.
    """
    if len(sample) == 0:
        raise ValueError("no items to measure")
    parts = [figures(sample, np.ones((1, len(sample))))]
    generator = np.random.default_rng(seed)
    piece = max(1, min(draws, CELLS // len(sample)))
    for start in range(0, draws, piece):
        weights = group_weights(sample.group, draws=min(piece, draws - start), generator=generator)
        parts.append(figures(sample, weights))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: np.ndarray) -> Interval:
    """Return a figure, the first of (1 + draws,) values, with the 95 % percentile interval of the others.

    Draws in which the figure is not defined (a class was not drawn at all) are left out.
    """
    drawn = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def measure(
    sample: Sample,
    decisions: Mapping[str, np.ndarray],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    """Return the threshold-free figures, and those of each named decision ((n,) bool called fake)."""

    def free(part: Sample, weights: np.ndarray) -> Figures:
        return ranking_figures(part, weights) | probability_figures(part, weights)

    def decided(called: np.ndarray) -> Callable[[Sample, np.ndarray], Figures]:
        return lambda part, weights: decision_figures(part, called, weights)

    return with_intervals(sample, free, draws=draws, seed=seed), {
        name: with_intervals(sample, decided(called), draws=draws, seed=seed)
        for name, called in decisions.items()
    }


def clopper_pearson(hits: int, total: int, *, level: float = 0.95) -> Interval:
    """Return a share with its exact binomial interval (Clopper and Pearson 1934).

    Raises:
        ValueError: `hits` is not in 0..`total`.
    """
    if not 0 <= hits <= total:
        raise ValueError(f"{hits} of {total} is no share")
    if total == 0:
        return Interval(np.nan, 0.0, 1.0)
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, total - hits + 1))
    high = 1.0 if hits == total else float(stats.beta.ppf(1 - tail, hits + 1, total - hits))
    return Interval(hits / total, low, high)


def youden_threshold(sample: Sample) -> float:
    """Return the probability threshold (called fake at or above it) of the largest TPR - FPR (Youden 1950).

    Raises:
        ValueError: a class is empty, or no item has an answer.
    """
    points, tpr, fpr = _tune_curve(sample)
    return float(points.thresholds[np.argmax((tpr - fpr)[0])])


def false_alarm_threshold(sample: Sample, rate: float) -> float:
    """Return the lowest threshold at which at most `rate` of the reals are called fake.

    Raises:
        ValueError: a class is empty, or no item has an answer.
    """
    points, _, fpr = _tune_curve(sample)
    allowed = fpr[0] <= rate + 1e-12
    if allowed.any():
        return float(points.thresholds[np.flatnonzero(allowed)[-1]])
    return float(np.nextafter(points.thresholds[0], np.inf))


def _tune_curve(sample: Sample) -> tuple[Curve, np.ndarray, np.ndarray]:
    answered = sample.take(~sample.missing)
    if not answered.fake.any() or answered.fake.all():
        raise ValueError("a threshold needs real and fake items with an answer")
    points = curve(answered, np.ones((1, len(answered))))
    return points, _rates(points.true_positives)[:, 1:], _rates(points.false_positives)[:, 1:]


def calibration_bins(sample: Sample, *, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Return (mean probability, share of fakes, items) of each filled bin of equal width."""
    member = np.minimum((sample.probability * bins).astype(int), bins - 1)
    return [
        (float(sample.probability[here].mean()), float(sample.fake[here].mean()), int(here.sum()))
        for here in (member == number for number in range(bins))
        if here.any()
    ]
