"""How well a face can be judged: size, sharpness, frontality, exposure, and what the frame's edge cuts off.

Everything follows from the picture and the detection, so that a face has the same quality whether or not
an analyser asked for landmarks. Only where the box meets the frame's edge is more needed, because the
detector's box then ends at the edge while the face does not: see `meets_edge`.
"""

from __future__ import annotations

import cv2
import numpy as np

from unmask.faces.face import Detection, Quality

SIDE = 112
"""Faces are brought to this width and height, in pixels, before sharpness is measured."""
EDGE = 0.05
"""Distance from the picture's edge, in longer sides of the box, within which a face may be cut off."""
NOSE_TO_YAW = 1.73
"""sin(yaw) for a nose that lies one face length (eyes to mouth) beside the midline.

Measured against the mesh's yaw on 290 real photographs (correlation 0.97; the yaw that follows is off by
2 degrees in the middle, by 7 at the 90th percentile)."""


def meets_edge(pixels: np.ndarray, detection: Detection) -> bool:
    """Say whether a face comes so close to the picture's edge that part of it may lie beyond."""
    height, width = pixels.shape[:2]
    box = np.asarray(detection.box, np.float64)
    near = EDGE * float(box[2:].max())
    return bool((box[:2] < near).any() or (box[:2] + box[2:] > np.array([width, height]) - near).any())


def measure(pixels: np.ndarray, detection: Detection, *, extent: np.ndarray | None = None) -> Quality:
    """Return the quality of a face in an (H, W, 3) uint8 RGB picture.

    `extent` is the box (x, y, width, height) of the whole face, with what lies outside the picture, where
    it is known better than from the detection; it serves for the occlusion. A box wholly outside the
    picture has occlusion 1, sharpness 0 and exposure 0.
    """
    height, width = pixels.shape[:2]
    box = np.asarray(detection.box, np.float64)
    low = np.clip(box[:2], 0, [width, height])
    high = np.clip(box[:2] + box[2:], 0, [width, height])
    sharpness, exposure = _light(pixels, low, high)
    return Quality(
        size=float(box[2:].max()),
        sharpness=sharpness,
        frontality=frontality(detection.points),
        exposure=exposure,
        occlusion=_outside(box if extent is None else np.asarray(extent, np.float64), width, height),
    )


def _outside(box: np.ndarray, width: int, height: int) -> float:
    """Return the share of a box that lies outside the picture."""
    low = np.clip(box[:2], 0, [width, height])
    high = np.clip(box[:2] + box[2:], 0, [width, height])
    area = float(np.prod(np.maximum(box[2:], 0)))
    return 1.0 - min(1.0, float(np.prod(high - low)) / area) if area > 0 else 1.0


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
