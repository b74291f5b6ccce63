"""A report as one self-contained HTML page: no script, no outside file, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from unmask.report import words
from unmask.report.pages import render
from unmask.report.schema import Evidence, Person, Report

_WIDTH = 800.0
_HEIGHT = 80.0
_MOST_DOTS = 80


@dataclass(frozen=True)
class _Chart:
    """A timeline in drawing units: polylines (one a track), sample dots, ticks (x, time, text anchor)."""

    lines: tuple[str, ...]
    dots: tuple[tuple[str, str], ...]
    ticks: tuple[tuple[str, str, str], ...]


def to_html(report: Report, pictures: Mapping[int, bytes] | None = None) -> str:
    """Write the report as an HTML page. `pictures` holds a JPEG for each person's number."""
    return render(
        "report.html.j2",
        report=report,
        name=words.printable(report.media.file_name),
        words=words,
        headlines=words.HEADLINES,
        kinds=words.KINDS,
        seen=[words.seen(report, index) for index in range(len(report.faces))],
        charts=_charts(report),
        evidence=words.evidence_rows(report),
        pictures={
            person.person: base64.b64encode((pictures or {}).get(person.person, b"")).decode()
            for person in report.faces
        },
        at=_at,
    )


def _at(value: float) -> str:
    return f"{value * _WIDTH:.1f}"


def _charts(report: Report) -> list[dict[str, _Chart]]:
    drawn = [
        {name: entry for name, entry in person.evidence.items() if len(entry.timeline) > 1}
        for person in report.faces
    ]
    times = [time for entries in drawn for entry in entries.values() for time, _ in entry.timeline]
    if not times:
        return [{} for _ in drawn]
    start, end = min(times), max(times)
    return [
        {name: _chart(person, entry, start, end) for name, entry in entries.items()}
        for person, entries in zip(report.faces, drawn, strict=True)
    ]


def _chart(person: Person, entry: Evidence, start: float, end: float) -> _Chart:
    span = max(end - start, 1e-9)

    def place(time: float, score: float) -> tuple[str, str]:
        return f"{(time - start) / span * _WIDTH:.1f}", f"{(1 - score) * _HEIGHT:.1f}"

    lines = []
    for stretch in by_track(person, entry):
        lines.append(" ".join(",".join(place(time, score)) for time, score in stretch))
    dots = tuple(place(*point) for point in entry.timeline) if len(entry.timeline) <= _MOST_DOTS else ()
    anchors = ("start", "middle", "middle", "middle", "end")
    ticks = tuple((_at(i / 4), words.clock(start + span * i / 4), anchor) for i, anchor in enumerate(anchors))
    return _Chart(lines=tuple(lines), dots=dots, ticks=ticks)


def by_track(person: Person, entry: Evidence) -> list[list[tuple[float, float]]]:
    """Cut a timeline where the person is not seen: one stretch for each track that has points in it."""
    spans = sorted(
        (track.start, track.end)
        for track in person.tracks
        if track.start is not None and track.end is not None
    )
    stretches: list[list[tuple[float, float]]] = [[]]
    current = 0
    for time, score in entry.timeline:
        track = sum(1 for start, _ in spans if start <= time)
        if track != current and stretches[-1]:
            stretches.append([])
        current = track
        stretches[-1].append((time, score))
    return [stretch for stretch in stretches if stretch]
