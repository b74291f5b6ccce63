"""Container and picture facts."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import moving, quadrants, write_video
from PIL import Image

from unmask.media import read
from unmask.media.metadata import estimate_quality, mp4_facts, sha256


def test_sha256_is_that_of_the_standard_library(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_container_facts(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(10), options={"bf": "2"})
    media = next(iter(read(path)))
    facts = media.metadata
    json.dumps(facts)
    assert media.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts["encoder"].startswith("Lavf")
    assert any(mark.startswith("x264 - core") for mark in facts["encoder_marks"])
    assert facts["mp4"]["boxes"][0] == "ftyp"
    assert {"moov", "mdat"} <= set(facts["mp4"]["boxes"])
    assert facts["streams"][0]["size"] == [160, 120]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def test_edit_lists_are_read(tmp_path: Path) -> None:
    short = box(b"elst", struct.pack(">IIIihH", 0, 1, 3000, 1024, 1, 0))
    wide = box(b"elst", struct.pack(">IIQqhHQqhH", 1 << 24, 2, 500, -1, 1, 0, 7000, 0, 0, 32768))
    tracks = b"".join(box(b"trak", box(b"edts", edits)) for edits in (short, wide))
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", b"isom\0\0\2\0") + box(b"moov", tracks) + box(b"mdat", b"abc"))
    assert mp4_facts(path) == {
        "boxes": ["ftyp", "moov", "mdat"],
        "edit_lists": [[[3000, 1024, 1.0]], [[500, -1, 1.0], [7000, 0, 0.5]]],
    }


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), kind=st.sampled_from([b"moov", b"trak", b"edts", b"elst", b"mdat"]))
def test_broken_boxes_end_the_walk(tmp_path: Path, data: bytes, kind: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"moov", box(b"trak", struct.pack(">I4s", 20, kind) + data)))
    assert mp4_facts(path)["boxes"] == ["moov"]


@pytest.mark.parametrize("quality", [1, 10, 35, 50, 75, 90, 95, 100])
def test_the_quality_of_libjpeg_is_found(tmp_path: Path, quality: int) -> None:
    Image.fromarray(quadrants(64, 64)).save(tmp_path / "a.jpg", quality=quality, subsampling="4:2:2")
    facts = next(iter(read(tmp_path / "a.jpg"))).metadata
    json.dumps(facts)
    assert facts["jpeg"]["quality"] == quality
    assert facts["jpeg"]["standard_table"]
    assert facts["jpeg"]["subsampling"] == "4:2:2"
    assert not facts["jpeg"]["progressive"]


def test_a_table_of_another_maker_is_said_to_be_one() -> None:
    flat = [7] * 64
    assert estimate_quality(flat)[1] is False


def test_exif_and_software(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[305], exif[306] = "Maker", "GIMP 2.10", "2024:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x9003] = "2023:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    Image.fromarray(quadrants(64, 48)).save(tmp_path / "a.jpg", exif=exif)
    facts = next(iter(read(tmp_path / "a.jpg"))).metadata
    text = json.dumps(facts)
    assert facts["exif"]["Make"] == "Maker"
    assert facts["exif"]["DateTimeOriginal"] == "2023:05:06 07:08:09"
    assert facts["software"] == ["GIMP 2.10"]
    assert facts["exif"]["gps"] is True
    assert "52.0" not in text


def test_generator_parameters_in_png_text(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", "a portrait, Steps: 20, Sampler: Euler")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png", pnginfo=info)
    facts = next(iter(read(tmp_path / "a.png"))).metadata
    assert facts["tags"]["parameters"].startswith("a portrait")
