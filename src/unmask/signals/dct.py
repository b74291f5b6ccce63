"""Looks at a picture as JPEG stores it: cosine coefficients of 8 x 8 blocks, their grid and their rounding.

Sources: Frank et al. 2020 (2003.08685) for the coefficients of generated pictures; Fu, Shi & Su 2007 (doi
10.1117/12.704723) for first digits; Fan & de Queiroz 2003 (doi 10.1109/TIP.2002.807361) for the traces of
block edges; Popescu & Farid 2004 (doi 10.1007/978-3-540-30114-1_10) for the periodic gaps that a second
compression leaves in the histograms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

BLOCK = 8
GRID_Z = 4.0
"""A grid counts as found when its edges stand out by so many standard errors on both axes (noise and
uncompressed texture reach 2.5)."""
MOST_STEP = 4.0
"""Larger steps (grey levels) at a block's edge belong to the picture and are cut off here."""
MAX_STEP = 64
"""The coarsest quantisation step that is looked for."""
MIN_COEFFICIENTS = 64
"""Fewer coefficients say nothing about a histogram."""
ROUNDING = 1.0
"""How far (in grey levels) the rounding of pixels throws a quantised coefficient off its multiple."""
FITTING = 0.7
"""So much of what chance leaves over must lie near multiples of a step."""
PIXEL_NOISE = 0.5
"""Standard deviation that the rounding of pixels adds to coefficients between two compressions."""
PATTERN_FLOOR = 0.02
"""Some coefficients fall even where an earlier step leaves none: clipping, colour conversion."""
CHANCE = 14.0
"""Deviance that the best of some sixty steps saves by chance (twice the log of their number, and more)."""


def _basis() -> np.ndarray:
    """Return the orthonormal DCT-II matrix, row = frequency."""
    k, x = np.mgrid[:BLOCK, :BLOCK]
    matrix = np.cos(np.pi * (2 * x + 1) * k / (2 * BLOCK)) * np.sqrt(2 / BLOCK)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


BASIS = _basis()
ZIGZAG = tuple(
    sorted(
        ((row, column) for row in range(BLOCK) for column in range(BLOCK)),
        key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]),
    )
)
"""The 64 (row, column) frequencies from the mean to the finest, in JPEG's order."""


def block_dct(plane: np.ndarray, *, offset: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Return the coefficients (rows, columns, 8, 8) float32 of the whole blocks of an (H, W) plane.

    `offset` is the (row, column) at which the first block starts, 0..7 each. 128 is taken away first, as
    JPEG does; the transform is orthonormal, JPEG's own scale.
    """
    part = np.asarray(plane, np.float32)[offset[0] :, offset[1] :]
    rows, columns = part.shape[0] // BLOCK, part.shape[1] // BLOCK
    blocks = part[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK) - np.float32(128)
    return np.matmul(np.matmul(BASIS, blocks.transpose(0, 2, 1, 3)), BASIS.T)


def mean_magnitudes(coefficients: np.ndarray) -> np.ndarray:
    """Return the mean |coefficient| at each of the (8, 8) frequencies, in grey levels (0 without a block)."""
    flat = coefficients.reshape(-1, BLOCK, BLOCK)
    return np.abs(flat).mean(axis=0) if len(flat) else np.zeros((BLOCK, BLOCK), np.float32)


def first_digits(coefficients: np.ndarray) -> np.ndarray:
    """Return the shares (9,) of the first digits 1..9 of |coefficient| >= 1, the blocks' means left out.

    Where no coefficient is as large as 1, Benford's own shares are returned: nothing deviates.
    """
    values = np.abs(coefficients.reshape(-1, BLOCK * BLOCK)[:, 1:])
    values = values[values >= 1]
    if not values.size:
        return BENFORD.copy()
    power = (values >= 10).astype(np.intp) + (values >= 100) + (values >= 1000)
    digit = (values * np.array([1, 0.1, 0.01, 0.001], np.float32)[power]).astype(np.intp)
    return np.bincount(np.clip(digit, 1, 9), minlength=10)[1:] / values.size


BENFORD = np.log10(1 + 1 / np.arange(1, 10))


def benford_deviation(coefficients: np.ndarray) -> float:
    """Return the chi-squared distance, a number without unit, of the first digits from Benford's law."""
    shares = first_digits(coefficients)
    return float(((shares - BENFORD) ** 2 / BENFORD).sum())


@dataclass(frozen=True)
class Grid:
    """Where the block edges of an earlier compression lie.

    `offset` is the (row, column) of the first whole block, 0..7; `strength` the number of standard errors
    by which the edges stand out on the axis where they do so less.
    """

    offset: tuple[int, int]
    strength: float

    @property
    def found(self) -> bool:
        """Whether there is a grid at all."""
        return self.strength >= GRID_Z


def grid(plane: np.ndarray, mask: np.ndarray | None = None) -> Grid:
    """Find the 8 x 8 grid of an earlier compression in an (H, W) plane.

    Across a block's edge pixels step where inside they bend; the mean step beyond what both sides lead
    one to expect is compared over the eight possible places.

    Args:
        plane: luma.
        mask: (H, W) bool, the pixels to look at; None takes all.
    """
    values = np.asarray(plane, np.float32)
    row, row_strength = _edge_phase(values.T, None if mask is None else mask.T)
    column, column_strength = _edge_phase(values, mask)
    return Grid((row, column), min(row_strength, column_strength))


def grids_disagree(plane: np.ndarray, inside: np.ndarray) -> tuple[Grid, Grid, bool]:
    """Return the grid inside and outside a mask, and whether both are found at different places.

    A patch from another compressed picture brings its own grid along, which seven times in eight on each
    axis is not that of the picture around it.
    """
    within, without = grid(plane, inside), grid(plane, ~inside)
    return within, without, within.found and without.found and within.offset != without.offset


def _edge_phase(values: np.ndarray, mask: np.ndarray | None) -> tuple[int, float]:
    """Return which column in eight starts a block, and by how many standard errors it stands out."""
    if values.shape[1] < 4 * BLOCK or values.shape[0] < BLOCK:
        return 0, 0.0
    step = np.diff(values, axis=1)
    # The step before column x, for x = 2 .. W - 2, without the mean of its neighbours.
    excess = np.minimum(np.abs(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2), MOST_STEP)
    if mask is None:
        weight = np.full(excess.shape[1], float(excess.shape[0]))
        sums = excess.sum(axis=0, dtype=np.float64)
    else:
        valid = mask[:, 2:-1]
        weight = valid.sum(axis=0, dtype=np.float64)
        sums = (excess * valid).sum(axis=0, dtype=np.float64)
    enough = weight >= BLOCK
    phase = (np.arange(excess.shape[1]) + 2) % BLOCK
    means = np.where(enough, sums / np.maximum(weight, 1), 0)
    # Neighbouring columns resemble each other: judge a column by what it adds to the mean of its period.
    smooth = np.convolve(means * enough, np.ones(2 * BLOCK + 1), "same") / np.maximum(
        np.convolve(enough.astype(float), np.ones(2 * BLOCK + 1), "same"), 1
    )
    relative = means - smooth
    count = np.bincount(phase[enough], minlength=BLOCK)
    if count.min() < 3:
        return 0, 0.0
    mean = np.bincount(phase[enough], weights=relative[enough], minlength=BLOCK) / count
    best = int(mean.argmax())
    rest = relative[enough & (phase != best)]
    error = float(rest.std()) * np.sqrt(1 / count[best] + 1 / rest.size)
    return best, float((mean[best] - rest.mean()) / error) if error > 1e-9 else 0.0


def quantisation_steps(coefficients: np.ndarray) -> np.ndarray:
    """Return the step (8, 8) by which each frequency was quantised before, 1 where none shows.

    A frequency was quantised by q when its coefficients lie near multiples of q, up to the rounding of
    pixels, clearly more often than chance would have it, and not so near those of any larger number. Where
    nearly all coefficients are 0 the step cannot be known and 1 is returned; steps of 2 hide in the
    rounding of pixels, and so do all after scaling or on another grid.
    """
    flat = coefficients.reshape(-1, BLOCK * BLOCK).astype(np.float64)
    candidates = np.arange(3, MAX_STEP + 1)[:, None]
    chance = 2 * ROUNDING / candidates[:, 0]
    steps = np.ones(BLOCK * BLOCK, int)
    for index in range(BLOCK * BLOCK):
        values = flat[:, index]
        values = values[np.abs(values) > 1.5 * ROUNDING]
        if len(values) < MIN_COEFFICIENTS // 4:
            continue
        off = np.abs(values - candidates * np.rint(values / candidates))
        near = (off < ROUNDING).mean(axis=1)
        fitting = candidates[(near - chance) / (1 - chance) > FITTING, 0]
        if fitting.size:
            steps[index] = fitting.max()
    return steps.reshape(BLOCK, BLOCK)


def double_compression(coefficients: np.ndarray, steps: np.ndarray) -> float:
    """Return how far an earlier compression explains the histograms of coefficients, 0 (not at all) to 1.

    Args:
        coefficients: (rows, columns, 8, 8) on the grid of the last compression.
        steps: (8, 8) quantisation steps of the last compression, from the file's table.

    Steps q1 of an earlier compression on the same grid leave gaps or doublings in the histogram of the
    multiples of the last steps. For each of the nine lowest frequencies the histogram is described by a
    smooth curve, and by one times the pattern that q1 would leave; the value is the share of the first
    one's deviance that the best q1 saves, over all nine. Single compression gives 0 or little more. An
    earlier compression much finer than the last stays unseen.
    """
    flat = coefficients.reshape(-1, BLOCK, BLOCK)
    gain = total = 0.0
    for row, column in ZIGZAG[1:10]:
        step = max(float(steps[row, column]), 1.0)
        saved, deviance = _earlier_step(np.abs(np.rint(flat[:, row, column] / step)).astype(int), step)
        gain, total = gain + saved, total + deviance
    return gain / total if total > 0 else 0.0


def _earlier_step(multiples: np.ndarray, step: float) -> tuple[float, float]:
    """Return the deviance that the best earlier step saves beyond chance, and the smooth curve's own."""
    multiples = multiples[multiples > 0]
    if len(multiples) < MIN_COEFFICIENTS:
        return 0.0, 0.0
    reach = min(int(np.percentile(multiples, 98)), 40)
    if reach < 6:
        return 0.0, 0.0
    count = np.bincount(multiples, minlength=reach + 1)[1 : reach + 1].astype(float)
    place = np.arange(1, reach + 1)
    curve = np.stack([np.ones(reach), np.sqrt(place), place, place**2 / reach], axis=1)
    earlier = np.arange(2, MAX_STEP + 1, dtype=float)
    earlier = earlier[earlier != step]
    patterns = np.stack([np.ones(reach), *(_pattern(place, step, one) for one in earlier)])
    deviances = _deviances(count, curve, patterns + PATTERN_FLOOR)
    return max(float(deviances[0] - deviances[1:].min()) - CHANCE, 0.0), float(deviances[0])


def _pattern(place: np.ndarray, step: float, earlier: float) -> np.ndarray:
    """Return how many multiples of `earlier` fall into each bin of width `step`, relative to the mean."""
    middles = earlier * np.arange(int((place[-1] + 2) * step / earlier) + 2)
    edges = (np.r_[place, place[-1] + 1] - 0.5) * step
    below = ndtr((edges[:, None] - middles) / PIXEL_NOISE).sum(axis=1)
    return np.diff(below) * earlier / step


def _deviances(count: np.ndarray, curve: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """Return the Poisson deviance of (K,) counts from the best exp(curve @ b) * pattern, for each pattern."""
    offset = np.log(patterns)
    expected = np.maximum(np.broadcast_to(count + 0.5, patterns.shape), 0.5)
    for _ in range(12):
        working = np.log(expected) - offset + (count - expected) / expected
        weighted = curve.T[None] * expected[:, None, :]
        ridge = 1e-6 * expected.sum(axis=1)[:, None, None] * np.eye(curve.shape[1])
        solved = np.linalg.solve(weighted @ curve + ridge, (weighted @ working[..., None]))[..., 0]
        expected = np.exp(np.clip(solved @ curve.T + offset, -12, 14))
    ratio = np.where(count > 0, count / expected, 1.0)
    return 2 * (count * np.log(ratio) - (count - expected)).sum(axis=1)
