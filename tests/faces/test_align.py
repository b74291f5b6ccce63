"""Crops: the same face is always framed alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from unmask.faces.align import (
    CENTRE,
    LEAN,
    MARGIN,
    SIDE,
    TEMPLATE,
    crop,
    crop_matrix,
    native_side,
    similarity,
    warp,
)


@given(
    scale=st.floats(0.2, 8),
    angle=st.floats(-3, 3),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
@settings(max_examples=60, deadline=None)
def test_similarity_recovers_a_known_transform(scale, angle, x, y):
    known = SimilarityTransform(scale=scale, rotation=angle, translation=(x, y))
    found = similarity(TEMPLATE, known(TEMPLATE))
    np.testing.assert_allclose(found, known.params[:2], rtol=1e-6, atol=1e-6)


def test_similarity_agrees_with_scikit_image_on_noisy_points():
    rng = np.random.default_rng(5)
    target = TEMPLATE * 2 + rng.normal(0, 3, TEMPLATE.shape)
    reference = SimilarityTransform.from_estimate(TEMPLATE, target).params[:2]
    np.testing.assert_allclose(similarity(TEMPLATE, target), reference, atol=1e-9)


def test_similarity_never_mirrors():
    mirrored = TEMPLATE * [-1, 1]
    matrix = similarity(TEMPLATE, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_coinciding_points_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_a_face_that_lies_as_the_template_is_cut_at_the_stated_square():
    picture = np.zeros((112, 112, 3), np.uint8)
    picture[..., 0] = np.arange(112)
    picture[..., 1] = np.arange(112)[:, None]
    size = int(SIDE)
    cut = crop(picture, TEMPLATE, size=size).astype(float)
    left, top = CENTRE[0] - SIDE / 2, CENTRE[1] - SIDE / 2
    # Half a pixel of tolerance: the square's edge lies at a whole number, a pixel's centre half-way.
    assert abs(cut[size // 2, 0, 0] - left) <= 1
    assert abs(cut[0, size // 2, 1] - top) <= 1
    assert abs(cut[size // 2, -1, 0] - (left + SIDE - 1)) <= 1


def test_reducing_averages_instead_of_skipping_pixels():
    checkers = (np.indices((640, 640)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(checkers[..., None], 3, axis=2)
    points = TEMPLATE * 5
    cut = crop(picture, points, size=76)
    assert abs(float(cut.mean()) - 127.5) < 3
    assert cut.std() < 20  # point sampling would leave black and white: 127


def test_a_reduced_crop_stays_in_place():
    picture = np.zeros((900, 900, 3), np.uint8)
    points = TEMPLATE * 8
    x, y = np.round(points[2]).astype(int)
    picture[y - 12 : y + 13, x - 12 : x + 13] = 255
    cut = crop(picture, points, size=100)[..., 0].astype(float)
    found = np.array([(cut.sum(axis=0) * np.arange(100)).sum(), (cut.sum(axis=1) * np.arange(100)).sum()])
    expected = crop_matrix(points, 100) @ [x, y, 1]
    np.testing.assert_allclose(found / cut.sum(), expected, atol=0.15)


def test_native_side_is_in_picture_pixels():
    assert native_side(TEMPLATE * 3) == pytest.approx(3 * SIDE)


def test_beyond_the_edge_the_picture_is_mirrored_not_black():
    picture = np.full((60, 60, 3), 200, np.uint8)
    assert warp(picture, crop_matrix(TEMPLATE, 76), 76).min() == 200


@pytest.mark.parametrize("margin", [1.6, 2.7])
def test_the_crop_is_so_many_eye_distances_wide_round_the_same_middle(margin):
    points = TEMPLATE * 2 + (30, 10)
    matrix = crop_matrix(points, 90, margin=margin)
    plain = crop_matrix(points, 90)
    eyes = 2 * (TEMPLATE[1, 0] - TEMPLATE[0, 0])
    assert np.hypot(*matrix[:, 0]) == pytest.approx(90 / (margin * eyes))
    middle = np.array([30 + 2 * 56, 10 + 2 * 70, 1.0])
    assert matrix @ middle == pytest.approx([44.5, 44.5])
    assert plain @ middle == pytest.approx([44.5, 44.5])


@given(
    ratio=st.floats(0.82, 1.22),
    degrees=st.floats(-LEAN + 1, LEAN - 1),
    x=st.floats(0, 40),
    y=st.floats(0, 40),
)
@settings(max_examples=40, deadline=None)
def test_an_upright_crop_of_nearly_its_own_size_takes_pixels_as_they_are_stored(ratio, degrees, x, y):
    size = 96
    lean = SimilarityTransform(
        scale=size / (SIDE * ratio), rotation=np.deg2rad(degrees), translation=(90 + x, 90 + y)
    )
    points = lean(TEMPLATE - CENTRE)
    picture = np.random.default_rng(3).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    matrix = crop_matrix(points, size, upright=True)
    left, top = -np.round(matrix[:, 2]).astype(int)
    np.testing.assert_array_equal(warp(picture, matrix, size), picture[top : top + size, left : left + size])
    # The middle is that of the turned crop, to half a pixel.
    middle = np.array([90 + x, 90 + y])
    np.testing.assert_allclose([left + (size - 1) / 2, top + (size - 1) / 2], middle, atol=0.5 + 1e-6)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_an_upright_crop_of_another_size_is_scaled_and_not_turned(scale):
    size = 76
    lean = SimilarityTransform(scale=scale, rotation=np.deg2rad(12), translation=(200, 150))
    points = lean(TEMPLATE - CENTRE)
    matrix = crop_matrix(points, size, upright=True)
    turned = crop_matrix(points, size)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) * MARGIN * size / (MARGIN * SIDE * scale))
    for found in (matrix, turned):
        assert found @ [200, 150, 1] == pytest.approx([37.5, 37.5])


def test_a_head_that_leans_too_far_is_turned_in_an_upright_crop_too():
    lean = SimilarityTransform(rotation=np.deg2rad(LEAN + 5))
    np.testing.assert_array_equal(
        crop_matrix(lean(TEMPLATE), 76, upright=True), crop_matrix(lean(TEMPLATE), 76)
    )
