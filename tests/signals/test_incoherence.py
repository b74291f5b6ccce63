"""Stretches found in series made by hand."""

import numpy as np
import pytest

from unmask.signals.incoherence import Step, Thresholds, excess, findings

TIMES = np.arange(180) / 30
LIMITS = Thresholds(step=4, strange=2, flicker=2)
CHANGE = np.array([10.0, -5, 3, 8])


def found(steps=(), times=TIMES, **series):
    zeros = np.zeros(len(times))
    values = dict.fromkeys(("strange", "step", "brightness", "surroundings"), zeros) | series
    return findings(times, excess(times, **values, thresholds=LIMITS), list(steps), LIMITS)


def test_nothing_in_nothing():
    assert found() == []
    assert found(times=np.empty(0)) == []


def test_two_steps_that_undo_each_other_bound_a_stretch():
    (one,) = found([Step(2.0, 8.0, CHANGE), Step(4.5, 6.0, -CHANGE)])
    assert (one.kind, one.start, one.end) == ("look", 2.0, 4.5)
    assert one.strength == 2.0


def test_a_weak_way_back_still_ends_the_stretch():
    (one,) = found([Step(2.0, 8.0, CHANGE), Step(4.5, 3.0, -CHANGE)])
    assert one.end == 4.5


@pytest.mark.parametrize(("at", "stretch"), [(1.0, (0, 1.0)), (5.0, (5.0, 179 / 30)), (3.0, (3.0, 179 / 30))])
def test_of_a_lone_step_the_shorter_side_is_odd_and_at_half_the_later(at, stretch):
    (one,) = found([Step(at, 8.0, CHANGE)])
    assert (one.start, one.end) == pytest.approx(stretch)


def test_small_steps_do_not_count():
    assert found([Step(2.0, 3.9, CHANGE), Step(3.0, 3.0, -CHANGE)]) == []


def test_a_step_that_a_turned_light_explains_is_called_light():
    (one,) = found([Step(5.0, 8.0, CHANGE, light=0.9)])
    assert one.kind == "light"


def test_strange_frames_that_recur_bound_a_stretch_and_one_alone_does_not():
    strange = np.zeros(180)
    strange[[60, 70, 80, 90]] = 5.0
    (one,) = found(strange=strange)
    assert (one.kind, one.detail) == ("frames", 4)
    assert (one.start, one.end) == (2.0, 3.0)
    strange[[60, 70, 80]] = 0
    assert found(strange=strange) == []


def test_a_flicker_of_the_face_alone_is_found_with_its_frequency():
    wave = np.where((TIMES >= 2) & (TIMES < 4), 6 * np.sin(2 * np.pi * 5 * TIMES), 0)
    (one,) = found(brightness=wave)
    assert one.kind == "flicker"
    assert one.detail == 5.0
    assert one.strength == pytest.approx(3, rel=0.05)
    assert (one.start, one.end) == pytest.approx((2, 4), abs=0.15)
    assert found(brightness=wave, surroundings=wave) == []


def test_a_jump_or_a_strange_frame_is_no_flicker():
    step, strange = np.zeros(180), np.zeros(180)
    step[90], strange[[20, 30, 40]] = 9.0, 9.0
    brightness = np.where(TIMES >= 3, 30.0, 0.0) + np.where(strange > 0, 25.0, 0.0)
    assert {f.kind for f in found(brightness=brightness, step=step, strange=strange)} == {"frames"}
    assert {f.kind for f in found(brightness=brightness)} == {"flicker"}
