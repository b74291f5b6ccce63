"""`unmask detect`: results, exit codes, and one clear line for every failure."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unmask.cli.commands import app
from unmask.cli.detect import seconds
from unmask.cli.outputs import UsageError
from unmask.report.schema import Report

pytestmark = pytest.mark.usefixtures("analysis")


def detect(*arguments: str):
    return CliRunner().invoke(app, ["detect", *arguments], catch_exceptions=False)


def test_one_file_gives_a_summary_and_exit_code_0_whatever_the_verdict(folder):
    for name, label in (("fake.mp4", "FAKE"), ("fine.mp4", "INCONCLUSIVE")):
        result = detect(name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert label in result.stdout
        assert "beauty filters" in result.stdout


def test_output_writes_the_json_that_reads_back(folder):
    assert detect("fake.mp4", "--output", "analysis_report.json").exit_code == 0
    report = Report.from_json(Path("analysis_report.json").read_bytes())
    assert (report.media.file_name, report.verdict.label) == ("fake.mp4", "fake")


def test_json_on_stdout_is_nothing_but_json(folder):
    for arguments in (["--json"], ["-o", "-"]):
        assert json.loads(detect("fake.mp4", *arguments).stdout)["schema"] == "unmask.report/1"


def test_json_of_several_inputs_is_one_line_each(folder):
    lines = detect("fake.mp4", "fine.mp4", "--json").stdout.splitlines()
    assert [json.loads(line)["media"]["file_name"] for line in lines] == ["fake.mp4", "fine.mp4"]


def test_several_inputs_go_into_a_folder_one_file_each_and_failures_do_not_stop_the_others(folder):
    result = detect(".", "-o", "reports", "--csv", "all.csv", "--html", "pages/")
    assert result.exit_code == 1
    assert sorted(path.name for path in Path("reports").iterdir()) == ["fake.json", "fine.json"]
    assert sorted(path.name for path in Path("pages").iterdir()) == ["fake.html", "fine.html"]
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(Path("all.csv").read_text()))}
    assert len(rows) == 4
    assert rows["fake.mp4"]["label"] == "fake"
    assert "no picture and no sound" in rows["broken.mp4"]["error"]
    assert "4 files: 2 failed, 1 fake, 1 inconclusive" in result.stdout


def test_every_failure_is_one_line_that_names_the_file(folder):
    result = detect("broken.mp4", "bug.mp4", "missing.mp4", "fine.mp4")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(any(name in line for line in lines) for name in ("broken.mp4", "bug.mp4", "missing.mp4"))
    assert "Traceback" not in result.stderr
    assert "unexpected RuntimeError (unforeseen and long)" in result.stderr


def test_unusable_weights_are_told_once_and_not_for_every_input(folder, analysis):
    Path("damaged.onnx").write_bytes(b"x")
    result = detect("fake.mp4", "fine.mp4", "--model", "damaged.onnx")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == ["unmask detect: damaged.onnx: sha256 differs from its card"]
    assert len(analysis.calls) == 1


def test_analysers_are_chosen_by_name_and_a_wrong_name_is_told(folder, analysis):
    assert detect("fake.mp4", "--analyser", "visual", "--analyser", "blink").exit_code == 0
    assert analysis.calls[-1][1]["analysers"] == ["visual", "blink"]
    result = detect("fake.mp4", "--analyser", "blinks")
    assert result.exit_code == 2
    assert "--analyser blinks: choose one of visual" in result.stderr


def test_a_traceback_is_shown_on_demand(folder):
    assert "Traceback" in detect("bug.mp4", "-vv").stderr


def test_fail_on_fake_ends_with_3_only_when_something_is_fake(folder):
    assert detect("fake.mp4", "--fail-on", "fake").exit_code == 3
    assert detect("fine.mp4", "--fail-on", "fake").exit_code == 0
    assert detect("fake.mp4", "broken.mp4", "--fail-on", "fake").exit_code == 3
    assert detect("fine.mp4", "broken.mp4", "--fail-on", "fake").exit_code == 1


def test_quiet_prints_nothing_but_failures(folder):
    result = detect("fake.mp4", "broken.mp4", "--quiet")
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_options_reach_the_analysis(folder, analysis):
    Path("net.onnx").write_bytes(b"x")
    arguments = "--frames 8 --every-frame --start 0:05 --end 1:00.5 --threads 2 --device cpu --prior 0.01"
    detect("fake.mp4", *arguments.split(), "--model", "net.onnx")
    [(_, settings)] = analysis.calls
    assert settings == {
        "frames": 8,
        "every_frame": True,
        "start": 5.0,
        "end": 60.5,
        "threads": 2,
        "device": "cpu",
        "prior": 0.01,
        "analysers": None,
        "model": Path("net.onnx"),
        "on_heat": None,
    }


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--prior", "1"], "--prior"),
        (["--prior", "nan"], "--prior"),
        (["--start", "abc"], "--start abc"),
        (["--start", "10", "--end", "0:09"], "--end"),
        (["--end", "0"], "--end"),
        (["--device", "abacus"], "cpu"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--frames", "0"], "frames"),
        (["--threads", "-1"], "threads"),
        (["--fail-on", "real"], "fail-on"),
        (["--json", "-o", "a.json"], "--json"),
        (["--json", "--csv", "-"], "stdout"),
        (["fine.mp4", "-o", "one.json"], "folder"),
        (["--csv", "."], "folder"),
    ],
)
def test_wrong_usage_is_exit_code_2_before_anything_is_analysed(folder, analysis, arguments, part):
    result = detect("fake.mp4", *arguments)
    assert result.exit_code == 2
    assert part in result.stderr
    assert analysis.calls == []


def test_no_input_is_wrong_usage():
    assert detect().exit_code == 2


@pytest.mark.parametrize("option", ["--output", "--html", "--csv", "--heatmaps"])
def test_a_place_that_cannot_be_written_is_noticed_before_the_work(folder, analysis, option):
    result = detect("fake.mp4", option, "fine.mp4/below/report.x")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "fine.mp4/below" in result.stderr
    assert analysis.calls == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(folder):
    result = detect("fake.mp4", "-o", "/dev/full")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("unmask detect: /dev/full: cannot be written: the disk is full")


def test_an_interruption_is_one_line_and_keeps_what_was_done(folder):
    Path("stop.mp4").write_text("x")
    result = detect("fake.mp4", "stop.mp4", "fine.mp4", "-o", "reports")
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["unmask: interrupted"]
    assert [path.name for path in Path("reports").iterdir()] == ["fake.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child alone")
def test_ctrl_c_ends_a_running_analysis(folder):
    Path("slow.mp4").write_text("x")
    code = (
        "import signal, sys\n"
        # Tests that a shell runs in the background inherit that the signal is ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import types, conftest\n"
        "module = types.ModuleType('unmask.pipeline')\n"
        "class Announcing(conftest.Analysis):\n"
        "    def __call__(self, path, **settings):\n"
        "        print('started', flush=True)\n"
        "        return super().__call__(path, **settings)\n"
        "module.analyse = Announcing()\n"
        "sys.modules['unmask.pipeline'] = module\n"
        "sys.argv = ['unmask', 'detect', 'slow.mp4', '-o', 'report.json']\n"
        "from unmask.cli.app import main\n"
        "main()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "started\n"
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert errors.splitlines() == ["unmask: interrupted"]
    assert not [path for path in folder.iterdir() if "report" in path.name]


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1.5", 1.5), ("1:30", 90), ("01:02.25", 62.25), ("1:00:00", 3600), ("0", 0)],
)
def test_times_are_seconds_or_minutes_and_seconds(text, value):
    assert seconds("--start", text) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "1:60", "1:-5", "1.5:00", "1:2:3:4", "inf", "nan", "1:nan", "inf:00", ":", "1e400"],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match=r"--start .*mm:ss"):
        seconds("--start", text)
