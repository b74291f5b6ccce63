"""Faces that stay, and faces that do not."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.faces.face import HeadPose
from unmask.faces.pose import rotation_of
from unmask.signals.consistency import (
    CORNERS,
    IRISES,
    PROPORTIONS,
    drift,
    gaze,
    highlights,
    jitter,
    lengths,
    look,
    tone_difference,
    variation,
)


def test_turning_and_growing_changes_no_proportion():
    face = np.random.default_rng(0).normal(size=(478, 3))
    turned = np.stack([(1 + k) * face @ rotation_of(HeadPose(20 * k, 5 * k, 9 * k)).T for k in range(4)])
    assert lengths(turned) == pytest.approx(np.repeat(lengths(face[None]), 4, axis=0))
    assert variation(lengths(turned)) == pytest.approx(np.zeros(len(PROPORTIONS)), abs=1e-9)


def test_the_variation_of_normal_lengths_is_their_relative_deviation():
    values = 2 + 0.1 * np.random.default_rng(0).normal(size=(20000, 1))
    assert variation(values) == pytest.approx([0.05], rel=0.03)


def test_motion_of_camera_and_head_is_no_jitter():
    shape = np.random.default_rng(1).normal(size=(30, 2))
    moved = []
    for k in range(20):
        angle, size = 0.3 * np.sin(k), 1 + 0.2 * np.cos(k)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved.append(size * shape @ turn.T + (5 * k, k**2))
    scale = np.array([1 + 0.2 * np.cos(k) for k in range(20)])
    assert jitter(np.stack(moved), scale) == pytest.approx(np.zeros(18), abs=1e-9)


def test_independent_errors_of_landmarks_are_measured_by_their_size():
    random = np.random.default_rng(2)
    shape = 10 * random.normal(size=(60, 2))
    trembling = shape + random.normal(0, 0.05, (2000, 60, 2))
    # two coordinates of 0.05 each, over a length of 10
    found = float(np.median(jitter(trembling, np.full(2000, 10.0))))
    assert found == pytest.approx(0.05 * np.sqrt(2) / 10, rel=0.1)


def test_irises_in_the_middle_of_their_eyes_look_straight():
    landmarks = np.zeros((1, 478, 3))
    for (outer, inner), iris, x in zip(CORNERS, IRISES, (0.0, 10.0), strict=True):
        landmarks[0, outer], landmarks[0, inner] = (x, 0, 0), (x + 4, 0, 0)
        landmarks[0, iris[0]] = (x + 2, 0, 0)
    assert gaze(landmarks, np.eye(3)[None]) == pytest.approx(np.zeros((1, 2, 2)))
    landmarks[0, IRISES[0][0]] = (3, 1, 0)  # a quarter of the eye to the right, a quarter down
    assert gaze(landmarks, np.eye(3)[None])[0, 0] == pytest.approx([0.25, 0.25])


def test_the_brightest_spot_of_each_iris_is_found():
    pixels = np.full((60, 120, 3), 40, np.uint8)
    landmarks = np.zeros((478, 3))
    for iris, x in zip(IRISES, (30, 90), strict=True):
        landmarks[list(iris), :2] = [(x, 30), (x + 10, 30), (x, 20), (x - 10, 30), (x, 40)]
    pixels[24:27, 34:37] = 250  # round (35, 25): half a radius right and up
    pixels[24:27, 94:97] = 250
    found = highlights(pixels, landmarks)
    assert found[:, :2] == pytest.approx(np.array([[0.5, -0.5], [0.5, -0.5]]), abs=0.11)
    assert (found[:, 2] > 100).all()


def test_irises_too_small_or_outside_show_nothing():
    landmarks = np.zeros((478, 3))
    assert np.isnan(highlights(np.zeros((50, 50, 3), np.uint8), landmarks)).all()


def test_light_and_contrast_do_not_change_the_look():
    crop = np.random.default_rng(3).integers(50, 120, (64, 64, 3)).astype(np.uint8)
    assert look(crop) @ look((crop * 1.5 + 20).astype(np.uint8)) > 0.999
    looks = np.stack([look(crop), look(crop), look(crop[::-1])])
    assert drift(looks)[2] > drift(looks)[0]


def test_alike_colours_have_no_distance():
    skin = np.array([[180.0, 130, 110], [90, 65, 55]])
    assert tone_difference(skin, skin) == pytest.approx([0, 0])
    # sRGB (255, 0, 0) and (0, 255, 0) lie at a*b* = (80.09, 67.20) and (-86.18, 83.18)
    red, green = np.array([[255.0, 0, 0]]), np.array([[0, 255.0, 0]])
    assert tone_difference(red, green) == pytest.approx([np.hypot(166.27, 15.98)], abs=0.5)
