"""Faces move evenly between the moments at which they are followed."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.media.events import Frame
from unmask.report.between import LONGEST_WAIT, Between, Sighting


def frame(index: int, time: float | None = None) -> Frame:
    return Frame(index, index / 10 if time is None else time, np.zeros((2, 2, 3), np.uint8), np.eye(2, 3))


def sighting(track: int, x: float, heat: float | None = None) -> Sighting:
    values = None if heat is None else np.full((2, 2), heat)
    return Sighting(track, np.array([x, 0, 10, 10.0]), np.full((5, 2), x), values)


def test_boxes_points_and_heat_move_evenly_by_time():
    between = Between()
    out = list(between.tick(frame(0), [sighting(1, 100, 0.0)]))
    for index, time in ((1, 0.1), (2, 0.3)):  # uneven times: variable frame rate
        assert list(between.add(frame(index, time))) == []
    out += list(between.tick(frame(3, 0.4), [sighting(1, 140, 4.0)]))
    assert [f.index for f, _ in out] == [0, 1, 2, 3]
    assert [faces[0].box[0] for _, faces in out] == pytest.approx([100, 110, 130, 140])
    assert [faces[0].points[4, 1] for _, faces in out] == pytest.approx([100, 110, 130, 140])
    assert [faces[0].heat[0, 0] for _, faces in out] == pytest.approx([0, 1, 3, 4])


def test_a_face_that_ends_stays_until_the_tick_and_one_that_begins_waits_for_it():
    between = Between()
    list(between.tick(frame(0), [sighting(1, 100)]))
    list(between.add(frame(1)))
    out = list(between.tick(frame(2), [sighting(2, 50)]))
    assert [[s.track for s in faces] for _, faces in out] == [[1], [2]]
    assert out[0][1][0].box[0] == 100


def test_at_a_cut_waiting_frames_keep_their_faces_and_later_ones_have_none():
    between = Between()
    list(between.tick(frame(0), [sighting(1, 100)]))
    list(between.add(frame(1)))
    before = list(between.hold())
    between.forget()
    list(between.add(frame(2)))
    after = list(between.hold())
    assert [[s.track for s in faces] for _, faces in before + after] == [[1], []]


def test_every_frame_comes_out_once_and_in_order_and_few_wait():
    between = Between()
    out = []
    for index in range(100):
        step = between.tick(frame(index), [sighting(1, index)]) if index == 40 else between.add(frame(index))
        out += [f.index for f, _ in step]
        assert index + 1 - len(out) <= LONGEST_WAIT
    out += [f.index for f, _ in between.hold()]
    assert out == list(range(100))
