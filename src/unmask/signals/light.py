"""Direction of the light on a surface whose normals are known, and whether it changes with its surroundings.

Under distant light a matt surface is well described by first-order spherical harmonics (Basri & Jacobs
2003, doi 10.1109/TPAMI.2003.1177153): brightness = ambient + v . n. Where a surface turns away from the
light it stays at the ambient value (an attached shadow), which the fit allows for.
Axes: x to the right, y down, z away from the camera; normals point out of the surface, so that those that
are seen have z below 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDS = 8
"""Rounds in which the fit settles which points lie in attached shadow."""
MIN_POINTS = 8


@dataclass(frozen=True)
class Light:
    """Light on a surface.

    `ambient` is the brightness in shadow; `vector` (3,) points towards the light, its length is the rise
    of brightness where the surface faces it; `explained` is the share of variance explained, 0..1.
    """

    ambient: float
    vector: np.ndarray
    explained: float

    @property
    def direction(self) -> np.ndarray:
        """The unit vector (3,) towards the light; zero where the light has no direction."""
        length = float(np.linalg.norm(self.vector))
        return self.vector / length if length > 1e-9 else np.zeros(3)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the (N, 3) unit normals of a mesh, turned towards the camera: areas of the triangles weigh.

    Args:
        vertices: (N, 3).
        triangles: (T, 3) indices of vertices, in any order.
    """
    corners = vertices[triangles]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing[facing[:, 2] > 0] *= -1
    normals = np.zeros_like(vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def fit_light(normals: np.ndarray, brightness: np.ndarray) -> Light:
    """Fit ambient light and light vector by least squares.

    Args:
        normals: (N, 3) unit normals, N >= 8.
        brightness: (N,), in any unit.

    Raises:
        ValueError: there are too few points, or a value is not finite.
    """
    normals, brightness = np.asarray(normals, np.float64), np.asarray(brightness, np.float64)
    if len(normals) < MIN_POINTS or len(normals) != len(brightness):
        raise ValueError(f"at least {MIN_POINTS} normals with their brightness are needed")
    if not (np.isfinite(normals).all() and np.isfinite(brightness).all()):
        raise ValueError("normals and brightness must be finite")
    lit = np.ones(len(normals), bool)
    for _ in range(ROUNDS):
        design = np.column_stack([np.ones(len(normals)), normals * lit[:, None]])
        solution, *_ = np.linalg.lstsq(design, brightness, rcond=None)
        now = normals @ solution[1:] > 0
        if (now == lit).all() or now.sum() < MIN_POINTS:
            break
        lit = now
    spread = float(((brightness - brightness.mean()) ** 2).sum())
    left = float(((brightness - design @ solution) ** 2).sum())
    explained = 1 - left / spread if spread > 1e-12 else 0.0
    return Light(float(solution[0]), solution[1:], float(np.clip(explained, 0, 1)))


def angle_between(first: np.ndarray, second: np.ndarray) -> float:
    """Return the angle in degrees between two vectors (3,); 0 where one of them has no length."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    if lengths < 1e-12:
        return 0.0
    return float(np.degrees(np.arccos(np.clip(first @ second / lengths, -1, 1))))


def agreement(face: np.ndarray, surroundings: np.ndarray) -> float:
    """Return how far changes of the face's light follow those of its surroundings: correlation, -1..1.

    Args:
        face: (N,) changes from sample to sample, in any unit.
        surroundings: (N,) changes of the surroundings at the same moments.

    0 where one of the two does not change.
    """
    a, b = face - np.mean(face), surroundings - np.mean(surroundings)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b / lengths) if lengths > 1e-12 else 0.0
