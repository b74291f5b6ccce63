"""What is taken from a report, and what becomes of items that fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_making import item, person, report
from PIL import Image

from unmask.evaluation.scoring import read_report, score_items
from unmask.media.events import MediaError

LEFT, MIDDLE = (0, 20, 40, 50), (75, 30, 40, 50)


class TestReadReport:
    def test_central_face_of_a_face_crop(self):
        found = report(person(1, LEFT, 0.95), person(2, MIDDLE, 0.1), probability=0.95, label="fake")
        score = read_report(item("a.jpg", fake=False), found)
        assert (score.probability, score.outcome, score.faces) == (0.1, "real", 2)
        assert score.face_width == 40

    def test_verdict_of_any_other_file(self):
        found = report(person(1, LEFT, 0.95), person(2, MIDDLE, 0.1), probability=0.9, label="fake")
        score = read_report(item("a.jpg", fake=False, crop=False), found)
        assert (score.probability, score.outcome, score.faces) == (0.9, "fake", 2)
        assert score.box == LEFT  # the person who decided it

    @pytest.mark.parametrize("crop", [True, False])
    def test_no_face(self, crop):
        score = read_report(
            item("a.jpg", fake=True, crop=crop), report(probability=None, label="inconclusive")
        )
        assert (score.probability, score.outcome, score.faces, score.box) == (None, "inconclusive", 0, None)
        assert "no face" in score.reason

    def test_central_face_that_could_not_be_judged_is_not_replaced_by_another(self):
        found = report(person(1, LEFT, 0.95), person(2, MIDDLE, None), probability=0.95, label="fake")
        score = read_report(item("a.jpg", fake=True), found)
        assert score.probability is None
        assert score.reason == "the face is too small to judge"

    def test_distance_is_measured_in_the_size_of_the_face(self):
        # both centres lie 60 px from the middle (100, 50); the second face is three times as large
        small, large = (30, 40, 20, 20), (130, 20, 60, 60)
        found = report(person(1, small, 0.1), person(2, large, 0.9), probability=0.9, label="fake")
        assert read_report(item("a.jpg", fake=True), found).probability == 0.9


class TestScoreItems:
    @pytest.fixture
    def picture(self, tmp_path) -> Path:
        path = tmp_path / "a.png"
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
        return path

    def test_a_failure_is_an_outcome_and_the_others_go_on(self):
        def analyse(path: Path, *, threads: int):
            if path.name == "bad.jpg":
                raise MediaError("bad.jpg: not a picture")
            return report(person(1, MIDDLE, 0.9), probability=0.9, label="fake")

        seen = []
        items = [item("bad.jpg", fake=False), item("good.jpg", fake=True)]
        run = score_items(items, analyse, on_progress=lambda done, total: seen.append((done, total)))
        assert [s.outcome for s in run.scores] == ["failed", "fake"]
        assert run.scores[0].reason == "bad.jpg: not a picture"
        assert run.scores[0].probability is None
        assert seen == [(1, 2), (2, 2)]
        assert run.thresholds["picture"]["fake"] == 0.8
        assert run.tool["weights"][0]["analyser"] == "visual"

    def test_a_fault_of_the_program_is_not_hidden(self):
        def analyse(path: Path, *, threads: int):
            raise KeyError("a bug")

        with pytest.raises(KeyError):
            score_items([item("a.jpg", fake=True)], analyse)
