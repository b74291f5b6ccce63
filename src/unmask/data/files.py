"""What the loaders of data sets share: listing media, reading tables and JSON, naming what is missing."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unmask.data.manifest import PICTURES, SHOWN, VIDEOS, DataError


def folder_named(parent: Path, name: str) -> Path | None:
    """Return the folder of that name in `parent`, whatever its case, with underscores or spaces."""
    if not parent.is_dir():
        return None
    wanted = _plain(name)
    return next((c for c in sorted(parent.iterdir()) if c.is_dir() and _plain(c.name) == wanted), None)


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")


def videos_in(folder: Path | None) -> list[Path]:
    """Return the videos in a folder, or in its subfolder `videos` where there is one, in order of name."""
    if folder is None or not folder.is_dir():
        return []
    inner = folder / "videos"
    folder = inner if inner.is_dir() else folder
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEOS and not _is_hidden(path))


def media_below(folder: Path) -> Iterator[Path]:
    """Yield the pictures and videos in a folder and those below, in order of name, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in PICTURES | VIDEOS and not hidden and path.is_file():
            yield path


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def need_folder(root: Path) -> Path:
    """Return `root`.

    Raises:
        DataError: it is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of the data set")
    return root


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None


def read_rows(path: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV file with a header that has the `needed` columns.

    The value of a column without a name stands under "".

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            absent = sorted(set(needed) - set(reader.fieldnames or ()))
            if absent:
                raise DataError(f"{path}: the header lacks {', '.join(absent)}")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def report_missing(listed_in: Path, missing: Sequence[str], total: int) -> None:
    """Warn of listed files that are not there.

    Raises:
        DataError: none of the `total` listed files is there.
    """
    if not missing:
        return
    names = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    sentence = f"{listed_in}: {len(missing)} of {total} listed videos are not there ({names})"
    if len(missing) == total:
        raise DataError(f"{sentence}; check the folder")
    warnings.warn(sentence, stacklevel=3)
