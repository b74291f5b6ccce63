"""Part drop-out covers a part of the face where that part is, and says nothing about other pixels."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.data.augment import Draw, Strength

POINTS = np.array([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])
"""Eyes 40 pixels apart, the tip of the nose, the corners of the mouth."""
OFF = dict.fromkeys(("colour", "grey", "resize", "blur", "noise", "jpeg", "video"), 0.0)
HALVES = {"left", "right"}


def covered(seed: int, points: np.ndarray = POINTS) -> np.ndarray:
    """Return which of 100 x 100 pixels a draw covers."""
    picture = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    changed = Draw(seed, Strength(**OFF, drop=1.0)).change(picture, points)
    return (changed != picture).any(axis=2)


def part(mask: np.ndarray) -> str:
    """Name the part of the face that a mask covers, by the pixels of which each part must have its own."""
    places = {"left": mask[95, 5], "right": mask[95, 95], "mouth": mask[80, 40] and mask[80, 60]}
    places |= {"eyes": mask[40, 32] and mask[40, 68], "nose": mask[66, 47] and mask[66, 53]}
    [name] = [name for name, there in places.items() if there]
    return name


def test_each_part_is_covered_and_no_other_at_the_same_time():
    seen = [part(covered(seed)) for seed in range(60)]
    assert set(seen) == {"eyes", "nose", "mouth", "left", "right"}


def test_a_part_is_small_and_a_half_is_half():
    for seed in range(30):
        mask = covered(seed)
        if part(mask) in HALVES:
            assert mask.mean() == pytest.approx(0.5, abs=0.02)
        else:
            assert 0.04 < mask.mean() < 0.25


def test_the_part_moves_with_the_face():
    for seed in range(10):
        mask, moved = covered(seed), covered(seed, POINTS + np.array([5, 0]))
        assert (moved[10:-10, 15:-10] == mask[10:-10, 10:-15]).mean() > 0.98


def test_what_is_covered_has_one_colour():
    picture = np.random.default_rng(1).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    changed = Draw(3, Strength(**OFF, drop=1.0)).change(picture, POINTS)
    mask = (changed != picture).any(axis=2)
    assert len(np.unique(changed[mask], axis=0)) == 1
    np.testing.assert_allclose(changed[mask][0], picture[mask].mean(axis=0), atol=2)
