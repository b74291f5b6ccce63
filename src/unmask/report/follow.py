"""Follows the faces of an analysed file again, so that its tracks carry the numbers of its report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unmask.evidence.base import Heat
from unmask.evidence.registry import Options
from unmask.evidence.visual import Visual
from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import Landmarker
from unmask.faces.track import Tracker
from unmask.media.events import Cut, Frame, Media
from unmask.media.reader import read
from unmask.report.schema import Person, Report, ReportError
from unmask.runtime.card import WeightError

TRACK_RATE = 10.0
"""Frames a second at which faces are followed, where the report does not say."""


def open_source(source: Path, report: Report, *, threads: int) -> tuple[Media, Iterator]:
    """Open a file for every frame and check that the report is of this file; returns (media, events after).

    Raises:
        MediaError: the file cannot be read.
        ReportError: the report is of another file.
    """
    events = read(source, rate=None, threads=threads)
    media = next(events)
    assert isinstance(media, Media)
    if media.sha256 != report.media.sha256:
        raise ReportError(
            f"{source}: the report is of another file ({report.media.file_name}, sha256 "
            f"{report.media.sha256[:12]}…); give the file that was analysed, or analyse this one first"
        )
    return media, events


def follow(
    source: Path, report: Report, *, threads: int = 0, device: str = "auto"
) -> Iterator[tuple[Frame, list[Face]] | Cut]:
    """Give the tracker's frames with their faces, and the cuts, at the report's rate and in its window."""
    settings = report.tool.settings
    tracker = Tracker(Detector(threads=threads, device=device), Landmarker(threads=threads, device=device))
    rate = settings.get("track_rate") or TRACK_RATE
    start, end = settings.get("start"), settings.get("end")
    for event in read(source, rate=rate, start=start, end=end, threads=threads):
        if isinstance(event, Cut):
            tracker.cut()
            yield event
        elif isinstance(event, Frame):
            yield event, tracker.update(event)


def persons_by_track(report: Report) -> dict[int, Person]:
    """Return whose track it is, for every track number of the report."""
    return {track.track: person for person in report.faces for track in person.tracks}


class HeatMaps:
    """Computes heat maps again with the weights that the report was made with.

    Raises:
        WeightError: these weights are not at hand.
    """

    def __init__(
        self, report: Report, *, model: Path | None = None, threads: int = 0, device: str = "auto"
    ) -> None:
        models = {} if model is None else {Visual.name: model}
        self._found: list[Heat] = []
        options = Options(threads=threads, device=device, models=models, on_heat=self._found.append)
        self._visual = Visual(options)
        wanted = {weight.sha256 for weight in report.tool.weights if weight.analyser in (None, Visual.name)}
        if not {card.sha256 for card in self._visual.cards} & wanted:
            raise WeightError(
                "heat maps need the weights that the report was made with, and these differ (sha256); "
                "give them by --model, or analyse the file again"
            )

    def of(self, frame: Frame, faces: list[Face]) -> dict[int, Heat]:
        """Return the heat map of each face of one frame, by track; faces that cannot be judged have none."""
        self._found.clear()
        self._visual.observe(frame, faces)
        return {heat.face.track: heat for heat in self._found}


def strongest(values: np.ndarray) -> float:
    """Return the map value that is drawn at full strength.

    At least `FULL_STRENGTH` logits, so that a face without traces does not glow.
    """
    return max(FULL_STRENGTH, float(values.max()))


FULL_STRENGTH = 6.0
