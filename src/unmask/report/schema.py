"""The versioned report (`unmask.report/1`): what an analysis says, as frozen pydantic models.

Field names are stable. A reader ignores fields that it does not know, so a file written by a newer
version of the same schema can be read. Coordinates are displayed, square pixels; times are seconds
from the first frame of the file; scores and probabilities run from 0 (real) to 1 (fake).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unmask.evidence.base import SCORE, Status
from unmask.evidence.base import Evidence as AnalyserEvidence
from unmask.media.events import Media, MediaKind
from unmask.verdict.kinds import Kind

SCHEMA = "unmask.report/1"
SCOPE = (
    "Judged: manipulated or synthesised human faces (voices are not judged by this version). "
    "Not judged: scenes without a face, cartoons, beauty filters."
)
MAX_TIMELINE_POINTS = 2000

Label = Literal["fake", "real", "inconclusive"]

_T = TypeVar("_T")
_NUMBERS = re.compile(r"\[\n[\s\d.,eE+\-nul]*\]")  # a list of numbers and nulls, spread over lines


class ReportError(Exception):
    """A report cannot be read or does not fit; the message names the remedy in one line."""


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True, protected_namespaces=()
    )


class Measurement(_Model):
    """A named number with its unit ("" when it has none)."""

    value: float
    unit: str = ""


class Interval(_Model):
    """A suspicious stretch of a clip, from `start` to `end` seconds, and why in plain words."""

    start: float
    end: float
    reason: str


class Evidence(_Model):
    """What one analyser concluded, about one person or about the whole file.

    `weight` is the share of the verdict that rests on it (0: shown as an observation only).
    `timeline` holds (time, value in 0..1), at most 2,000 points: `timeline_points` is how many there were,
    and every `timeline_step`-th of them is kept (1: all). `timeline_meaning` says what the value is.
    `intervals` are the stretches found suspicious.
    """

    status: Status
    summary: str
    reason: str | None = None
    score: float | None = Field(default=None, ge=0, le=1)
    weight: float = Field(default=0.0, ge=0, le=1)
    measurements: dict[str, Measurement] = Field(default_factory=dict)
    timeline: tuple[tuple[float, float], ...] = ()
    timeline_meaning: str = SCORE
    timeline_points: int = 0
    timeline_step: int = Field(default=1, ge=1)
    intervals: tuple[Interval, ...] = ()

    @classmethod
    def of(cls, evidence: AnalyserEvidence, *, weight: float = 0.0) -> Evidence:
        """Take an analyser's evidence: decimated, rounded, without its embedding."""
        timeline, step = decimate(evidence.timeline)
        return cls(
            status=evidence.status,
            summary=evidence.summary,
            reason=evidence.reason,
            score=None if evidence.score is None else round(float(evidence.score), 4),
            weight=weight,
            measurements={
                name: Measurement(value=float(measured.value), unit=measured.unit)
                for name, measured in evidence.measurements.items()
            },
            timeline=tuple((round(float(t), 3), round(float(score), 4)) for t, score in timeline),
            timeline_meaning=evidence.timeline_meaning,
            timeline_points=len(evidence.timeline),
            timeline_step=step,
            intervals=tuple(
                Interval(start=round(i.start, 3), end=round(i.end, 3), reason=i.reason)
                for i in evidence.intervals
            ),
        )


class BoxPoint(NamedTuple):
    """Where a face is at one moment: box in displayed pixels; `time` is None in a picture."""

    time: float | None
    x: float
    y: float
    width: float
    height: float


class Track(_Model):
    """One face followed without interruption, from `start` to `end` seconds (None in a picture).

    `boxes` is its box timeline, at most 2,000 points; `boxes_points` and `boxes_step` state the
    decimation as in `Evidence`. `probability` is None where the track alone was not judged.
    """

    track: int
    start: float | None
    end: float | None
    probability: float | None = Field(default=None, ge=0, le=1)
    label: Label = "inconclusive"
    boxes: tuple[BoxPoint, ...] = ()
    boxes_points: int = 0
    boxes_step: int = Field(default=1, ge=1)

    @classmethod
    def of(
        cls,
        track: int,
        boxes: Sequence[tuple[float | None, float, float, float, float]],
        *,
        probability: float | None = None,
        label: Label = "inconclusive",
    ) -> Track:
        """Make a track from its boxes (time, x, y, width, height), decimated and rounded to 0.1 px."""
        kept, step = decimate(boxes)
        points = tuple(BoxPoint(_seconds(time), *(round(float(v), 1) for v in box)) for time, *box in kept)
        return cls(
            track=track,
            start=_seconds(boxes[0][0]) if boxes else None,
            end=_seconds(boxes[-1][0]) if boxes else None,
            probability=probability,
            label=label,
            boxes=points,
            boxes_points=len(boxes),
            boxes_step=step,
        )


class Person(_Model):
    """One person: the tracks that measured likeness says are one face, judged together."""

    person: int
    label: Label
    probability: float | None = Field(default=None, ge=0, le=1)
    interval: tuple[float, float] | None = None
    kind: Kind | None = None
    reasons: tuple[str, ...] = ()
    tracks: tuple[Track, ...] = ()
    evidence: dict[str, Evidence] = Field(default_factory=dict)


class Thresholds(_Model):
    """`fake` at or above `fake`, `real` at or below `real`, `inconclusive` between.

    `false_alarm_rate` is the share of real *tune* items at or above `fake`; `miss_rate` the measured
    share of fakes at or below `real` (None: not measured).
    """

    fake: float = Field(ge=0, le=1)
    real: float = Field(ge=0, le=1)
    false_alarm_rate: float | None = Field(default=None, ge=0, le=1)
    miss_rate: float | None = Field(default=None, ge=0, le=1)


class Verdict(_Model):
    """The answer for the whole file.

    `probability` is calibrated and assumes the share of fakes `prior`; it and `interval` are None where
    nothing could be judged. `interval_meaning` says what the interval covers. `reasons` are plain words.
    """

    label: Label
    probability: float | None = Field(default=None, ge=0, le=1)
    interval: tuple[float, float] | None = None
    interval_meaning: str | None = None
    kind: Kind | None = None
    thresholds: Thresholds | None = None
    prior: float = Field(default=0.5, gt=0, lt=1)
    reasons: tuple[str, ...] = ()
    scope: str = SCOPE


class Codecs(_Model):
    """How the file is encoded."""

    container: str | None = None
    video: str | None = None
    audio: str | None = None
    pixel_format: str | None = None
    bit_rate: int | None = None


class MediaFacts(_Model):
    """The analysed file. `size` is (width, height) as displayed; `frame_rate` a fraction ("30000/1001")."""

    file_name: str
    sha256: str
    kind: MediaKind
    size: tuple[int, int] | None = None
    duration: float | None = None
    frame_rate: str | None = None
    frame_count: int | None = None
    frames_analysed: int = 0
    codecs: Codecs = Field(default_factory=Codecs)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, media: Media, *, frames_analysed: int) -> MediaFacts:
        """Take the facts from the stream's `Media` event. The folder of the file is not kept."""
        return cls(
            file_name=Path(media.path).name,
            sha256=media.sha256,
            kind=media.kind,
            size=media.size,
            duration=None if media.duration is None else round(media.duration, 3),
            frame_rate=None if media.frame_rate is None else str(media.frame_rate),
            frame_count=media.frame_count,
            frames_analysed=frames_analysed,
            codecs=Codecs(
                container=media.container,
                video=media.video_codec,
                audio=media.audio_codec,
                pixel_format=media.pixel_format,
                bit_rate=media.bit_rate,
            ),
            metadata=media.metadata,
        )


class Weight(_Model):
    """One weight file that took part: which network, and the sha256 of the file."""

    name: str
    sha256: str
    analyser: str | None = None


class Tool(_Model):
    """What made the report: version, weight files and every setting that can change the result."""

    name: str = "unmask"
    version: str
    weights: tuple[Weight, ...] = ()
    settings: dict[str, Any] = Field(default_factory=dict)


class Timing(_Model):
    """Wall-clock seconds of the analysis, in all and by stage; stages side by side add up to more."""

    seconds: float
    stages: dict[str, float] = Field(default_factory=dict)


class Report(_Model):
    """One analysed file. `faces` has one entry a person; `evidence` is the whole file's, by analyser."""

    schema_name: Literal["unmask.report/1"] = Field(default="unmask.report/1", alias="schema")
    media: MediaFacts
    verdict: Verdict
    faces: tuple[Person, ...] = ()
    evidence: dict[str, Evidence] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tool: Tool
    timing: Timing | None = None

    def to_json(self) -> str:
        """Write the report as indented JSON text, lists of numbers on one line each."""
        text = self.model_dump_json(by_alias=True, indent=2)
        return (
            _NUMBERS.sub(
                lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]"), text
            )
            + "\n"
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read a report back. Raises `ReportError` naming the first thing that does not fit."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ReportError(f"not an {SCHEMA} report ({where}: {first['msg']})") from None


def _seconds(time: float | None) -> float | None:
    return None if time is None else round(float(time), 4)


def decimate(points: Sequence[_T], limit: int = MAX_TIMELINE_POINTS) -> tuple[Sequence[_T], int]:
    """Every `step`-th point, so that at most `limit` remain; returns (points, step)."""
    step = max(1, -(-len(points) // limit))
    return points[::step], step


def file_evidence(
    faces: Sequence[Person], whole_file: Mapping[str, Evidence] | None = None
) -> dict[str, Evidence]:
    """Evidence of the whole file, by analyser: its own where there is one, else that of the persons.

    A single person's evidence is the file's. Of several, the person with the highest score speaks for
    the file, for one manipulated person makes it fake.
    """
    merged = dict(whole_file or {})
    for name in sorted({name for person in faces for name in person.evidence}):
        if name not in merged:
            candidates = [person.evidence[name] for person in faces if name in person.evidence]
            merged[name] = max(candidates, key=lambda e: -1.0 if e.score is None else e.score)
    return merged


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the report, as committed in docs/report-schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
    } | {key: value for key, value in Report.model_json_schema(by_alias=True).items() if key != "title"}


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
