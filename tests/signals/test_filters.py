"""Resampling, trends and lines in spectra, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.signals.filters import (
    detrend,
    frame_rate,
    longest_step,
    resample,
    running_percentile,
    smoothness_for,
    spectrum,
    stretches,
    strongest_line,
)


def test_a_straight_line_stays_one_on_an_even_grid():
    times = np.array([0.0, 0.1, 0.35, 0.4, 1.0])
    grid, values = resample(times, 2 * times + 1, 20)
    assert grid == pytest.approx(np.arange(21) / 20)
    assert values == pytest.approx(2 * grid + 1)


def test_missing_samples_are_bridged_column_by_column():
    values = np.array([[0.0, 5.0], [np.nan, 5.0], [2.0, 7.0]])
    _, even = resample(np.array([0.0, 1.0, 2.0]), values, 1)
    assert even == pytest.approx(np.array([[0, 5], [1, 5], [2, 7]]))


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0]])
def test_a_single_moment_has_no_course(times):
    with pytest.raises(ValueError, match="two samples"):
        resample(np.array(times), np.zeros(len(times)), 10)


def test_the_frame_rate_is_that_of_the_usual_step():
    assert frame_rate(np.array([0, 0.04, 0.08, 0.12, 0.5])) == pytest.approx(25)
    assert frame_rate(np.array([3.0])) == 0
    assert longest_step(np.array([0, 0.04, 0.5])) == pytest.approx(0.46)


@pytest.mark.parametrize("count", [3, 4, 5, 12])
def test_detrending_solves_the_published_equation(count):
    """z - (I + l^2 D'D)^-1 z with D written out as a full matrix."""
    values = np.random.default_rng(count).normal(size=(count, 2))
    differences = np.diff(np.eye(count), 2, axis=0)
    trend = np.linalg.solve(np.eye(count) + 9.0 * differences.T @ differences, values)
    assert detrend(values, 3.0) == pytest.approx(values - trend)


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(5, 200))
def test_a_straight_line_is_all_trend(slope, start, count):
    line = start + slope * np.arange(count)
    assert detrend(line, 10.0) == pytest.approx(np.zeros(count), abs=1e-6)


def test_detrending_halves_a_wave_at_the_cutoff():
    # Far from its ends a wave keeps 1 - 1 / (1 + 1) = half of its amplitude.
    wave = np.sin(2 * np.pi * 0.5 * np.arange(3000) / 30)
    kept = detrend(wave, smoothness_for(0.5, 30))[1000:2000]
    assert kept.std() / wave[1000:2000].std() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("frequency", [0.85, 1.234, 2.5])
def test_a_wave_gives_a_line_at_its_frequency(frequency):
    times = np.arange(900) / 30
    wave = np.sin(2 * np.pi * frequency * times)
    noise = np.random.default_rng(0).normal(0, 0.5, 900)
    line = strongest_line(*spectrum(wave + noise, 30, 10), 0.7, 3.0)
    assert line.frequency == pytest.approx(frequency, abs=0.01)
    assert line.snr > 5


def test_the_signal_to_noise_ratio_of_flat_power_is_the_share_of_the_line():
    # 0..10 Hz in steps of 0.01 Hz, all alike; band 1..2 Hz (101 bins). Within 0.105 Hz of 1.5 Hz lie 21 bins;
    # its harmonic lies outside the band.
    frequencies = np.arange(1001) / 100
    power = np.ones(1001)
    power[150] = 1.0001  # on the middle of the band
    line = strongest_line(frequencies, power, 1.0, 2.0, half_line=0.105)
    assert line.frequency == pytest.approx(1.5, abs=0.01)
    assert line.snr == pytest.approx(10 * np.log10(21 / 80), abs=0.01)


def test_silence_has_no_line():
    assert strongest_line(*spectrum(np.zeros(300), 30, 10), 0.7, 3.0).snr == -np.inf


def test_runs_of_true_are_named_by_their_ends():
    mask = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert stretches(mask).tolist() == [[0, 2], [4, 5], [6, 7]]
    assert stretches(np.zeros(3, bool)).shape == (0, 2)


def test_the_running_percentile_of_a_window_of_three_is_the_median():
    assert running_percentile(np.array([1.0, 9, 2, 8, 3]), 3, 50).tolist() == [9, 2, 8, 3, 8]
