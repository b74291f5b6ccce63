"""`unmask train`: what can go wrong ends in one line that names the file or the setting."""

import json
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from typer.testing import CliRunner  # noqa: E402

import tiny_architecture  # noqa: E402
from face_zips import write_zip  # noqa: E402
from unmask.cli.app import app  # noqa: E402
from unmask.models.registry import create  # noqa: E402
from unmask.training import checkpoint  # noqa: E402

SETTINGS = {
    "model": "tiny", "pretrained": False, "phases": [{"until": 1.0, "size": 64}], "steps": 1, "batch_size": 8,
    "workers": 0, "tune_share": 0.3, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    return write_zip(tmp_path_factory.mktemp("data") / "tiny.zip")


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    tiny_architecture.register(monkeypatch)


def train(data_set: Path, folder: Path, *options: str, **settings: object):
    """Run the command with the settings as a configuration."""
    path = folder / "settings.json"
    path.write_text(json.dumps(SETTINGS | settings))
    arguments = ["train", "--config", str(path), "-d", str(data_set), "-o", str(folder / "run"), *options]
    return CliRunner().invoke(app, arguments)


def refused(said, *words: str) -> None:
    """Check that a command ended in one line on what is wrong, not in a traceback."""
    assert isinstance(said.exception, SystemExit), said.exception
    assert said.exit_code == 2
    last = said.output.rstrip("\n").split("\n")[-1]
    assert last.startswith("unmask train: ")
    assert said.output.count("unmask train: ") == 1
    for word in words:
        assert word in last


def write_checkpoint(path: Path, name: str) -> Path:
    header = checkpoint.Header(
        architecture=name, input_size=64, mean=(0.5,) * 3, std=(0.5,) * 3, crop_margin=2.0,
        classes=("real", "fake"), version="0", step=0, configuration={}, training_data=[], tune_metrics={},
    )  # fmt: skip
    checkpoint.save(path, create(name), header)
    return path


@contextmanager
def files_no_larger_than(size: int):
    """Let writing fail beyond so many bytes a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_run_ends_with_the_path_of_its_best_checkpoint(data_set, tmp_path):
    said = train(data_set, tmp_path)
    assert said.exit_code == 0, said.output
    assert f"best checkpoint: {tmp_path / 'run' / 'best.safetensors'}" in said.output


@pytest.mark.parametrize("option", ["--initial", "--teacher"])
def test_a_checkpoint_that_holds_code_is_refused_in_one_line(data_set, tmp_path, option):
    torch.save({"weights": print}, tmp_path / "evil.pt")
    said = train(data_set, tmp_path, option, str(tmp_path / "evil.pt"))
    refused(said, "evil.pt", "not a readable safetensors checkpoint")


def test_a_checkpoint_of_another_architecture_cannot_be_started_from(data_set, tmp_path):
    other = write_checkpoint(tmp_path / "lite.safetensors", "efficientnet_lite0")
    said = train(data_set, tmp_path, "--initial", str(other))
    refused(said, "lite.safetensors: is a checkpoint of efficientnet_lite0, and tiny is to be trained")


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 cut off"])
def test_a_damaged_state_is_named(data_set, tmp_path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").write_bytes(content)
    refused(train(data_set, tmp_path), "state.pt: is damaged", "remove it to begin anew")


def test_a_state_with_code_inside_is_refused_and_not_run(data_set, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    (tmp_path / "run").mkdir()
    torch.save({"model": Trap()}, tmp_path / "run" / "state.pt")
    refused(train(data_set, tmp_path), "state.pt: is damaged, or no state of a run")
    assert not (tmp_path / "trapped").exists()


def test_a_full_disk_is_said_in_one_line_and_leaves_no_part_of_a_file(data_set, tmp_path):
    with files_no_larger_than(9_000 * 1024):  # the weights take more
        said = train(data_set, tmp_path, model="efficientnet_lite0")
    refused(said, ".safetensors: cannot be written", "disk")
    assert not [path.name for path in (tmp_path / "run").iterdir() if "part" in path.name]
    with files_no_larger_than(20_000 * 1024):  # the optimiser's averages take more
        said = train(data_set, tmp_path, model="efficientnet_lite0")
    refused(said, "state.pt: cannot be written", "disk")
    assert not [path.name for path in (tmp_path / "run").iterdir() if "part" in path.name]
