"""How well a face can be judged: size, sharpness, frontality, exposure, and what the frame's edge cuts off.

Everything follows from the picture and the detection alone, never from landmarks, so that a face has the
same quality whether or not an analyser asked for landmarks.
"""

from __future__ import annotations

import cv2
import numpy as np

from unmask.faces.face import Detection, Quality

SIDE = 112
"""Faces are brought to this width and height, in pixels, before sharpness is measured."""
NOSE_TO_YAW = 1.73
"""sin(yaw) for a nose that lies one face length (eyes to mouth) beside the midline.

Measured against the mesh's yaw on 290 real photographs (correlation 0.97; the yaw that follows is off by
2 degrees in the middle, by 7 at the 90th percentile)."""


def measure(pixels: np.ndarray, detection: Detection) -> Quality:
    """Return the quality of a face in an (H, W, 3) uint8 RGB picture.

    A box wholly outside the picture has occlusion 1, sharpness 0 and exposure 0.
    """
    height, width = pixels.shape[:2]
    box = np.asarray(detection.box, np.float64)
    low = np.clip(box[:2], 0, [width, height])
    high = np.clip(box[:2] + box[2:], 0, [width, height])
    area = float(np.prod(np.maximum(box[2:], 0)))
    seen = float(np.prod(high - low))
    sharpness, exposure = _light(pixels, low, high)
    return Quality(
        size=float(box[2:].max()),
        sharpness=sharpness,
        frontality=frontality(detection.points),
        exposure=exposure,
        occlusion=1.0 - min(1.0, seen / area) if area > 0 else 1.0,
    )


def frontality(points: np.ndarray) -> float:
    """Return the cosine of the yaw that the (5, 2) points suggest: 1 facing the camera .. 0 in profile."""
    points = np.asarray(points, np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    axis = mouth - eyes
    length2 = float(axis @ axis)
    if not length2 > 0:
        return 0.0
    nose = points[2] - eyes
    beside = float(nose[0] * axis[1] - nose[1] * axis[0]) / length2
    return float(np.sqrt(max(0.0, 1.0 - (NOSE_TO_YAW * beside) ** 2)))


def _light(pixels: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Return the variance of the Laplacian, and the mean brightness, of the part between two corners."""
    left, top = np.floor(low).astype(int)
    right, bottom = np.ceil(high).astype(int)
    if right <= left or bottom <= top:
        return 0.0, 0.0
    part = pixels[top:bottom, left:right]
    shrinks = min(part.shape[:2]) > SIDE
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var()), float(grey.mean())
