"""Contact sheets of the fakes that this project makes: a row each of source, mask and result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.data.pairs import CANVAS_PIXELS, DONORS, canvas_matrix
from unmask.data.partswap import nearest, part_swap
from unmask.data.selfblend import SelfBlend, self_blend
from unmask.data.selfswap import Renderer, self_swap
from unmask.faces.align import warp

GAP = 6
"""Pixels between two pictures of a sheet."""


def canvas(pixels: np.ndarray, points: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cut the upright square on which fakes are made, 1.5 times as wide as the network's crop.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        points: (5, 2) in picture pixels.
        landmarks: (478, 2) or (478, 3) mesh points in picture pixels.

    Returns:
        The square (S, S, 3), S being `CANVAS_PIXELS`, and points and landmarks (478, 2) in its pixels.
    """
    base = canvas_matrix(points)

    def move(places: np.ndarray) -> np.ndarray:
        return places[:, :2] @ base[:, :2].T + base[:, 2]

    return warp(pixels, base, CANVAS_PIXELS), move(points), move(landmarks)


def make(
    face: tuple[np.ndarray, ...],
    rng: np.random.Generator,
    *,
    swap: bool = False,
    renderer: Renderer | None = None,
) -> SelfBlend:
    """Make a self-blend, or a self-swap, of what `canvas` returned."""
    square, points, landmarks = face
    if swap:
        return self_swap(square, points, landmarks, rng, renderer=renderer)
    return self_blend(square, landmarks, rng)


def make_of_two(
    face: tuple[np.ndarray, ...], others: Sequence[tuple[np.ndarray, ...]], rng: np.random.Generator
) -> SelfBlend:
    """Make a part swap of what `canvas` returned, from that of `DONORS` others which is posed most alike."""
    drawn = [others[k] for k in rng.integers(len(others), size=DONORS)]
    donor = drawn[nearest(face[1], [points for _, points, _ in drawn])]
    return part_swap(face[0], face[2], donor[0], donor[2], rng)


def draw_sheet(rows: Sequence[tuple[np.ndarray, SelfBlend]]) -> np.ndarray:
    """Draw a row for each face: as it is, the copy that is blended in, the mask, the result.

    Args:
        rows: the square (S, S, 3) and what was made of it.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("no face to draw")
    side = rows[0][0].shape[0]
    step = side + GAP
    sheet = np.full((len(rows) * step + GAP, 4 * step + GAP, 3), 255, np.uint8)
    for number, (square, blend) in enumerate(rows):
        mask = np.repeat((blend.mask * 255).round().astype(np.uint8)[..., None], 3, axis=2)
        for column, tile in enumerate((square, blend.source, mask, blend.fake)):
            top, left = GAP + number * step, GAP + column * step
            sheet[top : top + side, left : left + side] = tile
    return sheet
