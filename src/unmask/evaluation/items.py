"""Reads labelled test data of any known layout into the manifest of `data.manifest`.

Layouts: a data set zip (`metadata.csv` beside `images/`), a folder of clips with `labels.csv`, a plain
folder with `real/` and `fake/`, a CSV list, a folder of zips, a store, or a public data set by its name
(`celeb_df_v2=FOLDER`; see `data.registry`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unmask.data import registry
from unmask.data.manifest import OVERLAP, DataError, Item, cut_tune, merge, read_zip
from unmask.data.sets import clips, folders, lists
from unmask.data.store import archives_at
from unmask.runtime.card import Card
from unmask.training.config import TrainingConfig

FROZEN = clips.FROZEN
"""The split that is looked at once."""
TUNE = "tune"
TUNE_SHARE: float = TrainingConfig.model_fields["tune_share"].default


class TestDataError(Exception):
    """The test data cannot be read; the message names the file and what is expected, in one line."""

    __test__ = False


def read_test_data(
    paths: Sequence[Path], *, split: str | None = None, tune_share: float = TUNE_SHARE, seed: int = 0
) -> list[Item]:
    """Read test data, each path by the layout found there.

    Args:
        paths: zips, folders, CSV lists, stores, `NAME=FOLDER`.
        split: keep this split only. None keeps every split but `frozen` and `overlap`. `tune` of zips is
            cut from their *train* items as `unmask train` cuts it: give all zips that it was given.
        tune_share: share of the groups that went into *tune*.
        seed: the seed of that training run.

    Raises:
        TestDataError: a path is missing, a layout is not known, or no item is left.
    """
    try:
        every = _read_all(paths, tune_share=tune_share if split == TUNE else None, seed=seed)
    except DataError as error:
        raise TestDataError(str(error)) from None
    left_out = (FROZEN, OVERLAP)
    kept = [item for item in every if (item.split not in left_out if split is None else item.split == split)]
    if not kept:
        offered = ", ".join(sorted({item.split for item in every if item.split})) or "none"
        wanted = f"no item of split {split!r}" if split is not None else "no labelled item"
        raise TestDataError(f"{paths[0]}: {wanted} (splits there: {offered})")
    return kept


def without_trained(items: Sequence[Item], card: Card) -> tuple[list[Item], list[str]]:
    """Leave out the items whose group the network was trained on, unless their split is that of training.

    Returns:
        The items kept, and the groups left out.
    """
    trained = set(card.trained_groups)
    kept = [item for item in items if item.group not in trained or item.split in ("train", TUNE)]
    return kept, sorted({item.group for item in items} - {item.group for item in kept})


def _read_all(paths: Sequence[Path], *, tune_share: float | None, seed: int) -> list[Item]:
    """Read every path; with a `tune_share`, cut *tune* from what the zips hold of *train*."""
    archives: list[Path] = []
    others: list[Item] = []
    for path in paths:
        named = registry.load_named(path)
        if named is not None:
            others += named
        elif not path.exists():
            raise DataError(f"{path}: no such test data")
        elif found := _zips(path):
            archives += found
        else:
            others += _read(path)
    stored = merge([read_zip(archive) for archive in archives])
    return (stored if tune_share is None else cut_tune(stored, share=tune_share, seed=seed)) + others


def _zips(path: Path) -> list[Path]:
    """Return the zips that a path stands for: itself, or those of a folder without another layout."""
    if path.is_dir() and ((path / clips.LIST).is_file() or _has_classes(path)):
        return []
    return archives_at(path)


def _has_classes(path: Path) -> bool:
    return bool(folders.class_folders(path) or folders.split_folders(path))


def _read(path: Path) -> list[Item]:
    if path.is_dir() and (path / clips.LIST).is_file():
        return clips.load(path)
    if path.is_dir() and _has_classes(path):
        return folders.load(path)
    if path.suffix.lower() == ".csv":
        return lists.load(path)
    raise DataError(
        f"{path}: not test data; give a folder with real/ and fake/, a zip with metadata.csv, a folder of "
        "such zips, a store, a folder with labels.csv, a CSV list (path,label), or a data set by name "
        "(NAME=FOLDER)"
    )
