"""Chooses the frames that analysers see: ticks of the tracker, a spread over the clip, frames in between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from unmask.faces.face import Detection, Face
from unmask.media.events import Frame

UNKNOWN_INTERVAL = 0.3
"""Seconds between samples at first, where a file does not state its duration."""
MIN_LOOKS = 6
"""So many samples a face gets, if it stays long enough, however far apart the spread lies."""
LOOK_INTERVAL = 0.3
"""Seconds between these samples."""
MAX_WAITING = 16
"""So many frames may wait for the tracker's next tick; beyond that the faces stay where they were."""
EPSILON = 1e-6


class Ticks:
    """Says which frames the tracker sees: the first at or after each multiple of 1 / rate seconds."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tick: int | None = None

    def due(self, time: float | None) -> bool:
        """Say whether the next frame, at `time` seconds, is one; a picture (None) always is."""
        if time is None:
            return True
        tick = math.floor(time * self._rate + EPSILON)
        due = self._tick is None or tick > self._tick
        self._tick = tick
        return due


class Spread:
    """Spreads `count` samples evenly over a stretch of known length, at the beginnings of equal parts.

    Where the length is unknown, or the file goes on longer than it said, the distance of samples doubles
    each time that another `count` of them were taken: a file without end costs the logarithm of its length.
    Where samples lie far apart, each track gets `MIN_LOOKS` of its own in addition.

    Args:
        count: samples wanted.
        start: where the stretch begins, in seconds.
        length: of the stretch in seconds, or None.
    """

    def __init__(self, count: int, *, start: float = 0.0, length: float | None = None) -> None:
        self._count = count
        self._interval = length / count if length else UNKNOWN_INTERVAL
        self._next = start
        self._taken = 0
        self._looks: dict[int, tuple[int, float]] = {}

    @property
    def interval(self) -> float:
        """Seconds from one sample to the next, as things stand."""
        return self._interval

    def choose(self, time: float | None, faces: Sequence[Face]) -> list[Face] | None:
        """Return the faces of a tracker's frame that are to be examined, or None to pass it over."""
        if time is None:
            return list(faces)
        due = self._is_due(time)
        chosen = [face for face in faces if due or self._wants(face.track, time)]
        for face in chosen:
            count, _ = self._looks.get(face.track, (0, 0.0))
            self._looks[face.track] = (count + 1, time)
        return chosen if due or chosen else None

    def _is_due(self, time: float) -> bool:
        if time + EPSILON < self._next:
            return False
        self._taken += 1
        # Frames come more rarely than samples in short clips: all targets that were passed are used up.
        while self._next <= time + EPSILON:
            self._next += self._interval
        if self._taken % self._count == 0:
            self._interval *= 2
        return True

    def _wants(self, track: int, time: float) -> bool:
        if self._next - time <= LOOK_INTERVAL + EPSILON:
            return False
        count, last = self._looks.get(track, (0, -math.inf))
        return count < MIN_LOOKS and time - last >= LOOK_INTERVAL - EPSILON


class Between:
    """Gives every frame its faces: the tracker's at its ticks, and in between those on the straight line.

    Frames wait for the next tick, at most `MAX_WAITING` of them.
    """

    def __init__(self) -> None:
        self._before: list[Face] = []
        self._time = 0.0
        self._waiting: list[Frame] = []

    def wait(self, frame: Frame) -> Iterator[tuple[Frame, list[Face]]]:
        """Take a frame between ticks; give those that wait no longer."""
        self._waiting.append(frame)
        if len(self._waiting) > MAX_WAITING:
            yield from self.hold()

    def tick(self, frame: Frame, faces: list[Face]) -> Iterator[tuple[Frame, list[Face]]]:
        """Take a frame that the tracker saw; give the frames before it, and it."""
        time = 0.0 if frame.time is None else frame.time
        after = {face.track: face for face in faces}
        pairs = [(face, after[face.track]) for face in self._before if face.track in after]
        for waiting in self._waiting:
            share = (waiting.time - self._time) / (time - self._time) if waiting.time is not None else 0.0
            yield waiting, [_mix(a, b, share, waiting) for a, b in pairs]
        self._before, self._time, self._waiting = faces, time, []
        yield frame, faces

    def hold(self) -> Iterator[tuple[Frame, list[Face]]]:
        """Give the frames that wait, with the faces where they were last (before a cut, and at the end)."""
        for waiting in self._waiting:
            yield waiting, [_mix(face, face, 0.0, waiting) for face in self._before]
        self._waiting = []

    def cut(self) -> Iterator[tuple[Frame, list[Face]]]:
        """Give the frames that wait and forget the faces: another shot begins."""
        yield from self.hold()
        self._before = []


def _mix(a: Face, b: Face, share: float, frame: Frame) -> Face:
    """Return the face `share` of the way from `a` to `b`; landmarks are not mixed."""
    detection = Detection(
        box=a.detection.box + share * (b.detection.box - a.detection.box),
        points=a.detection.points + share * (b.detection.points - a.detection.points),
        score=min(a.detection.score, b.detection.score),
    )
    return replace(
        a,
        frame_index=frame.index,
        time=frame.time,
        detection=detection,
        landmarks=None,
        blendshapes=None,
        pose=None,
    )
