"""The value objects of the `faces` room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detection:
    """One face found by the detector in one picture.

    `box` is (x, y, width, height) in displayed pixels; `points` is (5, 2): the person's right eye,
    left eye, nose tip, right and left mouth corner; `score` in 0..1.
    """

    box: np.ndarray
    points: np.ndarray
    score: float


@dataclass(frozen=True)
class HeadPose:
    """Head rotation in degrees.

    yaw > 0 turns to the person's left, pitch > 0 looks up, roll > 0 tilts clockwise.
    """

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True)
class Quality:
    """How much a face lets itself be judged.

    `size` is the box's longer side in pixels; `sharpness` the variance of the Laplacian of the crop
    normalised to 112 px; `frontality` 1 (facing the camera) .. 0 (profile); `exposure` the mean
    brightness 0..255; `occlusion` the share of the box that lies outside the picture, 0..1.
    """

    size: float
    sharpness: float
    frontality: float
    exposure: float
    occlusion: float


@dataclass(frozen=True)
class Face:
    """One face of one track in one frame. Landmarks are (478, 3) in displayed pixels; blendshapes (52,)."""

    track: int
    frame_index: int
    time: float | None
    detection: Detection
    quality: Quality
    landmarks: np.ndarray | None = None
    blendshapes: np.ndarray | None = None
    pose: HeadPose | None = None
