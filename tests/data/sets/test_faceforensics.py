"""FaceForensics++: official splits, every manipulation and compression, masks passed over."""

import json
from pathlib import Path

import pytest

from unmask.data.manifest import DataError, Item, check_leaks
from unmask.data.registry import load

ORIGINALS = [f"original_sequences/youtube/{c}/videos/{n}.mp4" for c in ("c23", "c40") for n in ("000", "003")]
FAKES = [
    f"manipulated_sequences/{kind}/c23/videos/{name}.mp4"
    for kind in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
    for name in ("000_003", "003_000")
]
OTHERS = [
    "original_sequences/youtube/c23/videos/071.mp4",
    "original_sequences/youtube/c23/videos/700.mp4",
    "manipulated_sequences/Deepfakes/c40/videos/000_003.mp4",
    "manipulated_sequences/Deepfakes/c23/masks/000_003.mp4",
    "manipulated_sequences/Deepfakes/raw/masks/000_003.mp4",
    "original_sequences/actors/c23/videos/01__walking_outside.mp4",
    "original_sequences/actors/c23/videos/02__walking_outside.mp4",
    "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__walking_outside__YVGY8LOK.mp4",
]
SPLITS = {"train": [["003", "000"]], "val": [["071", "054"]], "test": [["700", "813"]]}


def write_splits(folder: Path, splits=SPLITS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, pairs in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(pairs))


@pytest.fixture
def root(place) -> Path:
    folder = place(*ORIGINALS, *FAKES, *OTHERS)
    write_splits(folder / "splits")
    return folder


def by_name(items: list[Item]) -> dict[str, Item]:
    assert len({item.name for item in items}) == len(items)
    return {item.name: item for item in items}


def test_a_pair_stands_in_one_split_with_both_its_fakes(root):
    items = by_name(load("faceforensics", root))
    pair = [items[f"youtube/c23/{n}"] for n in ("000", "003")]
    pair += [items[f"Deepfakes/c23/{n}"] for n in ("000_003", "003_000")]
    assert {(item.split, item.group) for item in pair} == {("train", "000-003")}
    assert [item.label for item in pair] == ["real", "real", "fake", "fake"]
    assert items["youtube/c23/071"].split == "val"
    assert items["youtube/c23/700"].split == "test"
    check_leaks(list(items.values()))


def test_every_manipulation_and_compression_is_read_and_no_mask(root):
    items = load("faceforensics", root)
    assert {item.manipulation for item in items if item.fake} == {
        "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter", "DeepFakeDetection",
    }  # fmt: skip
    assert len(items) == len(ORIGINALS) + len(FAKES) + len(OTHERS) - 2
    assert not any("masks" in item.path.parts for item in items)
    assert {item.compression for item in items} == {"c23", "c40"}


def test_a_fake_knows_the_original_of_its_own_compression(root):
    items = by_name(load("faceforensics", root))
    assert items["Deepfakes/c23/003_000"].original == "youtube/c23/003"
    assert items["Deepfakes/c40/000_003"].original == "youtube/c40/000"


def test_staged_scenes_are_for_testing_and_grouped_by_the_target(root):
    items = by_name(load("faceforensics", root))
    fake = items["DeepFakeDetection/c23/01_02__walking_outside__YVGY8LOK"]
    assert (fake.split, fake.group) == ("test", "actor 01")
    assert fake.original == "actors/c23/01__walking_outside"
    assert items["actors/c23/02__walking_outside"].group == "actor 02"


@pytest.mark.parametrize("place_of_lists", [".", "splits", "dataset/splits"])
def test_split_lists_are_found_where_releases_have_them(place, place_of_lists):
    folder = place(*ORIGINALS, *FAKES)
    write_splits(folder / place_of_lists)
    assert {item.split for item in load("faceforensics", folder)} == {"train"}


def test_a_missing_split_list_is_named_with_the_remedy(root):
    (root / "splits/val.json").unlink()
    with pytest.raises(DataError, match=r"val\.json is missing.*dataset/splits: copy them"):
        load("faceforensics", root)


def test_an_original_in_two_splits_is_named(root):
    write_splits(root / "splits", SPLITS | {"test": [["000", "813"]]})
    with pytest.raises(DataError, match=r"test\.json: original 000 is also in train\.json"):
        load("faceforensics", root)


def test_a_video_in_no_split_is_named(root, place):
    place("original_sequences/youtube/c23/videos/555.mp4")
    with pytest.raises(DataError, match=r"555\.mp4: original 555 is in none of"):
        load("faceforensics", root)


@pytest.mark.parametrize("content", ['{"a": 1}', '[["000"]]', "[[0, 3]]", "not json"])
def test_a_damaged_split_list_is_named(root, content):
    (root / "splits/train.json").write_text(content)
    with pytest.raises(DataError, match=r"train\.json"):
        load("faceforensics", root)


def test_an_empty_class_is_named(place):
    folder = place(*ORIGINALS)
    write_splits(folder)
    with pytest.raises(DataError, match="no fake video found; expected manipulated_sequences"):
        load("faceforensics", folder)
