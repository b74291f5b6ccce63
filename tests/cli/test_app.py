"""The command line starts fast and imports a command only when it is called."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from unmask.cli.commands import app

COMMANDS = ("detect", "visualize", "info", "train", "evaluate", "export")


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_help_lists_every_command_with_a_line_of_its_own():
    result = run("--help")
    assert result.exit_code == 0
    for name in COMMANDS:
        assert any(line.strip("│| ").startswith(name + " ") for line in result.stdout.splitlines()), name


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_no_heavy_package(arguments):
    code = (
        "import sys, json\n"
        f"sys.argv = ['unmask', *{arguments!r}]\n"
        "from unmask.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"torch", "onnxruntime", "cv2", "numpy", "av", "scipy", "matplotlib", "pydantic"}


@pytest.mark.parametrize("name", ["detect", "visualize", "info"])
def test_every_command_has_a_help_with_examples(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"unmask {name}" in result.stdout


def test_a_misspelt_command_is_wrong_usage_and_answers_with_the_near_one():
    result = run("detct")
    assert result.exit_code == 2
    assert "detect" in result.stderr


def test_a_laboratory_command_without_torch_says_in_one_line_what_to_install():
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "sys.argv = ['unmask', 'train', '--dataset', 'x.zip']\n"
        "from unmask.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unmask[train]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_info_names_versions_weights_devices_and_threads():
    result = run("info")
    assert result.exit_code == 0
    for part in ("onnxruntime", "face_landmarks", "Apache-2.0", "cpu", "threads"):
        assert part in result.stdout


def test_info_as_json_has_the_cards_and_says_that_the_files_match_them():
    facts = json.loads(run("info", "--json").stdout)
    assert "cpu" in facts["devices"]
    weights = {card["name"]: card for card in facts["weights"]}
    assert weights["face_landmarks"]["sha256"].startswith("740541df")
    assert {card["state"] for card in facts["weights"]} == {"ok"}


def test_ctrl_c_during_the_start_is_one_line_too():
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from unmask.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "unmask: interrupted\n")
