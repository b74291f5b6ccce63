"""Celeb-DF: 1 means real in the test list, and people of the test list are kept out of training."""

import pytest

from unmask.data.manifest import OVERLAP, DataError, check_leaks
from unmask.data.registry import load

VIDEOS = [
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0007.mp4",
    "Celeb-real/id5_0001.mp4",
    "YouTube-real/00170.mp4",
    "YouTube-real/00171.mp4",
    "Celeb-synthesis/id0_id1_0000.mp4",
    "Celeb-synthesis/id1_id0_0007.mp4",
    "Celeb-synthesis/id5_id6_0001.mp4",
    "Celeb-synthesis/id5_id0_0001.mp4",
]
LIST = "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0007.mp4\n0 Celeb-synthesis/id1_id0_0007.mp4\n"


@pytest.fixture
def root(place):
    folder = place(*VIDEOS)
    (folder / "List_of_testing_videos.txt").write_text(LIST)
    return folder


def test_in_the_list_1_means_real(root):
    items = {item.name: item for item in load("celeb_df_v2", root)}
    tested = {name: item.label for name, item in items.items() if item.split == "test"}
    assert tested == {
        "YouTube-real/00170": "real",
        "Celeb-real/id1_0007": "real",
        "Celeb-synthesis/id1_id0_0007": "fake",
    }


def test_who_is_tested_is_not_trained_on_neither_as_target_nor_as_donor(root):
    items = {item.name: item for item in load("celeb_df_v2", root)}
    # id0 is the donor of a listed fake and id1 its target; id5 and id6 are not in the list.
    assert items["Celeb-real/id0_0000"].split == OVERLAP
    assert items["Celeb-synthesis/id0_id1_0000"].split == OVERLAP
    assert items["Celeb-synthesis/id5_id0_0001"].split == OVERLAP
    assert {n for n, i in items.items() if i.split == "train"} == {
        "Celeb-real/id5_0001", "Celeb-synthesis/id5_id6_0001", "YouTube-real/00171",
    }  # fmt: skip
    check_leaks(list(items.values()))


def test_a_fake_is_grouped_with_its_target_and_knows_its_original(root):
    items = {item.name: item for item in load("celeb_df_v2", root)}
    fake = items["Celeb-synthesis/id1_id0_0007"]
    assert (fake.group, fake.original) == ("id1", "Celeb-real/id1_0007")
    assert items["Celeb-real/id1_0007"].group == "id1"


def test_both_versions_have_one_layout_and_names_of_their_own(root):
    assert {item.data_set for item in load("celeb_df_v1", root)} == {"celeb_df_v1"}
    assert {item.data_set for item in load("celeb_df_v2", root)} == {"celeb_df_v2"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 YouTube-real/00170.mp4", r"line 1: label 0 \(fake\) contradicts .*YouTube-real.*1 means real"),
        ("1 Celeb-synthesis/id1_id0_0007.mp4", "contradicts the folder Celeb-synthesis"),
        ("2 YouTube-real/00170.mp4", "is not like"),
        ("YouTube-real/00170.mp4", "is not like"),
        ("", "lists no video"),
    ],
)
def test_a_wrong_line_of_the_list_is_named(root, line, message):
    (root / "List_of_testing_videos.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        load("celeb_df_v2", root)


def test_a_missing_list_is_named(root):
    (root / "List_of_testing_videos.txt").unlink()
    with pytest.raises(DataError, match=r"List_of_testing_videos\.txt: is missing"):
        load("celeb_df_v2", root)


def test_listed_videos_that_are_not_there_are_told(root):
    (root / "YouTube-real/00170.mp4").unlink()
    with pytest.warns(UserWarning, match=r"1 of 3 listed videos are not there \(YouTube-real/00170\)"):
        load("celeb_df_v2", root)


def test_an_empty_class_is_named(place):
    folder = place("YouTube-real/00170.mp4")
    (folder / "List_of_testing_videos.txt").write_text("1 YouTube-real/00170.mp4\n")
    with pytest.raises(DataError, match="no fake video found; expected Celeb-synthesis"):
        load("celeb_df_v2", folder)
