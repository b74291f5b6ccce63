"""From all decoded pictures to the frames wanted: ticks of time, the window looked at, and shot changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from unmask.media.cuts import CutFinder
from unmask.media.events import Cut, End, Frame, Gap

_EPSILON = 1e-6


@dataclass(frozen=True)
class Window:
    """Which frames are wanted: `rate` a second (None: all), at start <= time < end seconds."""

    rate: float | None
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Picture:
    """A decoded picture before it is turned into RGB.

    `luma` is a coarse brightness grid (rows, columns) uint8 for finding cuts; `render` gives the RGB
    pixels (H, W, 3) uint8 and the (2, 3) transform from stored to displayed pixels.
    """

    index: int
    time: float
    luma: np.ndarray
    render: Callable[[], tuple[np.ndarray, np.ndarray]]


class Selector:
    """Selects frames and finds cuts in one run over a file, and counts what it saw."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._finder: CutFinder[Picture] = CutFinder()
        self._tick: int | None = None
        self._frames = 0
        self._last: float | None = None

    @property
    def end(self) -> End:
        """The closing event: pictures decoded inside the window, and the time of the last."""
        return End(self._frames, self._last)

    def run(self, pictures: Iterable[Picture | Gap]) -> Iterator[Frame | Cut | Gap]:
        """Frames, cuts and gaps by time."""
        start, end = self._window.start, self._window.end
        for item in pictures:
            begin = item.start if isinstance(item, Gap) else item.time
            if end is not None and begin >= end:
                break
            if isinstance(item, Picture):
                yield from self._settle(self._finder.push(item, item.luma))
                continue
            yield from self._settle(self._finder.flush())
            if start is None or item.end is None or item.end > start:
                yield item
        yield from self._settle(self._finder.flush())

    def _settle(self, settled: list[tuple[Picture, bool]]) -> Iterator[Frame | Cut]:
        for picture, cut in settled:
            wanted = self._is_wanted(picture.time)
            if self._window.start is not None and picture.time < self._window.start:
                continue
            if cut and self._frames:
                yield Cut(picture.time)
            if wanted or not self._frames:
                yield Frame(picture.index, picture.time, *picture.render())
            self._frames += 1
            self._last = picture.time

    def _is_wanted(self, time: float) -> bool:
        """Whether a tick lies in the time since the picture before, this one's time included."""
        if self._window.rate is None:
            return True
        tick = math.floor(time * self._window.rate + _EPSILON)
        wanted = self._tick is not None and tick > self._tick
        self._tick = tick
        return wanted
