"""Steps, strange frames and stretches, by hand calculation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.signals.change import cell_means, intervals, overlap, step_size, strangeness, suddenness, union


def test_cells_are_means_of_their_parts():
    pixels = np.kron(np.array([[1.0, 2], [3, 4]]), np.ones((5, 5)))
    assert cell_means(pixels, 2).tolist() == [[1, 2], [3, 4]]
    assert cell_means(np.dstack([pixels] * 3), 2).shape == (2, 2, 3)
    with pytest.raises(ValueError, match="multiple"):
        cell_means(pixels, 3)


def test_a_step_is_the_change_of_the_mean():
    before, after = np.full((4, 9), 100.0), np.full((3, 9), 112.0)
    assert step_size(before, after) == 12
    assert step_size(before, before) == 0


def test_a_few_cells_make_no_step():
    before = np.full((4, 9), 100.0)
    after = before.copy()
    after[:, :4] = 200  # four of nine: a mouth
    assert step_size(before, after) == 0


def test_steady_motion_is_no_step_of_its_own_size():
    ramp = np.arange(8.0)[:, None] * np.ones(9)
    # means 1.5 and 5.5; within each the samples stray by 1 on average
    assert step_size(ramp[:4], ramp[4:]) == pytest.approx(4 - 2)


def test_a_strange_frame_differs_from_both_neighbours():
    calm = np.zeros(9)
    assert strangeness(calm, calm + 10, calm + 2) == pytest.approx(8 - 2)
    assert strangeness(calm, calm + 5, calm + 10) == 0  # steady motion
    assert strangeness(calm, calm + 10, calm + 10) == 0  # a step


def test_a_change_is_sudden_by_what_it_exceeds_those_beside_it():
    calm = np.zeros((12, 9))
    calm[6:] = 10
    assert suddenness(calm, 6) == 10
    calm[5] = 5  # a fade over two samples
    assert suddenness(calm, 6) == 10
    ramp = np.arange(12.0)[:, None] * np.ones(9)
    assert suddenness(ramp, 6) == 0
    ramp[6:] += 10  # three samples apart: 13, against 3 before and after
    assert suddenness(ramp, 6) == 10
    assert suddenness(np.array([[0.0], [4.0]]), 1) == 4


def test_a_stretch_enters_high_and_leaves_low():
    times = np.arange(10.0)
    scores = np.array([0, 1, 3, 1, 0, 1, 1, 0, 3, 0])
    assert intervals(times, scores, enter=2, leave=1) == [(1, 3), (8, 8)]
    assert intervals(times, scores, enter=2, leave=1, shortest=1) == [(1, 3)]
    assert intervals(times, scores, enter=2, leave=1, join=5) == [(1, 8)]
    assert intervals(times, scores, enter=9, leave=1) == []
    assert intervals(np.empty(0), np.empty(0), enter=1, leave=1) == []
    with pytest.raises(ValueError, match="above enter"):
        intervals(times, scores, enter=1, leave=2)


def test_overlap_is_intersection_over_union():
    assert overlap([(3, 5)], [(4, 6)]) == pytest.approx(1 / 3)
    assert overlap([(0, 1), (2, 3)], [(0, 3)]) == pytest.approx(2 / 3)
    assert overlap([], []) == 1
    assert overlap([], [(0, 1)]) == 0


stretches = st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)).map(lambda p: (p[0], p[0] + p[1])))


@settings(deadline=None, max_examples=40)
@given(stretches)
def test_a_union_is_sorted_apart_and_covers_all(items):
    joined = union(items)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    assert all(any(a <= s and e <= b for a, b in joined) for s, e in items)


@settings(deadline=None, max_examples=40)
@given(stretches, stretches)
def test_overlap_is_symmetric_and_a_share(a, b):
    assert overlap(a, b) == pytest.approx(overlap(b, a))
    assert 0 <= overlap(a, b) <= 1 + 1e-9
