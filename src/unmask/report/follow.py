"""Follows the faces of an analysed file again, so that its tracks carry the numbers of its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from unmask.evidence.base import Heat
from unmask.evidence.registry import Options
from unmask.evidence.schedule import Between, Ticks
from unmask.evidence.visual import Visual
from unmask.faces.align import Framing
from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import Landmarker
from unmask.faces.track import Tracker
from unmask.media.events import Cut, Event, Frame, Media
from unmask.media.reader import read
from unmask.report.schema import Report, ReportError
from unmask.runtime.card import WeightError

DEFAULT_RATE = 10.0
"""Frames a second at which faces are followed, where the report does not say."""

Maps = dict[int, np.ndarray]
"""Heat maps (S, S) over the aligned crop, by track."""


@dataclass(frozen=True)
class Seen:
    """One frame with its faces; `maps` are the heat maps of those that have one."""

    frame: Frame
    faces: list[Face] = field(default_factory=list)
    maps: Maps = field(default_factory=dict)


class Source:
    """An analysed file that is gone through once more, every frame of it.

    Raises:
        MediaError: the file cannot be read.
        ReportError: the report is of another file.
    """

    def __init__(self, path: Path, report: Report, *, threads: int = 0, device: str = "auto") -> None:
        self._path, self._threads = path, threads
        settings = report.tool.settings
        self._start, self._end = settings.get("start"), settings.get("end")
        self._rate = settings.get("track_rate") or DEFAULT_RATE
        self._tracker = Tracker(
            Detector(threads=threads, device=device), Landmarker(threads=threads, device=device)
        )
        self.media = next(media for media in self._read(None, None) if isinstance(media, Media))
        if self.media.sha256 != report.media.sha256:
            raise ReportError(
                f"{path}: the report is of another file ({report.media.file_name}, sha256 "
                f"{report.media.sha256[:12]}...); give the file that was analysed, or analyse this one first"
            )

    def seen(self, maps_of: Callable[[Frame, list[Face]], Maps] | None = None) -> Iterator[Seen]:
        """Give every frame in order; outside the analysed stretch frames have no faces.

        The analysed stretch is read by itself, for cuts and ticks to fall where they fell then.
        """
        before = self._read(None, self._start) if self._start else iter(())
        after = self._read(self._end, None) if self._end is not None else iter(())
        return chain(
            _bare(before),
            self._followed(self._read(self._start, self._end), maps_of or (lambda frame, faces: {})),
            _bare(after),
        )

    def _read(self, start: float | None, end: float | None) -> Iterator[Event]:
        return read(self._path, rate=None, start=start, end=end, threads=self._threads)

    def _followed(
        self, events: Iterator[Event], maps_of: Callable[[Frame, list[Face]], Maps]
    ) -> Iterator[Seen]:
        ticks, between, maps = Ticks(self._rate), Between(), _MapsBetween()
        for event in events:
            if isinstance(event, Cut):
                yield from maps.still(between.cut())
                self._tracker.cut()
            elif isinstance(event, Frame) and ticks.due(event.time):
                faces = self._tracker.update(event)
                found = maps_of(event, faces)
                yield from maps.moving(between.tick(event, faces), event.time or 0.0, found)
            elif isinstance(event, Frame):
                yield from maps.still(between.wait(event))
        yield from maps.still(between.hold())


def _bare(events: Iterator[Event]) -> Iterator[Seen]:
    return (Seen(event) for event in events if isinstance(event, Frame))


class _MapsBetween:
    """Fades each face's heat map from one tick to the next."""

    def __init__(self) -> None:
        self._maps: Maps = {}
        self._time = 0.0

    def moving(self, frames: Iterator[tuple[Frame, list[Face]]], time: float, maps: Maps) -> Iterator[Seen]:
        """Add maps to the frames up to the tick at `time` seconds, where the maps are `maps`."""
        for frame, faces in frames:
            share = 1.0 if time <= self._time else ((frame.time or 0.0) - self._time) / (time - self._time)
            mixed = {
                face.track: _fade(self._maps.get(face.track), maps.get(face.track), share) for face in faces
            }
            yield Seen(frame, faces, {track: values for track, values in mixed.items() if values is not None})
        self._maps, self._time = maps, time

    def still(self, frames: Iterator[tuple[Frame, list[Face]]]) -> Iterator[Seen]:
        """Add the last maps to frames whose next tick is not waited for."""
        for frame, faces in frames:
            yield Seen(frame, faces, self._maps)


def _fade(before: np.ndarray | None, after: np.ndarray | None, share: float) -> np.ndarray | None:
    if share >= 1:
        return after
    if before is None or after is None:
        return before
    return (1 - share) * before + share * after


class HeatMaps:
    """Computes heat maps again, with the weights that the report was made with and no others.

    Raises:
        WeightError: these weights are not at hand.
    """

    def __init__(
        self, report: Report, *, model: Path | None = None, threads: int = 0, device: str = "auto"
    ) -> None:
        self._found: list[Heat] = []
        self._visual = Visual(
            Options(
                threads=threads,
                device=device,
                models={} if model is None else {Visual.name: model},
                on_heat=self._found.append,
            )
        )
        wanted = {weight.sha256 for weight in report.tool.weights if weight.analyser == Visual.name}
        if not {card.sha256 for card in self._visual.cards} & wanted:
            raise WeightError(
                "the report was made with another visual network (sha256 differs): give it by --model, "
                "analyse the file again, or do without heat maps (--no-heat)"
            )

    @property
    def framing(self) -> Framing:
        """Of the crops over which the maps lie."""
        return self._visual.framing

    def of(self, frame: Frame, faces: list[Face]) -> Maps:
        """Return the heat map of each face of one frame, by track; faces that cannot be judged have none."""
        self._found.clear()
        self._visual.observe(frame, faces)
        return {heat.face.track: heat.values for heat in self._found}
