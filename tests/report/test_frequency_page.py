"""The frequency page: what is measured of known pictures, and what is said of it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from skimage import data

from unmask.report.frequency import (
    TooSmallError,
    examine,
    figures,
    numbers,
    sentences,
    subject,
    to_html,
)
from unmask.runtime.linear import Band
from unmask.signals.features import RINGS

PHOTO = data.astronaut()
FACE = ((224.0, 130.0), 120.0)
FREQUENCY = tuple((i + 0.5) * 0.5 / RINGS for i in range(RINGS))


def band(low, high):
    flat = (low,) * RINGS, ((low + high) / 2,) * RINGS, (high,) * RINGS
    return Band(frequency=FREQUENCY, low=flat[0], middle=flat[1], high=flat[2], faces=7)


def saved(pixels, *qualities):
    """The picture saved once for each quality, and the facts of the last file."""
    image = Image.fromarray(pixels)
    for quality in qualities:
        store = io.BytesIO()
        image.save(store, "JPEG", quality=quality)
        image = Image.open(store)
        image.load()
    tables = {"quantisation": {"0": list(image.quantization[0])}, "quality": qualities[-1]}
    return np.asarray(image), tables


def said(pixels, face=FACE, tables=None, limits=None):
    words = sentences(examine(subject(pixels, face), tables=tables), limits or band(-60.0, 90.0))
    return {part: " ".join(lines) for part, lines in words.items()}


def test_a_regular_pattern_is_named_with_its_place():
    wave = np.cos(2 * np.pi * 0.3 * np.arange(PHOTO.shape[1]))
    striped = np.clip(PHOTO + 8 * wave[:, None], 0, 255).astype(np.uint8)
    assert "0.30 cycles per pixel across and 0.00 down" in said(striped)["spectrum"]
    assert "cycles per pixel across" not in said(PHOTO)["spectrum"]


def test_a_picture_saved_once_and_twice():
    once, twice = said(*_with_face(saved(PHOTO, 90))), said(*_with_face(saved(PHOTO, 60, 90)))
    assert "quality 90" in once["dct"]
    assert "No earlier compression" in once["dct"]
    assert "an earlier compression" in twice["dct"]
    assert "on the picture's own 8-pixel grid" in once["dct"]


def _with_face(picture):
    return picture[0], FACE, picture[1]


def test_a_cropped_picture_has_its_grid_elsewhere():
    text = said(np.ascontiguousarray(saved(PHOTO, 60)[0][3:, 2:]))["dct"]
    assert "5 rows and 6 columns off" in text


def test_the_band_is_compared_with():
    assert "stays in the band" in said(PHOTO)["profile"]
    assert "below it" in said(PHOTO, limits=band(80.0, 90.0))["profile"]
    assert "No face was found" in sentences(examine(subject(PHOTO, None)), None)["profile"][-1]


def test_a_noisy_face_is_said_to_be_noisy():
    y, x = np.mgrid[:512, :512]
    inside = (np.hypot(x - 224, 0.8 * (y - 130)) < 110)[..., None]
    plain = np.random.default_rng(0).normal(128, 2, (512, 512, 1))
    rough = np.random.default_rng(1).normal(128, 8, (512, 512, 1))
    pixels = np.rint(np.where(inside, rough, plain)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    assert "4.0 times stronger" in said(pixels)["noise"] or "3.9 times stronger" in said(pixels)["noise"]


def test_numbers_are_json_and_pictures_are_pictures():
    seen = subject(PHOTO, FACE)
    found = examine(seen)
    assert json.loads(json.dumps(numbers(found), allow_nan=False))["jpeg_quality"] is None
    drawn = figures(seen, found, band(-60.0, 90.0))
    assert all(Image.open(io.BytesIO(picture)).size[0] > 600 for picture in drawn.values())
    page = to_html("<photo>", "A face.", sentences(found, None), drawn)
    assert "&lt;photo&gt;" in page
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("pixels", [np.zeros((64, 64, 3), np.uint8), np.full((64, 900, 3), 255, np.uint8)])
def test_flat_pictures_have_finite_numbers(pixels):
    json.dumps(numbers(examine(subject(pixels, None))), allow_nan=False)


@pytest.mark.parametrize(("size", "face"), [((1, 1), None), ((512, 512), ((99.0, 99.0), 20.0))])
def test_too_few_pixels_are_refused(size, face):
    with pytest.raises(TooSmallError, match="too small"):
        subject(np.zeros((*size, 3), np.uint8), face)
