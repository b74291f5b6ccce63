"""`unmask features`: rows that follow from the pixels, in files that read back."""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from typer.testing import CliRunner

from tiny_networks import SIZE, brightness_network
from unmask.cli.commands import app
from unmask.faces.align import crop
from unmask.faces.detect import Detector

SAMPLE = Path(str(resources.files("unmask").joinpath("samples/manipulated.mp4")))


def features(*arguments: object):
    words = ["features", *map(str, arguments), "--threads", "1", "--quiet"]
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.fixture
def two_faces(tmp_path) -> Path:
    """A picture of one face twice, the right one mirrored and darker."""
    face = data.astronaut()[:300, 80:380]
    right = (face[:, ::-1] * 0.7).astype(np.uint8)
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), np.hstack([face, right])[..., ::-1])
    return path


def test_a_row_is_what_the_network_makes_of_the_aligned_face(tmp_path, two_faces):
    """The features of the small network are the crop's mean red, green and blue."""
    model = brightness_network(tmp_path)
    assert features(two_faces, "--model", model, "-o", tmp_path / "f.npz").exit_code == 0
    pixels = cv2.imread(str(two_faces))[..., ::-1]
    found = {d.box[0] > 300: d for d in Detector(threads=1).detect_picture(np.ascontiguousarray(pixels))}
    with np.load(tmp_path / "f.npz") as table:
        assert table["file"].tolist() == [str(two_faces)] * 2
        assert np.isnan(table["time"]).all()
        assert sorted(table["person"].tolist()) == [1, 2]
        assert len(set(table["track"].tolist())) == 2
        for box, values in zip(table["box"], table["features"], strict=True):
            detection = found[bool(box[0] > 300)]
            np.testing.assert_allclose(box, detection.box, atol=0.5)
            face = crop(pixels, detection.points, size=SIZE)
            np.testing.assert_allclose(values, face.mean((0, 1)), atol=0.5)


def test_the_embedded_network_gives_its_pooled_features_of_a_clip_in_order_of_time(tmp_path):
    result = features(SAMPLE, "--frames", 4, "--end", 2, "-o", tmp_path / "f.csv")
    assert (result.exit_code, result.output) == (0, "")
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [float(row["time"]) for row in rows]
    assert len(rows) >= 4
    assert times == sorted(times)
    assert times[-1] < 2
    assert {(row["track"], row["person"]) for row in rows} == {("0", "1")}
    values = np.array([[float(row[f"f{n}"]) for n in range(1280)] for row in rows])
    assert (values >= 0).all()  # the mean of what a ReLU6 lets through
    assert (values <= 6).all()
    assert values.std() > 0


def test_a_checkpoint_is_exported_behind_the_scenes(tmp_path, two_faces, monkeypatch):
    export = pytest.importorskip("unmask.training.export", reason="needs the train extra")
    exported = []

    def stand_in(path, output):
        exported.append(path)
        return brightness_network(output.parent, name=output.stem)

    monkeypatch.setattr(export, "export", stand_in)
    checkpoint = tmp_path / "net.safetensors"
    checkpoint.write_bytes(b"weights")
    result = features(two_faces, two_faces.parent, "--model", checkpoint, "-o", tmp_path / "f.npz")
    assert result.exit_code == 0
    assert exported == [checkpoint]
    assert np.load(tmp_path / "f.npz")["features"].shape == (2, 3)


def test_a_broken_input_is_one_line_and_the_others_are_written(tmp_path, two_faces):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    model = brightness_network(tmp_path)
    result = features(tmp_path, "no.mp4", "--model", model, "-o", tmp_path / "out" / "f.npz")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert "no.mp4: no such file" in lines[0]
    assert "broken.jpg" in lines[1]
    assert len(np.load(tmp_path / "out" / "f.npz")["features"]) == 2


def test_where_every_input_fails_nothing_is_written(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    model = brightness_network(tmp_path)
    result = features(tmp_path / "broken.jpg", "--model", model, "-o", tmp_path / "f.npz")
    assert result.exit_code == 1
    assert not (tmp_path / "f.npz").exists()


def test_a_picture_without_a_face_gives_an_empty_table(tmp_path):
    cv2.imwrite(str(tmp_path / "grass.png"), data.grass())
    model = brightness_network(tmp_path)
    assert features(tmp_path / "grass.png", "--model", model, "-o", tmp_path / "f.npz").exit_code == 0
    assert len(np.load(tmp_path / "f.npz")["features"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "f.parquet"], "--output f.parquet: give the name of a .npz or .csv file"),
        (["-o", "f.npz", "--model", "none.onnx"], "--model none.onnx: no such file"),
        (["-o", "f.npz", "--start", "5", "--end", "1"], "--end 1 must lie after the start"),
        (["-o", "f.npz", "--device", "abacus"], "--device abacus"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, words):
    result = features(SAMPLE, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_damaged_model_ends_the_command(tmp_path):
    model = brightness_network(tmp_path, sha256="0" * 64)
    result = features(SAMPLE, "--model", model, "-o", tmp_path / "f.npz")
    assert result.exit_code == 1
    assert "sha256 differs from its card" in result.stderr
    assert not (tmp_path / "f.npz").exists()
