"""The feature vector: names, units, windows on the block grid, odd pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import jpeg, power_law, white
from skimage import data

from unmask.signals.features import (
    LARGEST,
    NAMES,
    SHOWN,
    SMALLEST,
    UNITS,
    Window,
    features,
    shown,
    window,
)
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
    assert set(UNITS.values()) == {"dB", "log2", "square root"}


def test_named_numbers_are_what_their_names_say():
    vector = features(grey(white(256, 5)), whole_window(256))
    # White noise of deviation 5, and the rounding's variance of 1/12, in dB.
    assert value(vector, "luma power at 0.240 cycles/px") == pytest.approx(
        10 * np.log10(25 + 1 / 12), abs=0.8
    )
    # Mean magnitude and tail of a normal distribution: sqrt(2 / pi) deviations, and pi / 2.
    assert 2 ** value(vector, "luma DCT magnitude 3,4") == pytest.approx(5 * np.sqrt(2 / np.pi), rel=0.1)
    assert 2 ** value(vector, "luma DCT tail 3,4") == pytest.approx(np.pi / 2, rel=0.15)
    assert 2 ** value(vector, "blue DCT magnitude 3,4") == pytest.approx(0.05, rel=0.01)


def test_block_frequencies_are_rows_and_columns():
    # cos(3 pi (2 y + 1) / 16) down each block is the coefficient of row 3, column 0, and no other.
    wave = np.tile(np.cos(3 * np.pi * (2 * np.arange(128) + 1) / 16)[:, None], (1, 128))
    vector = features(grey(128 + 60 * wave), whole_window(128))
    assert 2 ** value(vector, "luma DCT magnitude 3,0") == pytest.approx(60 * 8 / np.sqrt(2), rel=0.01)
    assert value(vector, "luma DCT magnitude 0,3") < 0


def test_shares_of_triples_sum_to_one_in_every_place():
    vector = features(PHOTO, PLACE)
    places = {name.rsplit(", ", 1)[0] for name in NAMES if "triples" in name}
    assert len(places) == 3 * 3 * 4
    for place in places:
        shares = [vector[i] ** 2 for i, name in enumerate(NAMES) if name.rsplit(", ", 1)[0] == place]
        assert sum(shares) == pytest.approx(1, abs=1e-4)


def test_triples_of_a_slope_are_all_alike_along_it():
    # 1 level a pixel to the right: horizontal steps are all 1, vertical all 0, half the triples each.
    slope = np.repeat(np.arange(64, dtype=np.uint8)[None], 64, axis=0)[..., None].repeat(3, axis=2)
    vector = features(slope, whole_window(64))
    along = [v for n, v in zip(NAMES, vector, strict=True) if "luma triples at 1/1, along, unit 1" in n]
    assert sorted(along)[-2:] == pytest.approx([np.sqrt(0.5)] * 2, abs=0.02)
    assert sum(sorted(along)[:-2]) == pytest.approx(0)


def test_the_face_gives_the_profile_and_the_head_the_rest():
    changed = PHOTO.copy()
    changed[40:48, 150:300] = 0  # above the face's window, within the head's
    one, other = features(PHOTO, PLACE), features(changed, PLACE)
    assert (one[:24] == other[:24]).all()
    assert (one[24:] != other[24:]).mean() > 0.5


def measured(pixels, place):
    return dict(zip(SHOWN, shown(pixels, place), strict=True))


def test_the_slope_is_that_of_the_picture():
    assert measured(grey(power_law(256, -1)), whole_window(256))["spectral slope"] == pytest.approx(
        -2, abs=0.2
    )
    assert measured(grey(white(256, 5)), whole_window(256))["spectral slope"] == pytest.approx(0, abs=0.1)


def test_compression_shows_in_benford():
    plain, pressed = (measured(p, PLACE) for p in (PHOTO, jpeg(PHOTO, 60)[0]))
    assert pressed["Benford deviation"] > plain["Benford deviation"]


def test_a_noisy_face_stands_out_from_its_background():
    noise = white(512, 2) - 128
    y, x = np.mgrid[:512, :512] - 256
    noise[np.hypot(x, 0.8 * y) < 66] *= 4
    level = measured(grey(128 + noise), window((256.0, 256.0), 120.0, (512, 512)))
    assert level["noise of the face over its background"] == pytest.approx(2, abs=0.1)


def test_a_cut_on_the_grid_gives_the_same_numbers_as_the_whole_picture():
    moved = Window(PLACE.left - 48, PLACE.top, PLACE.side, (224.0 - 48, 112.0), 120.0)
    np.testing.assert_allclose(features(PHOTO[:, 48:], moved), features(PHOTO, PLACE), rtol=1e-5)


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
    assert np.isfinite(shown(pixels, whole_window(side))).all()


def test_planes_are_bt601_and_grey_has_no_colour():
    colour = planes(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))
    assert colour[0, 0] == pytest.approx([76.245, 149.685, 29.07], abs=1e-3)
    assert colour[1, 0, 2] == pytest.approx(127.5)
    assert colour[2, 0, 0] == pytest.approx(127.5)
    flat = np.full((4, 4), 90, np.uint8)
    assert (planes(flat)[1:] == 0).all()
    assert (luma(flat) == 90).all()
