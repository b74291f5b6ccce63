"""`unmask selfblend` on a picture with a face, one without, and none."""

import numpy as np
import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the train extra")

from unmask.cli.app import app
from unmask.data.pairs import CANVAS_PIXELS

runner = CliRunner()


@pytest.fixture
def portrait(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


@pytest.mark.parametrize("kind", ["self-blend", "self-swap"])
def test_a_sheet_has_a_row_for_each_fake(portrait, tmp_path, kind):
    sheet = tmp_path / "sheet.png"
    done = runner.invoke(app, ["selfblend", str(portrait), "--each", "3", "--kind", kind, "-o", str(sheet)])
    assert done.exit_code == 0, done.output
    assert "3 fakes" in done.output
    pixels = np.asarray(Image.open(sheet).convert("RGB")).astype(int)
    side, step = CANVAS_PIXELS, CANVAS_PIXELS + 6
    assert pixels.shape == (3 * step + 6, 4 * step + 6, 3)
    face, fake = (pixels[6 : 6 + side, x : x + side] for x in (6, 6 + 3 * step))
    assert 0.2 < np.abs(face - fake).mean() < 30


def test_part_swaps_take_from_the_other_pictures_and_need_one(portrait, tmp_path):
    sheet, other = tmp_path / "sheet.png", tmp_path / "other.png"
    command = ["selfblend", str(portrait), "--kind", "part-swap", "-o", str(sheet)]
    alone = runner.invoke(app, command)
    assert alone.exit_code == 1
    assert "two faces" in alone.output
    Image.fromarray(np.ascontiguousarray(data.astronaut()[:, ::-1] // 2)).save(other)
    both = runner.invoke(app, [*command, str(other)])
    assert both.exit_code == 0, both.output
    assert "2 fakes" in both.output


def test_a_picture_without_a_face_is_named_and_the_others_are_drawn(portrait, tmp_path):
    empty = tmp_path / "wall.png"
    Image.fromarray(np.full((200, 200, 3), 128, np.uint8)).save(empty)
    sheet = tmp_path / "sheet.png"
    done = runner.invoke(app, ["selfblend", str(empty), str(portrait), "-o", str(sheet)])
    assert done.exit_code == 1
    assert "wall.png: no face found" in done.output
    assert sheet.exists()


@pytest.mark.parametrize("name", ["sheet.txt", "sheet"])
def test_a_sheet_is_a_picture(portrait, tmp_path, name):
    done = runner.invoke(app, ["selfblend", str(portrait), "-o", str(tmp_path / name)])
    assert done.exit_code == 1
    assert ".png or .jpg" in done.output
