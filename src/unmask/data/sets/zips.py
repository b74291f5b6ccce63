"""Zips of face pictures (`metadata.csv` beside `images/`), and stores made of them by `unmask prepare`."""

from __future__ import annotations

from pathlib import Path

from unmask.data.manifest import DataError, Item, merge, read_zip
from unmask.data.store import archives_at


def load(path: Path) -> list[Item]:
    """Read one zip, or all zips of a folder, or a finished store.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    archives = archives_at(path)
    if not archives:
        raise DataError(f"{path}: no data set zip here")
    return merge(read_zip(archive) for archive in archives)
