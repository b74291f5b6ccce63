"""One type for every data set: a list of items, each with its label, manipulation, group, split and place."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from unmask.data.same_person import person

Label = Literal["real", "fake"]

LABELS: dict[str, Label] = {"real": "real", "fake": "fake"}
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv"})
OVERLAP = "overlap"
"""The split of items that are neither trained nor tested on: their person is in the test split."""
SHOWN = 5
"""So many offending groups an error names."""

KINDS = {
    "dfdc_faces": "DFDC",
    "i-Shreyansh+DeepFake-Detection": "DFDC",
    "openforensics_faces": "OpenForensics",
    "karan-monga+AI-Generated-Face-Detection-Evaluation": "StyleGAN family",
    "stylegan2_faces": "StyleGAN family",
}
"""How the fakes of a zip were made, where its rows do not say so."""

DATA_SETS = {
    "i-Shreyansh+DeepFake-Detection": "dfdc_faces",
    "karan-monga+AI-Generated-Face-Detection-Evaluation": "synthetic_faces",
    "gebaltso+SDFD": "synthetic_faces",
    "MaxMassi+Face-Swapper": "synthetic_faces",
    "KAdenrele+face_swapping": "synthetic_faces",
    "chmoe+Real_Fake_Face": "composites",
    "braun-steven+dfi-tensorflow": "wild_reals",
    "mattans+AgeProgression": "utkface",
}
"""The data set that a zip of further training pictures belongs to, where its rows do not say so."""


class DataError(ValueError):
    """A data set cannot be used; the message names the file and what is expected there, in one line."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One labelled picture or video of a data set.

    Its pixels are the file `path`, or `member` inside the zip `path`, or, where `path` is a folder or a
    packed tar file, the pictures therein: frames of one video.

    `name` tells the items of a data set apart. `manipulation` says how a fake was made ("" of a real
    item), `source` where a real item comes from ("" of a fake, or where it is the data set itself).
    `group` is what must not cross a split: the person where one is named, else the item that a fake was
    made from, else the item itself. `original` is the name of the real item that a fake was made from ("":
    unknown). `split` is "" where the data set has none. `compression` is as the data set calls it.
    `face_crop`: the picture was cut round the labelled face, so the label speaks of its central face.
    `voice_only`: a fake of which the voice alone is manipulated; its pictures are those of a real face.
    `clip` names, within its data set, the video that a picture is a frame of ("" of any other item).
    """

    data_set: str
    name: str
    label: Label
    group: str
    path: Path
    member: str = ""
    manipulation: str = ""
    source: str = ""
    original: str = ""
    split: str = ""
    compression: str = ""
    face_crop: bool = False
    voice_only: bool = False
    clip: str = ""

    @property
    def fake(self) -> bool:
        """Whether the item is labelled fake."""
        return self.label == "fake"

    @property
    def place(self) -> tuple[Path, str]:
        """Where the pixels are: the file, and the member in it."""
        return self.path, self.member

    @property
    def file_name(self) -> str:
        """The name of the file that holds the pixels, or of the member."""
        return Path(self.member).name if self.member else self.path.name

    @property
    def suffix(self) -> str:
        """The file name's extension, in lower case."""
        return Path(self.member or self.path).suffix.lower()

    @property
    def is_picture(self) -> bool:
        """Whether the item is a single picture, by its extension."""
        return self.suffix in PICTURES

    @property
    def is_sequence(self) -> bool:
        """Whether the item is a folder or a packed tar file of pictures."""
        return not self.member and (
            self.path.name.endswith((".tar.gz", ".tar", ".tgz")) or self.path.is_dir()
        )


def read_label(text: str, where: str) -> Label:
    """Return the label that a table's cell means, whatever its case.

    Raises:
        DataError: it is neither real nor fake; the message begins with `where`.
    """
    label = LABELS.get(text.strip().lower())
    if label is None:
        raise DataError(f"{where}: label {text!r} is neither real nor fake")
    return label


def read_zip(path: Path) -> list[Item]:
    """Read the manifest of a zip of face pictures (`metadata.csv` beside `images/`).

    Raises:
        DataError: the zip cannot be read or has no `metadata.csv`, a row has an unknown label or no picture.
    """
    rows, members = _read_metadata(path)
    data_set = DATA_SETS.get(path.stem, path.stem)
    items = []
    for line, row in enumerate(rows, start=2):
        where = f"{path.name}: metadata.csv line {line}"
        name = row.get("name") or ""
        label = read_label(row.get("label") or "", where)
        if name not in members:
            raise DataError(f"{where}: no picture images/{name}")
        own_set = row.get("data_set") or data_set
        kind = row.get("manipulation") or KINDS.get(path.stem, "unknown")
        items.append(
            Item(
                data_set=own_set,
                name=name,
                label=label,
                group=row.get("identity") or row.get("original") or name,
                path=path,
                member=members[name],
                manipulation=kind if label == "fake" else "",
                source="" if label == "fake" else row.get("source") or own_set,
                original=row.get("original") or "",
                split=row.get("split") or "train",
                compression=row.get("compression") or "",
                face_crop=True,
                clip=(row.get("clip") or "") if row.get("time") else "",  # a picture has a clip, but no time
            )
        )
    return items


def _read_metadata(path: Path) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Return the rows of a zip's `metadata.csv`, and its pictures by name without extension."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(n).stem: n for n in archive.namelist() if n.startswith("images/")}
            if "metadata.csv" not in archive.namelist():
                raise DataError(f"{path.name}: no metadata.csv inside; is this a data set zip?")
            text = archive.read("metadata.csv").decode()
    except DataError:
        raise
    except Exception as error:  # zipfile raises BadZipFile, NotImplementedError, zlib.error and others
        raise DataError(f"{path}: cannot be read as a zip ({error})") from None
    return list(csv.DictReader(io.StringIO(text))), members


def merge(collections: Iterable[Sequence[Item]]) -> list[Item]:
    """Join manifests; of items with the same data set and name the first is kept."""
    seen: set[tuple[str, str]] = set()
    merged = []
    for item in (item for items in collections for item in items):
        key = (item.data_set, item.name)
        if key not in seen:
            seen.add(key)
            merged.append(item)
    return merged


def cut_tune(items: Sequence[Item], *, share: float, seed: int = 0) -> list[Item]:
    """Move about `share` of the groups of each data set from *train* to *tune*, whole groups at a time.

    Persons are kept apart (`keep_persons_apart`), which leaves fewer where a data set lists somebody twice.
    """
    groups: dict[str, set[str]] = {}
    for item in items:
        if item.split == "train":
            groups.setdefault(item.data_set, set()).add(item.group)
    chosen: set[tuple[str, str]] = set()
    for data_set in sorted(groups):
        names = sorted(groups[data_set])
        random.Random(f"{seed}:{data_set}").shuffle(names)
        chosen |= {(data_set, name) for name in names[: round(share * len(names))]}
    return keep_persons_apart(
        [
            replace(item, split="tune")
            if item.split == "train" and (item.data_set, item.group) in chosen
            else item
            for item in items
        ]
    )


def keep_persons_apart(items: Sequence[Item]) -> list[Item]:
    """Move the items of persons whom a data set lists under several groups, so that none crosses.

    Of such a person (`SAME_PERSON`) who stands in *train* and *tune* all becomes *train*; of one who also
    stands in another split what is in *train* or *tune* becomes `OVERLAP`.
    """
    found = _by_person(items)

    def place(item: Item) -> str:
        splits = set(found[_who(item)]) - {OVERLAP}
        if item.split not in ("train", "tune") or len(splits) == 1:
            return item.split
        return "train" if splits == {"train", "tune"} else OVERLAP

    return [item if item.split == (split := place(item)) else replace(item, split=split) for item in items]


def check_leaks(items: Sequence[Item]) -> None:
    """Refuse a manifest in which a group, or a fake and its original, stand in different splits.

    Items of the split `overlap` are in no fold and therefore cross nothing.

    Raises:
        DataError: names the first groups that cross with an item on each side, and how many there are.
    """
    used = [item for item in items if item.split != OVERLAP]
    groups = _by_person(used)
    named = {(item.data_set, item.name): item for item in used}
    apart: dict[tuple[str, str], str] = {}
    for item in used:
        origin = named.get((item.data_set, item.original))
        if origin is not None and origin.split != item.split:
            sentence = f"{item.name} ({item.split}) was made from {origin.name} ({origin.split})"
            apart.setdefault((item.data_set, item.original), sentence)
    crossing = [
        f"group {group} of {data_set} is in {_sides(found)}"
        for (data_set, group), found in groups.items()
        if len(found) > 1
    ]
    if crossing:
        raise DataError(f"{len(crossing)} groups cross splits: {_first(crossing)}")
    if apart:
        raise DataError(f"the fakes of {len(apart)} originals cross splits: {_first(list(apart.values()))}")


def _who(item: Item) -> tuple[str, str]:
    return item.data_set, person(item.data_set, item.group)


def _by_person(items: Iterable[Item]) -> dict[tuple[str, str], dict[str, Item]]:
    """Return the first item in each split of every person, by data set and person."""
    found: dict[tuple[str, str], dict[str, Item]] = {}
    for item in items:
        found.setdefault(_who(item), {}).setdefault(item.split, item)
    return found


def _sides(found: dict[str, Item]) -> str:
    return " and ".join(f"{split or 'no split'} ({found[split].name})" for split in sorted(found))


def _first(sentences: Sequence[str]) -> str:
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def check_classes(items: Sequence[Item], root: Path, *, real: str, fake: str) -> None:
    """Refuse a data set of which a class is empty; `real` and `fake` say where its files should lie.

    Raises:
        DataError: names the folder and the empty class.
    """
    for label, expected in (("real", real), ("fake", fake)):
        if not any(item.label == label for item in items):
            raise DataError(f"{root}: no {label} video found; expected {expected}")


def thin(items: Sequence[Item], most: int, *, seed: int) -> list[Item]:
    """Keep at most `most` random items of each data set and manipulation."""
    shuffled = sorted(items, key=lambda item: (item.data_set, item.name))
    random.Random(seed).shuffle(shuffled)
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for item in shuffled:
        key = (item.data_set, item.manipulation)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most:
            kept.append(item)
    return kept


def permute_labels(items: Sequence[Item], *, seed: int) -> list[Item]:
    """Deal labels and manipulations out anew among the items of each data set and split.

    What is learned of such items says nothing about others, so a detector trained on them must rank held-out
    ones at chance; if it does better, something of the held-out items was seen in training.
    """
    parts: dict[tuple[str, str], list[int]] = {}
    for place, item in enumerate(items):
        parts.setdefault((item.data_set, item.split), []).append(place)
    result = list(items)
    rng = random.Random(seed)
    for places in parts.values():
        dealt = [items[place] for place in places]
        rng.shuffle(dealt)
        for place, other in zip(places, dealt, strict=True):
            result[place] = replace(
                items[place], label=other.label, manipulation=other.manipulation, original=""
            )
    return result
