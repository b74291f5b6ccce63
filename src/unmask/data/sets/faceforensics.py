"""FaceForensics++ (Rössler et al. 2019, 1901.08971) with FaceShifter and DeepFakeDetection.

Originals are numbered; a fake `<target>_<source>` shows the target's video with the source's face. The
official splits are lists of pairs: both originals of a pair and the two fakes between them stand together,
and their group is the pair. The actors' films and DeepFakeDetection are in no official split: the usual
protocol tests on them. Every fake names a person in two roles there and everyone met everyone, so no part of
them could be held out by person: all of it is *test*.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unmask.data.files import need_folder, read_json, videos_in
from unmask.data.manifest import DataError, Item, check_classes

NAME = "faceforensics"
COMPRESSIONS = ("raw", "c23", "c40")
SPLITS = ("train", "val", "test")
SPLIT_FOLDERS = (".", "splits", "dataset/splits")
DEEP_FAKE_DETECTION = "DeepFakeDetection"


def load(root: Path) -> list[Item]:
    """Read all compressions and manipulations found below `root`; `masks` folders are passed over.

    Raises:
        DataError: a split list or a class is missing, or a video is in no split.
    """
    need_folder(root)
    splits = read_splits(root)
    items = [*_originals(root, splits), *_actors(root)]
    known = {item.name for item in items}
    items += _manipulated(root, splits, known)
    check_classes(
        items,
        root,
        real="original_sequences/youtube/c23/videos/000.mp4 and so on",
        fake="manipulated_sequences/Deepfakes/c23/videos/000_003.mp4 and so on",
    )
    return items


def read_splits(root: Path) -> dict[str, tuple[str, str]]:
    """Return the split and the group of each original by its number, from the release's three JSON files.

    Raises:
        DataError: a file is missing or not a list of pairs, or an original stands in two splits.
    """
    result: dict[str, tuple[str, str]] = {}
    for split in SPLITS:
        path = next((p for f in SPLIT_FOLDERS if (p := root / f / f"{split}.json").is_file()), None)
        if path is None:
            raise DataError(
                f"{root}: {split}.json is missing; the official splits (train.json, val.json, test.json) "
                "come with the release, in dataset/splits: copy them into this folder or into splits/"
            )
        for pair in _pairs(path):
            group = "-".join(sorted(pair))
            for number in pair:
                if result.get(number, (split, group)) != (split, group):
                    raise DataError(f"{path}: original {number} is also in {result[number][0]}.json")
                result[number] = (split, group)
    return result


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f'{path}: not a list of pairs such as ["071", "054"]')
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(n, str) for n in entry)):
            raise DataError(f'{path}: {entry!r} is not a pair such as ["071", "054"]')
        yield entry[0], entry[1]


def _originals(root: Path, splits: dict[str, tuple[str, str]]) -> Iterator[Item]:
    for compression in COMPRESSIONS:
        for path in videos_in(root / "original_sequences" / "youtube" / compression / "videos"):
            split, group = _find(path, path.stem, splits)
            yield Item(
                data_set=NAME,
                name=_name("youtube", compression, path.stem),
                label="real",
                group=group,
                path=path,
                source="YouTube",
                split=split,
                compression=compression,
            )


def _actors(root: Path) -> Iterator[Item]:
    for compression in COMPRESSIONS:
        for path in videos_in(root / "original_sequences" / "actors" / compression / "videos"):
            yield Item(
                data_set=NAME,
                name=_name("actors", compression, path.stem),
                label="real",
                group=f"actor {path.stem.partition('__')[0]}",
                path=path,
                source="actors",
                split="test",
                compression=compression,
            )


def _manipulated(root: Path, splits: dict[str, tuple[str, str]], known: set[str]) -> Iterator[Item]:
    folder = root / "manipulated_sequences"
    for kind in sorted(folder.iterdir()) if folder.is_dir() else ():
        for compression in COMPRESSIONS:
            for path in videos_in(kind / compression / "videos"):
                if kind.name == DEEP_FAKE_DETECTION:
                    split, group, origin = _staged(path.stem, compression)
                else:
                    target = path.stem.partition("_")[0]
                    split, group = _find(path, target, splits)
                    origin = _name("youtube", compression, target)
                yield Item(
                    data_set=NAME,
                    name=_name(kind.name, compression, path.stem),
                    label="fake",
                    group=group,
                    path=path,
                    manipulation=kind.name,
                    original=origin if origin in known else "",
                    split=split,
                    compression=compression,
                )


def _staged(stem: str, compression: str) -> tuple[str, str, str]:
    """Return split, group and original of a fake such as `01_02__walking_outside__YVGY8LOK`."""
    people, _, rest = stem.partition("__")
    target = people.partition("_")[0]
    scene = rest.rpartition("__")[0]
    return "test", f"actor {target}", _name("actors", compression, f"{target}__{scene}")


def _find(path: Path, number: str, splits: dict[str, tuple[str, str]]) -> tuple[str, str]:
    if number not in splits:
        raise DataError(f"{path}: original {number} is in none of train.json, val.json and test.json")
    return splits[number]


def _name(kind: str, compression: str, stem: str) -> str:
    return f"{kind}/{compression}/{stem}"
