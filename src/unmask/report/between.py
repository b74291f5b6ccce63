"""Puts faces into every frame although they are followed only at some: boxes move evenly in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from unmask.media.events import Frame

LONGEST_WAIT = 16
"""Frames that wait for the next tick at most; later ones take the faces as they were last seen."""


@dataclass(frozen=True)
class Sighting:
    """Where one track's face is in one frame.

    `box` is (x, y, width, height) and `points` (5, 2), both in displayed pixels; `heat` is the (S, S) heat
    map over the aligned crop, None where there is none.
    """

    track: int
    box: np.ndarray
    points: np.ndarray
    heat: np.ndarray | None = None


class Between:
    """Holds frames back until the next tick of the tracker, then gives them out with their faces."""

    def __init__(self) -> None:
        self._last: list[Sighting] = []
        self._last_time = 0.0
        self._waiting: list[Frame] = []

    def tick(self, frame: Frame, sightings: Sequence[Sighting]) -> Iterator[tuple[Frame, list[Sighting]]]:
        """Take a frame in which the faces are known; give the frames since the last tick, and this one."""
        time = frame.time or 0.0
        now = {sighting.track: sighting for sighting in sightings}
        span = max(time - self._last_time, 1e-9)
        for waiting in self._waiting:
            share = float(np.clip(((waiting.time or 0.0) - self._last_time) / span, 0, 1))
            yield waiting, [_move(then, now.get(then.track), share) for then in self._last]
        self._waiting = []
        self._last, self._last_time = list(sightings), time
        yield frame, list(sightings)

    def add(self, frame: Frame) -> Iterator[tuple[Frame, list[Sighting]]]:
        """Take a frame between ticks; gives something only when too many wait."""
        self._waiting.append(frame)
        if len(self._waiting) > LONGEST_WAIT:
            yield from self.hold()

    def hold(self) -> Iterator[tuple[Frame, list[Sighting]]]:
        """Give the waiting frames with the faces where they were last seen (at a cut, and at the end)."""
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            yield frame, list(self._last)

    def forget(self) -> None:
        """End all tracks: what was seen is not to be seen in the frames that follow."""
        self._last = []


def _move(then: Sighting, now: Sighting | None, share: float) -> Sighting:
    if now is None:
        return then
    return Sighting(
        track=then.track,
        box=(1 - share) * then.box + share * now.box,
        points=(1 - share) * then.points + share * now.points,
        heat=_mix(then.heat, now.heat, share),
    )


def _mix(then: np.ndarray | None, now: np.ndarray | None, share: float) -> np.ndarray | None:
    if then is None or now is None:
        return then if share < 0.5 else now
    return (1 - share) * then + share * now
