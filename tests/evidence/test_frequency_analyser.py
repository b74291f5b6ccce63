"""The frequency analyser, with a classifier whose logit is the level of one block coefficient less 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import frequency_making
from unmask.evidence.frequency import Frequency, is_scaled
from unmask.evidence.registry import Options
from unmask.faces.align import crop_place
from unmask.faces.face import Detection, Face, Quality
from unmask.media.events import Frame, Media
from unmask.runtime.card import WeightError
from unmask.signals.features import features

POINTS = np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]])
"""Eyes 40 px apart: the aligned crop is 86 px wide."""
FEATURE = "luma DCT magnitude 7,7"


def noise(sigma, seed=0):
    grey = np.random.default_rng(seed).normal(128, sigma, (200, 200))
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def face(track=0, time=0.0, points=POINTS):
    quality = Quality(size=100, sharpness=100, frontality=1, exposure=120, occlusion=0)
    return Face(track, 0, time, Detection(np.array([60.0, 60, 80, 100]), points, 0.9), quality)


def frame(pixels, time=0.0, transform=None):
    return Frame(0, time, pixels, np.eye(2, 3) if transform is None else transform)


@pytest.fixture
def start(tmp_path):
    def make(kind="video", **band):
        model = frequency_making.classifier(tmp_path, FEATURE, middle=2.0, **band)
        analyser = Frequency(Options(models={"frequency": model}))
        analyser.begin(Media(Path("x"), "0" * 64, kind, "x", (200, 200)))
        return analyser

    return make


def level(sigma):
    """Of any coefficient of white noise: the transform is orthonormal."""
    return np.log2(sigma * np.sqrt(2 / np.pi) + 0.05)


def test_the_score_is_the_classifiers_mean_over_looks(start):
    analyser = start()
    for time, sigma in enumerate((4.0, 8.0)):
        analyser.observe(frame(noise(sigma), float(time)), [face(3, float(time))])
    (evidence,) = analyser.conclude()
    expected = np.mean([level(4), level(8)]) - 2
    assert (evidence.analyser, evidence.track, evidence.status) == ("frequency", 3, "ok")
    assert evidence.score == pytest.approx(1 / (1 + np.exp(-expected)), abs=0.03)
    assert [time for time, _ in evidence.timeline] == [0.0, 1.0]
    assert evidence.measurements["frames"].value == 2
    assert evidence.measurements["crop width"].value == pytest.approx(crop_place(POINTS)[1], abs=0.05)


def test_a_track_is_looked_at_once_a_second(start):
    analyser = start()
    for k in range(31):
        analyser.observe(frame(noise(4), k / 10), [face(0, k / 10)])
    assert [time for time, _ in analyser.conclude()[0].timeline] == [0.0, 1.0, 2.0, 3.0]


def test_a_picture_has_no_timeline(start):
    analyser = start("picture")
    analyser.observe(frame(noise(4), None), [face(0, None)])
    (evidence,) = analyser.conclude()
    assert evidence.status == "ok"
    assert evidence.timeline == ()


def test_small_faces_are_inconclusive_and_say_why(start):
    analyser = start()
    analyser.observe(frame(noise(4)), [face(points=POINTS / 2)])
    (evidence,) = analyser.conclude()
    assert (evidence.status, evidence.score) == ("inconclusive", None)
    assert "too small" in evidence.reason
    assert evidence.measurements["frames refused"].value == 1


def test_scaled_frames_are_inconclusive_and_say_why(start):
    analyser = start()
    analyser.observe(frame(noise(4), transform=np.array([[0.5, 0, 0], [0, 1, 0]])), [face()])
    (evidence,) = analyser.conclude()
    assert evidence.status == "inconclusive"
    assert "scaled" in evidence.reason


def test_turning_and_mirroring_are_not_scaling():
    assert not is_scaled(np.array([[0, -1, 99], [1, 0, 0]]))
    assert not is_scaled(np.array([[-1, 0, 99], [0, 1, 0]]))
    assert is_scaled(np.array([[1.1, 0, 0], [0, 1, 0]]))


def test_leaving_the_band_is_said_and_measured(start):
    analyser = start(low=-60.0, high=5.0)
    analyser.observe(frame(noise(4)), [face()])
    (evidence,) = analyser.conclude()
    # White noise of deviation 4 has 12 dB everywhere.
    assert evidence.measurements["outside the band of real faces"].value == pytest.approx(12 - 5, abs=2.5)
    assert "leaves the band" in evidence.summary
    inside = start()
    inside.observe(frame(noise(4)), [face()])
    assert "lies in the band" in inside.conclude()[0].summary


@pytest.mark.parametrize("value", [0, 255])
def test_flat_pictures_give_finite_evidence(start, value):
    analyser = start()
    analyser.observe(frame(np.full((200, 200, 3), value, np.uint8)), [face()])
    (evidence,) = analyser.conclude()
    assert 0 <= evidence.score <= 1
    assert all(np.isfinite(m.value) for m in evidence.measurements.values())


def test_a_face_at_the_edge_or_beyond_is_looked_at_or_refused_without_failure(start):
    analyser = start()
    for k, shift in enumerate((-90, 90, 300)):
        analyser.observe(frame(noise(4), float(k)), [face(k, float(k), POINTS + shift)])
    assert len(analyser.conclude()) == 3


def test_a_missing_classifier_is_one_line(tmp_path):
    with pytest.raises(WeightError, match="missing"):
        Frequency(Options(models={"frequency": tmp_path / "none.json"}))


def test_the_picture_is_examined_as_stored(start, monkeypatch):
    seen = []

    def examine(pixels, place):
        seen.append(pixels)
        return features(pixels, place)

    monkeypatch.setattr("unmask.evidence.frequency.features", examine)
    analyser, pixels = start(), noise(4)
    analyser.observe(frame(pixels), [face()])
    assert len(seen) == 1
    assert seen[0] is pixels
