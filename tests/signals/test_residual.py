"""Filters, noise levels and triples against hand calculation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from known import white
from scipy.signal import wiener

from unmask.signals.residual import (
    SRM_BANK,
    SRM_THREE,
    TRIPLES,
    cooccurrence,
    denoise_residual,
    noise_level,
    noise_map,
    region_levels,
    rounded,
    srm_residuals,
)


def test_the_bank_holds_thirty_different_filters_that_ignore_flat_pictures():
    assert SRM_BANK.shape == (30, 5, 5)
    assert len({kernel.tobytes() for kernel in SRM_BANK.round(4)}) == 30
    assert np.abs(SRM_BANK.sum(axis=(1, 2))).max() < 1e-5
    assert SRM_BANK[:, 2, 2] == pytest.approx(-1)


@pytest.mark.parametrize("index", range(8, 30))
def test_filters_above_the_first_order_ignore_slopes(index):
    y, x = np.mgrid[-2:3, -2:3]
    if index not in range(12, 20):  # third-order lines answer to slopes along them as differences do
        for plane in (x, y):
            assert abs((SRM_BANK[index] * plane).sum()) < 1e-5


def test_the_square_filters_are_the_published_ones():
    assert (SRM_BANK[20] * 4)[1:4, 1:4].tolist() == [[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]
    assert (SRM_BANK[25] * 12).round()[0].tolist() == [-1, 2, -2, 2, -1]
    assert SRM_THREE[1].tolist() == SRM_BANK[25].tolist()


def test_residuals_of_a_bright_dot_are_the_filter_itself():
    plane = np.zeros((9, 9))
    plane[4, 4] = 1
    answers = srm_residuals(plane)
    assert answers.shape == (30, 9, 9)
    np.testing.assert_allclose(answers[:, 2:7, 2:7], SRM_BANK[:, ::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 20.0])
def test_the_noise_level_of_noise_is_its_deviation(sigma):
    plane = white(256, sigma) + 0.3 * np.arange(256)
    assert noise_level(plane) == pytest.approx(sigma, rel=0.03)
    assert noise_map(plane).mean() == pytest.approx(sigma, rel=0.03)


def test_the_denoiser_is_scipys_wiener_filter_at_the_same_noise():
    plane = white(64, 5) + np.where(np.arange(64) < 32, 0, 60)
    mean = np.lib.stride_tricks.sliding_window_view(plane, (3, 3)).mean(axis=(2, 3))
    square = np.lib.stride_tricks.sliding_window_view(plane.astype(float) ** 2, (3, 3)).mean(axis=(2, 3))
    found = denoise_residual(plane)
    noise = np.median(square - mean**2)
    expected = plane - wiener(plane.astype(float), 3, noise)
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], rtol=0.1, atol=0.1)


def test_regions_tell_a_noisy_face_from_a_calm_background():
    random = np.random.default_rng(0)
    y, x = np.mgrid[:400, :400]
    sigma = np.where(np.hypot(x - 200, 0.8 * (y - 200)) < 0.9 * 120, 8.0, 2.0)
    grey = 128 + random.normal(size=(400, 400)) * sigma
    pixels = np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    levels = region_levels(pixels, (200.0, 200.0), 120.0)
    assert levels["interior"][0, 0] == pytest.approx(8, rel=0.1)
    assert levels["background"][0, 0] == pytest.approx(2, rel=0.1)
    # The mean step between independent normals of deviation s is 2 s / sqrt(pi).
    assert levels["background"][0, 1] == pytest.approx(4 / np.sqrt(np.pi), rel=0.1)
    assert levels["interior"][1:, 0] == pytest.approx(0, abs=0.01)


def test_regions_outside_the_picture_are_unknown():
    levels = region_levels(np.zeros((130, 130, 3), np.uint8), (65.0, 65.0), 128.0)
    assert levels["interior"] is not None
    assert levels["background"] is None


def test_residuals_are_rounded_and_cut_off():
    plane = np.array([[-9.0, -1.6, -1.4, 0.4, 0.6, 2.9, 40.0]], np.float32)
    assert rounded(plane, 2.0).tolist() == [[0, 1, 1, 2, 2, 3, 4]]


def _lines(level, direction):
    if direction == "row":
        return list(level)
    if direction == "column":
        return list(level.T)
    offsets = range(-level.shape[0] + 1, level.shape[1])
    return [np.diagonal(side, offset) for side in (level, level[:, ::-1]) for offset in offsets]


@pytest.mark.parametrize("direction", ["row", "column", "diagonal"])
def test_triples_are_counted_with_their_mirror_images_and_negatives(direction):
    level = np.random.default_rng(0).integers(0, 5, (30, 20), np.uint8)
    counted = Counter(
        max((a, b, c), (c, b, a), (-a, -b, -c), (-c, -b, -a))
        for line in _lines(level.astype(int) - 2, direction)
        for a, b, c in zip(line, line[1:], line[2:], strict=False)
    )
    found = cooccurrence(level, direction=direction)
    assert found.shape == (TRIPLES,)
    assert sorted(found[found > 0]) == sorted(counted.values())


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_no_picture_gives_nan(pixels):
    assert np.isfinite(denoise_residual(pixels)).all()
    assert np.isfinite(noise_level(pixels))
    assert np.isfinite(noise_map(pixels)).all()
    assert np.isfinite(srm_residuals(pixels)).all()
    level = rounded(pixels.astype(np.float32), 0.0)
    for direction in ("row", "column", "diagonal"):
        assert cooccurrence(level, direction=direction).sum() >= 0
