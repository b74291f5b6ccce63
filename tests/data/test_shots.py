"""Cutting, scaling and saving faces keeps points and blocks where they belong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the data room belongs to the laboratory")

from skimage import data  # noqa: E402

from unmask.data.index import IndexedFace  # noqa: E402
from unmask.data.shots import Treatment, cut, look, place, resize, save, treat  # noqa: E402
from unmask.faces.align import crop_place  # noqa: E402
from unmask.signals.dct import grid  # noqa: E402
from unmask.signals.features import NAMES  # noqa: E402
from unmask.signals.planes import luma  # noqa: E402

PHOTO = data.astronaut()
POINTS = np.array([[201.0, 113], [245, 107], [228, 138], [211, 161], [247, 156]])
FACE = IndexedFace(POINTS, np.array([180.0, 60, 90, 120]), (512, 512))


def test_a_cut_begins_on_the_grid_and_keeps_the_points_on_the_face():
    part = cut(PHOTO, FACE)
    shift = POINTS[0] - part.points[0]
    assert (shift % 8 == 0).all()
    left, top = shift.astype(int)
    assert (part.pixels == PHOTO[top : top + part.pixels.shape[0], left : left + part.pixels.shape[1]]).all()
    assert part.box == 120


def test_scaling_moves_the_points_with_the_pixels():
    spot = np.zeros((512, 512, 3), np.uint8)
    cv2.circle(spot, (201, 113), 4, (255, 255, 255), -1)
    small = resize(cut(spot, FACE), 0.5)
    y, x = np.nonzero(small.pixels[..., 0] > 128)
    assert (x.mean(), y.mean()) == pytest.approx(tuple(small.points[0]), abs=0.3)
    assert small.box == 60


def test_a_treatment_scales_the_face_to_the_size_asked_for():
    treated = treat(cut(PHOTO, FACE), Treatment(face=160))
    assert treated.box == pytest.approx(160)
    before = crop_place(POINTS)[1]
    assert crop_place(treated.points)[1] == pytest.approx(before * 160 / 120, rel=0.01)


def test_saving_leaves_a_grid_and_scaling_after_it_hides_it():
    part = cut(PHOTO, FACE)
    assert grid(luma(save(part, 60).pixels)).found
    assert not grid(luma(treat(part, Treatment(qualities=(60,), scale=0.7)).pixels)).found
    assert grid(luma(treat(part, Treatment(scale=0.7, last=(60,))).pixels)).offset == (0, 0)


def test_too_small_a_face_is_not_looked_at():
    part = cut(PHOTO, FACE)
    assert place(part).side == int(crop_place(POINTS)[1]) // 8 * 8
    assert look(part).shape == (len(NAMES),)
    assert look(resize(part, 0.3)) is None
