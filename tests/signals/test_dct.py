"""Block coefficients, grids and histograms of pictures compressed at known qualities."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from known import jpeg, white
from skimage import data

from unmask.signals.dct import (
    BENFORD,
    ZIGZAG,
    benford_deviation,
    block_dct,
    double_compression,
    first_digits,
    grid,
    grids_disagree,
    mean_magnitudes,
    quantisation_steps,
)
from unmask.signals.planes import luma

PHOTO = data.astronaut()
GREY = np.rint(luma(PHOTO)).astype(np.uint8)


def test_coefficients_are_scipys_orthonormal_dct_of_each_block():
    plane = white(24, 30)
    found = block_dct(plane, offset=(3, 5))
    assert found.shape == (2, 2, 8, 8)
    block = plane[3 + 8 : 3 + 16, 5 : 5 + 8] - 128
    np.testing.assert_allclose(found[1, 0], scipy.fft.dctn(block, norm="ortho"), atol=1e-3)


def test_zigzag_is_jpegs_order():
    assert ZIGZAG[:6] == ((0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2))
    assert ZIGZAG[-1] == (7, 7)
    assert len(set(ZIGZAG)) == 64


def test_the_mean_magnitude_of_white_noise_is_that_of_a_normal_distribution():
    magnitude = mean_magnitudes(block_dct(white(512, 10)))
    assert magnitude.ravel() == pytest.approx(10 * np.sqrt(2 / np.pi), rel=0.08)


def test_first_digits_are_counted():
    blocks = np.zeros((1, 1, 8, 8), np.float32)
    blocks[0, 0, 0, 1:8] = [1, -1.9, 25, 3.2, -990, 0.4, 100]
    blocks[0, 0, 0, 0] = 700  # the mean does not count
    shares = first_digits(blocks)
    assert shares == pytest.approx([3 / 6, 1 / 6, 1 / 6, 0, 0, 0, 0, 0, 1 / 6])


def test_numbers_spread_evenly_over_decades_follow_benfords_law():
    # 10 ** u, u uniform over three decades, is the law's own distribution.
    values = 10 ** (3 * (np.arange(64 * 1000) + 0.5) / 64000)
    shuffled = np.random.default_rng(0).permutation(values).reshape(10, 100, 8, 8)
    assert first_digits(shuffled) == pytest.approx(BENFORD, abs=0.01)
    assert benford_deviation(shuffled) < 1e-3
    assert benford_deviation(np.full((4, 4, 8, 8), 9.5)) == pytest.approx(
        (BENFORD[:8] ** 2 / BENFORD[:8]).sum() + (1 - BENFORD[8]) ** 2 / BENFORD[8]
    )


@pytest.mark.parametrize("quality", [95, 85, 60])
@pytest.mark.parametrize("start", [(0, 0), (2, 3), (7, 1)])
def test_the_grid_of_a_compressed_picture_is_found_where_it_lies(quality, start):
    plane = luma(jpeg(PHOTO, quality)[0])[start[0] :, start[1] :]
    found = grid(plane)
    assert found.found
    assert found.offset == (-start[0] % 8, -start[1] % 8)


def test_pictures_never_compressed_have_no_grid():
    assert not any(grid(white(200, 5, seed)).found for seed in range(30))
    assert not grid(luma(PHOTO)).found


def test_a_patch_from_elsewhere_brings_its_shifted_grid():
    inside = np.zeros((512, 512), bool)
    inside[160:340, 180:380] = True
    host = jpeg(PHOTO, 85)[0].copy()
    within, without, disagree = grids_disagree(luma(host), inside)
    assert within.offset == without.offset == (0, 0)
    assert not disagree
    donor = jpeg(np.ascontiguousarray(PHOTO[::-1]), 75)[0]
    host[160:340, 180:380] = donor[163:343, 185:385]
    within, without, disagree = grids_disagree(luma(host), inside)
    # The donor's blocks begin at rows 168 and columns 192 of itself, which is 165 and 187 here.
    assert within.offset == (165 % 8, 187 % 8)
    assert without.offset == (0, 0)
    assert disagree


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_quantisation_steps_are_read_off_the_pixels(quality):
    pixels, table = jpeg(GREY, quality)
    steps = quantisation_steps(block_dct(pixels))
    known = steps > 1
    assert known.sum() >= 10
    assert (steps[known] == table[known]).mean() > 0.9


def test_uncompressed_pictures_have_no_steps():
    assert (quantisation_steps(block_dct(white(256, 20))) == 1).all()


@pytest.mark.parametrize(("first", "second"), [(60, 90), (50, 80), (75, 95), (80, 90), (60, 75)])
def test_a_second_compression_shows(first, second):
    pixels, table = jpeg(jpeg(GREY, first)[0], second)
    assert double_compression(block_dct(pixels), table) > 0.5


@pytest.mark.parametrize("quality", [95, 90, 80, 75, 60])
def test_a_single_compression_does_not(quality):
    for picture in (GREY, data.camera(), np.rint(luma(data.coffee())).astype(np.uint8)):
        pixels, table = jpeg(picture, quality)
        assert double_compression(block_dct(pixels), table) < 0.1


@settings(max_examples=30, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_no_picture_gives_nan(pixels):
    coefficients = block_dct(pixels)
    assert np.isfinite(mean_magnitudes(coefficients)).all()
    assert np.isfinite(benford_deviation(coefficients))
    assert np.isfinite(grid(pixels).strength)
    assert (quantisation_steps(coefficients) >= 1).all()
    assert 0 <= double_compression(coefficients, np.ones((8, 8))) <= 1
