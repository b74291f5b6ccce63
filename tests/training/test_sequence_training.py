"""Training of sequence networks on a generated store: it learns, goes on, pins its frame network, refuses."""

import csv
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from skimage import data as pictures  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from tiny_networks import brightness_network  # noqa: E402
from unmask.cli.app import app  # noqa: E402
from unmask.data.manifest import DataError  # noqa: E402
from unmask.runtime.card import load_card  # noqa: E402
from unmask.training import checkpoint, sequences  # noqa: E402
from unmask.training.optimiser import learning_rate, make_optimiser  # noqa: E402
from unmask.training.sequences import SequenceConfig, run  # noqa: E402

POINTS = np.array([[57, 58], [90, 55], [76, 78], [62, 93], [92, 90]], np.float64)
"""The astronaut's eyes, nose tip and mouth corners in the crop below, read off the picture."""
CLIPS, CROPS = 12, 12


def write_store(path: Path) -> Path:
    """Write a store's zip of twelve clips of one public-domain face; in fakes two of four crops lack red."""
    face = pictures.astronaut()[50:200, 150:300]
    columns = "name,label,identity,split,manipulation,data_set,clip,time,person,points"
    rows = io.StringIO()
    writer = csv.DictWriter(rows, columns.split(","))
    writer.writeheader()
    with zipfile.ZipFile(path, "w") as archive:
        for clip in range(CLIPS):
            fake = clip % 2
            for number in range(CROPS):
                # Red alone: the network takes the size of a feature vector away and keeps its direction.
                dark = np.array([110 if fake and number // 2 % 2 else 0, 0, 0])
                picture = np.clip(face.astype(int) - dark + 2 * (clip // 2), 0, 255).astype(np.uint8)
                name = f"c{clip}.{number:06d}"
                _, encoded = cv2.imencode(".jpg", picture[..., ::-1])
                archive.writestr(f"images/{name}.jpg", encoded.tobytes())
                writer.writerow(
                    {
                        "name": name,
                        "label": "fake" if fake else "real",
                        "identity": f"p{clip // 2}",
                        "split": "frozen" if clip >= CLIPS - 2 else "open",
                        "manipulation": "flicker" if fake else "",
                        "data_set": "made",
                        "clip": f"c{clip}",
                        "time": f"{number / 10:.3f}",
                        "person": "0",
                        "points": " ".join(f"{v:.2f}" for v in POINTS.ravel()),
                    }
                )
        archive.writestr("metadata.csv", rows.getvalue())
        meshes = io.BytesIO()
        np.save(meshes, np.full((CLIPS * CROPS, 478, 3), np.nan, np.float32))
        archive.writestr("landmarks.npy", meshes.getvalue())
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "made.zip")


@pytest.fixture(scope="module")
def frame_network(tmp_path_factory) -> Path:
    return brightness_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def settings(frame_network) -> dict:
    return {
        "model": "gru",
        "frame_network": str(frame_network),
        "splits": ["open"],
        "length": 5,
        "folds": 5,
        "steps": 40,
        "batch_size": 8,
        "learning_rate": 0.01,
        "evaluate_every": 20,
        "threads": 1,
    }


def silent(_: str) -> None:
    pass


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "held_out.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(store, settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "gru"
    assert run(settings, [store], folder, report=silent) == folder / "best.safetensors"
    return folder


def test_what_changes_over_time_is_learned_and_told_of_groups_never_seen(trained):
    rows = rows_of(trained)
    real = [float(row["logit"]) for row in rows if row["label"] == "real"]
    fake = [float(row["logit"]) for row in rows if row["label"] == "fake"]
    assert len(real) == len(fake) == 5
    assert min(fake) > max(real)


def test_a_group_is_never_judged_by_a_network_that_saw_it(store, settings, tmp_path, monkeypatch):
    seen = []
    usual = sequences.train

    def spy(config, material, clips, apart, folder, **others):
        seen.append(({c.sequence.group for c in clips}, {c.sequence.group for c in apart}))
        return usual(config, material, clips, apart, folder, **others)

    monkeypatch.setattr(sequences, "train", spy)
    run(settings | {"steps": 1}, [store], tmp_path / "run", report=silent)
    *folds, whole = seen
    assert all(not kept & left for kept, left in folds)
    assert sorted(group for _, left in folds for group in left) == ["p0", "p1", "p2", "p3", "p4"]
    assert whole == ({"p0", "p1", "p2", "p3", "p4"}, set())


def test_clips_of_other_splits_are_not_looked_at(trained):
    assert {row["group"] for row in rows_of(trained)} == {f"p{n}" for n in range(5)}


def test_labels_are_shuffled_among_the_clips_where_asked_for(store, settings, tmp_path):
    run(settings | {"permute_labels": True, "seed": 2, "steps": 1}, [store], tmp_path / "run", report=silent)
    rows = rows_of(tmp_path / "run")
    given = {row["clip"]: row["label"] for row in rows}
    true = {clip: "fake" if int(clip[1:]) % 2 else "real" for clip in given}
    assert sum(label == "fake" for label in given.values()) == 5
    assert given != true


def test_a_checkpoint_pins_the_frame_network(trained, frame_network, tmp_path):
    card = load_card(frame_network)
    path = trained / "best.safetensors"
    network, header = checkpoint.load_sequence_network(path, depends={card.file: card.sha256})
    assert header.depends == {card.file: card.sha256}
    assert header.configuration["frame_network"] == frame_network.name
    assert header.configuration["features"] == 3
    assert {row["manipulation"] for row in header.training_data} == {"real", "flicker"}
    assert network(torch.zeros(2, 5, 3)).shape == (2, 1)
    other = load_card(brightness_network(tmp_path, threshold=90.0))
    with pytest.raises(checkpoint.CheckpointError, match="train it again"):
        checkpoint.load_sequence_network(path, depends={card.file: other.sha256})
    with pytest.raises(checkpoint.CheckpointError, match="train it again"):
        checkpoint.load_sequence_network(path, depends={})


def test_it_is_no_network_of_pictures(trained):
    with pytest.raises(checkpoint.CheckpointError, match="gru judges sequences"):
        checkpoint.load(trained / "best.safetensors")


class KilledError(Exception):
    pass


def test_a_killed_run_ends_as_if_nothing_had_happened(store, settings, tmp_path):
    shorter = settings | {"steps": 6, "evaluate_every": 2, "folds": 2, "self_blends": 1}
    run(shorter, [store], tmp_path / "whole", report=silent)

    def dies(line: str) -> None:
        if line.startswith("fold1: step 4"):
            raise KilledError

    with pytest.raises(KilledError):
        run(shorter, [store], tmp_path / "killed", report=dies)
    lines: list[str] = []
    run(shorter, [store], tmp_path / "killed", report=lines.append)
    assert "fold0: going on at step 6" in lines
    assert "fold1: going on at step 2" in lines
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "killed")
    first, second = (
        checkpoint.load_sequence_network(
            tmp_path / name / "best.safetensors",
            depends=checkpoint.read_header(tmp_path / name / "best.safetensors").depends,
        )[0]
        for name in ("whole", "killed")
    )
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_the_log_tells_the_course(trained):
    with (trained / "fold0" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert (trained / "fold0" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_with_a_run_of_other_settings_is_refused(trained, store, settings):
    with pytest.raises(ValueError, match="begun with another length"):
        run(settings | {"length": 4}, [store], trained, report=silent)


def test_frames_are_trained_on_too(store, settings, tmp_path):
    few = {
        "model": "x3d_s", "frame_network": None, "size": 32, "length": 4, "steps": 1, "batch_size": 2,
        "folds": 2, "self_blends": 1, "blend_share": 1.0,
    }  # fmt: skip
    best = run(settings | few, [store], tmp_path / "run", report=silent)
    network, header = checkpoint.load_sequence_network(best, depends={})
    assert (header.architecture, header.input_size, header.depends) == ("x3d_s", 32, {})
    assert network(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 1)
    assert all(row["frames_logit"] == "" for row in rows_of(tmp_path / "run"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"splits": ["train"]}, "real and fake clips are needed"),
        ({"folds": 7}, "7 folds need as many groups"),
        ({"size": 64}, "reads features"),
        ({"mix_up": 0.2}, "mix_up"),
        ({"rate": 8.0}, "0.10 s apart, too far for 8 moments"),
        ({"learning_rate": 1e30, "clip": 1e30, "steps": 8}, "lower --learning-rate"),
    ],
)
def test_what_cannot_be_is_refused_in_words(store, settings, tmp_path, change, sentence):
    with pytest.raises((ValueError, FloatingPointError), match=sentence):
        run(settings | change, [store], tmp_path / "run", report=silent)


def test_a_store_of_pictures_is_refused(settings, tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.csv", "name,label\np,real\n")
    with pytest.raises(DataError, match="holds no sequences"):
        run(settings, [path], tmp_path / "run", report=silent)


def test_the_command_sends_sequence_networks_here(store, settings, tmp_path):
    config = tmp_path / "gru.json"
    config.write_text(json.dumps(settings | {"model": "lstm", "folds": 2}))
    arguments = [
        "train",
        "-d",
        str(store),
        "--config",
        str(config),
        "--steps",
        "2",
        "-o",
        str(tmp_path / "run"),
    ]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert checkpoint.read_header(tmp_path / "run" / "best.safetensors").architecture == "lstm"
    wrong = CliRunner().invoke(app, [*arguments, "--teacher", "x.safetensors"])
    assert wrong.exit_code == 2
    assert "teacher" in wrong.output


def test_settings_reach_the_optimiser():
    config = SequenceConfig(model="gru", learning_rate=0.003, schedule="linear", weight_decay=0.1)
    optimiser = make_optimiser(torch.nn.Linear(2, 2), config)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.1, 0.0}
    # half-way between the end of the warm-up, a tenth, and the end
    assert learning_rate(0.55, config) == pytest.approx(0.0015)


def test_motion_beside_the_features_is_trained_kept_and_loaded(store, settings, tmp_path):
    folder = tmp_path / "run"
    run(settings | {"motion": True, "steps": 2, "self_blends": 1, "folds": 2}, [store], folder, report=silent)
    header = checkpoint.read_header(folder / "best.safetensors")
    network, _ = checkpoint.load_sequence_network(folder / "best.safetensors", depends=header.depends)
    assert (header.configuration["features"], header.configuration["motion_features"]) == (3 + 8, 8)
    assert network(torch.zeros(2, 5, 11)).shape == (2, 1)


@pytest.mark.parametrize("name", ["temporal_transformer", "x3d_s"])
def test_motion_is_refused_before_features_are_taken(store, settings, tmp_path, name, monkeypatch):
    monkeypatch.setattr(sequences, "FrameFeatures", lambda *_: pytest.fail("features were taken"))
    with pytest.raises(ValueError, match=f"{name} takes no motion"):
        run(settings | {"motion": True, "model": name}, [store], tmp_path / "run", report=silent)
