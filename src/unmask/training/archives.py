"""Names of data sets on the command line become zip files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def find_archives(paths: Sequence[Path]) -> list[Path]:
    """Return the zips named, and those in the folders named; the first of two with one data set wins.

    Raises:
        ValueError: a path is missing, or a folder holds no zip.
    """
    archives: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.zip")) if path.is_dir() else [path]
        if not found or not all(p.exists() for p in found):
            raise ValueError(f"{path}: no data set zip here")
        archives += found
    return archives
