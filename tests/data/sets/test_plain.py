"""Plain folders, CSV lists, folders of clips, and data sets by name."""

import pytest

from unmask.data.manifest import DataError, check_leaks
from unmask.data.registry import LOADERS, load, load_named


def test_folders_may_stand_within_a_folder_for_each_split(place):
    root = place("train/real/a.mp4", "train/fake/swap/b.mp4", "Validation/real/a.mp4", "test/fake/c.mp4")
    items = {item.name: item for item in load("folders", root)}
    assert {name: item.split for name, item in items.items()} == {
        "train/real/a.mp4": "train", "train/fake/swap/b.mp4": "train",
        "val/real/a.mp4": "val", "test/fake/c.mp4": "test",
    }  # fmt: skip
    assert items["train/fake/swap/b.mp4"].manipulation == "swap"
    check_leaks(list(items.values()))


def test_folders_without_a_class_or_without_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no folder real/ or fake/"):
        load("folders", tmp_path)
    (tmp_path / "real").mkdir()
    with pytest.raises(DataError, match="no picture and no video in real/ or fake/"):
        load("folders", tmp_path)


def test_a_list_gives_groups_originals_and_compression(place):
    root = place("a.mp4", "b.mp4")
    (root / "list.csv").write_text(
        "path,label,original,split,compression,data_set\na.mp4,real,,val,c23,mine\nb.mp4,FAKE,a.mp4,val,c40,mine\n"
    )
    real, fake = load("list", root / "list.csv")
    assert (real.group, fake.group, fake.original, fake.compression) == ("a.mp4", "a.mp4", "a.mp4", "c40")
    assert {item.data_set for item in (real, fake)} == {"mine"}


def test_a_fake_listed_apart_from_its_original_is_a_leak(place):
    root = place("a.mp4", "b.mp4")
    (root / "list.csv").write_text("path,label,original,split\na.mp4,real,,val\nb.mp4,fake,a.mp4,train\n")
    with pytest.raises(DataError, match=r"group a\.mp4 of list is in train \(b\.mp4\) and val \(a\.mp4\)"):
        check_leaks(load("list", root / "list.csv"))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("faceforensic", "faceforensics"),
        ("FaceForensics++", "faceforensics"),
        ("celeb-df", "celeb_df_v"),
        ("DFDC", "dfdc"),
        ("wild_deepfake", "wilddeepfake"),
    ],
)
def test_a_misspelt_name_answers_with_the_near_ones(tmp_path, name, near):
    with pytest.raises(
        DataError, match=f"unknown data set '{name.replace('+', '.')}'; did you mean .*{near}"
    ):
        load(name, tmp_path)


@pytest.mark.parametrize("name", LOADERS)
def test_every_loader_names_a_folder_that_is_not_there(tmp_path, name):
    with pytest.raises(DataError, match="absent"):
        load(name, tmp_path / "absent")


def test_a_data_set_can_be_named_with_its_folder(place, tmp_path):
    root = place("real/a.mp4", "fake/b.mp4")
    named = load_named(type(root)(f"folders={root}"))
    assert named is not None
    assert len(named) == 2
    assert load_named(root) is None
