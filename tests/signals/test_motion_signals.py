"""Motion with closed forms: sinusoids, straight lines, rest."""

import numpy as np
import pytest

from unmask.signals.motion import motion_statistics, opening


@pytest.mark.parametrize("rate", [30, 60, 120])
def test_a_sinusoid_has_the_speed_of_its_derivative(rate):
    times = np.arange(4 * rate) / rate
    moved = motion_statistics(times, 3 * np.sin(2 * np.pi * times))  # 1 Hz, amplitude 3
    assert moved.speed == pytest.approx(3 * 2 * np.pi / np.sqrt(2), rel=0.02)
    assert moved.acceleration == pytest.approx(3 * (2 * np.pi) ** 2 / np.sqrt(2), rel=0.03)
    assert moved.jerkiness == pytest.approx(2 * np.pi, rel=0.03)
    assert moved.range == pytest.approx(6, rel=0.03)


def test_steady_motion_is_not_jerky_and_rest_is_still():
    times = np.arange(30) / 30
    line = motion_statistics(times, np.stack([3 * times, 4 * times], axis=1))
    assert line.speed == pytest.approx(5)
    assert line.jerkiness == pytest.approx(0, abs=1e-6)
    assert line.still == 0
    rest = motion_statistics(times, np.full(30, 7.0))
    assert (rest.speed, rest.jerkiness, rest.still, rest.range) == (0, 0, 1, 0)


def test_half_the_time_at_rest_is_half_still():
    times = np.arange(61) / 30
    assert motion_statistics(times, np.maximum(0, times - 1)).still == pytest.approx(0.5, abs=0.02)


def test_too_few_samples_or_times_that_stand_still_have_no_statistics():
    assert motion_statistics(np.arange(3.0), np.arange(3.0)) is None
    assert motion_statistics(np.zeros(9), np.arange(9.0)) is None


def test_an_eye_half_as_high_as_wide_is_open_by_a_half():
    upper = np.array([[1.0, 0], [2, 0], [3, 0]])
    assert opening(upper, upper + np.array([0, 2]), np.array([[0.0, 1], [4, 1]])) == pytest.approx(0.5)
    assert opening(upper, upper, np.zeros((2, 2))) == 0
