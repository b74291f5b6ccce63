"""DeeperForensics-1.0: its reals are FaceForensics++ originals, never the studio recordings."""

import shutil

import pytest

from unmask.data.manifest import DataError, check_leaks
from unmask.data.registry import load

VIDEOS = [
    "manipulated_videos/end_to_end/000_M101.mp4",
    "manipulated_videos/end_to_end/001_M102.mp4",
    "manipulated_videos/end_to_end_level_3/000_M101.mp4",
    "source_videos/M101/BlendShape/camera_down/angry.mp4",
    "original_sequences/youtube/c23/videos/000.mp4",
    "original_sequences/youtube/c23/videos/001.mp4",
    "original_sequences/youtube/c23/videos/999.mp4",
]


@pytest.fixture
def root(place):
    folder = place(*VIDEOS)
    lists = folder / "lists/splits"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("000_M101.mp4\n")
    (lists / "val.txt").write_text("")
    (lists / "test.txt").write_text("001_M102.mp4\n")
    return folder


def test_reals_are_the_targets_and_follow_their_fakes(root):
    items = load("deeperforensics", root)
    assert {(i.name, i.split) for i in items if not i.fake} == {
        ("youtube/000", "train"),
        ("youtube/001", "test"),
    }
    assert not any("source_videos" in item.path.parts for item in items)
    check_leaks(items)


def test_distorted_variants_are_manipulations_of_one_group(root):
    items = [item for item in load("deeperforensics", root) if item.group == "000" and item.fake]
    assert {item.manipulation for item in items} == {"end_to_end", "end_to_end_level_3"}
    assert {item.original for item in items} == {"youtube/000"}


def test_without_the_originals_it_is_said_where_to_get_them(root):
    shutil.rmtree(root / "original_sequences")
    with pytest.raises(
        DataError, match=r"c23 originals of FaceForensics\+\+ there.*not the real counterparts"
    ):
        load("deeperforensics", root)


def test_a_missing_list_is_named(root):
    (root / "lists/splits/val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt: is missing"):
        load("deeperforensics", root)


def test_a_target_in_two_lists_is_named(root):
    (root / "lists/splits/test.txt").write_text("001_M102.mp4\n000_M103.mp4\n")
    with pytest.raises(DataError, match=r"test\.txt: 000_M103\.mp4: target 000 is also in train\.txt"):
        load("deeperforensics", root)


def test_a_video_in_no_list_is_named(root, place):
    place("manipulated_videos/end_to_end/005_M101.mp4")
    with pytest.raises(DataError, match=r"005_M101\.mp4: is in none of"):
        load("deeperforensics", root)
