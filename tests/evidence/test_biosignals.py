"""The analysers of continuous signals: what they conclude from made-up faces, and when they refuse."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.blink import Blink
from unmask.evidence.breathing import Breathing
from unmask.evidence.consistency import Consistency
from unmask.evidence.continuous import Series
from unmask.evidence.head_pose import HeadMotion
from unmask.evidence.pulse import Pulse, bits_per_pixel
from unmask.evidence.registry import Options, create
from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import Landmarker, with_landmarks
from unmask.faces.track import Tracker
from unmask.media.events import Frame, Media

CONTINUOUS = ("blink", "pulse", "breathing", "head_pose", "consistency")
LARGE = 200.0


def media(kind="video", bit_rate=4_000_000) -> Media:
    return Media(Path("clip"), "0" * 64, kind, "mp4", (640, 480), 30.0, Fraction(30), bit_rate=bit_rate)


def begun(make, **facts):
    analyser = make(Options())
    analyser.begin(media(**facts))
    return analyser


def conclude(make, times, rows, *, size=LARGE, **facts) -> Evidence:
    return begun(make, **facts)._conclude(0, Series(np.asarray(times), np.asarray(rows, float), size))


TIMES = np.arange(0, 30, 1 / 30)


def eyes(times, moments):
    shut = np.exp(-((times[:, None] - np.array(moments)) ** 2) / (2 * 0.06**2)).sum(axis=1)
    ratio = 0.3 * (1 - 0.75 * shut)
    return np.stack([ratio, ratio, 0.8 * shut, 0.8 * shut], axis=1)


def colours(times, beats, amplitude, seed=0, noise=0.15):
    random = np.random.default_rng(seed)
    wave = amplitude * np.sin(2 * np.pi * beats / 60 * times)[:, None, None]
    base = np.array([180.0, 130, 110])
    rows = np.tile(base, (len(times), 6, 1)) + random.normal(0, noise, (len(times), 6, 3))
    rows[:, :4] += wave * base * np.array([0.43, 1.0, 0.69])
    return rows.reshape(len(times), -1)


def test_blinks_are_counted_and_measured():
    evidence = conclude(Blink, TIMES, eyes(TIMES, [2, 7, 7.9, 15, 24]))
    assert evidence.status == "ok"
    assert evidence.score is None
    assert evidence.summary.startswith("5 blinks in 30.0 s: within")
    assert evidence.measurements["blinks per minute"].value == pytest.approx(10)
    # a Gaussian is 2.355 deviations wide at half its height
    assert evidence.measurements["median duration"].value == pytest.approx(2.355 * 0.06, abs=0.03)
    assert evidence.measurements["median interval"].value == pytest.approx((5 + 7.1) / 2, abs=0.05)
    assert "closure" in evidence.timeline_meaning
    assert all(0 <= value <= 1 for _, value in evidence.timeline)


def test_two_minutes_without_a_blink_are_called_unusual():
    times = np.arange(0, 120, 1 / 30)
    evidence = conclude(Blink, times, eyes(times, [500]))
    assert "unusually few" in evidence.summary
    assert conclude(Blink, TIMES[:240], eyes(TIMES[:240], [500])).summary.endswith("in such a time.")


def test_a_pulse_in_step_is_reported_with_its_rate():
    evidence = conclude(Pulse, TIMES, colours(TIMES, 84, 0.005))
    assert evidence.status == "ok"
    assert evidence.measurements["rate"].value == pytest.approx(84, abs=1)
    assert "84 beats" in evidence.summary
    assert np.mean([value for _, value in evidence.timeline]) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_pulse(seed):
    evidence = conclude(Pulse, TIMES, colours(TIMES, 84, 0.0, seed=seed))
    assert evidence.status == "inconclusive"
    assert "rate" not in evidence.measurements
    assert evidence.reason.startswith("No pulse that can be relied on")


def test_a_line_that_the_surroundings_share_is_not_reported():
    rows = colours(TIMES, 84, 0.005).reshape(len(TIMES), 6, 3)
    rows[:, 5] = rows[:, 0]
    evidence = conclude(Pulse, TIMES, rows.reshape(len(TIMES), -1))
    assert evidence.status == "inconclusive"
    assert "surroundings" in evidence.reason


def test_strong_compression_is_refused():
    # 20,000 bits a second on 640 x 480 pixels 30 times a second
    assert bits_per_pixel(media(bit_rate=20_000)) == pytest.approx(20_000 / (640 * 480 * 30))
    evidence = conclude(Pulse, TIMES, colours(TIMES, 84, 0.01), bit_rate=20_000)
    assert evidence.status == "not_applicable"
    assert "Compression" in evidence.reason


def test_breathing_needs_two_sources_that_agree():
    wave = np.sin(2 * np.pi * 15 / 60 * TIMES)
    noise = np.random.default_rng(0).normal(0, 0.1, (3, len(TIMES)))
    both = np.stack([5 + wave, np.gradient(-wave), 120 + noise[2]], axis=1)
    evidence = conclude(Breathing, TIMES, both)
    assert evidence.status == "ok"
    assert evidence.measurements["rate"].value == pytest.approx(15, abs=1)
    alone = np.stack([5 + wave, np.zeros(len(TIMES)), 120 + noise[2]], axis=1)
    assert conclude(Breathing, TIMES, alone).status == "inconclusive"


@pytest.mark.parametrize("make", [Blink, Pulse, Breathing, HeadMotion, Consistency])
def test_what_cannot_be_measured_is_refused_with_the_reason(make):
    limits = make.limits
    rows = np.zeros((len(TIMES), 30))
    assert "picture" in conclude(make, TIMES, rows, kind="picture").reason
    short = TIMES[limits.seconds - 0.2 > TIMES]
    assert "too briefly" in conclude(make, short, rows[: len(short)]).reason
    slow = np.arange(0, 60, 1 / (limits.rate - 1))
    assert "frame rate" in conclude(make, slow, rows[:1].repeat(len(slow), axis=0)).reason
    assert "too small" in conclude(make, TIMES, rows, size=limits.size - 1).reason
    gap = np.concatenate([TIMES[:450], TIMES[450:] + 2])
    assert "missing for 2.0 s" in conclude(make, gap, rows).reason
    assert "not found" in conclude(make, TIMES[:1], rows[:1]).reason


@pytest.fixture(scope="module")
def observed() -> tuple[list[Evidence], list[tuple[Evidence, Signals]]]:
    """A still portrait, seen for three seconds."""
    pixels = astronaut()[:300, 80:380]
    landmarker = Landmarker(threads=1)
    (face,) = Tracker(Detector(threads=1), landmarker).update(Frame(0, 0.0, pixels, np.eye(2, 3)))
    (face,) = with_landmarks(Frame(0, 0.0, pixels, np.eye(2, 3)), [face], landmarker)
    signals: list[tuple[Evidence, Signals]] = []
    analysers = create(CONTINUOUS, Options(on_signals=lambda *pair: signals.append(pair)))
    evidence = []
    for analyser in analysers:
        analyser.begin(media())
        for index in range(75):
            again = Face(
                0,
                index,
                index / 25,
                face.detection,
                face.quality,
                face.landmarks,
                face.blendshapes,
                face.pose,
            )
            analyser.observe(Frame(index, index / 25, pixels, np.eye(2, 3)), [again])
        evidence += analyser.conclude()
    return evidence, signals


def test_a_photograph_held_still_shows_no_life_but_no_fault_either(observed):
    by_name = {item.analyser: item for item in observed[0]}
    assert list(by_name) == list(CONTINUOUS)
    assert by_name["blink"].measurements["blinks"].value == 0
    assert by_name["head_pose"].measurements["highest speed"].value == pytest.approx(0, abs=1e-3)
    assert by_name["head_pose"].measurements["median difference of inner face"].value < 0.01
    assert by_name["consistency"].measurements["trembling"].value == pytest.approx(0, abs=1e-3)
    assert by_name["consistency"].measurements["proportions vary by"].value == pytest.approx(0, abs=1e-3)
    assert "too briefly" in by_name["pulse"].reason
    assert "too briefly" in by_name["breathing"].reason


def test_raw_signals_are_handed_on_where_something_was_measured(observed):
    assert [evidence.analyser for evidence, _ in observed[1]] == ["blink", "head_pose", "consistency"]
    for _, signals in observed[1]:
        assert all(len(values) == len(signals.times) for values in signals.columns.values())


def test_faces_get_their_landmarks_once_and_keep_those_they_have(observed):
    class Counting:
        calls = 0

        def meshes(self, pixels, where):
            Counting.calls += len(where)
            return np.zeros((len(where), 478, 3), np.float32), np.full(len(where), -9.0)

    pixels = astronaut()
    face = Face(0, 0, 0.0, None, None)
    seen = Face(1, 0, 0.0, None, None, landmarks=np.ones((478, 3)))
    kept = with_landmarks(Frame(0, 0.0, pixels, np.eye(2, 3)), [face, seen], Counting())
    assert Counting.calls == 1
    assert kept[0].landmarks is None  # the mesh is not present there
    assert kept[1] is seen
