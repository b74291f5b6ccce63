"""The direction of light on rendered spheres and on a rendered face, to 10 degrees."""

import numpy as np
import pytest
from scipy.spatial import Delaunay

from unmask.faces.pose import NEUTRAL
from unmask.signals.light import agreement, angle_between, fit_light, vertex_normals

DIRECTIONS = {
    "front": (0, 0, -1.0),
    "left": (-0.8, -0.2, -0.6),
    "above": (0.1, -0.9, -0.4),
    "low right": (0.7, 0.4, -0.5),
}


def unit(vector) -> np.ndarray:
    return np.asarray(vector, float) / np.linalg.norm(vector)


def sphere() -> np.ndarray:
    """Normals of the visible half of a sphere, as a camera far away sees it."""
    y, x = np.mgrid[-0.95:0.96:0.05, -0.95:0.96:0.05]
    inside = x**2 + y**2 < 0.9
    x, y = x[inside], y[inside]
    return np.column_stack([x, y, -np.sqrt(1 - x**2 - y**2)])


def lambert(normals, direction, *, ambient=40.0, strength=150.0, noise=3.0) -> np.ndarray:
    grey = ambient + strength * np.maximum(0, normals @ unit(direction))
    return grey + noise * np.random.default_rng(1).standard_normal(len(normals))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_light_on_a_sphere_is_found_to_10_degrees(name):
    normals = sphere()
    light = fit_light(normals, lambert(normals, DIRECTIONS[name]))
    assert angle_between(light.vector, unit(DIRECTIONS[name])) <= 10
    assert light.ambient == pytest.approx(40, abs=6)
    assert light.explained > 0.95


@pytest.mark.parametrize("name", DIRECTIONS)
def test_light_on_a_face_is_found_to_10_degrees(name):
    triangles = Delaunay(NEUTRAL[:, :2]).simplices
    normals = vertex_normals(NEUTRAL, triangles)
    light = fit_light(normals, lambert(normals, DIRECTIONS[name]))
    assert angle_between(light.vector, unit(DIRECTIONS[name])) <= 10


def test_vertex_normals_of_a_sphere_are_its_radii():
    points = sphere()
    normals = vertex_normals(points, Delaunay(points[:, :2]).simplices)
    inner = np.linalg.norm(points[:, :2], axis=1) < 0.7
    assert (normals[inner] * points[inner]).sum(axis=1).min() > 0.99


def test_even_light_has_no_direction():
    light = fit_light(sphere(), np.full(len(sphere()), 90.0))
    assert light.direction == pytest.approx(np.zeros(3))
    assert light.ambient == pytest.approx(90)
    assert angle_between(light.vector, np.array([1.0, 0, 0])) == 0


def test_too_little_or_broken_input_is_refused():
    with pytest.raises(ValueError, match="at least"):
        fit_light(sphere()[:5], np.ones(5))
    with pytest.raises(ValueError, match="finite"):
        fit_light(sphere(), np.full(len(sphere()), np.nan))


def test_angles_are_in_degrees():
    assert angle_between(np.array([2.0, 0, 0]), np.array([0, 3.0, 0])) == pytest.approx(90)


def test_light_that_changes_with_its_surroundings_agrees():
    change = np.array([1.0, -2, 3, 0, -2])
    assert agreement(change, 5 * change + 1) == pytest.approx(1)
    assert agreement(change, -change) == pytest.approx(-1)
    assert agreement(change, np.zeros(5)) == 0
