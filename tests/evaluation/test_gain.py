"""What a second score adds: nothing where it is noise or a copy, what theory says where it is independent."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from scipy.stats import norm

from unmask.evaluation.gain import gain


def scores(shift, *, count=4000, seed=0):
    random = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 0
    return fake, random.normal(size=count) + shift * fake, random


def test_noise_adds_nothing():
    fake, first, random = scores(1.5)
    found = gain(fake, first, random.normal(size=len(fake)), np.arange(len(fake)), draws=200)
    assert found.auc == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.02)
    assert found.auc_difference.value == pytest.approx(0, abs=0.003)
    assert found.loss_difference.high > 0


def test_an_independent_score_adds_what_theory_says():
    fake, first, random = scores(1.0)
    second = random.normal(size=len(fake)) + fake
    found = gain(fake, first, second, np.arange(len(fake)), draws=200)
    # Two independent unit shifts are one of sqrt(2).
    expected = norm.cdf(1.0) - norm.cdf(1 / np.sqrt(2))
    assert found.auc_difference.low < expected < found.auc_difference.high
    assert found.auc_difference.low > 0
    assert found.loss_difference.high < 0


def test_a_second_score_cannot_learn_a_group_by_heart():
    # Within a group all labels are alike and the second score tells the group, but nothing of the label.
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(100), 10)
    fake = random.permutation(np.arange(100) % 2 == 0)[group]
    first = random.normal(size=1000) + fake
    found = gain(fake, first, random.normal(size=100)[group], group, draws=200)
    assert found.auc_difference.value < 0.03
