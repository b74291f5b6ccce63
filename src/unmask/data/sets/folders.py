"""Plain folders: `real/` and `fake/`, alone or within a folder for each split.

A folder within `fake/` names the manipulation, one in `real/` the source. Each file is a group of its own:
where several show one person, a list with a `group` column is the better choice (`data.sets.lists`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unmask.data.files import media_below, need_folder
from unmask.data.manifest import LABELS, DataError, Item

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Folder names of splits, and the split that each means."""


def class_folders(root: Path) -> dict[str, Path]:
    """Return the folders `real` and `fake` of `root`, whatever their case, by label."""
    return {c.name.lower(): c for c in sorted(root.iterdir()) if c.name.lower() in LABELS and c.is_dir()}


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of `root` that are named like a split and hold a class folder, by split."""
    return {
        SPLITS[child.name.lower()]: child
        for child in sorted(root.iterdir())
        if child.is_dir() and child.name.lower() in SPLITS and class_folders(child)
    }


def load(root: Path) -> list[Item]:
    """Read pictures and videos from class folders; one class alone will do.

    Raises:
        DataError: there is no class folder, or no picture and no video in any.
    """
    parts = split_folders(need_folder(root)) or {"": root}
    items = [item for split, folder in parts.items() for item in _read(folder, root, split)]
    if not any(class_folders(folder) for folder in parts.values()):
        raise DataError(f"{root}: no folder real/ or fake/ here (nor in train/, val/ or test/)")
    if not items:
        raise DataError(f"{root}: no labelled item: no picture and no video in real/ or fake/")
    return items


def _read(folder: Path, root: Path, split: str) -> Iterator[Item]:
    children = class_folders(folder)
    for text, label in LABELS.items():
        if text not in children:
            continue
        for file in media_below(children[text]):
            inner = file.relative_to(children[text])
            kind = inner.parts[0] if len(inner.parts) > 1 else ""
            name = "/".join(part for part in (split, text, inner.as_posix()) if part)
            yield Item(
                data_set=root.name,
                name=name,
                label=label,
                group=name,
                path=file,
                manipulation=(kind or "unknown") if label == "fake" else "",
                source="" if label == "fake" else kind or root.name,
                split=split,
            )
