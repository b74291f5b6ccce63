"""Part swaps: within the mask, the donor's part, coloured as what it covers, and repeatable."""

import numpy as np
import pytest
from skimage import data

from unmask.data.partswap import PARTS, nearest, part_swap
from unmask.data.selfblend import lay_mesh
from unmask.faces.align import crop_matrix, warp

POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64)
"""Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture."""


@pytest.fixture(scope="module")
def square() -> tuple[np.ndarray, np.ndarray]:
    matrix = crop_matrix(POINTS, 200, margin=3.4)
    mesh = lay_mesh(POINTS @ matrix[:, :2].T + matrix[:, 2])
    return warp(data.astronaut(), matrix, 200), mesh


@pytest.fixture(scope="module")
def donor(square) -> tuple[np.ndarray, np.ndarray]:
    """The same face mirrored, darker and bluer: its marks lie elsewhere, its colours differ."""
    pixels, mesh = square
    changed = (pixels[:, ::-1] * np.array([0.5, 0.55, 0.8])).astype(np.uint8)
    return np.ascontiguousarray(changed), np.column_stack([199 - mesh[:, 0], mesh[:, 1]])


@pytest.mark.parametrize("seed", range(24))
def test_outside_the_mask_nothing_changes_and_inside_the_colour_stays_near(seed, square, donor):
    pixels, mesh = square
    made = part_swap(pixels, mesh, *donor, np.random.default_rng(seed))
    assert made.fake.shape == pixels.shape
    assert made.mask.min() == 0
    assert made.mask.max() == pytest.approx(1)
    difference = np.abs(made.fake.astype(int) - pixels).max(axis=2)
    assert difference[made.mask < 0.002].max() <= 1
    inside = made.mask > 0.9
    assert difference[inside].max() > 5
    covered = made.mask > 0.2
    shift = made.fake[covered].mean(axis=0) - pixels[covered].mean(axis=0)
    assert np.abs(shift).max() < 25  # the donor is up to 100 levels darker


def test_the_same_draw_gives_the_same_fake(square, donor):
    one, two = (part_swap(*square, *donor, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.fake, two.fake)


def test_a_face_at_the_edge_of_its_square_is_no_error(square, donor):
    pixels, mesh = square
    for seed in range(12):
        moved = mesh + np.array([-120, -90])
        assert part_swap(pixels, moved, *donor, np.random.default_rng(seed)).fake.shape == pixels.shape


def test_every_part_lies_in_the_mesh():
    assert all(0 <= index < 468 for groups in PARTS.values() for group in groups for index in group)


def test_the_nearest_face_is_the_one_in_the_same_pose():
    turned = POINTS.copy()
    turned[2, 0] += 12  # the nose nearer to one eye: another yaw
    same = POINTS * 3 + 40  # larger and elsewhere
    assert nearest(POINTS, [turned, same]) == 1
