"""One type for every data set: a list of items, each with its label, manipulation, group and split."""

from __future__ import annotations

import csv
import io
import random
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Label = Literal["real", "fake"]

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
"""The data set that a zip of further training pictures belongs to."""


@dataclass(frozen=True)
class Item:
    """One picture of a data set.

    `archive` is the zip that holds `member`. `group` is what must not cross a split: the person where
    one is named, else the picture that a fake was made from, else the picture itself. `original` names
    the real picture that a fake was made from ("" where unknown).
    """

    data_set: str
    archive: Path
    member: str
    name: str
    label: Label
    manipulation: str
    group: str
    original: str
    split: str


def read_zip(path: Path) -> list[Item]:
    """Read the manifest of a zip of face pictures (`metadata.csv` beside `images/`).

    Raises:
        ValueError: the zip has no `metadata.csv`, or a row has an unknown label or no picture.
    """
    with zipfile.ZipFile(path) as archive:
        members = {Path(n).stem: n for n in archive.namelist() if n.startswith("images/")}
        try:
            text = archive.read("metadata.csv").decode()
        except KeyError:
            raise ValueError(f"{path.name}: no metadata.csv inside; is this a data set zip?") from None
    data_set = DATA_SETS.get(path.stem, path.stem)
    items = []
    for line, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        name, label = row["name"], row["label"]
        if label not in ("real", "fake"):
            raise ValueError(
                f"{path.name}: metadata.csv line {line}: label {label!r} is neither real nor fake"
            )
        if name not in members:
            raise ValueError(f"{path.name}: metadata.csv line {line}: no picture images/{name}")
        kind = row.get("manipulation") or KINDS.get(path.stem, "unknown")
        items.append(
            Item(
                data_set=data_set,
                archive=path,
                member=members[name],
                name=name,
                label=label,  # type: ignore[arg-type]
                manipulation=kind if label == "fake" else "",
                group=row.get("identity") or row.get("original") or name,
                original=row.get("original") or "",
                split=row.get("split") or "train",
            )
        )
    return items


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
    """Move about `share` of the groups of each data set from *train* to *tune*, whole groups at a time."""
    groups: dict[str, set[str]] = {}
    for item in items:
        if item.split == "train":
            groups.setdefault(item.data_set, set()).add(item.group)
    chosen: set[tuple[str, str]] = set()
    for data_set in sorted(groups):
        names = sorted(groups[data_set])
        random.Random(f"{seed}:{data_set}").shuffle(names)
        chosen |= {(data_set, name) for name in names[: round(share * len(names))]}
    return [
        replace(item, split="tune")
        if item.split == "train" and (item.data_set, item.group) in chosen
        else item
        for item in items
    ]


def check_leaks(items: Sequence[Item]) -> None:
    """Refuse a manifest in which a group, or a fake and its original, stand in different splits.

    Raises:
        ValueError: names the first groups that cross, and how many there are.
    """
    splits: dict[tuple[str, str], set[str]] = {}
    split_of = {(item.data_set, item.name): item.split for item in items}
    crossing = []
    for item in items:
        splits.setdefault((item.data_set, item.group), set()).add(item.split)
        origin = split_of.get((item.data_set, item.original), item.split)
        if origin != item.split:
            crossing.append(f"{item.name} ({item.split}) was made from {item.original} ({origin})")
    crossing += [
        f"group {group} of {data_set} is in {' and '.join(sorted(found))}"
        for (data_set, group), found in splits.items()
        if len(found) > 1
    ]
    if crossing:
        raise ValueError(f"{len(crossing)} groups cross splits: " + "; ".join(crossing[:5]))


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
