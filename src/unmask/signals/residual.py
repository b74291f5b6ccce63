"""Looks at a picture's noise: high-pass residuals, noise level by place, statistics of neighbours.

The filters are those of the spatial rich model (Fridrich & Kodovsky 2012, doi 10.1109/TIFS.2012.2190402).
"""

from __future__ import annotations

import functools
from typing import Literal

import cv2
import numpy as np

from unmask.signals.planes import planes

EPSILON = 1e-6

Direction = Literal["row", "column", "diagonal"]


def _rotations(kernel: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.rot90(kernel, turns) for turns in range(count)]


def _line(direction: tuple[int, int], weights: dict[int, float]) -> np.ndarray:
    kernel = np.zeros((5, 5))
    for step, weight in weights.items():
        kernel[2 + step * direction[0], 2 + step * direction[1]] += weight
    return kernel


_DIRECTIONS = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
_SQUARE_3 = np.pad(np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]], float), 1)
_EDGE_3 = np.pad(np.array([[-1, 2, -1], [2, -4, 2], [0, 0, 0]], float), 1)
_SQUARE_5 = np.array(
    [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]], float
)
_EDGE_5 = _SQUARE_5 * (np.arange(5) < 3)[:, None]


def _bank() -> np.ndarray:
    kernels = [_line(d, {0: -1, 1: 1}) for d in _DIRECTIONS]
    kernels += [_line(d, {-1: 0.5, 0: -1, 1: 0.5}) for d in _DIRECTIONS[:4]]
    kernels += [_line(d, {-1: 1 / 3, 0: -1, 1: 1, 2: -1 / 3}) for d in _DIRECTIONS]
    kernels += [_SQUARE_3 / 4, *_rotations(_EDGE_3 / 4, 4)]
    kernels += [_SQUARE_5 / 12, *_rotations(_EDGE_5 / 12, 4)]
    return np.stack(kernels).astype(np.float32)


SRM_BANK = _bank()
"""(30, 5, 5): 8 first-order, 4 second-order and 8 third-order lines, SQUARE 3x3, 4 EDGE 3x3, SQUARE 5x5,
4 EDGE 5x5; the middle weighs -1, so a value is the error of predicting a pixel from its neighbours."""
SRM_THREE = np.stack([_SQUARE_3 / 4, _SQUARE_5 / 12, _line((0, 1), {-1: 0.5, 0: -1, 1: 0.5})]).astype(
    np.float32
)
"""(3, 5, 5): the three filters that two-stream networks use (Zhou et al. 2018, 1805.04953, figure 4)."""


def srm_residuals(plane: np.ndarray, kernels: np.ndarray = SRM_BANK) -> np.ndarray:
    """Return the residuals (K, H, W) float32 of an (H, W) plane under (K, 5, 5) kernels, edges mirrored."""
    values = np.asarray(plane, np.float32)
    return np.stack([cv2.filter2D(values, cv2.CV_32F, kernel) for kernel in kernels])


def denoise_residual(plane: np.ndarray, *, side: int = 3) -> np.ndarray:
    """Return what an adaptive denoiser takes away from an (H, W) plane, float32, in grey levels.

    The denoiser is the local Wiener filter (Lee 1980, doi 10.1109/TPAMI.1980.4766994): towards the mean of
    `side` x `side` pixels where the variance is that of noise, hardly at all where there are edges. The
    noise variance is the median of the local variances.
    """
    values = np.asarray(plane, np.float32)
    mean = cv2.boxFilter(values, cv2.CV_32F, (side, side))
    variance = np.maximum(cv2.boxFilter(values * values, cv2.CV_32F, (side, side)) - mean * mean, 0)
    noise = float(np.median(variance))
    return (values - mean) * np.float32(noise) / np.maximum(np.maximum(variance, noise), EPSILON)


_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_MEAN_TO_SIGMA = np.float32(np.sqrt(np.pi / 2))


def noise_level(plane: np.ndarray) -> float:
    """Return the standard deviation of the noise of an (H, W) plane, in grey levels.

    By the mean magnitude of a filter that answers neither to slopes nor to straight edges (Immerkaer 1996,
    doi 10.1006/cviu.1996.0060). Strong texture counts as noise.
    """
    if min(plane.shape[:2]) < 3:
        return 0.0
    answer = cv2.filter2D(np.asarray(plane, np.float32), cv2.CV_32F, _IMMERKAER)[1:-1, 1:-1]
    return float(np.abs(answer).mean() * _MEAN_TO_SIGMA)


def noise_map(plane: np.ndarray, *, side: int = 15) -> np.ndarray:
    """Return the local noise level (H, W) float32 in grey levels, averaged over `side` x `side` pixels."""
    answer = cv2.filter2D(np.asarray(plane, np.float32), cv2.CV_32F, _IMMERKAER)
    return cv2.boxFilter(np.abs(answer), cv2.CV_32F, (side, side)) * _MEAN_TO_SIGMA


TILE = 16
"""Side in pixels of the tiles by which regions are compared."""
REACH, TILES = 1.35, 15
"""Tiles are taken on a TILES x TILES grid over REACH face widths to each side of the middle."""
REGIONS = {"interior": (0.0, 0.5), "border": (0.55, 0.85), "background": (1.0, 1.6)}
"""Elliptic distance from the middle of the face, in widths of the aligned crop (height counts 0.8). The
outline of most faces, where blending ends, lies between 0.55 and 0.85."""


def region_levels(
    pixels: np.ndarray, centre: tuple[float, float], width: float
) -> dict[str, np.ndarray | None]:
    """Return the median noise level (3, 2) of each region, of noise and of detail; None where unseen.

    Rows are luma, blue and red difference. The first column is the noise level as in `noise_level`, the
    second the mean step between neighbouring pixels; both are taken from tiles laid over face and
    surroundings, so that the cost does not depend on the size of the face.

    Args:
        pixels: (H, W, 3) uint8 RGB, the whole picture.
        centre: (x, y) of the aligned crop, in pixels.
        width: of the aligned crop, in pixels.
    """
    height, total = pixels.shape[:2]
    places = np.linspace(-REACH, REACH, TILES)
    across, down = (grid.ravel() for grid in np.meshgrid(places, places))
    distance = np.hypot(across, 0.8 * down)
    left = np.rint(centre[0] + across * width - TILE / 2).astype(int)
    top = np.rint(centre[1] + down * width - TILE / 2).astype(int)
    inside = (left >= 0) & (top >= 0) & (left + TILE <= total) & (top + TILE <= height)
    levels: dict[str, np.ndarray | None] = {}
    for name, (near, far) in REGIONS.items():
        chosen = np.flatnonzero(inside & (distance >= near) & (distance < far))
        levels[name] = _tile_levels(pixels, left[chosen], top[chosen]) if chosen.size >= 4 else None
    return levels


def _tile_levels(pixels: np.ndarray, left: np.ndarray, top: np.ndarray) -> np.ndarray:
    stacked = np.concatenate([pixels[y : y + TILE, x : x + TILE] for x, y in zip(left, top, strict=True)])
    tiles = planes(stacked).reshape(3, len(left), TILE, TILE)
    along = tiles[..., 1:] - tiles[..., :-1]
    # Immerkaer's filter is the second difference along y of the second difference along x, over 6.
    bend = along[..., 1:] - along[..., :-1]
    bend = bend[..., 1:, :] - bend[..., :-1, :]
    bend = bend[..., 1:, :] - bend[..., :-1, :]
    noise = np.abs(bend).mean(axis=(2, 3)) * (_MEAN_TO_SIGMA / 6)
    detail = np.abs(along).mean(axis=(2, 3))
    return np.stack([np.median(noise, axis=1), np.median(detail, axis=1)], axis=1)


def rounded(residual: np.ndarray, step: float) -> np.ndarray:
    """Return an (H, W) float32 plane in steps, rounded and cut off at -2..2, counted from 0: uint8 0..4."""
    # Divided, rounded and cut off at 0 in one pass.
    level = cv2.addWeighted(residual, 1 / max(step, EPSILON), residual, 0.0, 2.0, dtype=cv2.CV_8U)
    return np.minimum(level, 4)


def cooccurrence(level: np.ndarray, *, direction: Direction) -> np.ndarray:
    """Count how often triples of neighbouring `rounded` residuals occur together: (TRIPLES,).

    Triples that turn into each other by reading backwards or by changing all signs are counted together
    (section II.C of the rich model).

    Args:
        level: (H, W) uint8, 0..4.
        direction: of the triples: along rows, along columns, or along both diagonals.
    """
    if direction == "row":
        lines = [(level[:, :-2], level[:, 1:-1], level[:, 2:])]
    elif direction == "column":
        lines = [(level[:-2], level[1:-1], level[2:])]
    else:
        middle = level[1:-1, 1:-1]
        lines = [(level[:-2, :-2], middle, level[2:, 2:]), (level[:-2, 2:], middle, level[2:, :-2])]
    count = np.zeros(125)
    for first, second, third in lines:
        code = first * 25 + second * 5 + third
        if code.size:
            count += cv2.calcHist([code], [0], None, [125], [0, 125])[:, 0]
    return np.bincount(_classes(), weights=count, minlength=TRIPLES)


@functools.lru_cache(maxsize=1)
def _classes() -> np.ndarray:
    """Return the class of each of the 125 codes."""
    representative = []
    for code in range(125):
        a, b, c = code // 25 - 2, code // 5 % 5 - 2, code % 5 - 2
        alike = ((a, b, c), (c, b, a), (-a, -b, -c), (-c, -b, -a))
        representative.append(max(25 * (x + 2) + 5 * (y + 2) + z + 2 for x, y, z in alike))
    return np.unique(representative, return_inverse=True)[1]


TRIPLES = int(_classes().max()) + 1
