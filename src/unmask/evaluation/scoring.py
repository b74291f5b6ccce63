"""Scores test items the whole way that `detect` goes: every figure rests on finished reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from unmask.data.manifest import Item
from unmask.evaluation.spread import spread
from unmask.evaluation.variants import Variant, VariantError, Workbench
from unmask.media.events import MediaError
from unmask.report.schema import BoxPoint, Person, Report, Track

Outcome = Literal["fake", "real", "inconclusive", "failed"]


class Analyse(Protocol):
    """Analyses a file with so many threads (0: all)."""

    def __call__(self, path: Path, *, threads: int) -> Report:
        """Return the report."""
        ...


@dataclass(frozen=True)
class Score:
    """What the product said of one item.

    `outcome` is its verdict, or "failed" when the file could not be analysed. `probability` is None where
    nothing was judged: no face, too small, failed. `faces` counts the persons found. `box` is (x, y,
    width, height) of the judged face in displayed pixels at `time` seconds (None in a picture).
    `kind` is that of the file; `named` the kind of manipulation that a fake was taken for ("" where none was
    named). `reason` says why there is no probability.
    `frames` are the scores 0..1 over time of the judged person of a clip; `logit` is what the network says
    of the judged person, all frames combined (None: it was not judged).
    """

    item: Item
    outcome: Outcome
    probability: float | None
    faces: int = 0
    box: tuple[float, float, float, float] | None = None
    time: float | None = None
    kind: str = "picture"
    reason: str = ""
    named: str = ""
    frames: tuple[float, ...] = ()
    logit: float | None = None

    @property
    def face_width(self) -> float | None:
        """Width of the judged face's box in pixels of the analysed file."""
        return None if self.box is None else self.box[2]


@dataclass(frozen=True)
class Run:
    """All scores of one evaluation, and what the reports said of the tool that made them."""

    scores: list[Score]
    tool: dict = field(default_factory=dict)
    thresholds: dict[str, dict] = field(default_factory=dict)


def score_items(
    items: Sequence[Item],
    analyse: Analyse,
    *,
    variant: Variant | None = None,
    threads: int = 0,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Analyse every item and keep what the report says of it.

    An item that cannot be analysed becomes a score with outcome "failed"; other errors are not caught.

    Args:
        items: what to score.
        analyse: takes a path and, by name, how many threads.
        variant: how the files are changed first.
        threads: of all processes together; 0: all cores.
        processes: at most so many; `analyse` is pickled where there are several.
        on_progress: told how many are done, of all.
    """
    run = Run([])
    scored = spread(partial(_scoring, analyse, variant), items, threads=threads, processes=processes)
    for done, (score, tool, thresholds) in enumerate(scored, start=1):
        run.scores.append(score)
        if not run.tool:
            run.tool.update(tool)
        run.thresholds.update({k: v for k, v in thresholds.items() if k not in run.thresholds})
        if on_progress:
            on_progress(done, len(items))
    return run


Scored = tuple[Score, dict, dict[str, dict]]
"""A score, and what its report says of the tool and, by kind of media, of the thresholds."""


@contextmanager
def _scoring(analyse: Analyse, variant: Variant | None, threads: int) -> Iterator[Callable[[Item], Scored]]:
    with Workbench(variant) as bench:

        def score(item: Item) -> Scored:
            try:
                with bench.file(item) as path:
                    report = analyse(path, threads=threads)
            except (MediaError, VariantError) as error:
                return Score(item, "failed", None, reason=str(error)), {}, {}
            thresholds = report.verdict.thresholds
            said: dict[str, dict] = {}
            if thresholds is not None:
                said[report.media.kind] = thresholds.model_dump(mode="json")
            return read_report(item, report), report.tool.model_dump(mode="json"), said

        yield score


def read_report(item: Item, report: Report) -> Score:
    """Take from a report what is compared with the item's label.

    For a picture cut round the labelled face that is the central person; for any other file its verdict.
    """
    persons = [person for person in report.faces if any(track.boxes for track in person.tracks)]
    central = central_person(persons, report.media.size)
    judged = central if item.face_crop else _deciding(persons) or central
    answer = judged if item.face_crop else report.verdict
    if answer is None:
        return Score(item, "inconclusive", None, kind=report.media.kind, reason="no face found")
    track = _largest_track(judged) if judged else None
    box = _median_box(track) if track else None
    reason = "" if answer.probability is not None else "; ".join(answer.reasons) or "not judged"
    return Score(
        item=item,
        outcome=answer.label,
        probability=answer.probability,
        faces=len(report.faces),
        box=None if box is None else (box.x, box.y, box.width, box.height),
        time=None if box is None else box.time,
        kind=report.media.kind,
        reason=reason,
        named=answer.kind or "",
        frames=() if judged is None else _frames(judged),
        logit=None if judged is None else _logit(judged),
    )


def central_person(persons: Sequence[Person], size: tuple[int, int] | None) -> Person | None:
    """Return the person whose face is nearest the middle of the picture, in units of its own size."""
    if not persons or size is None:
        return None

    def distance(person: Person) -> float:
        return min(
            float(
                np.hypot(b.x + b.width / 2 - size[0] / 2, b.y + b.height / 2 - size[1] / 2) / max(b.height, 1)
            )
            for b in _first_boxes(person)
        )

    return min(persons, key=distance)


def _first_boxes(person: Person) -> Iterator[BoxPoint]:
    return (track.boxes[0] for track in person.tracks if track.boxes)


def _deciding(persons: Sequence[Person]) -> Person | None:
    """Return the person most probably fake: the one that decides a file's verdict."""
    judged = [person for person in persons if person.probability is not None]
    return max(judged, key=lambda person: person.probability or 0.0, default=None)


def _frames(person: Person) -> tuple[float, ...]:
    evidence = person.evidence.get("visual")
    return () if evidence is None else tuple(score for _, score in evidence.timeline)


def _logit(person: Person) -> float | None:
    evidence = person.evidence.get("visual")
    measured = None if evidence is None else evidence.measurements.get("logit")
    return None if measured is None else measured.value


def _largest_track(person: Person) -> Track | None:
    return max(person.tracks, key=lambda track: track.boxes_points or len(track.boxes), default=None)


def _median_box(track: Track) -> BoxPoint | None:
    """Return the box of median width, with its time."""
    ordered = sorted(track.boxes, key=lambda box: box.width)
    return ordered[len(ordered) // 2] if ordered else None
