"""The feature vector: names, units, windows on the block grid, odd pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import jpeg, power_law, white
from skimage import data

from unmask.signals.features import LARGEST, NAMES, SMALLEST, UNITS, Window, features, window
from unmask.signals.planes import luma, planes

PHOTO = data.astronaut()
PLACE = window((224.0, 112.0), 120.0, (512, 512))


def value(vector, name):
    return float(vector[NAMES.index(name)])


def grey(plane):
    return np.repeat(np.clip(np.rint(plane), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def whole_window(side):
    return Window(0, 0, side, (side / 2, side / 2), float(side))


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.floats(-50, 700), st.floats(-50, 700)),
    st.floats(1, 900),
    st.tuples(*[st.integers(1, 640)] * 2),
)
def test_windows_lie_on_the_grid_and_inside_the_picture(centre, width, size):
    found = window(centre, width, size)
    if found is None:
        assert int(width) // 8 * 8 < SMALLEST or min(size) // 8 * 8 < SMALLEST
        return
    assert found.left % 8 == found.top % 8 == found.side % 8 == 0
    assert SMALLEST <= found.side <= min(LARGEST, width)
    assert 0 <= found.left <= size[0] - found.side
    assert 0 <= found.top <= size[1] - found.side


def test_the_window_lies_round_the_face():
    assert Window(left=160, top=48, side=120, centre=(224.0, 112.0), width=120.0) == PLACE


def test_every_number_has_a_name_and_a_unit():
    vector = features(PHOTO, PLACE)
    assert vector.shape == (len(NAMES),)
    assert vector.dtype == np.float32
    assert len(set(NAMES)) == len(NAMES)
    assert set(UNITS.values()) <= {"dB", "", "log2", "log10", "square root"}


def test_named_numbers_are_what_their_names_say():
    vector = features(grey(white(256, 5)), whole_window(256))
    # White noise of deviation 5, and the rounding's variance of 1/12, in dB.
    assert value(vector, "luma power at 0.240 cycles/px") == pytest.approx(
        10 * np.log10(25 + 1 / 12), abs=0.8
    )
    assert value(vector, "spectral slope") == pytest.approx(0, abs=0.1)
    # (1, -1) / 1 of white noise has deviation 5 sqrt 2, its mean magnitude sqrt(2 / pi) of that.
    assert 2 ** value(vector, "residual level line 1") == pytest.approx(10 / np.sqrt(np.pi), rel=0.03)
    assert 2 ** value(vector, "residual tail square 3") == pytest.approx(np.pi / 2, rel=0.03)
    assert 2 ** value(vector, "DCT magnitude 3,4") == pytest.approx(5 * np.sqrt(2 / np.pi), rel=0.1)
    assert value(vector, "blue power at 0.479 cycles/px") == pytest.approx(-60, abs=1)


def test_the_slope_is_that_of_the_picture():
    vector = features(grey(power_law(256, -1)), whole_window(256))
    assert value(vector, "spectral slope") == pytest.approx(-2, abs=0.2)


def test_compression_shows_in_grid_and_benford():
    plain, pressed = (features(p, PLACE) for p in (PHOTO, jpeg(PHOTO, 60)[0]))
    assert value(pressed, "grid strength") > value(plain, "grid strength") + 1
    assert value(pressed, "grid shifted") == 0
    assert value(pressed, "Benford deviation") > value(plain, "Benford deviation")


def test_a_cut_on_the_grid_gives_the_same_numbers_as_the_whole_picture():
    moved = Window(PLACE.left - 48, PLACE.top, PLACE.side, (224.0 - 48, 112.0), 120.0)
    np.testing.assert_allclose(features(PHOTO[:, 48:], moved)[:-12], features(PHOTO, PLACE)[:-12], rtol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((256, 256, 3), np.uint8),
        np.full((256, 256, 3), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8),
        np.tile(np.array([[0, 255], [255, 0]], np.uint8), (128, 128))[..., None].repeat(3, axis=2),
    ],
    ids=["black", "white", "noise", "checkerboard"],
)
@pytest.mark.parametrize("side", [40, 72, 256])
def test_odd_pictures_give_finite_numbers(pixels, side):
    assert np.isfinite(features(pixels, whole_window(side))).all()


def test_planes_are_bt601_and_grey_has_no_colour():
    colour = planes(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    assert colour[0, 0] == pytest.approx([76.245, 149.685, 29.07], abs=1e-3)
    assert colour[1, 0, 2] == pytest.approx(127.5)
    assert colour[2, 0, 0] == pytest.approx(127.5)
    flat = np.full((4, 4), 90, np.uint8)
    assert (planes(flat)[1:] == 0).all()
    assert (luma(flat) == 90).all()
