"""Reads test data of every accepted layout into one list of items.

Layouts: a zip of face pictures (`metadata.csv` beside `images/`), a folder of clips with `labels.csv`,
a plain folder with `real/` and `fake/`, a CSV list, or a folder that holds several of these zips.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unmask.data.manifest import read_zip

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif"})
VIDEOS = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv"})
FROZEN = "frozen"
"""The split that is looked at once: left out unless it is asked for by name."""
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


def read_test_data(path: Path, *, split: str | None = None) -> list[Item]:
    """Read test data, by the layout found at `path`.

    Args:
        path: a zip, a folder, or a CSV list.
        split: keep this split only. None keeps every split but `frozen`. Data without splits has one
            split "" and can only be read with None.

    Raises:
        TestDataError: nothing is there, the layout is not known, or no item is left.
    """
    if not path.exists():
        raise TestDataError(f"{path}: no such test data")
    every = list(_read(path))
    kept = [item for item in every if (item.split != FROZEN if split is None else item.split == split)]
    if not kept:
        offered = ", ".join(sorted({item.split for item in every if item.split})) or "none"
        wanted = f"no item of split {split!r}" if split is not None else "no labelled item"
        raise TestDataError(f"{path}: {wanted} (splits there: {offered})")
    return kept


def _read(path: Path) -> Iterator[Item]:
    if path.is_dir():
        yield from _read_folder(path)
    elif path.suffix.lower() == ".zip":
        yield from _read_zip(path)
    elif path.suffix.lower() == ".csv":
        yield from _read_list(path)
    else:
        raise TestDataError(
            f"{path}: not test data; give a folder with real/ and fake/, a zip with metadata.csv, "
            "a folder with labels.csv, or a CSV list (path,label)"
        )


def _read_folder(path: Path) -> Iterator[Item]:
    children = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    if (path / "labels.csv").is_file():
        yield from _read_clips(path)
    elif "real" in children or "fake" in children:
        yield from _read_tree(path, children)
    elif archives := sorted(path.glob("*.zip")):
        for archive in archives:
            yield from _read_zip(archive)
    else:
        raise TestDataError(
            f"{path}: no real/ and fake/ folders, no labels.csv and no zips of pictures inside"
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


def _read_zip(path: Path) -> Iterator[Item]:
    try:
        found = read_zip(path)
    except (ValueError, KeyError, OSError) as error:
        raise TestDataError(str(error) if path.name in str(error) else f"{path}: {error}") from None
    except Exception as error:  # zipfile raises BadZipFile, NotImplementedError and zlib.error
        raise TestDataError(f"{path}: cannot be read as a zip ({error})") from None
    for item in found:
        yield Item(
            path=path,
            member=item.member,
            fake=item.label == "fake",
            manipulation=item.manipulation,
            source="" if item.label == "fake" else item.data_set,
            group=item.group,
            data_set=item.data_set,
            split=item.split,
            face_crop=True,
        )


def _read_clips(path: Path) -> Iterator[Item]:
    for line, row in _rows(path / "labels.csv", {"file", "label"}):
        label = row["label"].strip().lower()
        if label not in TRUTHS:
            continue
        file = path / row["file"]
        if row.get("split") != FROZEN and not file.is_file():
            raise TestDataError(f"{path / 'labels.csv'} line {line}: {row['file']} is not there")
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
