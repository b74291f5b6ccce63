"""Analysers into tracks, tracks into persons."""

import math

import pytest

from unmask.evidence.base import Evidence, Measurement
from unmask.verdict.fusion import Fused, fuse, join, merge, weight_shares


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def evidence(analyser="visual", *, logit=0.0, frames=1, error=0.0, status="ok", track=0, timeline=()):
    return Evidence(
        analyser,
        track,
        status,
        f"says {logit}",
        reason=None if status == "ok" else "too dark",
        score=sigmoid(logit) if status == "ok" else None,
        timeline=timeline,
        measurements={"frames": Measurement(frames), "standard error": Measurement(error)},
    )


def test_logits_are_averaged_by_weight():
    # (1 * 2 + 3 * -1) / 4; the errors 0.4 and 0.1 add as hypot(1 * 0.4, 3 * 0.1) / 4
    parts = [evidence("a", logit=2, error=0.4, frames=5), evidence("b", logit=-1, error=0.1, frames=9)]
    fused = fuse(parts, {"a": 1.0, "b": 3.0})
    assert fused.score == pytest.approx(-0.25)
    assert fused.standard_error == pytest.approx(0.125)
    assert fused.frames == 9


def test_evidence_without_weight_is_an_observation_only():
    fused = fuse([evidence("visual", logit=1), evidence("blink", logit=9)], {"visual": 1.0})
    assert fused.score == pytest.approx(1)


def test_what_could_not_be_judged_is_absent_not_a_half():
    parts = [evidence("a", logit=2), evidence("b", status="inconclusive")]
    assert fuse(parts, {"a": 1.0, "b": 1.0}).score == pytest.approx(2)
    assert fuse([evidence("b", status="inconclusive")], {"b": 1.0}) is None
    assert fuse([], {"b": 1.0}) is None


def test_weights_are_shown_as_shares():
    parts = [evidence("a"), evidence("b"), evidence("c", status="inconclusive"), evidence("d")]
    shares = weight_shares(parts, {"a": 1.0, "b": 3.0, "c": 4.0})
    assert shares == {"a": 0.25, "b": 0.75, "c": 0.0, "d": 0.0}


def test_tracks_of_a_person_count_by_their_frames():
    # (30 * 1 + 10 * 5) / 40; hypot(30 * 0.4, 10 * 1.6) / 40 = 20 / 40
    person = join([Fused(1.0, 0.4, 30), Fused(5.0, 1.6, 10)])
    assert person.score == pytest.approx(2.0)
    assert person.standard_error == pytest.approx(0.5)
    assert person.frames == 40
    assert join([]) is None


def test_evidence_of_tracks_merges_into_that_of_the_person():
    first = evidence(logit=0, frames=30, track=4, timeline=((5.0, 0.5), (6.0, 0.5)))
    second = evidence(logit=4, frames=10, track=2, timeline=((1.0, 0.9),))
    merged = merge([first, second])
    assert merged.score == pytest.approx(sigmoid(1.0))
    assert merged.timeline == ((1.0, 0.9), (5.0, 0.5), (6.0, 0.5))
    assert merged.measurements["frames"].value == 40
    assert "2 tracks" in merged.summary
    assert "says 4" in merged.summary


def test_a_track_that_could_not_be_judged_does_not_weigh_on_the_person():
    refused, judged = evidence(status="inconclusive"), evidence(logit=1, frames=3)
    assert merge([refused, judged]).score == pytest.approx(sigmoid(1.0))
    assert merge([refused]) is refused
    assert merge([refused, refused]).status == "inconclusive"


def test_a_score_of_nought_or_one_stays_finite():
    sure = Evidence("visual", 0, "ok", "", score=1.0)
    assert math.isfinite(fuse([sure], {"visual": 1.0}).score)
