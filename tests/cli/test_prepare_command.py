"""`unmask prepare` on the command line: one line for each mistake, counts, and what was left out."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures
from typer.testing import CliRunner

from unmask.cli.commands import app


def run(*arguments: object):
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path):
    """Two photos of a public-domain face, one of them labelled fake, and a video that is none."""
    face = pictures.astronaut()[0:240, 100:340]
    for label in ("real", "fake"):
        (tmp_path / "set" / label).mkdir(parents=True)
        Image.fromarray(face).save(tmp_path / "set" / label / "a.png")
    (tmp_path / "set/fake/broken.mp4").write_bytes(b"no video")
    return tmp_path / "set"


def test_a_data_set_becomes_a_store(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("folders", folders, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "no split: 1 real, 2 fake" in result.stdout
    assert "2 crops of 3 items" in result.stdout
    assert "1 items gave no crop, 0 are damaged: stores/folders/problems.csv" in result.stdout
    assert (tmp_path / "stores/folders/store.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("folder", "SET"), "unknown data set 'folder'; did you mean folders"),
        (("folders", "SET/absent"), "no such folder"),
        (("folders", "SET", "--split", "val"), "no item of split 'val'"),
        (("folders", "SET", "--faces", "some"), "faces must be main or all, not 'some'"),
        (("folders", "SET", "--output", "SET"), "is not empty and no store"),
        (("faceforensics", "SET"), "train.json is missing"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folders, arguments, message):
    result = run(*(argument.replace("SET", str(folders)) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("unmask prepare: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_listed_videos_that_are_missing_are_noted(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    (tmp_path / "metadata.json").write_text(
        '{"a.mp4": {"label": "REAL"}, "b.mp4": {"label": "FAKE"}, "c.mp4": {"label": "FAKE"}}'
    )
    result = run("dfdc", tmp_path, "--output", tmp_path / "store", "--compression", "c23")
    assert "note: " in result.stderr
    assert "1 of 3 listed videos are not there (c.mp4)" in result.stderr
