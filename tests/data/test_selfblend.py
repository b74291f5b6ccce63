"""Self-blended images: subtle, inside the mask, and repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from unmask.data.augment import Draw, Strength
from unmask.data.selfblend import face_mask, lay_mesh, self_blend, soften
from unmask.faces.align import TEMPLATE, crop_matrix, warp

POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64)
"""Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture."""


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    matrix = crop_matrix(POINTS, 200)
    return warp(data.astronaut(), matrix, 200)


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    matrix = crop_matrix(POINTS, 200)
    return lay_mesh(POINTS @ matrix[:, :2].T + matrix[:, 2])


def test_the_mean_mesh_lies_on_the_five_points():
    mesh = lay_mesh(TEMPLATE)
    # Mesh points 1 (nose tip), 61 and 291 (mouth corners), against the template's own places.
    for index, place in ((1, TEMPLATE[2]), (61, TEMPLATE[3]), (291, TEMPLATE[4])):
        assert np.linalg.norm(mesh[index] - place) < 6


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_a_soft_mask_stays_between_nothing_and_all(seed):
    rng = np.random.default_rng(seed)
    hard = face_mask(lay_mesh(TEMPLATE * 2), (224, 224), rng)
    soft = soften(hard, rng)
    assert soft.min() >= 0
    assert soft.max() <= 1 + 1e-6
    assert soft[0, 0] < 0.5  # the corner is no face


def test_outside_the_mask_one_of_the_two_copies_is_left_alone(face, mesh):
    untouched = 0
    for seed in range(30):
        blend = self_blend(face, mesh, np.random.default_rng(seed))
        outside = blend.mask < 1e-6
        if outside.any() and (blend.fake[outside] == face[outside]).all():
            untouched += 1
    assert 5 <= untouched <= 25  # half of the draws change the face, half its surroundings


def test_a_blend_is_a_mixture_of_its_two_copies(face, mesh):
    blend = self_blend(face, mesh, np.random.default_rng(1))
    inside = blend.mask > 0.999
    np.testing.assert_allclose(blend.fake[inside].astype(int), blend.source[inside].astype(int), atol=1)


def test_blends_are_subtle_but_there(face, mesh):
    differences = [
        np.abs(self_blend(face, mesh, np.random.default_rng(s)).fake.astype(int) - face).mean()
        for s in range(30)
    ]
    assert min(differences) > 0
    assert np.median(differences) < 25


def test_the_same_draw_changes_two_pictures_alike(face):
    draw = Draw(7, Strength())
    np.testing.assert_array_equal(draw.change(face, POINTS), draw.change(face.copy(), POINTS))
    base = crop_matrix(POINTS, 160)
    np.testing.assert_array_equal(draw.matrix(base, 160), draw.matrix(base, 160))


def test_without_strength_nothing_changes(face):
    none = Strength(
        rotation=0, scale=0, shift=0, colour=0, grey=0, resize=0, blur=0, noise=0, jpeg=0, video=0, drop=0
    )
    np.testing.assert_array_equal(Draw(3, none).change(face, POINTS), face)
    base = crop_matrix(POINTS, 160)
    matrices = [Draw(seed, none).matrix(base, 160) for seed in range(8)]
    mirrored = np.diag([-1.0, 1.0]) @ base
    mirrored[0, 2] += 159
    for matrix in matrices:
        assert np.allclose(matrix, base) or np.allclose(matrix, mirrored)
