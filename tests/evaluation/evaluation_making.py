"""Hand-made scores and reports for the tests of the evaluation room."""

from __future__ import annotations

from pathlib import Path

from unmask.data.manifest import Item
from unmask.evaluation.scoring import Score
from unmask.report.schema import MediaFacts, Person, Report, Thresholds, Tool, Track, Verdict, Weight

SHA = "cd" * 32


def item(name: str, *, fake: bool, group: str = "", data_set: str = "set", crop: bool = True, **more) -> Item:
    return Item(
        name=name,
        label="fake" if fake else "real",
        path=Path(name),
        manipulation=more.get("manipulation", "swap") if fake else "",
        source="" if fake else more.get("source", "photos"),
        group=group or name,
        data_set=data_set,
        split=more.get("split", "val"),
        face_crop=crop,
        clip=more.get("clip", ""),
    )


def score(
    name: str, probability: float | None, *, fake: bool, outcome: str = "", width: float | None = 100, **more
) -> Score:
    if not outcome:
        outcome = "inconclusive" if probability is None else "fake" if probability >= 0.8 else "real"
    return Score(
        item=item(name, fake=fake, **more),
        outcome=outcome,  # type: ignore[arg-type]
        probability=probability,
        faces=0 if probability is None else 1,
        box=None if width is None else (0.0, 0.0, width, width),
        reason="no face found" if probability is None else "",
    )


def person(number: int, box, probability: float | None, label: str = "") -> Person:
    label = label or ("inconclusive" if probability is None else "fake" if probability >= 0.8 else "real")
    return Person(
        person=number,
        label=label,  # type: ignore[arg-type]
        probability=probability,
        reasons=("the face is too small to judge",) if probability is None else (),
        tracks=(Track.of(number, [(None, *box)], probability=probability),),
    )


def report(*persons: Person, probability: float | None, label: str, kind: str = "picture") -> Report:
    return Report(
        media=MediaFacts(file_name="x.jpg", sha256=SHA, kind=kind, size=(200, 100)),  # type: ignore[arg-type]
        verdict=Verdict(
            label=label,  # type: ignore[arg-type]
            probability=probability,
            thresholds=Thresholds(fake=0.8, real=0.3, false_alarm_rate=0.01),
            reasons=() if probability is not None else ("no face was found",),
        ),
        faces=persons,
        tool=Tool(version="0", weights=(Weight(name="visual.onnx", sha256=SHA, analyser="visual"),)),
    )
