"""Self-blended images: subtle, inside the mask, and repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from unmask.data.augment import Draw, Strength
from unmask.data.selfblend import _elastic, change_appearance, face_mask, lay_mesh, self_blend, soften
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


class Watched(np.random.Generator):
    """A generator that keeps the bounds of its uniform draws."""

    def __init__(self, seed: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self.bounds: list[tuple] = []

    def uniform(self, low=0.0, high=1.0, size=None):
        self.bounds.append((low, high))
        return super().uniform(low, high, size)


class TestRanges:
    """The parameters that the docstring of the module states; another value is another kind of fake."""

    def test_how_often_and_how_far_the_appearance_changes(self):
        draws = 3000
        pixels = np.full((12, 12, 3), 128, np.uint8)
        found: dict[tuple, int] = {}
        for seed in range(draws):
            rng = Watched(seed)
            change_appearance(pixels, rng)
            for bounds in set(rng.bounds):
                found[bounds] = found.get(bounds, 0) + 1
        shares = {bounds: count / draws for bounds, count in found.items()}
        # RGB shift; hue (and gain, offset: 1 - .3 * .5), saturation, value; down-scaling; sharpening
        expected = {(-20, 20): 0.3, (-0.1, 0.1): 0.85, (-0.3, 0.3): 0.7, (-0.2, 0.2): 0.7,
                    (1.4, 4.0): 0.6, (0.3, 1.2): 0.2}  # fmt: skip
        assert shares == pytest.approx(expected, abs=0.03)

    def test_a_red_picture_stays_within_all_bounds_together(self):
        """That is (100 + 20) * 1.2 * 1.1 + 12.8 = 171.2 and (100 - 20) * 0.8 * 0.9 - 12.8 = 44.8."""
        pixels = np.full((12, 12, 3), (100, 0, 0), np.uint8)
        red = [change_appearance(pixels, np.random.default_rng(seed))[..., 0] for seed in range(1000)]
        assert np.max(red) <= 172
        assert np.min(red) >= 43  # HSV and back loses up to two steps
        assert np.max(red) > 130
        assert np.min(red) < 70

    def test_the_copy_and_its_mask_move_by_three_and_one_and_a_half_hundredths(self, face, mesh):
        rng = Watched(0)
        self_blend(face, mesh, rng)
        assert (0.95, 1 / 0.95) in rng.bounds
        assert ((-0.03, -0.015), (0.03, 0.015)) in rng.bounds

    def test_three_masks_of_four_end_below_the_top_of_the_forehead(self):
        mesh = lay_mesh(TEMPLATE * 2)
        x, y = np.round(mesh[10]).astype(int)  # the top of the outline
        whole = [face_mask(mesh, (224, 224), np.random.default_rng(s))[y + 2, x] > 0 for s in range(400)]
        assert np.mean(whole) == pytest.approx(0.25, abs=0.06)

    def test_the_elastic_warp_moves_a_mask_by_1_8_pixels(self):
        """A ramp shows by how much each place moved: 224 pixels, alpha 50, sigma 7 as published."""
        ramp = np.tile(np.arange(224, dtype=np.float32), (224, 1))
        inner = (slice(40, -40), slice(40, -40))
        moved = [
            (_elastic(ramp, np.random.default_rng(s), alpha=50, sigma=7) - ramp)[inner] for s in range(40)
        ]
        assert np.sqrt(np.mean(np.square(moved))) == pytest.approx(1.84, abs=0.15)

    def test_half_of_the_soft_masks_are_weakened_to_a_quarter_a_half_or_three_quarters(self):
        hard = face_mask(lay_mesh(TEMPLATE * 2), (224, 224), np.random.default_rng(1))
        tops = np.array([soften(hard, np.random.default_rng(seed)).max() for seed in range(300)])
        values, counts = np.unique(np.round(tops, 4), return_counts=True)
        np.testing.assert_array_equal(values, [0.25, 0.5, 0.75, 1.0])
        np.testing.assert_allclose(counts / 300, [1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.09)
