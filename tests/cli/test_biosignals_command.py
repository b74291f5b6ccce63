"""`unmask biosignals`: the page, the table, and the answers when there is nothing to measure."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import unmask
from unmask.cli.app import app

SAMPLE = Path(unmask.__file__).parent / "samples" / "untouched.mp4"


def run(*arguments):
    return CliRunner().invoke(app, ["biosignals", *map(str, arguments)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals") / "out"
    result = run(SAMPLE, "--output", folder, "--end", "2.4", "--threads", "1")
    assert result.exit_code == 0, result.output
    return result, folder


def test_a_clip_too_short_for_a_pulse_says_so(written):
    result, folder = written
    assert "too briefly (2.4 s; 8 s are needed)" in result.output
    assert "too briefly (2.4 s; 8 s are needed)" in (folder / "biosignals.html").read_text()


def test_the_page_shows_what_was_measured_and_names_what_was_not(written):
    page = (written[1] / "biosignals.html").read_text()
    for title in ("Blink, face 0", "Head pose, face 0", "Consistency, face 0", "Not measured", "breathing"):
        assert title in page
    assert page.count("<polyline") >= 6
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_table_has_a_row_for_every_frame(written):
    with (written[1] / "signals.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 60  # 2.4 s at 25 frames a second
    assert [float(row["time (s)"]) for row in rows[:3]] == [0.0, 0.04, 0.08]
    ratios = [float(row["blink: aspect ratio right"]) for row in rows]
    assert 0.1 < np.median(ratios) < 0.6
    assert rows[0]["head_pose: speed (degrees/s)"] == ""
    assert rows[1]["head_pose: speed (degrees/s)"] != ""


def test_a_picture_has_no_heart_rate(tmp_path):
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(tmp_path / "wall.png")
    result = run(tmp_path / "wall.png", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "No face was found" in result.output
    assert (tmp_path / "out" / "signals.csv").read_text() == "face,time (s)\n"


def test_failures_are_one_line_that_names_the_file(tmp_path):
    result = run(tmp_path / "missing.mp4", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "missing.mp4" in result.output
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("wrong", [["--start", "x"], ["--start", "5", "--end", "2"], ["--device", "abacus"]])
def test_wrong_options_are_wrong_usage(tmp_path, wrong):
    assert run(SAMPLE, "-o", tmp_path / "out", *wrong).exit_code == 2
