"""Spectra of pictures whose spectrum is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from known import power_law, white

from unmask.signals.spectrum import (
    angular_profile,
    autocorrelation,
    high_frequency_energy,
    highest_peak,
    power_spectrum,
    radial_profile,
    spectral_slope,
    step_spectrum,
    upsampling_peaks,
    whole,
)


def wave(side, cycles_x, cycles_y, amplitude=10.0):
    y, x = np.mgrid[:side, :side]
    return (128 + amplitude * np.cos(2 * np.pi * (cycles_x * x + cycles_y * y) / side)).astype(np.float32)


def test_a_sinusoid_has_its_power_at_its_frequency():
    power = power_spectrum(wave(128, 24, 0), window=False)
    # (A / 2)^2 N^2 / N^2 per bin, times N^2 pixels: A^2 N^2 / 4
    assert power[0, 24] == pytest.approx(10**2 * 128**2 / 4, rel=1e-4)
    power[0, 24] = 0
    assert power.max() < 1e-3


def test_parsevals_theorem_holds_without_a_window():
    plane = white(64, 7)
    power = whole(power_spectrum(plane, window=False), 64)
    assert power.mean() == pytest.approx(plane.astype(float).var(), rel=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 8), (8, 7), (9, 5)])
def test_the_whole_spectrum_is_numpys(height, width):
    plane = np.random.default_rng(1).normal(size=(height, width)).astype(np.float32)
    expected = np.abs(np.fft.fftshift(np.fft.fft2(plane - plane.mean()))) ** 2 / plane.size
    found = whole(power_spectrum(plane, window=False), width)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_white_noise_has_a_flat_profile_at_its_variance():
    frequency, profile = radial_profile(power_spectrum(white(256, 5)), 256)
    assert profile[2:] == pytest.approx(25, rel=0.25)
    assert profile.mean() == pytest.approx(25, rel=0.05)
    assert spectral_slope(frequency, profile) == pytest.approx(0, abs=0.1)


def test_of_white_noise_the_share_of_the_plane_outside_the_cutoff_is_high():
    # The square of frequencies has area 1, the circle of radius 1/4 pi / 16.
    power = power_spectrum(white(256, 5))
    assert high_frequency_energy(power, 256) == pytest.approx(1 - np.pi / 16, abs=0.01)


@pytest.mark.parametrize(("exponent", "slope"), [(-1.0, -2.0), (-0.5, -1.0)])
def test_noise_with_a_power_law_has_its_slope(exponent, slope):
    profile = radial_profile(power_spectrum(power_law(256, exponent)), 256)
    assert spectral_slope(*profile) == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize(("x", "y", "sector"), [(40, 0, 0), (0, 40, 4), (30, 30, 2), (30, -30, 6)])
def test_a_wave_lies_in_the_sector_of_its_direction(x, y, sector):
    assert angular_profile(power_spectrum(wave(128, x, y)), 128, bins=8).argmax() == sector


@pytest.mark.parametrize(("x", "y"), [(45, 0), (0, 45), (30, 20), (30, -20)])
def test_the_highest_peak_is_that_of_a_wave_in_noise(x, y):
    peak = highest_peak(power_spectrum(white(128, 5) + wave(128, x, y)), 128)
    assert (peak.across, abs(peak.down)) == (
        pytest.approx(x / 128, abs=0.01),
        pytest.approx(abs(y) / 128, abs=0.01),
    )
    assert x * y == 0 or np.sign(peak.down) == np.sign(y)
    # By Parseval the wave has 10^2 / 4 * 128^2 in the 3 x 3 bins round its place, noise 25 in each.
    expected = 10 * np.log10((10**2 / 4 * 128**2 / 9 + 25) / 25)
    # The background is the median of 200 bins: a tenth of uncertainty, three times over.
    assert peak.height == pytest.approx(expected, abs=1.6)


def test_an_upsampling_that_was_scaled_afterwards_has_its_peak_at_the_scaled_place():
    # Zeros between pixels and a kernel over them leave a peak at 1/2; enlarged 1.5 times it lies at 1/3.
    spread = np.zeros((192, 192), np.float32)
    spread[::2, ::2] = 128 + white(96, 5) - 128
    checked = cv2.resize(
        cv2.filter2D(spread, -1, np.ones((3, 3)) / 2.25), (288, 288), interpolation=cv2.INTER_CUBIC
    )
    peak = highest_peak(power_spectrum(checked), 288)
    assert max(peak.across, abs(peak.down)) == pytest.approx(1 / 3, abs=0.01)
    assert peak.height > 16


def test_white_noise_has_no_peak_that_is_named_and_a_small_picture_none():
    assert highest_peak(power_spectrum(white(256, 5)), 256).height < 12
    assert highest_peak(power_spectrum(white(16, 5)), 16) is None


def test_noise_without_upsampling_has_no_peak():
    noise = white(256, 5)
    for spectrum, width in ((power_spectrum(noise), 256), (step_spectrum(noise), 255)):
        assert max(upsampling_peaks(spectrum, width).values()) < 4


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_upsampled_noise_steps_with_the_period_of_its_factor(factor, method):
    small = white(256 // factor, 20)
    if method == "nearest":
        large = np.kron(small, np.ones((factor, factor), np.float32))
    else:
        large = cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR)
    peaks = upsampling_peaks(step_spectrum(large), 255)
    # The period of 8 has harmonics at 1/8, 1/4 and 1/2; that of 2 at 1/2 only.
    assert all(peaks[k] > 12 for k in (2, 4, 8) if k == factor)
    assert all(abs(peaks[k]) < 4 for k in (2, 4, 8) if k > factor)


def test_nearest_upsampling_has_holes_where_its_box_has_zeros():
    # A box of four pixels has zeros at 1/4 and 1/2, none at 1/8.
    large = np.kron(white(64, 20), np.ones((4, 4), np.float32))
    peaks = upsampling_peaks(power_spectrum(large), 256)
    assert peaks[2] < -6
    assert peaks[4] < -6
    assert abs(peaks[8]) < 4


def test_a_transposed_convolution_with_uneven_overlap_has_a_peak_at_a_half():
    # Kernel 3, stride 2: rows are covered once and twice by turns (the checkerboard of Odena 2016).
    spread = np.zeros((256, 256), np.float32)
    spread[::2, ::2] = white(128, 10) - 78
    peaks = upsampling_peaks(power_spectrum(cv2.filter2D(spread, -1, np.ones((3, 3)) / 2.25)), 256)
    assert peaks[2] > 25
    assert abs(peaks[8]) < 4


def test_the_autocorrelation_of_white_noise_is_a_spike():
    found = autocorrelation(power_spectrum(white(256, 5)), 256, lags=3)
    assert found[0, 3] == pytest.approx(1)
    found[0, 3] = 0
    assert np.abs(found).max() < 0.03


def test_the_autocorrelation_of_smoothed_noise_is_that_of_its_kernel():
    smooth = cv2.filter2D(white(256, 20), -1, np.ones((1, 2)) / 2)
    found = autocorrelation(power_spectrum(smooth), 256, lags=2)
    assert found[0, 3] == pytest.approx(0.5, abs=0.02)
    assert found[0, 4] == pytest.approx(0, abs=0.02)
    assert found[1, 2] == pytest.approx(0, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_no_picture_gives_nan(pixels):
    power = power_spectrum(pixels)
    width = pixels.shape[1]
    profile = radial_profile(power, width)
    assert np.isfinite(profile[1]).all()
    assert np.isfinite(angular_profile(power, width)).all()
    assert np.isfinite(spectral_slope(*profile))
    assert 0 <= high_frequency_energy(power, width) <= 1
    assert np.isfinite(list(upsampling_peaks(power, width).values())).all()
    found = autocorrelation(power, width, lags=2)
    assert np.abs(found).max() <= 1 + 1e-3
