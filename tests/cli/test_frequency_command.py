"""`unmask frequency` and `unmask fingerprint` on odd pictures: a page or one clear line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

import frequency_making
from unmask.cli.app import app

pytest.importorskip("matplotlib", reason="needs the train extra")


@pytest.fixture
def run(tmp_path, monkeypatch):
    model = frequency_making.classifier(tmp_path, "luma DCT magnitude 7,7", middle=0.0)
    monkeypatch.setattr("unmask.evidence.frequency.MODEL", model)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_portrait_gives_a_page_pictures_and_numbers(run, tmp_path):
    Image.fromarray(data.astronaut()).save(tmp_path / "face.jpg", quality=85)
    result = run("frequency", tmp_path / "face.jpg", "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {
        "frequency.html",
        "frequency.json",
        "spectrum.png",
        "profile.png",
        "dct.png",
        "noise.png",
    }
    assert json.loads((tmp_path / "out/frequency.json").read_text())["jpeg_quality"] == 85
    page = (tmp_path / "out/frequency.html").read_text()
    assert "The largest face" in page
    assert "face.jpg" in page


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the drawing, which takes most of the time."""
    parts = dict.fromkeys(("spectrum", "profile", "dct", "noise"), b"png")
    monkeypatch.setattr("unmask.report.frequency.figures", lambda *_: parts)


def odd(name):
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (90, 120), np.uint8)
    colour = random.integers(0, 256, (90, 120, 4), np.uint8)
    return {
        "grey": lambda: Image.fromarray(noise),
        "sixteen": lambda: Image.fromarray(noise.astype(np.uint16) * 257),
        "alpha": lambda: Image.fromarray(colour, "RGBA"),
        "black": lambda: Image.new("RGB", (120, 90)),
        "huge": lambda: Image.new("RGB", (5000, 3000), (9, 9, 9)),
        "one": lambda: Image.new("RGB", (1, 1)),
    }[name]()


@pytest.mark.parametrize("name", ["grey", "sixteen", "alpha", "black", "huge"])
def test_odd_pictures_give_finite_numbers(run, undrawn, tmp_path, name):
    odd(name).save(tmp_path / "odd.png")
    result = run("frequency", tmp_path / "odd.png", "-o", tmp_path / "out", "-q")
    assert result.exit_code == 0, result.output
    assert "NaN" not in (tmp_path / "out/frequency.json").read_text()
    assert "No face was found" in (tmp_path / "out/frequency.html").read_text()


def test_cmyk_gives_finite_numbers(run, undrawn, tmp_path):
    Image.new("CMYK", (99, 99), (9, 80, 200, 5)).save(tmp_path / "odd.jpg")
    assert run("frequency", tmp_path / "odd.jpg", "-o", tmp_path / "out").exit_code == 0


def test_what_cannot_be_examined_is_one_line(run, tmp_path):
    odd("one").save(tmp_path / "one.png")
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("one.png", "text.jpg", "none.jpg"):
        result = run("frequency", tmp_path / name, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert name in result.output
        assert len(result.output.strip().splitlines()) == 1
        assert not (tmp_path / "out/frequency.html").exists()


@pytest.fixture
def generated(tmp_path):
    """Twelve pictures with a common pattern in folder `made`, one more and one without beside it."""
    pattern = np.random.default_rng(5).normal(0, 4, (64, 64))
    (tmp_path / "made").mkdir()
    for k in range(14):
        random = np.random.default_rng(10 + k)
        smooth = np.kron(random.normal(128, 30, (8, 8)), np.ones((8, 8)))
        plane = smooth + random.normal(0, 4, (64, 64)) + (pattern if k < 13 else 0)
        name = f"made/{k}.png" if k < 12 else ("marked.png" if k == 12 else "plain.png")
        Image.fromarray(plane.clip(0, 255).astype(np.uint8)).save(tmp_path / name)
    return tmp_path


def test_a_fingerprint_tells_its_generators_pictures_from_others(run, generated):
    arguments = ["fingerprint", generated / "made", "--side", 64, "-c", generated / "marked.png"]
    result = run(*arguments, "-c", generated / "plain.png", "-o", generated / "print.npy")
    assert result.exit_code == 0, result.output
    energies = {
        line.split(":")[0].rsplit("/", 1)[-1]: float(line.split(": ")[1].split()[0])
        for line in result.output.splitlines()
        if ".png: " in line
    }
    assert energies["marked.png"] > 50 > 20 > energies["plain.png"]
    assert np.load(generated / "print.npy").shape == (64, 64)


def test_too_few_or_too_small_pictures_are_one_line(run, generated):
    result = run("fingerprint", generated / "made", "--side", 128)
    assert result.exit_code == 1
    assert "0 of 12 files" in result.output
    result = run("fingerprint", generated / "made", "--side", 64, "-c", generated / "none.png")
    assert result.exit_code == 1
    assert "none.png" in result.output
