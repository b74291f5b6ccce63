"""What a second score adds: nothing where it is noise or a copy, what theory says where it is independent."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")

from scipy.stats import norm

from unmask.evaluation.gain import change, fit_fusion, fused, gain
from unmask.evidence.base import Evidence
from unmask.verdict.fusion import fuse


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


def test_where_the_second_score_is_missing_the_first_alone_speaks():
    fake, first, random = scores(1.0)
    second = random.normal(size=len(fake)) + 3 * fake
    half = np.where(np.arange(len(fake)) % 4 < 2, second, np.nan)
    whole, part = (gain(fake, first, values, np.arange(len(fake)), draws=100) for values in (second, half))
    assert whole.auc == part.auc
    assert 0 < part.auc_difference.low < part.auc_difference.high < whole.auc_difference.low


def test_a_fused_score_is_that_of_the_verdict():
    first, second = np.array([1.0, -2.0, 0.5]), np.array([3.0, -1.0, np.nan])
    weights = {"visual": 1.0, "frequency": 0.25}
    for i, score in enumerate(fused(first, second, 0.25)):
        logits = {"visual": first[i], "frequency": second[i]}
        evidence = [
            Evidence(name, 0, "inconclusive", "", reason="too small")
            if np.isnan(logit)
            else Evidence(name, 0, "ok", "", score=1 / (1 + np.exp(-logit)))
            for name, logit in logits.items()
        ]
        answer = fuse(evidence, weights)
        assert answer is not None
        assert score == pytest.approx(answer.score)


def test_a_change_is_the_difference_of_auc_and_log_loss():
    # Of four pairs of a fake and a real, three rank right before and all after.
    fake = np.array([True, True, False, False])
    before, after = np.array([0.8, 0.4, 0.5, 0.2]), np.array([0.8, 0.6, 0.5, 0.2])
    found = change(fake, before, after, np.arange(4), draws=50)
    assert found.auc == pytest.approx(0.75)
    assert found.auc_difference.value == pytest.approx(0.25)
    assert found.loss_difference.value == pytest.approx(-np.log(0.6 / 0.4) / 4)


def test_the_threshold_of_a_fusion_lets_through_the_stated_share_of_reals():
    fake, first, random = scores(1.0)
    second = random.normal(size=len(fake)) + fake
    fusion = fit_fusion(fake, first, second, weight=0.5, false_alarm_rate=0.05)
    called = fusion.calls_fake(first, second)
    assert called[~fake].sum() == 100  # of 2,000
    # Exact log-odds of the sum s = first + second / 2, of unit normals: shift 1.5, variance 1.25.
    s = fused(first, second, 0.5) * 1.5
    expected = 1 / (1 + np.exp(-1.2 * (s - 0.75)))
    np.testing.assert_allclose(fusion.probability(first, second), expected, atol=0.05)
