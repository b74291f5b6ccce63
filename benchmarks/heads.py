"""A head that can be turned by known angles: a portrait closed to a solid.

Triangles are drawn by a z-buffer, with soft light from the upper left that stays where it is. The portrait's
head is the mesh of its face, then a band of hair, ear or neck as far as the picture shows the head, then a
back; measures that the picture cannot give are anatomy: a head is 1.29 times as long as broad (195 to 151 mm
in men), and its broadest part lies behind the ears' front.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import median_filter, minimum_filter
from scipy.spatial import Delaunay

from unmask.faces.face import HeadPose
from unmask.faces.pose import rotation_of

LENGTH_OF_BREADTH = 1.29
DIRECTIONS = 180
BAND, BACK = 14, 20
"""Rings of triangles from the face to the outline, and from there to the back of the head."""
TRUSTED = 0.95
"""Share of the way to the face's border within which the picture shows skin and not what is behind it."""
FINE = 2
"""Pictures are drawn this much larger and averaged."""
LIGHT = np.array([-0.3, -0.5, -0.8]) / np.linalg.norm([-0.3, -0.5, -0.8])
LARGEST = 400
"""Longest side of a triangle in pixels of the drawing."""


@dataclass(frozen=True)
class Solid:
    """A textured surface.

    `points` (V, 3) in pixels of the picture, x to the right, y down, z away, round the point that it turns
    about; `triangles` (T, 3); `places` (V, 2) in pixels of `texture`, which holds the first view's light.
    """

    points: np.ndarray
    triangles: np.ndarray
    places: np.ndarray
    texture: np.ndarray

    def brightness(self, rotation: np.ndarray) -> np.ndarray:
        """Return (V,) factors on the texture's colours of the surface turned by a (3, 3) rotation."""
        # Normals of an egg: the colours show the small shapes already, and a crease would be lit as a seam.
        normals = self.points / np.abs(self.points).max(axis=0) ** 2
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return np.asarray(np.clip(_soft(normals @ rotation.T) / _soft(normals), 0.8, 1.25))


def show(solid: Solid, pose: HeadPose, behind: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return the head turned by a pose in front of a background, (S, S, 3) float32.

    Args:
        solid: the head.
        pose: by how much it turns.
        behind: (S, S, 3) background.
        middle: (x, y) where its turning point lies in the picture.
    """
    side = len(behind)
    rotation = rotation_of(pose)
    drawn = FINE * solid.points @ rotation.T + [*(FINE * (np.asarray(middle) + 0.5) - 0.5), 0]
    colours, there = draw(drawn, solid, solid.brightness(rotation), FINE * side)
    small = [cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in (colours, there)]
    return np.asarray(small[0] + behind * (1 - small[1][..., None]), np.float32)


def draw(points: np.ndarray, solid: Solid, bright: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a solid's triangles with its corners at (V, 3) points; the nearest surface is seen.

    Returns:
        (side, side, 3) colours, 0 where nothing is, and (side, side) 1 where something is, both float32.
    """
    corners = points[solid.triangles]
    low = np.ceil(corners[..., :2].min(axis=1)).astype(int)
    extent = np.floor(corners[..., :2].max(axis=1)).astype(int) - low + 1
    first, second = corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    drawable = (np.abs(area) > 1e-9) & (extent.min(axis=1) > 0)
    depth = np.full(side * side, np.inf)
    shown = np.zeros((side * side, 3), np.float32)
    values = np.column_stack([solid.places, bright])
    reach = 0
    for size in (4, 8, 16, 32, 64, LARGEST):
        chosen = np.flatnonzero(drawable & (extent.max(axis=1) > reach) & (extent.max(axis=1) <= size))
        reach = size
        for part in np.array_split(chosen, 1 + len(chosen) * size * size // 2_000_000):
            x = low[part, 0, None, None] + np.arange(size)[None, None, :]
            y = low[part, 1, None, None] + np.arange(size)[None, :, None]
            dx, dy = (v - corners[part, 0, i, None, None] for i, v in enumerate((x, y)))
            a, b, whole = first[part], second[part], area[part, None, None]
            one = (dx * b[:, 1, None, None] - dy * b[:, 0, None, None]) / whole
            two = (dy * a[:, 0, None, None] - dx * a[:, 1, None, None]) / whole
            inside = (one >= 0) & (two >= 0) & (one + two <= 1)
            inside &= (x >= 0) & (y >= 0) & (x < side) & (y < side)
            which, row, column = np.nonzero(inside)
            shares = np.stack([1 - one[inside] - two[inside], one[inside], two[inside]], axis=1)
            owners = solid.triangles[part[which]]
            z = (shares * points[owners, 2]).sum(axis=1)
            pixel = (low[part[which], 1] + row) * side + low[part[which], 0] + column
            # Sorted by pixel, then by depth, the first of each pixel is the nearest.
            order = np.lexsort((z, pixel))
            pixels, start = np.unique(pixel[order], return_index=True)
            nearest = order[start]
            wins = z[nearest] < depth[pixels]
            pixels, nearest = pixels[wins], nearest[wins]
            depth[pixels] = z[nearest]
            shown[pixels] = np.einsum("ki,kij->kj", shares[nearest], values[owners[nearest]])
    shown = shown.reshape(side, side, 3)
    there = np.isfinite(depth).reshape(side, side).astype(np.float32)
    texture = solid.texture.astype(np.float32)
    colours = cv2.remap(
        texture, shown[..., 0], shown[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return colours * (shown[..., 2] * there)[..., None], there


def closed(picture: np.ndarray, landmarks: np.ndarray, oval: tuple[int, ...], around: np.ndarray) -> Solid:
    """Close a portrait to a head.

    Args:
        picture: (H, W, 3) uint8 RGB, the face from the front.
        landmarks: (468 or more, 3) of it, in pixels.
        oval: the landmarks round the face.
        around: (H, W) bool: head and neck lie within; what of it is head, its colours tell.
    """
    face = landmarks[:468].astype(np.float64)
    ears = face[[234, 454]]
    breadth = 1.03 * float(np.ptp(ears[:, 0]))
    eyes = float(np.linalg.norm(face[33] - face[263]))
    middle = np.array([*ears[:, :2].mean(axis=0), ears[:, 2].mean()])
    broadest = middle[2] + 0.1 * eyes
    rear = face[9, 2] + LENGTH_OF_BREADTH * breadth
    angle = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    border = face[list(oval)]
    turned = np.arctan2(*(border[:, :2] - middle[:2]).T[::-1]) % (2 * np.pi)
    order = np.argsort(turned)
    inner, front = (
        np.interp(angle, turned[order], values[order], period=2 * np.pi)
        for values in (np.linalg.norm(border[:, :2] - middle[:2], axis=1), border[:, 2])
    )
    reach = outline(picture, border, around, middle[:2], way)
    outer = np.maximum(median_filter(reach, 9, mode="wrap"), 1.04 * inner)
    # Colours come from well within the outline: what lies on it is half background.
    edge = np.maximum(np.minimum(minimum_filter(reach, 5, mode="wrap"), outer) - 4, TRUSTED * inner)
    # Below the chin the surface first goes back, then down; elsewhere hair and ears first stand out.
    down = np.clip((np.sin(angle) - 0.45) / 0.3, 0, 1)[:, None]
    step = np.linspace(0, np.pi / 2, BAND + 1)[None, 1:]
    out = (1 - down) * np.sin(step) + down * (1 - np.cos(step))
    back = (1 - down) * (1 - np.cos(step)) + down * np.sin(step)
    radius = inner[:, None] + (outer - inner)[:, None] * out
    depth = front[:, None] + (broadest - front)[:, None] * back
    # The colours go along the surface evenly, or the parts that the picture shows edge-on would be streaks.
    path = np.hypot(
        np.diff(radius, axis=1, prepend=inner[:, None]), np.diff(depth, axis=1, prepend=front[:, None])
    )
    share = path.cumsum(axis=1) / path.sum(axis=1, keepdims=True)
    start = TRUSTED * inner
    taken = start[:, None] + (edge - start)[:, None] * share
    step = np.linspace(0, np.pi / 2, BACK + 1)[None, 1:]
    rear_radius, rear_depth = outer[:, None] * np.cos(step), broadest + (rear - broadest) * np.sin(step)
    wave = np.abs((np.linspace(0, 3, BACK + 1)[None, 1:] + 1) % 2 - 1)
    rear_taken = edge[:, None] - 0.8 * (edge - start)[:, None] * wave
    radius, taken = np.hstack([radius, rear_radius]), np.hstack([taken, rear_taken])
    depth = np.hstack([depth, np.broadcast_to(rear_depth, rear_radius.shape)])
    # The first ring lies under the face's border, so that nothing gapes between them.
    radius, taken = np.column_stack([0.97 * inner, radius]), np.column_stack([start, taken])
    depth = np.column_stack([front + 0.02 * eyes, depth])
    rings = np.dstack([middle[0] + radius * way[:, :1], middle[1] + radius * way[:, 1:], depth])
    places = np.dstack([middle[0] + taken * way[:, :1], middle[1] + taken * way[:, 1:]])
    skin = face[:, :2].copy()
    skin[list(oval)] = middle[:2] + TRUSTED * (skin[list(oval)] - middle[:2])
    points = np.vstack([face, rings.reshape(-1, 3)])
    triangles = np.vstack([_skin(face, oval, rear), 468 + _grid(*radius.shape)])
    return Solid(points - middle, triangles, np.vstack([skin, places.reshape(-1, 2)]), picture)


def outline(
    picture: np.ndarray, border: np.ndarray, around: np.ndarray, middle: np.ndarray, way: np.ndarray
) -> np.ndarray:
    """Return how far the head reaches from `middle` (2,) in each direction `way` (N, 2), (N,) pixels.

    Head is told from background by colour (GrabCut, Rother et al. 2004), starting from the face's border
    (K, 3).
    """
    labels = np.where(around, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.fillPoly(labels, [np.round(border[:, :2]).astype(np.int32)], int(cv2.GC_FGD))
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    head = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    head = cv2.morphologyEx(head, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    far = np.arange(len(picture))
    x, y = (np.rint(middle[i] + far * way[:, i : i + 1]).astype(int) for i in (0, 1))
    valid = (x >= 0) & (y >= 0) & (x < picture.shape[1]) & (y < picture.shape[0])
    is_head = valid & (head[np.where(valid, y, 0), np.where(valid, x, 0)] > 0)
    reach = np.argmin(np.column_stack([is_head, np.zeros(len(way), bool)]), axis=1)
    return reach.astype(np.float64)


def _grid(directions: int, rings: int) -> np.ndarray:
    """Return (T, 3) triangles between neighbouring rings, closed all round, their fronts outwards."""
    here, ring = np.meshgrid(np.arange(directions), np.arange(rings - 1), indexing="ij")
    corner = here * rings + ring
    beside = (here + 1) % directions * rings + ring
    halves = ([corner, beside, corner + 1], [beside, beside + 1, corner + 1])
    return np.concatenate([np.stack(half, axis=-1).reshape(-1, 3) for half in halves])


def _skin(face: np.ndarray, oval: tuple[int, ...], rear: float) -> np.ndarray:
    """Return (T, 3) triangles of a face's (K, 3) landmarks, their fronts outwards."""
    # Unrolled, for beside the ears a face is seen edge-on: neighbours in the picture need not be any there.
    axis = np.array([face[list(oval), 0].mean(), (face[list(oval), 2].max() + rear) / 2])
    x, z = (face[:, [0, 2]] - axis).T
    unrolled = np.column_stack([np.arctan2(x, -z) * np.abs(z).mean(), face[:, 1]])
    triangles = Delaunay(unrolled).simplices
    triangles = triangles[~np.isin(triangles, oval).all(axis=1)]
    corners = unrolled[triangles]
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    return np.where((ax * by - ay * bx > 0)[:, None], triangles[:, ::-1], triangles)


def _soft(normals: np.ndarray) -> np.ndarray:
    """Return the brightness of surfaces that face (N, 3) directions: 0.55 in the shade, up to 1."""
    return np.asarray(0.55 + 0.45 * np.clip(normals @ LIGHT, 0, 1))
