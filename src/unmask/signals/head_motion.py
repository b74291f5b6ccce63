"""Follows the head as one solid body: its pose from all of the face and from parts, its speed and its jumps.

A swapped face is estimated from another face's landmarks, so the pose of the inner face need not be that of
the head round it (Yang et al. 2018, 1811.00661). A constant difference is the person's own shape; what counts
is how it changes.
"""

from __future__ import annotations

import numpy as np

from unmask.signals.filters import stretches


def fit_rotations(points: np.ndarray, model: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit a solid model to landmarks, frame by frame (least squares; Umeyama 1991, 10.1109/34.88573).

    Args:
        points: (N, K, 3) landmarks.
        model: (K, 3) the same landmarks of a neutral face, not all on one line.

    Returns:
        (N,) scales, (N, 3, 3) rotations and (N,) root mean square misfits in units of the model, with
        `points ~ scale * rotation @ model + shift`.
    """
    target = np.asarray(points, np.float64)
    source = np.asarray(model, np.float64) - np.mean(model, axis=0)
    target = target - target.mean(axis=1, keepdims=True)
    u, singular, vt = np.linalg.svd(np.einsum("nki,kj->nij", target, source))
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None, :]) @ vt
    scale = (singular * sign).sum(axis=1) / (source**2).sum()
    fitted = np.einsum("nij,kj->nki", rotation, source) * scale[:, None, None]
    misfit = np.sqrt(((target - fitted) ** 2).sum(axis=2).mean(axis=1)) / np.maximum(scale, 1e-12)
    return scale, rotation, misfit


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angle in degrees, 0..180, that turns rotations `a` (N, 3, 3) into `b` (N, 3, 3)."""
    # From the chord, not from the arc cosine of the trace, which loses half of the digits at small angles.
    chord = np.sqrt(((np.asarray(a) - np.asarray(b)) ** 2).sum(axis=(-2, -1)) / 8)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))))


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation nearest to the mean of (N, 3, 3) rotations."""
    u, _, vt = np.linalg.svd(np.mean(rotations, axis=0))
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))
    return np.asarray(u @ vt)


def changing_difference(whole: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return by how many degrees (N,) the pose of a part leaves that of the whole, beyond the usual.

    Args:
        whole: (N, 3, 3) rotations fitted to the whole face.
        part: (N, 3, 3) rotations fitted to a part of it.
    """
    between = np.swapaxes(whole, -1, -2) @ part
    return angle_between(between, np.broadcast_to(mean_rotation(between), between.shape))


def angular_velocity(times: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Return the speed of turning between neighbours, (N - 1,) degrees a second."""
    return angle_between(rotations[1:], rotations[:-1]) / np.maximum(np.diff(times), 1e-6)


def angles(rotations: np.ndarray) -> np.ndarray:
    """Return (N, 3) yaw, pitch and roll in degrees of (N, 3, 3) rotations, as `HeadPose` defines them."""
    yaw = np.arcsin(np.clip(rotations[:, 2, 0], -1, 1))
    pitch = np.arctan2(-rotations[:, 2, 1], rotations[:, 2, 2])
    roll = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)))


def jumps(times: np.ndarray, rotations: np.ndarray, *, floor: float = 3.0, factor: float = 8.0) -> np.ndarray:
    """Return (K, 2) times of the frames between which the head turns too suddenly for its neighbours.

    A jump turns by more than `floor` degrees from one frame to the next, and `factor` times as much as the
    median of the five steps round it.
    """
    if len(rotations) < 3:
        return np.empty((0, 2))
    turned = angle_between(rotations[1:], rotations[:-1])
    around = np.lib.stride_tricks.sliding_window_view(np.pad(turned, 2, mode="reflect"), 5)
    sudden = (turned > floor) & (turned > factor * np.maximum(np.median(around, axis=1), 1e-6))
    runs = stretches(sudden)
    return np.stack([times[runs[:, 0]], times[runs[:, 1]]], axis=1)
