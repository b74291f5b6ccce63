"""Sinusoids of known amplitude and frequency, at any frame rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lombscargle

from unmask.signals.flicker import (
    amplitude_spectrum,
    band_frequencies,
    flicker_over_time,
    high_frequency_energy,
)


def wave(rate, *, hertz=5.0, amplitude=2.0, seconds=2.0):
    times = np.arange(round(seconds * rate)) / rate
    return times, amplitude * np.sin(2 * np.pi * hertz * times + 0.7)


@given(st.floats(0.1, 50), st.floats(3, 6), st.floats(0, 6.28), st.floats(-100, 100), st.floats(-20, 20))
@settings(max_examples=40, deadline=None)
def test_the_amplitude_of_a_sinusoid_is_found_under_any_trend(amplitude, hertz, phase, offset, slope):
    times = np.arange(30) / 30
    values = amplitude * np.cos(2 * np.pi * hertz * times + phase) + offset + slope * times
    assert amplitude_spectrum(times, values, np.array([hertz]))[0] == pytest.approx(amplitude, rel=1e-3)


def test_the_spectrum_peaks_where_lomb_and_scargle_say():
    rng = np.random.default_rng(3)
    times = np.sort(rng.uniform(0, 2, 60))
    values = np.sin(2 * np.pi * 6.5 * times) + 0.1 * rng.standard_normal(60)
    frequencies = np.arange(2.5, 12, 0.5)
    own = amplitude_spectrum(times, values, frequencies)
    other = lombscargle(times, values - values.mean(), 2 * np.pi * frequencies)
    assert frequencies[own.argmax()] == frequencies[other.argmax()] == 6.5


@pytest.mark.parametrize("rate", [15, 25, 30, 60, 120])
def test_a_flicker_measures_the_same_at_every_frame_rate(rate):
    times, values = wave(rate)
    amplitudes, found = flicker_over_time(times, values)
    middle = np.abs(times - 1.0) < 0.4
    assert amplitudes[middle] == pytest.approx(2.0, rel=0.05)
    assert found[middle] == pytest.approx(5.0)


def test_uneven_frame_intervals_do_no_harm():
    times, _ = wave(30)
    times = times + np.random.default_rng(0).uniform(0, 0.015, len(times))
    amplitudes, _ = flicker_over_time(times, 2.0 * np.sin(2 * np.pi * 5 * times))
    assert amplitudes[np.abs(times - 1) < 0.4] == pytest.approx(2.0, rel=0.1)


def test_flicker_is_found_when_it_happens():
    times, values = wave(30, seconds=8)
    values[(times < 3) | (times >= 5)] = 0
    amplitudes, _ = flicker_over_time(times, values)
    over_half = times[amplitudes >= 1.0]
    assert over_half[0] == pytest.approx(3.0, abs=0.1)
    assert over_half[-1] == pytest.approx(5.0, abs=0.1)


def test_a_slow_drift_is_no_flicker():
    times = np.arange(120) / 30
    assert flicker_over_time(times, 30 * np.sin(2 * np.pi * 0.3 * times))[0].max() < 0.5


def test_slow_clips_show_no_more_than_half_their_frame_rate():
    # 15 frames a second: up to 0.9 * 7.5 = 6.75 Hz; 5 frames: 2.25 Hz, below the band
    assert band_frequencies(np.arange(30) / 15).max() == 6.5
    assert band_frequencies(np.arange(30) / 5).size == 0
    assert flicker_over_time(np.arange(30) / 5, np.arange(30) % 2)[0].max() == 0


def test_too_little_to_see_gives_zeros_or_is_refused():
    assert flicker_over_time(np.array([0.0]), np.array([1.0]))[0].tolist() == [0]
    assert flicker_over_time(np.empty(0), np.empty(0))[0].size == 0
    with pytest.raises(ValueError, match="at least"):
        amplitude_spectrum(np.arange(3.0), np.arange(3.0), np.array([1.0]))


def test_fine_detail_has_more_energy_than_a_blur():
    # the Laplacian of a chessboard of +-1 is +-8 inside: variance 64
    board = np.indices((64, 64)).sum(axis=0) % 2 * 2.0 - 1
    assert high_frequency_energy(board) == pytest.approx(np.log1p(64), abs=0.05)
    assert high_frequency_energy(np.full((64, 64), 7.0)) == 0
