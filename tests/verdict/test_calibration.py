"""Calibration, prior shift and the correction for many faces, against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.verdict.calibration import (
    Platt,
    Tail,
    apply_platt,
    bootstrap_platt,
    family_wise,
    fit_platt,
    fit_tail,
    shift_prior,
)

# Four items score 0, of which one is fake; four score 1, of which three are fake.
SCORES = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])
LABELS = np.array([0, 0, 0, 1, 0, 1, 1, 1])
LOGISTIC = Tail(np.array([-10.0, 10.0]), np.array([10.0, -10.0]))
"""A share sigmoid(-x) of real faces scores x or more."""


def test_platt_on_two_scores_gives_the_mean_target_of_each():
    # Targets: fake 5/6, real 1/6. At 0 their mean is (3/6 + 5/6) / 4 = 1/3, at 1 it is 2/3.
    platt = fit_platt(SCORES, LABELS)
    assert apply_platt(platt, np.array([0.0, 1.0])) == pytest.approx([1 / 3, 2 / 3], abs=1e-6)
    assert platt.slope == pytest.approx(2 * math.log(2), abs=1e-5)
    assert platt.intercept == pytest.approx(-math.log(2), abs=1e-5)


def test_platt_weighs_the_classes_to_the_wanted_prior():
    # Eight reals (six at 0) and four fakes (one at 0); targets 5/6 and 1/10; each class weighs a half.
    # At 0: (0.375 * 0.1 + 0.125 * 5/6) / 0.5 = 17/60; at 1: (0.125 * 0.1 + 0.375 * 5/6) / 0.5 = 0.65.
    scores = np.array([0] * 6 + [1] * 2 + [0] + [1] * 3, float)
    labels = np.array([0] * 8 + [1] * 4)
    platt = fit_platt(scores, labels, prior=0.5)
    assert apply_platt(platt, np.array([0.0, 1.0])) == pytest.approx([17 / 60, 0.65], abs=1e-6)


def test_without_a_prior_every_item_weighs_alike():
    # The same items: at 0 (6 * 0.1 + 5/6) / 7, at 1 (2 * 0.1 + 3 * 5/6) / 5; a third is fake.
    scores = np.array([0] * 6 + [1] * 2 + [0] + [1] * 3, float)
    labels = np.array([0] * 8 + [1] * 4)
    platt = fit_platt(scores, labels, prior=None)
    assert platt.prior == pytest.approx(1 / 3)
    assert apply_platt(platt, np.array([0.0, 1.0])) == pytest.approx([43 / 210, 0.54], abs=1e-6)


def test_temperature_scaling_has_no_intercept():
    # The first items at -1 and 1: sigmoid(slope) = 2/3.
    platt = fit_platt(2 * SCORES - 1, LABELS, temperature=True)
    assert platt.intercept == 0
    assert platt.slope == pytest.approx(math.log(2), abs=1e-5)


def test_separable_scores_keep_a_finite_slope():
    # Ten on each side: targets 11/12 and 1/12, so sigmoid(slope + intercept) = 11/12 exactly.
    platt = fit_platt(np.array([-1.0] * 10 + [1.0] * 10), np.array([0] * 10 + [1] * 10))
    assert platt.slope == pytest.approx(math.log(11), abs=1e-5)
    assert platt.intercept == pytest.approx(0, abs=1e-6)


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_the_fit_follows_a_change_of_the_scores_unit(scale, shift):
    plain, changed = fit_platt(SCORES, LABELS), fit_platt(SCORES * scale + shift, LABELS)
    assert changed.slope * scale == pytest.approx(plain.slope, rel=1e-4)
    assert apply_platt(changed, SCORES * scale + shift) == pytest.approx(apply_platt(plain, SCORES), abs=1e-6)


def test_normal_scores_give_the_slope_of_linear_discriminants():
    # Real N(0, 1), fake N(2, 1): the true log-odds are 2 x - 2.
    generator = np.random.default_rng(1)
    scores = np.concatenate([generator.normal(0, 1, 4000), generator.normal(2, 1, 4000)])
    platt = fit_platt(scores, np.repeat([0, 1], 4000))
    assert platt.slope == pytest.approx(2, abs=0.15)
    assert platt.intercept == pytest.approx(-2, abs=0.15)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1, 2], [1, 1], "both must occur"),
        ([1, 2], [0, 2], "both must occur"),
        ([1, 2, 3], [0, 1], "equal length"),
        ([1, float("nan")], [0, 1], "finite"),
        ([2, 1], [0, 1], "do not mean fake"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        fit_platt(np.array(scores, float), np.array(labels))


@pytest.mark.parametrize(
    ("probability", "old", "new", "expected"),
    [
        (0.5, 0.5, 0.01, 0.01),  # an item that says nothing has the prior's probability
        (0.9, 0.5, 0.1, 0.5),  # odds 9 times 1/9
        (0.2, 0.2, 0.8, 0.8),
        (0.0, 0.5, 0.01, 0.0),
        (1.0, 0.5, 0.01, 1.0),
    ],
)
def test_prior_shift_is_bayes_rule(probability, old, new, expected):
    assert float(shift_prior(probability, old=old, new=new)) == pytest.approx(expected)


@given(st.floats(0.001, 0.999), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_shifting_there_and_back_changes_nothing(probability, old, new):
    back = shift_prior(shift_prior(probability, old=old, new=new), old=new, new=old)
    assert float(back) == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize("prior", [0, 1, -0.1, 1.5])
def test_a_prior_of_nought_or_one_is_refused(prior):
    with pytest.raises(ValueError, match="between 0 and 1"):
        shift_prior(0.5, old=0.5, new=prior)


def test_a_score_that_one_real_face_in_a_hundred_reaches_is_nothing_special_among_ten():
    # 1 - 0.99**10 = 0.0956179; a single face that rare scores log((1 - q) / q) = 2.24688
    assert family_wise(LOGISTIC, math.log(99), 10) == pytest.approx(2.24688, abs=1e-4)


def test_a_single_face_is_not_corrected():
    assert family_wise(LOGISTIC, 1.234, 1) == 1.234


@given(st.floats(-8, 30), st.floats(0.01, 5), st.integers(2, 50))
def test_the_correction_keeps_the_order_and_only_lowers(score, more, faces):
    corrected = family_wise(LOGISTIC, score, faces)
    assert corrected < score
    assert corrected < family_wise(LOGISTIC, score + more, faces)
    assert family_wise(LOGISTIC, score, faces + 1) < corrected


def test_a_group_of_real_faces_is_called_fake_as_rarely_as_one_face():
    generator = np.random.default_rng(3)
    tail = fit_tail(generator.normal(0, 1, 20000))
    threshold = 2.3263  # one of a hundred normal scores lies above
    highest = generator.normal(0, 1, (4000, 8)).max(axis=1)
    alarms = sum(family_wise(tail, float(score), 8) >= threshold for score in highest)
    # 40 expected; a binomial count lies within 22 and 61 with 99.8 %. Uncorrected it would be 300.
    assert 22 <= alarms <= 61


def test_no_face_is_refused():
    with pytest.raises(ValueError, match="at least one face"):
        family_wise(LOGISTIC, 0.0, 0)


def test_the_tail_of_logistic_scores_is_a_straight_line():
    share = (np.arange(5000) + 0.5) / 5000
    tail = fit_tail(np.log((1 - share) / share))
    for score in (-9.0, -2.0, 0.0, 1.5, 4.0, 9.0):
        assert tail.log_odds(score) == pytest.approx(-score, abs=0.1)
        assert tail.score(tail.log_odds(score)) == pytest.approx(score, abs=1e-9)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_a_tail_of_few_tied_scores_is_monotone_or_refused(values):
    try:
        tail = fit_tail(np.array(values, float))
    except ValueError:
        return
    assert (np.diff(tail.scores) > 0).all()
    assert (np.diff(tail.logits) < 0).all()


def test_bootstrap_draws_whole_groups_and_repeats_itself():
    generator = np.random.default_rng(5)
    scores = np.concatenate([generator.normal(0, 1, 60), generator.normal(2, 1, 60)])
    labels, groups = np.repeat([0, 1], 60), np.tile(np.arange(20), 6)
    first = bootstrap_platt(scores, labels, groups, draws=10, seed=1)
    assert first == bootstrap_platt(scores, labels, groups, draws=10, seed=1)
    assert len(set(first)) == 10
    # a single group leaves nothing to draw: every fit is the same
    assert len(set(bootstrap_platt(scores, labels, np.zeros(120), draws=5, seed=1))) == 1


def test_bootstrap_over_groups_of_one_class_each_needs_both():
    with pytest.raises(ValueError, match="too few groups"):
        bootstrap_platt(np.array([1.0, 0.0]), np.array([0, 1]), np.array(["a", "b"]), draws=5, seed=0)


def test_probability_is_the_sigmoid():
    assert float(apply_platt(Platt(2.0, -1.0), 0.5)) == pytest.approx(0.5)
