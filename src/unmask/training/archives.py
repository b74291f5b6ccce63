"""Names of data sets on the command line become zip files, and those the items of *train* and *tune*."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unmask.data.manifest import Item, check_leaks, cut_tune, merge, read_zip
from unmask.data.registry import LOADERS
from unmask.data.sets.folders import class_folders, split_folders
from unmask.data.store import archives_at

STORES = Path("stores")
"""Where `unmask prepare` puts a store unless told otherwise, in a folder named like the data set."""


def find_archives(paths: Sequence[Path]) -> list[Path]:
    """Return the zips named, and those of the folders and stores named, in that order.

    A name that is no path, such as `faceforensics`, means the store of that data set in `stores/`.

    Raises:
        ValueError: a path is missing, a folder holds no zip, or a store is not finished.
    """
    archives: list[Path] = []
    for path in paths:
        place = path if path.exists() or not (STORES / path).is_dir() else STORES / path
        found = archives_at(place)
        if not found and str(path) in LOADERS:
            raise ValueError(
                f"{path}: cut its faces first: unmask prepare {path} FOLDER (makes {STORES / path})"
            )
        if not found:
            raise ValueError(f"{path}: no data set zip here{_remedy(place)}")
        archives += found
    return archives


def _remedy(place: Path) -> str:
    """Return what to do with a folder or list of pictures and videos, or "" where it is neither."""
    if place.is_dir() and (class_folders(place) or split_folders(place)):
        return f"; cut its faces first: unmask prepare folders {place} (makes {STORES / 'folders'})"
    if place.is_file() and place.suffix.lower() == ".csv":
        return f"; cut its faces first: unmask prepare list {place} (makes {STORES / 'list'})"
    return ""


def training_items(archives: Sequence[Path], *, tune_share: float, seed: int) -> list[Item]:
    """Return the items of *train* and *tune* of all zips; val is left out here and never seen.

    Raises:
        ValueError: a group crosses splits.
    """
    items = cut_tune(merge(map(read_zip, archives)), share=tune_share, seed=seed)
    check_leaks(items)
    return [item for item in items if item.split in ("train", "tune")]
