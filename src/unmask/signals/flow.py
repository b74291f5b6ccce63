"""Dense optical flow between two pictures, and what it says about their agreement.

The flow is DIS (Kroeger et al. 2016, 1603.03590) as OpenCV has it; Farneback's (2003), tried beside it,
missed the rotation of the tests by 0.64 pixels where DIS keeps within 0.3. A flow maps a pixel of the first
picture to where it lies in the second: `(H, W, 2)` float32, x and y in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


def dense_flow(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the flow (H, W, 2) from `before` to `after`, both (H, W) uint8, at least 16 pixels a side.

    Raises:
        ValueError: the pictures differ in shape, or are not grey.
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"two grey pictures of one shape are needed, not {before.shape} and {after.shape}")
    return np.asarray(_dis().calc(before, after, np.zeros((*before.shape, 2), np.float32)))


@cache
def _dis() -> cv2.DISOpticalFlow:
    """Return DIS with overlapping patches and refinement at full size: faces in crops are small."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0)
    return estimator


def pull(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the second picture (H, W[, C]) as it looks moved back onto the first along the flow."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.asarray(
        cv2.remap(picture, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    )


def round_trip_error(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Return how far each pixel ends from where it began, there and back: (H, W) pixels, 0 where consistent.

    Large where something is covered, uncovered, or has no counterpart (Sundaram et al. 2010,
    doi 10.1007/978-3-642-15549-9_32, section 4).
    """
    return np.asarray(np.linalg.norm(forward + pull(backward, forward), axis=2))


def warping_error(before: np.ndarray, after: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Return the grey levels by which `after`, moved back along the flow, still differs: (H, W) float32.

    A difference of mean brightness is taken off first: it is a change of light, not of shape.
    """
    moved = pull(after, flow).astype(np.float32)
    first = before.astype(np.float32)
    return np.abs(moved - first - (moved.mean() - first.mean()))


def divergence(flow: np.ndarray) -> np.ndarray:
    """Return the divergence du/dx + dv/dy of a flow, (H, W), per frame: above 0 where the picture grows."""
    return np.gradient(flow[..., 0], axis=1) + np.gradient(flow[..., 1], axis=0)


@dataclass(frozen=True)
class Motion:
    """Interior of a face against its boundary.

    `interior` and `boundary` are mean displacements (2,) in pixels; `slip` is the length of their
    difference; `divergence` the interior's mean divergence less the boundary's.
    """

    interior: np.ndarray
    boundary: np.ndarray
    slip: float
    divergence: float


def interior_against_boundary(flow: np.ndarray, interior: np.ndarray, boundary: np.ndarray) -> Motion:
    """Compare the motion within a face with the motion round it.

    Args:
        flow: (H, W, 2).
        interior: (H, W) bool, the face.
        boundary: (H, W) bool, the ring round it.

    Raises:
        ValueError: one of the masks is empty.
    """
    if not interior.any() or not boundary.any():
        raise ValueError("the masks of interior and boundary must not be empty")
    grows = divergence(flow)
    inside, around = flow[interior].mean(axis=0), flow[boundary].mean(axis=0)
    return Motion(
        inside,
        around,
        float(np.linalg.norm(inside - around)),
        float(grows[interior].mean() - grows[boundary].mean()),
    )
