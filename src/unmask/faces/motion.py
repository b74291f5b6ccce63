"""How an aligned face moves from one moment to the next, against what is round it, by optical flow.

A face is seen in a small wide crop, whose middle half a side is the square of `faces.align`. The numbers of
two moments serve the `temporal` analyser and, as a row beside the deep features, sequence networks.
"""

from __future__ import annotations

import cv2
import numpy as np

from unmask.faces.align import CENTRE, SIDE, TEMPLATE, crop_matrix, warp
from unmask.signals import flow as flows

PIXELS = 96
"""Side of the wide crop: twice the square of `faces.align`, so that the surroundings are seen too."""
CELLS = 12
INSIDE = (slice(PIXELS // 4, 3 * PIXELS // 4),) * 2
AROUND_CELLS = np.ones((CELLS, CELLS), bool)
AROUND_CELLS[2:-2, 2:-2] = False
_FACE_MASK = np.zeros((PIXELS, PIXELS), bool)
_FACE_MASK[INSIDE] = True
_AROUND_MASK = np.kron(AROUND_CELLS, np.ones((PIXELS // CELLS,) * 2, bool)).astype(bool)
MOTION = ("warp", "warp against surroundings", "round trip", "slip", "growth", "mouth_x", "mouth_y", "eyes_y")
"""The numbers of `motion_row`, in its order."""
SIDEWAYS = MOTION.index("mouth_x")
"""The only one that a mirrored face has with the other sign."""


def wide_crop(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut the (96, 96, 3) crop whose middle half a side is the square of `faces.align`."""
    matrix = crop_matrix(points, PIXELS // 2)
    return warp(pixels, matrix + np.array([[0, 0, PIXELS / 4], [0, 0, PIXELS / 4]]), PIXELS)


def _template_mask(points: np.ndarray, *, radius: float) -> np.ndarray:
    """Return the (96, 96) mask within `radius` template units of any of the given places."""
    corner = np.array(CENTRE) - SIDE
    y, x = np.mgrid[:PIXELS, :PIXELS]
    places = np.stack([x, y], axis=2) * (2 * SIDE / PIXELS) + corner
    return np.asarray((np.linalg.norm(places[:, :, None] - points, axis=3) < radius).any(axis=2))


_EYES = _template_mask(TEMPLATE[:2], radius=9)
_MOUTH = _template_mask(TEMPLATE[3:].mean(axis=0, keepdims=True), radius=16)


def flow_numbers(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Measure how flow carries one grey wide crop (96, 96) uint8 into the next.

    Returns:
        `warp`, `warp_around`: grey levels by which face and surroundings differ once moved back along the
        flow; `round_trip`: pixels; `slip`, `mouth_x`, `mouth_y`, `eyes_y`: pixels against the surroundings
        or the rest of the face; `growth`: of the face against its surroundings, a share.
    """
    forward = flows.dense_flow(before, after)
    backward = flows.dense_flow(after, before)
    warped = flows.warping_error(before, after, forward)
    motion = flows.interior_against_boundary(forward, _FACE_MASK, _AROUND_MASK)
    mouth = forward[_MOUTH].mean(axis=0) - motion.interior
    eyes = forward[_EYES].mean(axis=0) - motion.interior
    return {
        "warp": float(warped[_FACE_MASK].mean()),
        "warp_around": float(warped[_AROUND_MASK].mean()),
        "round_trip": float(flows.round_trip_error(forward, backward)[_FACE_MASK].mean()),
        "slip": motion.slip,
        "growth": motion.divergence,
        "mouth_x": float(mouth[0]),
        "mouth_y": float(mouth[1]),
        "eyes_y": float(eyes[1]),
    }


def motion_row(before: np.ndarray, after: np.ndarray, elapsed: float) -> np.ndarray:
    """Return `MOTION` of two wide crops (96, 96, 3) uint8 `elapsed` seconds apart: (8,), about -3..3.

    Motions are per second, so that the rate does not tell; all are compressed (logarithm, inverse hyperbolic
    sine), so that one leap of the tracker does not drown the rest.
    """
    grey = [cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (before, after)]
    measured = flow_numbers(*grey)
    face = PIXELS / 2
    speed = {n: measured[n] / face / elapsed for n in ("slip", "mouth_x", "mouth_y", "eyes_y")}
    return np.array(
        [
            np.log(measured["warp"] + 0.1),
            np.log((measured["warp"] + 0.1) / (measured["warp_around"] + 0.1)),
            np.log(measured["round_trip"] + 0.01) / 2,
            np.log(speed["slip"] + 0.01) / 2,
            np.arcsinh(10 * measured["growth"] / elapsed),
            *(np.arcsinh(10 * speed[name]) for name in ("mouth_x", "mouth_y", "eyes_y")),
        ]
    )
