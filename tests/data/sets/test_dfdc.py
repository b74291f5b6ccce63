"""DFDC: parts with metadata.json, test sets in which 1 means fake, and the preview."""

import json

import pytest

from unmask.data.manifest import DataError, check_leaks
from unmask.data.registry import load

PART = {
    "a.mp4": {"label": "REAL", "split": "train"},
    "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
    "c.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
}


@pytest.fixture
def root(place):
    folder = place(*(f"dfdc_train_part_0/{name}" for name in PART), "dfdc_train_part_1/d.mp4")
    (folder / "dfdc_train_part_0/metadata.json").write_text(json.dumps(PART))
    (folder / "dfdc_train_part_1/metadata.json").write_text('{"d.mp4": {"label": "REAL", "split": "train"}}')
    return folder


def test_labels_originals_and_groups(root):
    items = {item.name: item for item in load("dfdc", root)}
    assert {name: item.label for name, item in items.items()} == {
        "a": "real", "b": "fake", "c": "fake", "d": "real",
    }  # fmt: skip
    assert (items["b"].group, items["b"].original, items["a"].group) == ("a", "a", "a")
    assert items["c"].group == "gone"
    assert {item.split for item in items.values()} == {"train"}
    check_leaks(list(items.values()))


def test_in_a_test_set_1_means_fake(root, place):
    place("test/videos/x.mp4", "test/videos/y.mp4")
    (root / "test/labels.csv").write_text("filename,label\nx.mp4,1\ny.mp4,0\n")
    items = {item.name: item for item in load("dfdc", root)}
    assert (items["test/x"].label, items["test/y"].label) == ("fake", "real")
    assert items["test/x"].split == "test"


def test_one_part_alone_may_be_given(root):
    assert len(load("dfdc", root / "dfdc_train_part_0")) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.mp4": {"label": "TRUE"}}, r"metadata\.json: a\.mp4: label 'TRUE' is neither real nor fake"),
        ({"a.mp4": {}}, "neither real nor fake"),
        ([1], "not a table"),
        ({"z.mp4": {"label": "REAL"}}, "1 of 1 listed videos are not there"),
    ],
)
def test_wrong_metadata_is_named(root, content, message):
    (root / "dfdc_train_part_0/metadata.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        load("dfdc", root)


def test_a_wrong_test_label_is_named(root, place):
    place("test/x.mp4")
    (root / "test/labels.csv").write_text("filename,label\nx.mp4,FAKE\n")
    with pytest.raises(DataError, match=r"labels\.csv line 2: label 'FAKE' is neither 0"):
        load("dfdc", root)


def test_missing_videos_are_told_and_the_rest_is_read(root):
    (root / "dfdc_train_part_0/b.mp4").unlink()
    with pytest.warns(UserWarning, match=r"1 of 3 listed videos are not there \(b\.mp4\)"):
        assert len(load("dfdc", root)) == 3


def test_a_folder_without_parts_is_named(tmp_path):
    with pytest.raises(DataError, match="no dfdc_train_part_N"):
        load("dfdc", tmp_path)


def test_an_empty_class_is_named(root):
    with pytest.raises(DataError, match="no fake video found"):
        load("dfdc", root / "dfdc_train_part_1")


PREVIEW = {
    "original_videos/643942/643942_A_000.mp4": {"label": "real", "target_id": "643942", "set": "train"},
    "method_A/643942/643942_1732587_A_0_1.mp4": {"label": "fake", "target_id": 643942, "set": "train"},
    "method_B/99/99_1_B_0_1.mp4": {"label": "fake", "set": "test"},
    "original_videos/99/99_C_000.mp4": {"label": "real", "set": "test"},
}


@pytest.fixture
def preview(place):
    folder = place(*PREVIEW)
    (folder / "dataset.json").write_text(json.dumps(PREVIEW))
    return folder


def test_preview_groups_are_the_target_persons(preview):
    items = load("dfdc_preview", preview)
    assert {item.group for item in items if item.split == "train"} == {"person 643942"}
    assert {item.group for item in items if item.split == "test"} == {"person 99"}
    assert {item.manipulation for item in items} == {"", "method_A", "method_B"}
    assert sum(item.fake for item in items) == 2
    check_leaks(items)


def test_preview_entry_without_a_set_is_named(preview):
    entries = PREVIEW | {"method_B/99/99_1_B_0_1.mp4": {"label": "fake"}}
    (preview / "dataset.json").write_text(json.dumps(entries))
    with pytest.raises(DataError, match=r"99_1_B_0_1\.mp4: no set"):
        load("dfdc_preview", preview)


def test_preview_without_its_list_is_named(preview):
    (preview / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"dataset\.json: is missing"):
        load("dfdc_preview", preview)
