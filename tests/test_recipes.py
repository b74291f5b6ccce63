"""The configurations of the repository: valid, joined to each other, and those of the embedded detector."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from unmask.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[1]
CARD = ROOT / "src/unmask/weights/visual.card.json"


def readme_commands(program: str) -> list[list[str]]:
    """The words of the README's commands that begin so, in order."""
    blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def read(path: str) -> dict[str, Any]:
    return json.loads((ROOT / path).read_text())


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.json")), ids=lambda path: path.stem)
def test_a_configuration_is_valid(path):
    TrainingConfig.model_validate(json.loads(path.read_text()))


def test_the_readme_trains_the_networks_of_the_embedded_detector():
    runs = {
        option(words, "--output"): read(option(words, "--config"))
        for words in readme_commands("unmask train")
    }
    [export] = readme_commands("unmask export")
    exported = [runs[str(Path(word).parent)] for word in export if word.endswith(".safetensors")]
    members = json.loads(CARD.read_text())["configuration"]["members"]
    for given, member in zip(exported, members, strict=True):
        of_the_run = {name: member[name] for name in ("archives", "initial", "pretrained")}
        assert TrainingConfig.model_validate(given | of_the_run) == TrainingConfig.model_validate(member)


def test_each_run_of_the_readme_begins_with_what_an_earlier_one_wrote():
    [recover] = readme_commands("python -m unmask.training.recover")
    written = {option(recover, "--output")}
    for words in readme_commands("unmask train"):
        assert str(Path(read(option(words, "--config"))["initial"]).parent) in written
        written.add(option(words, "--output"))
