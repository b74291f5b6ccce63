"""Reports built by hand, with numbers that the tests can count on."""

from __future__ import annotations

import pytest

from unmask.report.schema import (
    Codecs,
    Evidence,
    Measurement,
    MediaFacts,
    Person,
    Report,
    Thresholds,
    Timing,
    Tool,
    Track,
    Verdict,
    Weight,
    file_evidence,
)

SHA = "ab" * 32


def person(number: int, label, probability: float, scores, *, start=0.0, step=0.5) -> Person:
    times = [start + step * i for i in range(len(scores))]
    return Person(
        person=number,
        label=label,
        probability=probability,
        interval=(probability - 0.1, min(1.0, probability + 0.05)),
        tracks=(
            Track.of(
                number,
                [(t, 100.0 + 10 * t, 50.0, 80.0, 100.0) for t in times],
                probability=probability,
                label=label,
            ),
        ),
        evidence={
            "visual": Evidence(
                status="ok",
                summary="The face shows traces of a swap.",
                score=max(scores),
                weight=1.0,
                measurements={"frames": Measurement(value=len(scores), unit="frames")},
                timeline=tuple(zip(times, scores, strict=True)),
                timeline_points=len(scores),
            )
        },
    )


@pytest.fixture
def report() -> Report:
    """A ten-second clip with a manipulated person and, from the fifth second on, a real one."""
    faces = (
        person(1, "fake", 0.93, [0.2, 0.3, *[0.9] * 18]),
        person(2, "real", 0.12, [0.1] * 10, start=5.0),
    )
    return Report(
        media=MediaFacts(
            file_name="suspicious <b>[red]&.mp4",
            sha256=SHA,
            kind="video",
            size=(640, 360),
            duration=10.0,
            frame_rate="30000/1001",
            frame_count=300,
            frames_analysed=32,
            codecs=Codecs(container="mp4", video="h264", audio="aac", pixel_format="yuv420p"),
        ),
        verdict=Verdict(
            label="fake",
            probability=0.93,
            interval=(0.82, 0.97),
            interval_meaning="95 % of bootstrap draws over groups of the tune fold.",
            kind="swap",
            thresholds=Thresholds(fake=0.8, real=0.3, false_alarm_rate=0.01, miss_rate=0.25),
            prior=0.5,
            reasons=("Person 1: the face shows traces of a swap in 18 of 20 frames.",),
        ),
        faces=faces,
        evidence=file_evidence(faces),
        warnings=("Damaged from 3.0 to 3.4 s; this stretch was skipped.",),
        tool=Tool(
            version="0.1.0",
            weights=(Weight(name="visual", sha256="cd" * 32, analyser="visual"),),
            settings={"frames": 32, "every_frame": False},
        ),
        timing=Timing(seconds=4.2, stages={"decode": 1.0}),
    )
