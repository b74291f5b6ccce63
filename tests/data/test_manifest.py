"""Manifests: splits are kept apart by group."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unmask.data.manifest import (
    OVERLAP,
    DataError,
    Item,
    check_classes,
    check_leaks,
    cut_tune,
    keep_persons_apart,
    merge,
    read_zip,
)

FIELDS = ["name", "label", "identity", "split", "original", "face_px", "manipulation"]


def make_zip(path: Path, rows: list[dict[str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS)
    writer.writeheader()
    writer.writerows(rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.csv", text.getvalue())
        for row in rows:
            archive.writestr(f"images/{row['name']}.jpg", b"x")
    return path


def item(name: str, *, group: str = "", split: str = "train", original: str = "") -> Item:
    label = "fake" if original else "real"
    return Item(
        data_set="set",
        name=name,
        label=label,  # type: ignore[arg-type]
        group=group or name,
        path=Path("a.zip"),
        member=name,
        original=original,
        split=split,
    )


def test_a_crop_of_a_store_names_its_video_and_a_picture_none(tmp_path, monkeypatch):
    monkeypatch.setattr("test_manifest.FIELDS", [*FIELDS, "clip", "time"])
    rows = [
        {"name": "a", "label": "real", "identity": "p", "split": "train", "clip": "a.mp4", "time": "0.200"},
        {"name": "b", "label": "real", "identity": "p", "split": "train", "clip": "b.jpg", "time": ""},
    ]
    assert [i.clip for i in read_zip(make_zip(tmp_path / "store.zip", rows))] == ["a.mp4", ""]


def test_reads_labels_groups_and_manipulations(tmp_path):
    rows = [
        {"name": "a", "label": "real", "identity": "p1", "split": "train"},
        {"name": "b", "label": "fake", "original": "a", "split": "val", "manipulation": "inswapper_128"},
        {"name": "c", "label": "fake", "split": "train"},
    ]
    read = read_zip(make_zip(tmp_path / "dfdc_faces.zip", rows))
    assert [i.group for i in read] == ["p1", "a", "c"]
    assert [i.manipulation for i in read] == ["", "inswapper_128", "DFDC"]
    assert [i.split for i in read] == ["train", "val", "train"]


def test_a_row_of_a_store_names_its_data_set_source_and_compression(tmp_path):
    path = tmp_path / "x-00000.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "metadata.csv",
            "name,label,identity,split,data_set,source,compression\na,real,000-003,val,faceforensics,YouTube,c23\n",
        )
        archive.writestr("images/a.jpg", b"x")
    (read,) = read_zip(path)
    assert (read.data_set, read.source, read.compression) == ("faceforensics", "YouTube", "c23")
    assert (read.group, read.split, read.place) == ("000-003", "val", (path, "images/a.jpg"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x00" * 100])
def test_a_broken_zip_is_named(tmp_path, content):
    (tmp_path / "broken.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.zip: cannot be read as a zip"):
        read_zip(tmp_path / "broken.zip")


@pytest.mark.parametrize(
    ("row", "message"),
    [({"name": "a", "label": "maybe"}, "line 2"), ({"name": "a", "label": ""}, "neither real nor fake")],
)
def test_wrong_labels_are_named(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        read_zip(make_zip(tmp_path / "x.zip", [row]))


def test_a_zip_without_metadata_is_named(tmp_path):
    path = tmp_path / "other.zip"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(ValueError, match=r"other\.zip: no metadata"):
        read_zip(path)


def test_an_item_named_twice_counts_once():
    assert merge([[item("a"), item("b")], [item("a", split="val"), item("c")]]) == [
        item("a"),
        item("b"),
        item("c"),
    ]


@given(st.lists(st.integers(0, 9), min_size=30, max_size=60), st.integers(0, 5))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tune_takes_whole_groups(groups, seed):
    cut = cut_tune([item(str(i), group=f"g{g}") for i, g in enumerate(groups)], share=0.3, seed=seed)
    check_leaks(cut)
    tune = {i.group for i in cut if i.split == "tune"}
    assert len(tune) == round(0.3 * len(set(groups)))


def test_val_is_never_moved_to_tune():
    items = [item(str(i), split="val") for i in range(20)]
    assert cut_tune(items, share=0.5) == items


def test_a_group_in_two_splits_is_refused():
    with pytest.raises(ValueError, match=r"1 groups cross .*group p of set is in train \(a\) and val \(b\)"):
        check_leaks([item("a", group="p"), item("b", group="p", split="val")])


def test_of_many_crossing_groups_five_are_named_and_all_counted():
    items = [item(f"{n}{s}", group=f"g{n}", split=s) for n in range(7) for s in ("train", "test")]
    with pytest.raises(ValueError, match=r"7 groups cross splits: group g0 .*group g4 .*; and 2 more$"):
        check_leaks(items)


def test_what_is_held_back_crosses_nothing():
    check_leaks([item("a", group="p", split=OVERLAP), item("b", group="p", split="test")])


def test_groups_of_two_data_sets_are_not_one():
    other = replace(item("b", group="p", split="val"), data_set="other")
    check_leaks([item("a", group="p"), other])


def test_an_empty_class_is_named_with_what_is_expected():
    with pytest.raises(DataError, match="no real video found; expected originals/"):
        check_classes([item("f", original="a")], Path("x"), real="originals/", fake="fakes/")


def test_a_fake_apart_from_its_original_is_refused():
    fake = replace(item("f", original="a"), group="q")
    with pytest.raises(ValueError, match=r"f .train. was made from a .val."):
        check_leaks([item("a", split="val"), fake])


def test_the_development_media_do_not_leak(data_dir):
    items = merge(read_zip(path) for path in sorted(data_dir.glob("*.zip")))
    check_leaks(cut_tune(items, share=0.06))
    assert sum(i.split == "val" for i in items if i.data_set == "dfdc_faces") == 1200


def test_permuted_labels_keep_their_numbers_in_each_part_and_forget_their_items():
    from unmask.data.manifest import permute_labels

    def item(name, fake, split):
        return Item(
            data_set="set",
            name=name,
            label="fake" if fake else "real",
            group=name,
            path=Path("x.zip"),
            member=name,
            manipulation="swap" if fake else "",
            original="r0" if fake else "",
            split=split,
        )

    items = [item(f"{split}{n}", n < 300, split) for split in ("train", "tune") for n in range(1000)]
    dealt = permute_labels(items, seed=1)
    assert [i.name for i in dealt] == [i.name for i in items]
    assert [i.split for i in dealt] == [i.split for i in items]
    for split in ("train", "tune"):
        assert sum(i.fake for i in dealt if i.split == split) == 300
    assert all((i.manipulation == "swap") == i.fake and i.original == "" for i in dealt)
    # Of 600 fakes 180 stay fake by chance, with a deviation of about 10.
    kept = sum(a.fake and b.fake for a, b in zip(items, dealt, strict=True))
    assert 130 < kept < 230


def twins(*splits):
    return [
        replace(item(f"{n}", group=group, split=split), data_set="dfdc_faces")
        for n, (group, split) in enumerate(zip(("id7342", "id2435", "id12723"), splits, strict=True))
    ]


@pytest.mark.parametrize(
    ("given", "apart"),
    [
        (("train", "train", "train"), ("train", "train", "train")),
        (("tune", "train", "tune"), ("train", "train", "train")),
        (("tune", "tune", "tune"), ("tune", "tune", "tune")),
        (("val", "tune", "train"), ("val", OVERLAP, OVERLAP)),
        (("val", "val", OVERLAP), ("val", "val", OVERLAP)),
    ],
)
def test_a_person_under_several_names_crosses_nothing(given, apart):
    kept = keep_persons_apart(twins(*given))
    assert tuple(i.split for i in kept) == apart
    check_leaks(kept)


def test_a_person_under_several_names_who_crosses_is_refused():
    with pytest.raises(ValueError, match=r"1 groups cross .*train \(1\) and val \(0\)"):
        check_leaks(twins("val", "train", "train"))


def test_cutting_tune_parts_the_persons_of_val_from_train():
    cut = cut_tune(twins("val", "train", "train"), share=0.0)
    assert [i.split for i in cut] == ["val", OVERLAP, OVERLAP]
