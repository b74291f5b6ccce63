"""Frame logits become one logit of the track."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.verdict.aggregate import AGGREGATIONS, Learned, confident, mean, median, quartile_middles, top

LOGITS = st.lists(st.floats(-20, 20), min_size=1, max_size=60)


def test_mean_counts_every_frame_alike():
    assert mean(np.array([1.0, 2.0, 6.0])) == pytest.approx(3.0)


def test_top_takes_the_highest_quarter():
    # a quarter of eight frames: 5 and 7
    assert top(np.array([0, 1, 2, 3, 5, 7, -4, -9.0])) == pytest.approx(6.0)


def test_top_of_one_frame_is_that_frame():
    assert top(np.array([-2.5])) == pytest.approx(-2.5)


def test_confident_average_drops_unsure_frames_once_enough_are_surely_fake():
    # 12 of 20 frames at probability 0.9 are at least 40 % and at least 12: the 8 at 0.5 do not count
    logits = np.array([math.log(9)] * 12 + [0.0] * 8)
    assert confident(logits) == pytest.approx(math.log(9))


def test_confident_average_needs_twelve_frames():
    # 11 of 20 at 0.9, 9 at 0.5: all are averaged, (11 * 0.9 + 9 * 0.5) / 20 = 0.72
    logits = np.array([math.log(9)] * 11 + [0.0] * 9)
    assert confident(logits) == pytest.approx(math.log(0.72 / 0.28))


def test_confident_average_drops_unsure_frames_where_nearly_all_are_surely_real():
    # 9 of 10 frames at 0.1
    logits = np.array([-math.log(9)] * 9 + [3.0])
    assert confident(logits) == pytest.approx(-math.log(9))


@given(LOGITS)
def test_every_combination_lies_within_the_frames(logits):
    values = np.array(logits)
    for combine in AGGREGATIONS.values():
        edge = 13.81  # the confident average keeps probabilities a millionth from 0 and 1
        assert combine(values) <= max(values.max(), -edge) + 1e-6
        assert combine(values) >= min(values.min(), edge) - 1e-6


@pytest.mark.parametrize("combine", [*AGGREGATIONS.values(), Learned((1.0, 0.0, 0.0, 0.0), 0.0)])
@pytest.mark.parametrize("wrong", [[], [float("nan")], [1.0, float("inf")], [[1.0]]])
def test_what_is_no_list_of_finite_numbers_is_refused(combine, wrong):
    with pytest.raises(ValueError, match="finite"):
        combine(np.array(wrong))


def test_the_middles_of_the_quarters_are_interpolated():
    # of 0..8 in any order: an eighth of the way is 1, three eighths 3
    np.testing.assert_allclose(quartile_middles(np.array([8.0, 1, 0, 2, 7, 3, 4, 6, 5])), [1, 3, 5, 7])
    np.testing.assert_allclose(quartile_middles(np.array([2.5])), [2.5] * 4)


def test_a_learned_way_is_a_weighted_sum_of_them():
    combine = Learned(weights=(0.0, 0.5, 0.0, 2.0), intercept=-1.0)
    assert combine(np.arange(9.0)) == pytest.approx(0.5 * 3 + 2 * 7 - 1)


def test_median_is_not_moved_by_one_frame():
    assert median(np.array([-1.0, 0.5, 90.0])) == pytest.approx(0.5)
