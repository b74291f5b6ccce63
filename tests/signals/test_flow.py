"""Flow against known motion: the end-point error is at most 0.3 pixels."""

import cv2
import numpy as np
import pytest
from skimage import data

from unmask.signals.flow import (
    dense_flow,
    divergence,
    interior_against_boundary,
    pull,
    round_trip_error,
    warping_error,
)

SIDE = 128
CENTRE = (SIDE - 1) / 2


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """The face of scikit-image's astronaut with what is round it, (128, 128) grey."""
    return (
        cv2.resize(data.astronaut()[20:220, 120:320], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        .mean(axis=2)
        .astype(np.uint8)
    )


def moved(picture: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture moved by a (2, 3) map, and the true flow (H, W, 2)."""
    after = cv2.warpAffine(
        picture, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    places = np.stack([x, y], axis=2)
    return after, places @ matrix[:, :2].T + matrix[:, 2] - places


def about_centre(turn: np.ndarray, shift=(0.0, 0.0)) -> np.ndarray:
    middle = np.full(2, CENTRE)
    return np.column_stack([turn, middle - turn @ middle + shift])


def rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s], [s, c]])


MOTIONS = {
    "translation": about_centre(np.eye(2), (3.3, -1.6)),
    "small translation": about_centre(np.eye(2), (0.25, 0.4)),
    "rotation": about_centre(rotation(4.0)),
    "zoom": about_centre(np.eye(2) * 1.05),
    "zoom out": about_centre(np.eye(2) * 0.96),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_known_motion_is_measured_to_0_3_pixels(picture, name):
    after, true = moved(picture, MOTIONS[name])
    error = np.linalg.norm(dense_flow(picture, after) - true, axis=2)
    assert error[12:-12, 12:-12].mean() <= 0.3


def test_there_and_back_leads_home_where_nothing_is_hidden(picture):
    after, _ = moved(picture, MOTIONS["translation"])
    error = round_trip_error(dense_flow(picture, after), dense_flow(after, picture))
    assert np.median(error[12:-12, 12:-12]) < 0.2


def test_a_patch_from_elsewhere_does_not_lead_home(picture):
    after = picture.copy()
    after[50:80, 50:80] = picture[90:120, 10:40][::-1]
    error = round_trip_error(dense_flow(picture, after), dense_flow(after, picture))
    warped = warping_error(picture, after, dense_flow(picture, after))
    assert error[52:78, 52:78].mean() > 5 * error[:40].mean()
    assert warped[52:78, 52:78].mean() > 5 * warped[:40].mean()


def test_a_brighter_picture_is_no_warping_error(picture):
    dim = (picture * 0.7).astype(np.uint8)
    assert warping_error(dim, dim + 40, np.zeros((SIDE, SIDE, 2), np.float32)).max() == 0


def test_pulling_back_undoes_a_shift():
    ramp = np.tile(np.arange(20, dtype=np.float32), (20, 1))
    flow = np.zeros((20, 20, 2), np.float32)
    flow[..., 0] = 3
    # each pixel shows what lies three pixels to its right
    assert pull(ramp, flow)[:, :17] == pytest.approx(ramp[:, :17] + 3)


def test_divergence_of_a_zoom_is_twice_its_rate():
    y, x = np.mgrid[:40, :40].astype(float)
    assert divergence(np.stack([0.05 * x, 0.05 * y], axis=2)) == pytest.approx(0.1)
    assert divergence(np.stack([-0.05 * y, 0.05 * x], axis=2)) == pytest.approx(0)  # a rotation


def test_a_face_that_slides_over_its_surroundings_slips():
    flow = np.zeros((30, 30, 2))
    flow[10:20, 10:20] = (3, 4)
    inside = np.zeros((30, 30), bool)
    inside[11:19, 11:19] = True
    ring = np.ones((30, 30), bool)
    ring[8:22, 8:22] = False
    motion = interior_against_boundary(flow, inside, ring)
    assert motion.slip == pytest.approx(5)
    assert motion.interior == pytest.approx([3, 4])
    assert motion.divergence == pytest.approx(0)
    with pytest.raises(ValueError, match="empty"):
        interior_against_boundary(flow, inside & ring, ring)


def test_pictures_of_two_shapes_are_refused(picture):
    with pytest.raises(ValueError, match="one shape"):
        dense_flow(picture, picture[1:])
