"""Cards and weight files belong together, or nothing runs."""

import gzip
import hashlib
import json

import pytest

import tiny_networks
from unmask.runtime.card import (
    VISUAL,
    WEIGHTS,
    WeightError,
    embedded,
    is_exported,
    load_card,
    read_network,
    sha256,
    verify,
    write_card,
)


def test_every_embedded_network_has_a_card_that_fits():
    cards = {card.file: card for card in embedded()}
    networks = [path for ending in ("*.onnx", "*.onnx.gz") for path in WEIGHTS.glob(ending)]
    assert set(cards) == {path.name for path in networks} | {"frequency.json"}
    for card in cards.values():
        verify(card)
        assert card.licence


def test_the_visual_files_are_small_and_belong_together():
    visual, companion = VISUAL, WEIGHTS / "companion.onnx.gz"
    assert visual.stat().st_size + companion.stat().st_size < 20e6
    assert load_card(visual).depends[companion.name] == sha256(companion)


def test_face_networks_carry_the_hashes_of_their_origin():
    # the beginnings stated where the files come from (the mesh was rewritten: tests/faces/test_landmarks.py)
    stated = {
        "face_blendshapes.onnx": "e726200b",
        "face_detection_yunet_dynamic.onnx": "85260e29",
    }
    cards = {card.file: card for card in embedded()}
    for file, beginning in stated.items():
        assert cards[file].sha256.startswith(beginning)


def test_sha256_is_that_of_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"")
    assert sha256(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_an_exchanged_weight_file_is_refused(tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    verify(load_card(path))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightError, match="sha256 differs") as error:
        verify(load_card(path))
    assert "tiny.onnx" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_weight_file_is_named(tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    path.unlink()
    with pytest.raises(WeightError, match=r"tiny\.onnx.*missing"):
        verify(load_card(path))


def test_a_dependency_of_another_version_is_refused(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    path = tiny_networks.brightness_network(tmp_path, depends={"other.json": digest})
    verify(load_card(path))
    other.write_text("{ }")
    with pytest.raises(WeightError, match=r"another other\.json"):
        verify(load_card(path))


def test_a_dependency_may_be_an_embedded_file(tmp_path):
    file = "face_detection_yunet_dynamic.onnx"
    path = tiny_networks.brightness_network(tmp_path, depends={file: sha256(WEIGHTS / file)})
    verify(load_card(path))
    path = tiny_networks.brightness_network(tmp_path, depends={file: "0" * 64})
    with pytest.raises(WeightError, match="another face_detection"):
        verify(load_card(path))


def test_a_card_is_found_by_its_own_path_and_by_its_weight_file(tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    by_file, by_card = load_card(path), load_card(tmp_path / "tiny.card.json")
    assert by_file == by_card
    assert by_file.path == path
    assert by_file.crop is not None
    assert by_file.crop.size == tiny_networks.SIZE


def test_a_card_comes_back_as_it_was_written(tmp_path):
    card = load_card(tiny_networks.brightness_network(tmp_path, mean=[0.5, 0.5, 0.5], extra="kept"))
    written = write_card(card, tmp_path)
    assert load_card(written) == card
    assert json.loads(written.read_text())["extra"] == "kept"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe\x00", b'{"name": "x"}', b'{"name": 1, "file": []}'],
)
def test_what_is_not_a_card_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "broken.card.json"
    path.write_bytes(content)
    with pytest.raises(WeightError, match="not a card") as error:
        load_card(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sha256", "ABC"), ("sha256", "g" * 64), ("input_size", "big"), ("crop", {"size": 3})],
)
def test_a_card_with_a_wrong_field_names_it(field, value, tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    tiny_networks.write_card(path, **{field: value})
    with pytest.raises(WeightError, match=field):
        load_card(path)


@pytest.mark.parametrize("file", ["../tiny.onnx", "/etc/hostname", "sub/tiny.onnx", ".."])
def test_a_card_cannot_point_out_of_its_folder(file, tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    tiny_networks.write_card(path, file=file)
    with pytest.raises(WeightError):
        verify(load_card(path))


def test_a_missing_card_says_what_to_do(tmp_path):
    with pytest.raises(WeightError, match="missing; export"):
        load_card(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.onnx", True), ("a.onnx.gz", True), ("A.ONNX", True), ("a.safetensors", False), ("a.gz", False)],
)
def test_exported_networks_are_known_by_their_endings(tmp_path, name, expected):
    assert is_exported(tmp_path / name) is expected


def test_a_compressed_network_is_read_as_it_was_and_a_damaged_one_is_refused(tmp_path):
    content = bytes(range(256)) * 40
    plain, compressed = tmp_path / "a.onnx", tmp_path / "b.onnx.gz"
    plain.write_bytes(content)
    compressed.write_bytes(gzip.compress(content))
    assert read_network(plain) == read_network(compressed) == content
    whole = compressed.read_bytes()
    for damaged in (whole[:-9], b"no gzip", whole[:30] + b"\xff\xff" + whole[32:]):
        compressed.write_bytes(damaged)
        with pytest.raises(OSError, match=r"\w"):
            read_network(compressed)
