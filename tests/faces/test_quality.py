"""Quality against hand-made pictures and boxes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from unmask.faces.face import Detection
from unmask.faces.quality import frontality, measure

POINTS = np.array([[40, 40], [80, 40], [60, 60], [45, 80], [75, 80]], np.float32)


def face(*box: float, points: np.ndarray = POINTS) -> Detection:
    return Detection(np.array(box, np.float32), points, 0.9)


def test_an_even_grey_face_has_no_sharpness_and_its_own_brightness():
    quality = measure(np.full((200, 200, 3), 90, np.uint8), face(20, 20, 80, 100))
    assert quality.size == 100
    assert quality.sharpness == 0
    assert quality.exposure == pytest.approx(90, abs=1)
    assert quality.occlusion == 0


@pytest.mark.parametrize(
    ("box", "outside"),
    [
        ((-50, 0, 100, 100), 0.5),
        ((150, 150, 100, 100), 0.75),
        ((-10, -10, 40, 40), 1 - 30 * 30 / 1600),
        ((300, 300, 50, 50), 1.0),
        ((-500, 20, 50, 50), 1.0),
        ((20, 20, 0, 0), 1.0),
    ],
)
def test_occlusion_is_the_share_outside_the_picture(box, outside):
    quality = measure(np.full((200, 200, 3), 90, np.uint8), face(*box))
    assert quality.occlusion == pytest.approx(outside)
    if outside == 1.0:
        assert quality.sharpness == quality.exposure == 0


def test_blur_lowers_sharpness():
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3)).astype(np.float64)
    box = face(10, 10, 112, 112)
    sharp, blurred = (
        measure(gaussian_filter(noise, (sigma, sigma, 0)).astype(np.uint8), box).sharpness
        for sigma in (0.5, 2)
    )
    assert sharp > 10 * blurred


def test_frontality_is_one_when_the_nose_is_on_the_midline_and_zero_in_profile():
    assert frontality(POINTS) == pytest.approx(1.0)
    aside = POINTS.copy()
    # The face is 40 px from eyes to mouth: a nose 20 px aside gives sin(yaw) = 0.865, cos = 0.50.
    aside[2, 0] += 20
    assert frontality(aside) == pytest.approx(0.5018, abs=1e-3)
    aside[2, 0] += 20
    assert frontality(aside) == 0.0


def test_frontality_does_not_depend_on_tilt_or_size():
    aside = POINTS.copy()
    aside[2, 0] += 12
    turn = np.array([[0.0, -3.0], [3.0, 0.0]])
    assert frontality(aside @ turn.T + 500) == pytest.approx(frontality(aside), abs=1e-6)


def test_frontality_of_coinciding_points_is_zero():
    assert frontality(np.full((5, 2), 7.0)) == 0.0
