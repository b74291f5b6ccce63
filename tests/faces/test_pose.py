"""Head pose: known rotations of the neutral face are read back, and the signs mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from unmask.faces.face import HeadPose
from unmask.faces.pose import NEUTRAL, RIGID, fit_neutral, head_pose, pose_of, rotation_of

NOSE = list(RIGID).index(4)
RIGHT_EYE, LEFT_EYE = list(RIGID).index(33), list(RIGID).index(263)


def landmarks_of(points: np.ndarray) -> np.ndarray:
    """478 landmarks of which those that the fit reads are the given ones."""
    whole = np.full((478, 3), 1e6)
    whole[RIGID] = points
    return whole


def test_the_neutral_face_is_symmetric_and_one_eye_distance_wide():
    mirrored = NEUTRAL * [-1, 1, 1]
    distance = np.linalg.norm(NEUTRAL[:, None] - mirrored[None], axis=2).min(axis=1)
    assert distance.max() < 1e-9
    assert np.linalg.norm(NEUTRAL[RIGHT_EYE] - NEUTRAL[LEFT_EYE]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("axis", "degrees", "pose"),
    [
        # Picture axes: x right, y down, z away. By the right-hand rule a turn about +y by -30 degrees takes
        # the nose (pointing to -z) to +x: the viewer's right, the person's left.
        ("y", -30, HeadPose(30, 0, 0)),
        # About +x by -20 degrees the nose goes to -y, up.
        ("x", -20, HeadPose(0, 20, 0)),
        # About +z by 15 degrees x goes to y: clockwise on a picture whose y runs down.
        ("z", 15, HeadPose(0, 0, 15)),
    ],
)
def test_signs(axis, degrees, pose):
    turned = NEUTRAL @ Rotation.from_euler(axis, degrees, degrees=True).as_matrix().T
    found = head_pose(landmarks_of(turned * 80 + [300, 200, 5]))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((pose.yaw, pose.pitch, pose.roll), abs=1e-6)
    nose = turned[NOSE] - NEUTRAL[NOSE]
    if pose.yaw:
        assert nose[0] > 0
    if pose.pitch:
        assert nose[1] < 0
    if pose.roll:
        assert turned[LEFT_EYE, 1] > turned[RIGHT_EYE, 1]


@settings(deadline=None, max_examples=40)
@given(
    yaw=st.floats(-85, 85),
    pitch=st.floats(-85, 85),
    roll=st.floats(-175, 175),
    scale=st.floats(3, 2000),
    x=st.floats(-4000, 4000),
)
def test_any_pose_scale_and_place_is_read_back(yaw, pitch, roll, scale, x):
    # scipy's intrinsic "ZYX" is Rz Ry Rx; yaw and pitch count the other way round about y and x.
    rotation = Rotation.from_euler("ZYX", [roll, -yaw, -pitch], degrees=True).as_matrix()
    points = scale * NEUTRAL @ rotation.T + [x, -x / 2, 7]
    found = head_pose(landmarks_of(points))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=1e-4)
    found_scale, found_rotation, shift = fit_neutral(landmarks_of(points))
    assert found_scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found_rotation, rotation, atol=1e-6)
    np.testing.assert_allclose(shift, [x, -x / 2, 7], atol=1e-4 * max(1, scale))


@settings(deadline=None, max_examples=40)
@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(-179, 179))
def test_rotation_and_pose_are_inverse(yaw, pitch, roll):
    expected = Rotation.from_euler("ZYX", [roll, -yaw, -pitch], degrees=True).as_matrix()
    np.testing.assert_allclose(rotation_of(HeadPose(yaw, pitch, roll)), expected, atol=1e-9)
    pose = pose_of(expected)
    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_a_mirrored_cloud_is_still_fitted_by_a_rotation():
    _, rotation, _ = fit_neutral(landmarks_of(NEUTRAL * [1, 1, -1]))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [np.zeros((478, 3)), np.full((478, 3), np.nan), np.full((478, 3), np.inf)])
def test_landmarks_without_a_pose_are_refused(bad):
    with pytest.raises(ValueError, match="landmarks"):
        head_pose(bad)
