"""Rotations of made-up solid bodies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.faces.face import HeadPose
from unmask.faces.pose import rotation_of
from unmask.signals.head_motion import (
    angle_between,
    angles,
    angular_velocity,
    changing_difference,
    fit_rotations,
    jumps,
    mean_rotation,
)

BODY = np.random.default_rng(5).normal(size=(20, 3))


def turn(yaw=0.0, pitch=0.0, roll=0.0):
    return rotation_of(HeadPose(yaw, pitch, roll))


def turns(yaws):
    return np.stack([turn(yaw) for yaw in yaws])


@given(st.floats(-89, 89), st.floats(-80, 80), st.floats(-170, 170), st.floats(0.1, 500))
def test_a_solid_body_gives_its_rotation_and_size(yaw, pitch, roll, scale):
    rotation = turn(yaw, pitch, roll)
    points = (scale * BODY @ rotation.T + [3, -7, 11])[None]
    found_scale, found, misfit = fit_rotations(points, BODY)
    assert found_scale == pytest.approx([scale])
    assert found[0] == pytest.approx(rotation, abs=1e-6)
    assert misfit == pytest.approx([0], abs=1e-6)
    assert angles(found)[0] == pytest.approx([yaw, pitch, roll], abs=1e-4)


def test_many_frames_give_what_each_gives_alone():
    points = np.stack([BODY @ turn(yaw).T for yaw in (0, 20, 40)])
    _, together, _ = fit_rotations(points, BODY)
    alone = [fit_rotations(p[None], BODY)[1][0] for p in points]
    assert together == pytest.approx(np.stack(alone))


@pytest.mark.parametrize("degrees", [1e-3, 1.0, 90.0, 180.0])
def test_the_angle_between_two_turns_about_one_axis_is_their_difference(degrees):
    assert angle_between(turns([0])[0], turn(roll=degrees)) == pytest.approx(degrees, rel=1e-4)


def test_the_speed_is_degrees_over_seconds():
    speed = angular_velocity(np.array([0, 0.5, 0.75]), turns([0, 10, 10]))
    assert speed == pytest.approx([20, 0])


def test_the_mean_of_two_turns_lies_in_the_middle():
    assert mean_rotation(turns([-10, 30])) == pytest.approx(turn(10))


def test_an_inner_face_with_another_shape_is_no_difference_but_one_that_slips_is():
    whole = turns(np.linspace(-30, 30, 50))
    shape = turn(4, 3, 0)
    assert changing_difference(whole, whole @ shape) == pytest.approx(np.zeros(50), abs=1e-3)
    slips = np.stack([turn(angle) for angle in np.where(np.arange(50) % 2, 3.0, -3.0)])
    assert changing_difference(whole, whole @ slips) == pytest.approx(np.full(50, 3.0), abs=1e-3)


def test_a_jump_stands_out_from_steady_turning():
    yaws = np.arange(40) * 0.5
    yaws[20:] += 12
    times = np.arange(40) / 25
    assert jumps(times, turns(yaws)).tolist() == [[19 / 25, 20 / 25]]
    assert len(jumps(times, turns(np.arange(40) * 2.0))) == 0
    assert len(jumps(times[:2], turns([0, 50]))) == 0
