"""Turns scores into probabilities: Platt scaling, the shift to another prior, and the tail of real scores.

Platt 1999, "Probabilistic outputs for support vector machines", with the Newton iteration of Lin, Lin &
Weng 2007 (doi 10.1007/s10994-007-5018-6); the prior shift is that of Saerens et al. 2002
(doi 10.1162/089976602753284446), equation 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmask.signals.logistic import expit, logit

MAX_STEPS = 100
TOLERANCE = 1e-10
TAIL_POINTS = 24


@dataclass(frozen=True)
class Platt:
    """Probability of fake = sigmoid(slope * score + intercept), where a share `prior` of items is fake."""

    slope: float
    intercept: float
    prior: float = 0.5


def fit_platt(
    scores: np.ndarray, labels: np.ndarray, *, prior: float | None = 0.5, temperature: bool = False
) -> Platt:
    """Fit slope and intercept by maximum likelihood.

    Targets are smoothed as in Platt's paper, ((fakes + 1) / (fakes + 2) and 1 / (reals + 2)), so that
    separable scores do not give endless slopes.

    Args:
        scores: (N,) higher means fake.
        labels: (N,) 1 fake, 0 real; both must occur.
        prior: the classes are weighed so that this share is fake; None leaves the share of the items.
        temperature: fit the slope only (temperature scaling); the intercept is 0.

    Raises:
        ValueError: shapes differ, values are not finite, a class is missing, or higher scores do not
            mean fake.
    """
    scores, labels = _checked(scores, labels)
    fakes, reals = int(labels.sum()), int((1 - labels).sum())
    share = fakes / len(labels) if prior is None else prior
    target = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (reals + 2))
    weight = np.where(labels == 1, share / fakes, (1 - share) / reals)
    # Standardised scores keep the Hessian well conditioned.
    centre, scale = (0.0 if temperature else float(scores.mean())), float(scores.std()) or 1.0
    x = (scores - centre) / scale
    columns = x[:, None] if temperature else np.stack([x, np.ones_like(x)], axis=1)
    solution = _newton(columns, target, weight)
    slope = float(solution[0]) / scale
    intercept = 0.0 if temperature else float(solution[1]) - slope * centre
    if slope <= 0:
        raise ValueError("higher scores do not mean fake in these items: nothing to calibrate")
    return Platt(slope, intercept, share)


def _newton(columns: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Minimise the weighted cross-entropy of sigmoid(columns @ w) with step halving."""

    def loss(w: np.ndarray) -> float:
        z = columns @ w
        return float((weight * (np.logaddexp(0, z) - target * z)).sum())

    w = np.zeros(columns.shape[1])
    value = loss(w)
    for _ in range(MAX_STEPS):
        p = expit(columns @ w)
        gradient = columns.T @ (weight * (p - target))
        hessian = (columns * (weight * p * (1 - p))[:, None]).T @ columns + 1e-12 * np.eye(len(w))
        step = np.linalg.solve(hessian, gradient)
        length = 1.0
        while loss(w - length * step) > value and length > 1e-10:
            length /= 2
        w = w - length * step
        value = loss(w)
        if float(np.abs(length * step).max()) < TOLERANCE:
            break
    return w


def apply_platt(platt: Platt, scores: np.ndarray | float) -> np.ndarray:
    """Return probabilities in 0..1 for scores of any shape, at the prior of the fit."""
    return np.asarray(expit(platt.slope * np.asarray(scores, np.float64) + platt.intercept))


def shift_prior(probability: np.ndarray | float, *, old: float, new: float) -> np.ndarray:
    """Return what probabilities become where a share `new` instead of `old` is fake.

    Bayes' rule with unchanged likelihoods: the log-odds move by logit(new) - logit(old).

    Raises:
        ValueError: a prior is not strictly between 0 and 1.
    """
    for prior in (old, new):
        if not 0 < prior < 1:
            raise ValueError(f"a prior must lie strictly between 0 and 1, not {prior}")
    p = np.asarray(probability, np.float64)
    fake, real = p * new / old, (1 - p) * (1 - new) / (1 - old)
    return fake / (fake + real)


def bootstrap_platt(
    scores: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, draws: int, seed: int, prior: float = 0.5
) -> list[Platt]:
    """Fit again on `draws` resamples of whole groups; resamples that cannot be fitted are drawn again.

    Raises:
        ValueError: more than nine of ten resamples cannot be fitted.
    """
    scores, labels = _checked(scores, labels)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(index == i) for i in range(len(names))]
    generator = np.random.default_rng(seed)
    fits: list[Platt] = []
    for _ in range(10 * draws):
        if len(fits) == draws:
            break
        drawn = np.concatenate([members[i] for i in generator.integers(0, len(members), len(members))])
        try:
            fits.append(fit_platt(scores[drawn], labels[drawn], prior=prior))
        except ValueError:
            continue
    if len(fits) < draws:
        raise ValueError("too few groups hold both real and fake items: no interval can be given")
    return fits


@dataclass(frozen=True)
class Tail:
    """The share of real items at or above a score, by straight lines in (score, logit of the share).

    `scores` rise strictly, `logits` fall strictly; beyond the ends the last lines go on.
    """

    scores: np.ndarray
    logits: np.ndarray

    def log_odds(self, score: float) -> float:
        """Return logit(share of real items at or above `score`)."""
        return _along(score, self.scores, self.logits)

    def score(self, log_odds: float) -> float:
        """Return the score at or above which the share of real items has these log-odds."""
        return _along(log_odds, self.logits[::-1], self.scores[::-1])


def fit_tail(scores: np.ndarray) -> Tail:
    """Describe how real items score, from (N,) scores of real items.

    The share at or above the i-th highest of N scores is put at (i - 0.5) / N.

    Raises:
        ValueError: fewer than four different scores.
    """
    ordered = np.sort(np.asarray(scores, np.float64))[::-1]
    n = len(ordered)
    if len(np.unique(ordered)) < 4:
        raise ValueError("at least four different scores of real items are needed")
    # Ranks evenly spaced in log-odds, from the fifth highest to the fifth lowest: single outliers
    # would turn the lines that go on beyond the ends.
    edge = min(5, (n + 1) // 4)
    ends = logit((edge - 0.5) / n)
    ranks = np.unique(np.round(expit(np.linspace(ends, -ends, TAIL_POINTS)) * n + 0.5).astype(int))
    share = (ranks - 0.5) / n
    knots = ordered[ranks - 1]
    knots, first = np.unique(knots[::-1], return_index=True)
    if len(knots) < 2:
        raise ValueError("at least four different scores of real items are needed")
    return Tail(knots, logit(share[::-1])[first])


def family_wise(tail: Tail, score: float, faces: int) -> float:
    """Return the score of a single real face that is as rare as `score` being the highest of `faces` faces.

    Šidák 1967 (doi 10.1080/01621459.1967.10482935): where a share q of single real faces reaches a
    score, the highest of k independent real faces reaches it with 1 - (1 - q)**k. A file with many
    faces is thus called fake as rarely as one with a single face. Faces of one file are not quite
    independent (same camera, same encoder): then the correction is stronger than needed.

    Raises:
        ValueError: `faces` is less than 1.
    """
    if faces < 1:
        raise ValueError(f"a score belongs to at least one face, not {faces}")
    if faces == 1:
        return score
    odds = tail.log_odds(score)
    none = -faces * float(np.logaddexp(0, odds))  # log (1 - q)^k
    some = float(np.log(-np.expm1(none))) if none < -1e-300 else odds + float(np.log(faces))
    return tail.score(some - none)


def _along(x: float, xs: np.ndarray, ys: np.ndarray) -> float:
    """Interpolate linearly; beyond the ends go on with the line through the outer points."""
    if xs[0] <= x <= xs[-1]:
        return float(np.interp(x, xs, ys))
    # A line over the outer fifth of the knots is steadier than one over the last two.
    reach = max(1, len(xs) // 5)
    near, far = (0, reach) if x < xs[0] else (-1, -1 - reach)
    return float(ys[near] + (x - xs[near]) * (ys[far] - ys[near]) / (xs[far] - xs[near]))


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"scores and labels must be lists of equal length, not {scores.shape}, {labels.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError("labels must be 0 (real) and 1 (fake), and both must occur")
    return scores, labels.astype(int)
