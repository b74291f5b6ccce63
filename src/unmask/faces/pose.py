"""Head pose from the face mesh: the rotation that best carries a neutral face onto the landmarks.

The fit is the least-squares similarity transform in three dimensions (Umeyama 1991,
doi 10.1109/34.88573); no camera is assumed, because the mesh gives its depth in the scale of its x.
The neutral face holds 60 landmarks that expressions move little (brow line, temples, nose, cheekbones):
the mean of 147 real portraits, aligned to each other and made symmetric. Pitch 0 is the median of those
portraits, all of people who look into a camera: individual faces and the mesh differ from it by several
degrees, so differences of pitch say more than its value.
"""

from __future__ import annotations

import numpy as np

from unmask.faces.face import HeadPose

# Landmark on the person's right, its mirror image on the left, and x, y (down), z (away from the camera) of
# the former, in distances between the outer eye corners. Points with one number twice lie on the midline.
_NEUTRAL_HALF = (
    (10, 10, 0.0000, -0.5563, -0.1749),
    (151, 151, 0.0000, -0.3741, -0.2118),
    (9, 9, 0.0000, -0.1780, -0.2365),
    (8, 8, 0.0000, -0.0811, -0.2194),
    (168, 168, 0.0000, 0.0068, -0.2133),
    (6, 6, 0.0000, 0.0978, -0.2613),
    (197, 197, 0.0000, 0.1788, -0.3163),
    (195, 195, 0.0000, 0.2524, -0.3760),
    (5, 5, 0.0000, 0.3311, -0.4379),
    (4, 4, 0.0000, 0.4252, -0.4647),
    (1, 1, 0.0000, 0.4969, -0.4400),
    (2, 2, 0.0000, 0.5657, -0.2628),
    (33, 263, -0.5000, 0.0394, 0.0404),
    (133, 362, -0.1925, 0.0651, -0.0218),
    (54, 284, -0.6694, -0.3626, 0.1950),
    (103, 332, -0.5585, -0.4584, 0.0485),
    (67, 297, -0.3932, -0.5215, -0.0798),
    (109, 338, -0.2123, -0.5512, -0.1549),
    (21, 251, -0.7395, -0.2383, 0.3364),
    (162, 389, -0.7746, -0.1020, 0.4842),
    (127, 356, -0.7862, 0.0670, 0.6022),
    (234, 454, -0.7801, 0.2292, 0.6567),
    (50, 280, -0.5534, 0.4064, -0.0189),
    (101, 330, -0.3892, 0.3265, -0.0794),
    (36, 266, -0.3444, 0.4198, -0.1104),
    (98, 327, -0.1909, 0.5347, -0.1713),
    (129, 358, -0.2337, 0.4587, -0.1311),
    (71, 301, -0.6923, -0.1823, 0.1847),
    (68, 298, -0.6192, -0.2810, 0.0574),
    (104, 333, -0.5104, -0.3469, -0.0488),
    (69, 299, -0.3518, -0.3745, -0.1423),
    (108, 337, -0.1871, -0.3767, -0.1947),
    (156, 383, -0.6778, -0.0367, 0.1365),
    (116, 345, -0.7113, 0.2235, 0.1888),
    (117, 346, -0.5926, 0.2256, 0.0472),
    (118, 347, -0.5059, 0.2535, -0.0170),
)


def _whole(half: tuple[tuple[int, int, float, float, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    points = {right: (x, y, z) for right, _, x, y, z in half}
    points |= {left: (-x, y, z) for _, left, x, y, z in half}
    return np.array(list(points)), np.array(list(points.values()))


RIGID, NEUTRAL = _whole(_NEUTRAL_HALF)
"""The landmarks that the fit reads, (60,) indices, and where they lie on the neutral face, (60, 3)."""


def fit_neutral(landmarks: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit the neutral face to (478, 3) landmarks.

    Returns:
        Scale s, (3, 3) rotation R and (3,) shift t with `landmarks = s * R @ neutral + t`; s is the
        distance between the outer eye corners in pixels, as it would be seen from the front.

    Raises:
        ValueError: the landmarks coincide, or are not finite.
    """
    target = np.asarray(landmarks, np.float64)[RIGID]
    if not np.isfinite(target).all():
        raise ValueError("landmarks must be finite")
    target_mean, source_mean = target.mean(axis=0), NEUTRAL.mean(axis=0)
    a, b = NEUTRAL - source_mean, target - target_mean
    if not (b**2).sum() > 1e-9:
        raise ValueError("the landmarks coincide: they have no pose")
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (a**2).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


def rotation_of(pose: HeadPose) -> np.ndarray:
    """Return the (3, 3) rotation of a pose: first pitch, then yaw, then roll, in picture axes.

    The axes are x to the right, y down and z away from the camera.
    """
    yaw, pitch, roll = np.radians([pose.yaw, pose.pitch, pose.roll])
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(tilt @ turn @ nod)


def pose_of(rotation: np.ndarray) -> HeadPose:
    """Return the pose of a (3, 3) rotation, the inverse of `rotation_of`; yaw lies in -90..90 degrees."""
    yaw = np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))
    pitch = np.arctan2(-rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return HeadPose(*(float(np.degrees(angle)) for angle in (yaw, pitch, roll)))


def head_pose(landmarks: np.ndarray) -> HeadPose:
    """Return the head pose of (478, 3) landmarks (see `fit_neutral` for errors)."""
    return pose_of(fit_neutral(landmarks)[1])
