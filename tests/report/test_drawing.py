"""What is drawn into pictures lies where it should, and never outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.faces.align import MARGIN, PLAIN, Framing, crop_matrix
from unmask.report.drawing import (
    COLOURS,
    FULL_GLOW,
    draw_face,
    draw_header,
    draw_heat,
    draw_map,
    header_height,
    make_strip,
    text_mask,
)

GREY = 100
FACE = np.array([[80, 80], [120, 80], [100, 100], [85, 120], [115, 120]], float)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def test_a_map_that_speaks_for_real_changes_nothing():
    picture = grey(8, 8)
    draw_map(picture, np.linspace(-5, 0, 64, dtype=np.float32).reshape(8, 8))
    assert (picture == GREY).all()


def test_a_map_glows_warmer_the_more_it_speaks_for_fake():
    picture = grey(1, 3)
    draw_map(picture, np.array([[0, FULL_GLOW / 4, FULL_GLOW]], np.float32))
    red, green, blue = picture[0].astype(int).T
    assert (red - blue).tolist() == sorted(red - blue)
    # At full strength the colour (214, 20, 40) covers 65 %: 0.35 * 100 + 0.65 * 214 = 174.1.
    assert (red[2], green[2], blue[2]) == (174, 48, 61)


def test_weak_evidence_is_not_blown_up_to_a_full_glow():
    weak, strong = grey(1, 1), grey(1, 1)
    draw_map(weak, np.array([[0.1]], np.float32))
    draw_map(strong, np.array([[FULL_GLOW]], np.float32))
    assert np.abs(weak.astype(int) - GREY).max() < np.abs(strong.astype(int) - GREY).max() / 2


@pytest.mark.parametrize("margin", [MARGIN, 2.7])
def test_a_heat_map_lies_on_the_place_of_the_face_that_it_speaks_of(margin):
    size = 64
    values = np.zeros((size, size), np.float32)
    values[40:44, 30:34] = 50.0
    picture = grey(200, 200)
    draw_heat(picture, values, FACE, framing=Framing(margin))
    changed = np.argwhere((picture != GREY).any(axis=2))
    matrix = crop_matrix(FACE, size, margin=margin)
    y, x = changed.mean(axis=0)
    in_crop = matrix @ (x, y, 1)
    assert in_crop == pytest.approx([31.5, 41.5], abs=1.0)


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.floats(0, 300),
    st.floats(0, 300),
)
@settings(max_examples=60, deadline=None)
def test_faces_partly_or_wholly_outside_and_tiny_pictures_are_no_error(height, width, x, y, w, h):
    picture = grey(height, width)
    draw_face(picture, (x, y, w, h), "person 1: fake 93 %", COLOURS["fake"])
    points = FACE * max(w, 1) / 100 + (x, y)
    draw_heat(picture, np.full((16, 16), 3.0, np.float32), points, framing=PLAIN)
    assert picture.shape == (height, width, 3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 300, 3), (300, 20, 3), (144, 176, 3), (1080, 1920, 3)])
def test_header_and_strip_fit_every_size(report, shape):
    picture = np.full(shape, GREY, np.uint8)
    draw_header(picture, report)
    strip = make_strip(report, shape, duration=10.0)
    for time in (-1.0, 0.0, 10.0, 1e9):
        strip.draw(picture, time)
    assert picture.shape == shape


def test_the_header_shows_the_colour_of_the_verdict(report):
    picture = grey(360, 640)
    draw_header(picture, report)
    assert tuple(picture[3, 3]) == COLOURS["fake"]
    assert (picture[header_height(picture) :] == GREY).all()


def test_the_cursor_moves_evenly_with_time(report):
    shape = (360, 640, 3)
    strip = make_strip(report, shape, duration=10.0)
    columns = []
    for time in (0.0, 2.5, 5.0, 10.0):
        picture = np.zeros(shape, np.uint8)
        strip.draw(picture, time)
        columns.append(int(picture[-2].min(axis=1).argmax()))
    start, quarter, middle, end = columns
    assert quarter - start == pytest.approx((end - start) / 4, abs=1)
    assert middle - start == pytest.approx((end - start) / 2, abs=1)


def test_the_curve_is_high_for_fake_and_low_for_real(report):
    picture = make_strip(report, (720, 1280, 3), duration=10.0).picture.astype(int)
    later = picture[:, 640:]  # from 5 s on: person 1 (fake) at 0.9, person 2 (real) at 0.1
    red, green, _ = np.moveaxis(later, 2, 0)
    fake_rows = np.argwhere(red - green > 60)[:, 0]
    real_rows = np.argwhere(green - red > 60)[:, 0]
    assert fake_rows.max() < picture.shape[0] / 2 < real_rows.min()


def test_text_is_as_wide_as_it_is_long():
    assert text_mask("wide wide wide", 20).shape[1] > 2 * text_mask("wide", 20).shape[1]
    assert text_mask("", 20).size > 0
