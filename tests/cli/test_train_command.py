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


def test_a_second_run_with_other_settings_in_the_same_folder_is_refused(data_set, tmp_path):
    assert train(data_set, tmp_path).exit_code == 0
    before = (tmp_path / "run" / "configuration.json").read_text()
    options = ["--optimiser", "sgd", "--learning-rate", "0.1", "--seed", "7"]
    said = train(data_set, tmp_path, *options)
    refused(said, "begun with another optimiser, learning_rate, seed; choose another --output")
    assert (tmp_path / "run" / "configuration.json").read_text() == before


def test_a_second_run_of_another_architecture_in_the_same_folder_is_refused(data_set, tmp_path):
    assert train(data_set, tmp_path).exit_code == 0
    said = train(data_set, tmp_path, model="efficientnet_lite0")
    refused(said, "begun with another model, margin; choose another --output")
    assert json.loads((tmp_path / "run" / "configuration.json").read_text())["model"] == "tiny"


def test_a_second_run_on_other_pictures_in_the_same_folder_is_refused(data_set, tmp_path):
    assert train(data_set, tmp_path).exit_code == 0
    (tmp_path / "more").mkdir()
    other = write_zip(tmp_path / "more" / "tiny.zip", persons=9)
    refused(train(other, tmp_path), "begun with another set of training pictures")
    renamed = write_zip(tmp_path / "more" / "other.zip")
    refused(train(renamed, tmp_path), "begun with another archives, set of training pictures")


def test_a_run_goes_on_with_more_steps_wherever_its_data_lie(data_set, tmp_path):
    assert train(data_set, tmp_path).exit_code == 0
    moved = tmp_path / "elsewhere" / "tiny.zip"
    moved.parent.mkdir()
    moved.write_bytes(data_set.read_bytes())
    said = train(moved, tmp_path, steps=2, patience=5, evaluate_every=7)
    assert said.exit_code == 0, said.output
    assert "going on at step 1" in said.output
    assert checkpoint.read_header(tmp_path / "run" / "last.safetensors").step == 2


def test_a_state_that_does_not_say_how_its_run_was_begun_is_refused(data_set, tmp_path):
    assert train(data_set, tmp_path).exit_code == 0
    path = tmp_path / "run" / "state.pt"
    old = {k: v for k, v in checkpoint.load_state(path).items() if k not in ("configuration", "items")}
    checkpoint.save_state(path, old)
    refused(train(data_set, tmp_path, steps=2), "state.pt: does not say how its run was begun")


def test_a_run_is_named_after_its_model_unless_told_otherwise(data_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    said = CliRunner().invoke(app, ["train", "--config", "settings.json", "-d", str(data_set)])
    assert said.exit_code == 0, said.output
    assert (tmp_path / "runs" / "tiny" / "best.safetensors").is_file()


def test_the_architecture_chooses_what_is_not_given(data_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--model", "tiny", "--epochs", "1", "--batch-size", "8"]
    set_ = ["--set", "tune_share=0.3", "--set", "workers=0"]
    said = CliRunner().invoke(app, ["train", "--dataset", str(data_set), *options, *set_])
    assert said.exit_code == 0, said.output
    assert "tiny starts from random weights: no ImageNet weights are packaged for it" in said.output
    header = checkpoint.read_header(tmp_path / "runs" / "tiny" / "best.safetensors")
    assert (header.input_size, header.configuration["pretrained"]) == (tiny_architecture.SIDE, False)
    assert header.crop_margin == tiny_architecture.MARGIN


@pytest.fixture
def no_search(monkeypatch) -> None:
    """Let a test fail that comes as far as looking for faces."""

    def search(*_, **__):
        raise AssertionError("faces are looked for before the settings are checked")

    monkeypatch.setattr("unmask.data.index.FaceIndex.build", search)


@pytest.mark.usefixtures("no_search")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "xceptoin"}, "unknown architecture 'xceptoin'; did you mean xception"),
        (
            {"model": "meso4", "phases": None, "pretrained": True},
            "no ImageNet weights are packaged for meso4",
        ),
        ({"model": "meso4", "phases": [{"until": 1.0, "size": 160}]}, "256 x 256 pixels, not 160 x 160"),
        ({"precision": "fp16", "accelerator": "cpu"}, "precision fp16 needs a GPU"),
        ({"weights": "none.pth"}, "none.pth: no such file"),
        ({"tune_share": 0.01}, "tiny.zip: the tune fold is empty: 8 groups at tune_share 0.01"),
        ({"kinds": {"paint": 1.0}}, "no training pictures for paint; there are stripe"),
        ({"sampling": "natural", "kinds": {"self-blend": 1.0}, "blend_sources": {"tiny": 1.0}}, "no fakes"),
        ({"sampling": "natural", "kinds": {"stripe": 2.0, "paint": 1.0}}, "no shares"),
        ({"batch_sise": 8}, "batch_sise: no such setting; did you mean batch_size?"),
        ({"steps": 0, "ema": 2}, "ema: Input should be less than 1, not 2; steps: Input should be"),
        ({"epochs": 1.0, "minutes": 1.0}, "epochs and minutes both end the run"),
    ],
)
def test_what_cannot_be_trained_is_said_before_faces_are_looked_for(data_set, tmp_path, settings, sentence):
    refused(train(data_set, tmp_path, **settings), sentence)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_search")
def test_a_zip_without_fakes_is_refused_with_the_remedy(tmp_path):
    said = train(write_zip(tmp_path / "reals.zip", fakes=False), tmp_path)
    refused(said, "reals.zip: no training pictures for the fake class", "blend_sources")


@pytest.mark.parametrize(("text", "words"), [("{\n broken", "JSON"), ("[1]", "no settings by name")])
def test_a_broken_configuration_is_named(data_set, tmp_path, text, words):
    (tmp_path / "broken.json").write_text(text)
    options = ["train", "--config", str(tmp_path / "broken.json"), "-d", str(data_set)]
    refused(CliRunner().invoke(app, options), "broken.json: ", words)


def test_pictures_that_cannot_be_read_are_listed(tmp_path):
    path = write_zip(tmp_path / "some.zip", broken=("p4", "p9"))
    for steps in (1, 2):  # the second time from the index of faces
        said = train(path, tmp_path, steps=steps)
        assert said.exit_code == 0, said.output
        assert "2 of these cannot be read: they are listed in" in said.output
        lines = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
        assert [line.split(": ")[:2] for line in lines] == [
            [str(path), "images/p4.jpg"],
            [str(path), "images/p9.jpg"],
        ]


def test_a_damaged_zip_is_named_with_the_member(tmp_path):
    path = write_zip(tmp_path / "cut.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"images/p3.jpg") + 600] ^= 255  # in the middle of the picture
    path.write_bytes(data)
    refused(train(path, tmp_path), "cut.zip: images/p3.jpg cannot be read: the zip is damaged")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_became_unreadable_after_the_search_is_named(tmp_path, workers):
    path = write_zip(tmp_path / "later.zip")
    assert train(path, tmp_path).exit_code == 0
    data = bytearray(path.read_bytes())
    for number in range(16):
        data[data.index(f"images/p{number}.jpg".encode()) + 600] ^= 255
    path.write_bytes(data)
    said = train(path, tmp_path, steps=2, workers=workers)
    refused(said, "later.zip: images/p", "cannot be read: the zip is damaged")
    assert "Traceback" not in said.output
