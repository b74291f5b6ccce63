"""Readers of test data on small generated trees."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

from unmask.data.manifest import Item
from unmask.evaluation.items import TestDataError, read_test_data

ROWS = [
    # name, label, identity, split, original, manipulation
    ("a", "real", "ann", "val", "a", ""),
    ("b", "fake", "ann", "val", "a", "swap"),
    ("c", "fake", "", "val", "a", ""),
    ("d", "real", "bob", "train", "d", ""),
    ("e", "fake", "", "train", "", "swap"),
]


def make_zip(path: Path, rows=ROWS) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", "label", "identity", "split", "original", "manipulation"])
    writer.writerows(rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.csv", text.getvalue())
        for name, *_ in rows:
            archive.writestr(f"images/{name}.jpg", b"not decoded here")
    return path


def make_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def named(items: list[Item]) -> dict[str, Item]:
    return {item.file_name: item for item in items}


class TestZip:
    def test_items_groups_and_split(self, tmp_path):
        items = named(read_test_data([make_zip(tmp_path / "faces.zip")], split="val"))
        assert sorted(items) == ["a.jpg", "b.jpg", "c.jpg"]
        assert items["b.jpg"].fake
        assert items["b.jpg"].manipulation == "swap"
        assert items["c.jpg"].manipulation == "unknown"
        assert items["a.jpg"].manipulation == ""
        assert items["a.jpg"].source == "faces"
        assert (items["a.jpg"].group, items["b.jpg"].group, items["c.jpg"].group) == ("ann", "ann", "a")
        assert all(item.face_crop and item.is_picture for item in items.values())

    def test_folder_of_zips(self, tmp_path):
        make_zip(tmp_path / "one.zip")
        make_zip(tmp_path / "two.zip")
        items = read_test_data([tmp_path])
        assert {item.data_set for item in items} == {"one", "two"}
        assert len(items) == 10

    def test_tune_is_cut_from_train_as_training_cuts_it(self, tmp_path):
        from unmask.data.manifest import cut_tune, read_zip

        rows = [(f"p{i}", "real" if i % 2 else "fake", f"id{i // 4}", "train", "", "") for i in range(80)]
        path = make_zip(tmp_path / "faces.zip", [*rows, *ROWS])
        expected = {i.name for i in cut_tune(read_zip(path), share=0.2, seed=3) if i.split == "tune"}
        items = read_test_data([path], split="tune", tune_share=0.2, seed=3)
        assert {item.name for item in items} == expected
        assert len(expected) > 0
        assert not any(item.name == "a" for item in items)

    def test_split_that_is_not_there(self, tmp_path):
        with pytest.raises(TestDataError, match=r"no item of split 'test' \(splits there: train, val\)"):
            read_test_data([make_zip(tmp_path / "faces.zip")], split="test")

    def test_broken_zip(self, tmp_path):
        path = tmp_path / "broken.zip"
        path.write_bytes(b"PK\x03\x04 and nothing else")
        with pytest.raises(TestDataError, match=r"broken\.zip"):
            read_test_data([path])

    def test_zip_without_metadata(self, tmp_path):
        path = tmp_path / "bare.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images/a.jpg", b"")
        with pytest.raises(TestDataError, match=r"metadata\.csv"):
            read_test_data([path])


class TestTree:
    def test_pictures_and_videos_mixed(self, tmp_path):
        make_file(tmp_path / "real" / "a.JPG")
        make_file(tmp_path / "real" / "news" / "b.mp4")
        make_file(tmp_path / "fake" / "c.png")
        make_file(tmp_path / "fake" / "faceswap" / "deep" / "d.mov")
        make_file(tmp_path / "fake" / "notes.txt")
        items = named(read_test_data([tmp_path]))
        assert sorted(items) == ["a.JPG", "b.mp4", "c.png", "d.mov"]
        assert items["a.JPG"].is_picture
        assert not items["b.mp4"].is_picture
        assert items["b.mp4"].source == "news"
        assert items["c.png"].manipulation == "unknown"
        assert items["d.mov"].manipulation == "faceswap"
        assert not items["d.mov"].face_crop
        assert len({item.group for item in items.values()}) == 4

    def test_capital_folder_names(self, tmp_path):
        make_file(tmp_path / "Real" / "a.jpg")
        make_file(tmp_path / "FAKE" / "b.jpg")
        assert [item.fake for item in read_test_data([tmp_path])] == [False, True]

    def test_one_class_alone_is_read(self, tmp_path):
        make_file(tmp_path / "fake" / "b.jpg")
        assert len(read_test_data([tmp_path])) == 1

    def test_empty_classes(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "fake").mkdir()
        with pytest.raises(TestDataError, match="no labelled item"):
            read_test_data([tmp_path])


class TestClips:
    def make(self, folder: Path) -> Path:
        lines = ["file,label,origin,group,split"]
        for file, label, origin, group, split in [
            ("a.mp4", "real", "talking head", "p1", "open"),
            ("b.mp4", "fake", "Hallo", "p1", "open"),
            ("c.mp4", "unknown", "talking head", "p2", "open"),
            ("d.mp4", "fake", "Hallo", "p3", "train"),
            ("e.mp4", "real", "talking head", "p4", "frozen"),
        ]:
            lines.append(",".join([file, label, origin, group, split]))
            if split != "frozen":
                make_file(folder / file)
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
        return folder

    def test_open_split(self, tmp_path):
        items = named(read_test_data([self.make(tmp_path)], split="open"))
        assert sorted(items) == ["a.mp4", "b.mp4"]
        assert (items["a.mp4"].source, items["b.mp4"].manipulation) == ("talking head", "Hallo")
        assert items["a.mp4"].group == items["b.mp4"].group == "p1"

    def test_frozen_is_left_out_unless_asked_for(self, tmp_path):
        folder = self.make(tmp_path)
        assert sorted(named(read_test_data([folder]))) == ["a.mp4", "b.mp4", "d.mp4"]
        assert sorted(named(read_test_data([folder], split="frozen"))) == ["e.mp4"]

    def test_listed_file_that_is_missing(self, tmp_path):
        folder = self.make(tmp_path)
        (folder / "b.mp4").unlink()
        with pytest.raises(TestDataError, match=r"line 3: b\.mp4 is not there"):
            read_test_data([folder])


class TestList:
    def test_columns(self, tmp_path):
        make_file(tmp_path / "x" / "a.jpg")
        make_file(tmp_path / "b.mp4")
        path = tmp_path / "list.csv"
        path.write_text("path,label,group,manipulation,split\nx/a.jpg,real,g,,val\nb.mp4,FAKE,g,swap,val\n")
        a, b = read_test_data([path], split="val")
        assert (a.fake, b.fake) == (False, True)
        assert (a.group, b.group, b.manipulation) == ("g", "g", "swap")

    def test_only_the_two_needed_columns(self, tmp_path):
        make_file(tmp_path / "a.jpg")
        path = tmp_path / "list.csv"
        path.write_text("path,label\na.jpg,fake\n")
        (item,) = read_test_data([path])
        assert (item.manipulation, item.group, item.data_set) == ("unknown", "a.jpg", "list")

    def test_a_path_may_lead_into_a_zip(self, tmp_path):
        make_zip(tmp_path / "faces.zip")
        path = tmp_path / "list.csv"
        path.write_text("path,label\nfaces.zip/images/b.jpg,fake\n")
        (item,) = read_test_data([path])
        assert (item.path.name, item.member, item.face_crop) == ("faces.zip", "images/b.jpg", True)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path,label\na.jpg,maybe\n", r"line 2: label 'maybe' is neither real nor fake"),
            ("path,label\nz.jpg,real\n", r"line 2: z\.jpg is not there"),
            ("file,label\na.jpg,real\n", "header lacks path"),
            ("", "header lacks label, path"),
        ],
    )
    def test_errors_name_the_line(self, tmp_path, text, message):
        make_file(tmp_path / "a.jpg")
        path = tmp_path / "list.csv"
        path.write_text(text)
        with pytest.raises(TestDataError, match=message):
            read_test_data([path])

    def test_binary_file_named_csv(self, tmp_path):
        path = tmp_path / "list.csv"
        path.write_bytes(b"\xff\xfe\x00\x81" * 100)
        with pytest.raises(TestDataError, match=r"list\.csv"):
            read_test_data([path])


def test_a_public_data_set_by_name(tmp_path):
    for name in ("YouTube-real/1", "YouTube-real/2", "Celeb-synthesis/id1_id0_0007", "Celeb-real/id1_0003"):
        make_file(tmp_path / f"{name}.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 YouTube-real/1.mp4\n0 Celeb-synthesis/id1_id0_0007.mp4\n"
    )
    named_path = Path(f"celeb_df_v2={tmp_path}")
    assert sorted(named(read_test_data([named_path], split="test"))) == ["1.mp4", "id1_id0_0007.mp4"]
    # a video of the tested id1 is held back
    assert sorted(named(read_test_data([named_path]))) == ["1.mp4", "2.mp4", "id1_id0_0007.mp4"]
    with pytest.raises(TestDataError, match="unknown data set 'celeb_df'; did you mean celeb_df_v"):
        read_test_data([Path(f"celeb_df={tmp_path}")])


def test_a_store_that_is_not_finished(tmp_path):
    (tmp_path / "store.json").write_text(
        '{"format": "unmask.store/1", "settings": {}, "plan": "", "total": 2, "shards": {}}'
    )
    with pytest.raises(TestDataError, match=r"has not finished here \(0 of 2 zips\)"):
        read_test_data([tmp_path])


def test_nothing_there(tmp_path):
    with pytest.raises(TestDataError, match="no such test data"):
        read_test_data([tmp_path / "absent"])


def test_unknown_layout(tmp_path):
    with pytest.raises(TestDataError, match="real/ and fake/"):
        read_test_data([tmp_path])


def test_development_zips(data_dir):
    items = read_test_data([data_dir / "dfdc_faces.zip", data_dir / "synthetic_faces.zip"], split="val")
    dfdc = [item for item in items if item.data_set == "dfdc_faces"]
    assert (sum(not i.fake for i in dfdc), sum(i.fake for i in dfdc)) == (600, 600)
    kinds = [item.manipulation for item in items if item.data_set == "synthetic_faces"]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {"": 218, "StyleGAN family": 130, "Stable Diffusion 2.1": 60, "inswapper_128": 30}
