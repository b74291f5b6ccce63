"""Self-swaps: the face drawn anew, the surroundings left alone, and repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from unmask.data.selfblend import lay_mesh
from unmask.data.selfswap import placement, self_swap
from unmask.faces.align import TEMPLATE, crop_matrix, warp

POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64)
"""Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture."""


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    """An upright crop in which the face fills the middle, and the five points in it."""
    matrix = crop_matrix(POINTS, 160)
    matrix[:, 2] += 40
    return warp(data.astronaut(), matrix, 240), POINTS @ matrix[:, :2].T + matrix[:, 2]


def swapped(face, seed, **more):
    pixels, points = face
    return self_swap(pixels, points, lay_mesh(points), np.random.default_rng(seed), **more)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_outside_the_mask_the_picture_is_left_alone(face, seed):
    blend = swapped(face, seed)
    assert blend.mask.min() >= 0
    assert blend.mask.max() <= 1 + 1e-6
    outside = blend.mask < 1e-6
    np.testing.assert_array_equal(blend.fake[outside], face[0][outside])
    inside = blend.mask > 0.999
    np.testing.assert_allclose(blend.fake[inside].astype(int), blend.source[inside].astype(int), atol=1)


def test_the_mask_covers_the_nose_and_the_face_has_changed_there(face):
    nose_x, nose_y = face[1][2].round().astype(int)
    changed = 0
    for seed in range(20):
        blend = swapped(face, seed)
        assert blend.mask[nose_y, nose_x] > 0.9
        middle = (slice(nose_y - 30, nose_y + 30), slice(nose_x - 30, nose_x + 30))
        difference = np.abs(blend.fake[middle].astype(int) - face[0][middle]).mean()
        changed += 0.5 < difference < 40
    assert changed >= 18  # changed, and yet the same face


def test_the_same_draw_gives_the_same_fake(face):
    np.testing.assert_array_equal(swapped(face, 3).fake, swapped(face, 3).fake)


def test_the_renderer_draws_the_aligned_face(face):
    seen = []

    def paint(small, rng):
        seen.append(small.shape)
        return np.full_like(small, (255, 0, 0))

    nose_x, nose_y = face[1][2].round().astype(int)
    painted = [swapped(face, seed, renderer=paint).fake[nose_y, nose_x] for seed in range(12)]
    assert {shape[0] % 16 for shape in seen} == {0}
    assert all(shape[0] == shape[1] for shape in seen)
    # Where it was called, the nose is red: how much so depends on how much of the renderer's face is kept.
    red = sum(int(r) - int(g) > 60 for r, g, _ in painted)
    assert len(seen) / 2 <= red <= len(seen)


def test_the_generators_square_holds_the_five_points():
    # The square is at least 84 template units wide about (56, 68): eyes at 38 to 73, mouth at 92, lie inside.
    for seed in range(50):
        matrix = placement(TEMPLATE * 3 + 11, 128, np.random.default_rng(seed))
        places = (TEMPLATE * 3 + 11) @ matrix[:, :2].T + matrix[:, 2]
        assert (places > 5).all()
        assert (places < 122).all()
        scale = np.hypot(matrix[0, 0], matrix[1, 0])
        assert 128 / 114 / 3 - 1e-9 <= scale <= 128 / 84 / 3 + 1e-9
