"""Find shot changes from the brightness of every decoded picture, at a few tens of microseconds each.

A picture is reduced to block means and a histogram of its brightness. A cut is where, at once,
most blocks change (an inset picture changes few), the pattern of blocks no longer correlates (a flash
or a lamp keeps it), the histogram changes (a fast pan keeps it), the change stands out from the
changes before and after it (fast motion does not), and it lasts (a flash does not).
Dissolves and fades are not cuts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

BLOCK = 4
LOOKAHEAD = 3
_HISTORY = 8
_BINS = 32

#: Thresholds, chosen on half of the open development clips (see `tests/media/test_cuts.py` for the figures).
MIN_BLOCKS = 0.4
MIN_DECORRELATION = 0.15
MIN_HISTOGRAM = 0.12
MIN_PROMINENCE = 3.0
_BLOCK_CHANGE = 10.0

T = TypeVar("T")


@dataclass(frozen=True)
class Signature:
    """A picture's block means (rows, columns) float32 in 0..255, and its histogram (32,), summing to 1."""

    blocks: np.ndarray
    histogram: np.ndarray


def signature(luma: np.ndarray) -> Signature:
    """Reduce a coarse brightness grid (rows, columns) uint8."""
    rows, columns = (max(BLOCK, side // BLOCK * BLOCK) for side in luma.shape)
    grid = np.ascontiguousarray(luma[:rows, :columns])
    if grid.shape != (rows, columns):
        grid = np.resize(grid, (rows, columns))
    sums = grid.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).sum(axis=(1, 3), dtype=np.float32)
    counts = np.bincount((grid >> 3).ravel(), minlength=_BINS)
    return Signature(sums / BLOCK**2, counts / grid.size)


def change(a: Signature, b: Signature) -> float:
    """Mean absolute change of the block means, 0..255."""
    if a.blocks.shape != b.blocks.shape:
        return 255.0
    return float(np.abs(a.blocks - b.blocks).mean())


def differs(a: Signature, b: Signature) -> bool:
    """Whether two pictures look like two shots."""
    if a.blocks.shape != b.blocks.shape:
        return True
    if (np.abs(a.blocks - b.blocks) > _BLOCK_CHANGE).mean() < MIN_BLOCKS:
        return False
    if 0.5 * np.abs(a.histogram - b.histogram).sum() < MIN_HISTOGRAM:
        return False
    x, y = (s.blocks.ravel() - s.blocks.mean() for s in (a, b))
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return norm == 0 or 1 - float(x @ y) / norm >= MIN_DECORRELATION


@dataclass(frozen=True)
class _Entry(Generic[T]):
    item: T
    signature: Signature
    change: float


class CutFinder(Generic[T]):
    """Passes items through, `LOOKAHEAD` pictures late, and says of each whether a new shot begins with it."""

    def __init__(self) -> None:
        self._entries: deque[_Entry[T]] = deque()
        self._changes: deque[float] = deque(maxlen=_HISTORY)
        self._before: deque[Signature] = deque(maxlen=LOOKAHEAD + 1)
        self._newest: Signature | None = None
        self._since_cut = LOOKAHEAD

    def push(self, item: T, luma: np.ndarray) -> list[tuple[T, bool]]:
        """Add one picture; get those whose verdict is settled."""
        new = signature(luma)
        self._entries.append(_Entry(item, new, change(self._newest, new) if self._newest else 0.0))
        self._newest = new
        return [self._settle()] if len(self._entries) > LOOKAHEAD else []

    def flush(self) -> list[tuple[T, bool]]:
        """Settle what is left and forget everything (at the end, and at a gap)."""
        settled = []
        while self._entries:
            settled.append(self._settle())
        self.__init__()  # type: ignore[misc]
        return settled

    def _settle(self) -> tuple[T, bool]:
        entry = self._entries.popleft()
        cut = self._is_cut(entry)
        self._since_cut = 0 if cut else self._since_cut + 1
        if cut:
            self._changes.clear()
        elif self._before:
            self._changes.append(entry.change)
        self._before.append(entry.signature)
        return entry.item, cut

    def _is_cut(self, entry: _Entry[T]) -> bool:
        if not self._before or self._since_cut < 2 or not differs(self._before[-1], entry.signature):
            return False
        after = [later.change for later in self._entries]
        around = max(_median(self._changes), _median(after), 0.5)
        if entry.change < MIN_PROMINENCE * around:
            return False
        earlier_match = any(not differs(earlier, entry.signature) for earlier in self._before)
        later_match = any(not differs(self._before[-1], later.signature) for later in self._entries)
        return not earlier_match and not later_match


def _median(values: deque[float] | list[float]) -> float:
    return float(np.median(list(values))) if values else 0.0
