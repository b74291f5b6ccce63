"""The report is a stable, readable file."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unmask.evidence.base import Evidence as AnalyserEvidence
from unmask.evidence.base import Measurement as AnalyserMeasurement
from unmask.media.events import Media
from unmask.report.schema import (
    Evidence,
    MediaFacts,
    Person,
    Report,
    ReportError,
    Track,
    Verdict,
    decimate,
    file_evidence,
    json_schema,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_report_reads_back_as_it_was_written(report):
    assert Report.from_json(report.to_json()) == report


def test_the_json_has_the_names_that_the_design_promises(report):
    data = json.loads(report.to_json())
    assert list(data) == ["schema", "media", "verdict", "faces", "evidence", "warnings", "tool", "timing"]
    assert data["schema"] == "unmask.report/1"
    assert data["media"]["frame_rate"] == "30000/1001"
    assert data["verdict"]["label"] == "fake"
    assert data["verdict"]["interval"] == [0.82, 0.97]
    assert "beauty filters" in data["verdict"]["scope"]
    # Box of person 1 at 0.5 s: x = 100 + 10 * 0.5.
    assert data["faces"][0]["tracks"][0]["boxes"][1] == [0.5, 105.0, 50.0, 80.0, 100.0]
    assert data["faces"][0]["evidence"]["visual"]["timeline"][2] == [1.0, 0.9]


def test_lists_of_numbers_take_one_line_and_file_names_stay_as_they_are(report):
    odd = report.model_copy(
        update={"media": report.media.model_copy(update={"file_name": "a[\n 1,\n 2\n].mp4"})}
    )
    text = odd.to_json()
    assert "[0.5, 105.0, 50.0, 80.0, 100.0]" in text
    assert json.loads(text)["media"]["file_name"] == "a[\n 1,\n 2\n].mp4"


def test_a_reader_ignores_fields_that_a_newer_version_added(report):
    data = json.loads(report.to_json())
    data["new"] = {"a": 1}
    data["verdict"]["new"] = [1]
    data["faces"][0]["tracks"][0]["new"] = None
    assert Report.from_json(json.dumps(data)) == report


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "not json", '{"schema": "unmask.report/2"}', b"\xff\xfe", '{"schema": null}']
)
def test_what_is_no_report_is_refused_in_one_line(text):
    with pytest.raises(ReportError, match=r"not an unmask\.report/1 report") as caught:
        Report.from_json(text)
    assert "\n" not in str(caught.value)


def test_a_report_cannot_be_changed(report):
    with pytest.raises(ValidationError):
        report.verdict.label = "real"


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_0_to_1_is_refused(probability):
    with pytest.raises(ValidationError):
        Verdict(label="fake", probability=probability)


def test_the_committed_schema_is_current():
    committed = json.loads((ROOT / "docs" / "report-schema.json").read_text())
    assert committed == json_schema(), "run: python -m unmask.report.schema > docs/report-schema.json"


@given(st.integers(0, 9000), st.integers(1, 3000))
def test_decimation_keeps_at_most_the_limit_and_states_its_step(count, limit):
    kept, step = decimate(range(count), limit)
    assert len(kept) <= limit
    assert list(kept) == [i for i in range(count) if i % step == 0]
    assert step == 1 or -(-count // (step - 1)) > limit  # no coarser than needed


def test_a_long_timeline_is_decimated_and_says_so():
    evidence = AnalyserEvidence(
        analyser="visual",
        track=0,
        status="ok",
        summary="",
        score=0.123456,
        timeline=tuple((i / 30, 0.5) for i in range(5000)),
        measurements={"sharpness": AnalyserMeasurement(12.5, "px")},
        embedding=np.ones(1280),
    )
    entry = Evidence.of(evidence, weight=0.7)
    assert (entry.timeline_points, entry.timeline_step, len(entry.timeline)) == (5000, 3, 1667)
    assert entry.timeline[1] == (0.1, 0.5)
    assert entry.score == 0.1235
    assert (entry.measurements["sharpness"].value, entry.measurements["sharpness"].unit) == (12.5, "px")
    assert "embedding" not in entry.model_dump_json()


def test_a_track_knows_its_whole_span_although_its_boxes_are_decimated():
    track = Track.of(7, [(i / 10, 1.04, 2.06, 30, 40) for i in range(4002)])
    assert (track.boxes_points, track.boxes_step, len(track.boxes)) == (4002, 3, 1334)
    assert (track.start, track.end) == (0.0, 400.1)
    assert (track.boxes[0].x, track.boxes[0].y) == (1.0, 2.1)


def test_a_face_in_a_picture_has_no_time():
    track = Track.of(0, [(None, 1, 2, 3, 4)])
    assert (track.start, track.end, track.boxes[0].time) == (None, None, None)


def test_media_facts_keep_the_name_and_not_the_folder():
    media = Media(
        path=Path("/secret/place/clip.mp4"),
        sha256="0" * 64,
        kind="video",
        container="mp4",
        size=(1920, 1080),
        duration=2.00012,
        frame_rate=Fraction(30000, 1001),
    )
    facts = MediaFacts.of(media, frames_analysed=4)
    assert facts.file_name == "clip.mp4"
    assert "secret" not in facts.model_dump_json()
    assert facts.frame_rate == "30000/1001"
    assert facts.duration == 2.0


def entry(score):
    return Evidence(status="inconclusive" if score is None else "ok", summary=str(score), score=score)


def test_one_persons_evidence_is_the_files():
    one = Person(person=1, label="real", evidence={"visual": entry(0.2)})
    assert file_evidence([one]) == {"visual": entry(0.2)}


def test_the_person_with_the_highest_score_speaks_for_the_file():
    persons = [
        Person(person=i, label="real", evidence={"visual": entry(s)}) for i, s in enumerate([None, 0.9, 0.2])
    ]
    assert file_evidence(persons)["visual"].score == 0.9


def test_evidence_of_the_whole_file_stands():
    one = Person(person=1, label="real", evidence={"visual": entry(0.2)})
    merged = file_evidence([one], {"audio": entry(0.4), "visual": entry(0.7)})
    assert merged["visual"].score == 0.7
    assert merged["audio"].score == 0.4


def test_a_file_without_faces_has_no_evidence():
    assert file_evidence([]) == {}
