"""Reads test data of every accepted layout into one list of items.

Layouts: a zip of face pictures (`metadata.csv` beside `images/`), a folder of clips with `labels.csv`,
a plain folder with `real/` and `fake/`, a CSV list, or a folder that holds several of these zips.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unmask.data.manifest import Item as ManifestItem
from unmask.data.manifest import cut_tune, merge, read_zip
from unmask.training.config import TrainingConfig

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv"})
FROZEN = "frozen"
"""The split that is looked at once: left out unless it is asked for by name."""
TUNE = "tune"
TUNE_SHARE: float = TrainingConfig.model_fields["tune_share"].default
LABELS = "labels.csv"
TRUTHS = {"real": False, "fake": True}


class TestDataError(Exception):
    """The test data cannot be read; the message names the file and what is expected, in one line."""

    __test__ = False


@dataclass(frozen=True)
class Item:
    """One labelled picture or clip.

    It is the file `path`, or `member` inside the zip `path`. `manipulation` says how a fake was made ("" of
    a real item); `source` where a real item comes from ("" of a fake). `group` is what the bootstrap draws
    together: person, original or clip group. `face_crop`: the picture was cut round the labelled face, so
    that the central face is the one the label speaks of.
    """

    path: Path
    member: str
    fake: bool
    manipulation: str
    source: str
    group: str
    data_set: str
    split: str
    face_crop: bool = False

    @property
    def name(self) -> str:
        """What names the item within its data set."""
        return Path(self.member).name if self.member else self.path.name

    @property
    def suffix(self) -> str:
        """The file name's extension, in lower case."""
        return Path(self.member or self.path).suffix.lower()

    @property
    def is_picture(self) -> bool:
        """Whether the item is a picture, by its extension."""
        return self.suffix in PICTURES


def read_test_data(
    paths: Sequence[Path], *, split: str | None = None, tune_share: float = TUNE_SHARE, seed: int = 0
) -> list[Item]:
    """Read test data, each path by the layout found there.

    Args:
        paths: zips, folders, CSV lists.
        split: keep this split only. None keeps every split but `frozen`. `tune` of zips is cut from their
            *train* items as `unmask train` cuts it: give all zips that it was given.
        tune_share: share of the groups that went into *tune*.
        seed: the seed of that training run.

    Raises:
        TestDataError: a path is missing, a layout is not known, or no item is left.
    """
    for path in paths:
        if not path.exists():
            raise TestDataError(f"{path}: no such test data")
    archives = [archive for path in paths for archive in _archives(path)]
    stored = merge([_read_zip(archive) for archive in archives])
    if split == TUNE:
        stored = cut_tune(stored, share=tune_share, seed=seed)
    every = [_from_manifest(item) for item in stored]
    for path in paths:
        if not _archives(path):
            every += _read(path)
    kept = [item for item in every if (item.split != FROZEN if split is None else item.split == split)]
    if not kept:
        offered = ", ".join(sorted({item.split for item in every if item.split})) or "none"
        wanted = f"no item of split {split!r}" if split is not None else "no labelled item"
        raise TestDataError(f"{paths[0]}: {wanted} (splits there: {offered})")
    return kept


def _archives(path: Path) -> list[Path]:
    """Return the zips that a path stands for: itself, or those of a folder without another layout."""
    if path.suffix.lower() == ".zip" and path.is_file():
        return [path]
    if path.is_dir() and not (path / LABELS).is_file() and not _class_folders(path):
        return sorted(path.glob("*.zip"))
    return []


def _class_folders(path: Path) -> dict[str, Path]:
    return {child.name.lower(): child for child in path.iterdir() if child.name.lower() in TRUTHS}


def _read(path: Path) -> Iterator[Item]:
    if path.is_dir() and (path / LABELS).is_file():
        yield from _read_clips(path)
    elif path.is_dir() and (children := _class_folders(path)):
        yield from _read_tree(path, children)
    elif path.suffix.lower() == ".csv":
        yield from _read_list(path)
    else:
        raise TestDataError(
            f"{path}: not test data; give a folder with real/ and fake/, a zip with metadata.csv, "
            "a folder of such zips, a folder with labels.csv, or a CSV list (path,label)"
        )


def _read_zip(path: Path) -> list[ManifestItem]:
    try:
        return read_zip(path)
    except (ValueError, KeyError, OSError) as error:
        raise TestDataError(str(error) if path.name in str(error) else f"{path}: {error}") from None
    except Exception as error:  # zipfile raises BadZipFile, NotImplementedError and zlib.error
        raise TestDataError(f"{path}: cannot be read as a zip ({error})") from None


def _from_manifest(item: ManifestItem) -> Item:
    fake = item.label == "fake"
    return Item(
        path=item.archive,
        member=item.member,
        fake=fake,
        manipulation=item.manipulation,
        source="" if fake else item.data_set,
        group=item.group,
        data_set=item.data_set,
        split=item.split,
        face_crop=True,
    )


def _read_tree(path: Path, children: dict[str, Path]) -> Iterator[Item]:
    """Read `real/` and `fake/`; a folder within `fake/` names the manipulation, one in `real/` the source."""
    for name, fake in TRUTHS.items():
        root = children.get(name)
        for file in sorted(root.rglob("*")) if root else ():
            if file.suffix.lower() not in PICTURES | VIDEOS or not file.is_file():
                continue
            inner = file.relative_to(root)  # type: ignore[arg-type]
            kind = inner.parts[0] if len(inner.parts) > 1 else ""
            yield Item(
                path=file,
                member="",
                fake=fake,
                manipulation=(kind or "unknown") if fake else "",
                source="" if fake else kind or path.name,
                group=f"{name}/{inner.as_posix()}",
                data_set=path.name,
                split="",
            )


def _read_clips(path: Path) -> Iterator[Item]:
    for line, row in _rows(path / LABELS, {"file", "label"}):
        label = row["label"].strip().lower()
        if label not in TRUTHS:
            continue
        file = path / row["file"]
        if row.get("split") != FROZEN and not file.is_file():
            raise TestDataError(f"{path / LABELS} line {line}: {row['file']} is not there")
        fake, origin = TRUTHS[label], row.get("origin") or "unknown"
        yield Item(
            path=file,
            member="",
            fake=fake,
            manipulation=origin if fake else "",
            source="" if fake else origin,
            group=row.get("group") or row["file"],
            data_set=path.name,
            split=row.get("split") or "",
        )


def _read_list(path: Path) -> Iterator[Item]:
    """Read a CSV list; a path is relative to the list, and may lead into a zip (`a.zip/images/b.jpg`)."""
    for line, row in _rows(path, {"path", "label"}):
        label = row["label"].strip().lower()
        if label not in TRUTHS:
            raise TestDataError(f"{path} line {line}: label {row['label']!r} is neither real nor fake")
        file, member = _split_member(path.parent / row["path"])
        if row.get("split") != FROZEN and not file.is_file():
            raise TestDataError(f"{path} line {line}: {row['path']} is not there")
        fake = TRUTHS[label]
        yield Item(
            path=file,
            member=member,
            fake=fake,
            manipulation=(row.get("manipulation") or "unknown") if fake else "",
            source="" if fake else row.get("source") or row.get("data_set") or path.stem,
            group=row.get("group") or row["path"],
            data_set=row.get("data_set") or path.stem,
            split=row.get("split") or "",
            face_crop=bool(member),
        )


def _split_member(path: Path) -> tuple[Path, str]:
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, ""


def _rows(path: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV file with a header that has the `needed` columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            absent = sorted(set(needed) - set(reader.fieldnames or ()))
            if absent:
                raise TestDataError(f"{path}: the header lacks {', '.join(absent)}")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TestDataError(f"{path}: cannot be read ({error})") from None
