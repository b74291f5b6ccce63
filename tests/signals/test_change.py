"""Steps, strange frames and stretches, by hand calculation."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.signals.change import (
    beyond_usual,
    cell_means,
    intervals,
    lasts,
    overlap,
    strangeness,
    union,
)


def test_cells_are_means_of_their_parts():
    pixels = np.kron(np.array([[1.0, 2], [3, 4]]), np.ones((5, 5)))
    assert cell_means(pixels, 2).tolist() == [[1, 2], [3, 4]]
    assert cell_means(np.dstack([pixels] * 3), 2).shape == (2, 2, 3)
    with pytest.raises(ValueError, match="multiple"):
        cell_means(pixels, 3)


def test_a_step_lasts_and_a_single_frame_does_not():
    before, after = np.full((4, 9), 100.0), np.full((5, 9), 112.0)
    assert lasts(before, after) == 1
    assert lasts(before, np.vstack([after[:1], before])) == pytest.approx(1 / 5)
    assert lasts(before, np.vstack([after[:1], np.full((1, 9), 88.0)])) == 0  # there and back beyond
    assert lasts(before, before) == 0
    # What else changes later, in other cells, is not the change.
    moved = np.full((2, 4), 100.0)
    later = np.array([[110.0, 100, 100, 100], [110, 190, 100, 100]])
    assert lasts(moved, later) == 1


def test_a_change_counts_by_what_it_exceeds_those_around_it():
    times = np.arange(60) / 30
    changes = np.full(60, 2.0)
    changes[30] = 9
    found = beyond_usual(times, changes)
    assert found[30] == 7
    assert np.delete(found, 30).max() == 0
    # A change over two samples is one; three in a row are a motion.
    changes[31] = 8
    assert beyond_usual(times, changes)[30] == 7
    changes[32] = 8
    assert beyond_usual(times, changes)[30] == 1
    # Others at a distance count by their 90th percentile: three of 54 do not.
    changes[30:33] = 9, 2, 2
    changes[[10, 20, 45]] = 20
    assert beyond_usual(times, changes)[30] == 7
    assert beyond_usual(times, changes, percentile=100)[30] == 0


def test_a_change_alone_stays_as_it_is():
    assert beyond_usual(np.array([0.0, 5.0, 10.0]), np.array([0.0, 4.0, 1.0])).tolist() == [0, 4, 1]
    assert beyond_usual(np.empty(0), np.empty(0)).tolist() == []


def test_a_strange_frame_differs_from_both_neighbours():
    calm = np.zeros(9)
    assert strangeness(calm, calm + 10, calm + 2) == pytest.approx(8 - 2)
    assert strangeness(calm, calm + 5, calm + 10) == 0  # steady motion
    assert strangeness(calm, calm + 10, calm + 10) == 0  # a step


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
