"""Deepfake Detection Challenge (Dolhansky et al. 2020, 2006.07397), training parts and labelled test sets.

Training parts hold `metadata.json` with the labels REAL and FAKE and, of a fake, its original; a test set
holds `labels.csv` in which **1 means fake**. People are not named: groups are originals, so that several
groups may show one person. A part's people hardly ever appear in another part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unmask.data.files import need_folder, read_json, read_rows, report_missing
from unmask.data.manifest import DataError, Item, Label, check_classes, read_label

NAME = "dfdc"
TEST_LABELS: dict[str, Label] = {"0": "real", "1": "fake"}


def load(root: Path) -> list[Item]:
    """Read every part (a folder with `metadata.json`) and test set (with `labels.csv`) at or below `root`.

    Raises:
        DataError: no part is there, a class is empty, or a label is unknown.
    """
    need_folder(root)
    parts = _find(root, "metadata.json")
    tests = _find(root, "labels.csv")
    if not parts and not tests:
        raise DataError(f"{root}: no dfdc_train_part_N/metadata.json and no labels.csv (of a test set) here")
    items = [item for path in parts for item in _training(path)]
    items += [item for path in tests for item in _testing(path)]
    check_classes(items, root, real="one labelled REAL in metadata.json", fake="one labelled FAKE")
    return items


def _find(root: Path, name: str) -> list[Path]:
    return sorted(path for depth in (name, f"*/{name}", f"*/*/{name}") for path in root.glob(depth))


def _training(metadata: Path) -> Iterator[Item]:
    part = metadata.parent
    entries = read_json(metadata)
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DataError(f"{metadata}: not a table of videos and their labels")
    missing = []
    for file, entry in sorted(entries.items()):
        label = read_label(str(entry.get("label", "")), f"{metadata}: {file}")
        if not (part / file).is_file():
            missing.append(file)
            continue
        original = Path(entry.get("original") or "").stem
        yield Item(
            data_set=NAME,
            name=Path(file).stem,
            label=label,
            group=original or Path(file).stem,
            path=part / file,
            manipulation="DFDC" if label == "fake" else "",
            source="" if label == "fake" else "DFDC",
            original=original if label == "fake" else "",
            split=str(entry.get("split") or "train"),
        )
    report_missing(metadata, missing, len(entries))


def _testing(labels: Path) -> Iterator[Item]:
    folders = [labels.parent, *sorted(child for child in labels.parent.iterdir() if child.is_dir())]
    missing, total = [], 0
    for line, row in read_rows(labels, {"filename", "label"}):
        total += 1
        if row["label"] not in TEST_LABELS:
            raise DataError(f"{labels} line {line}: label {row['label']!r} is neither 0 (real) nor 1 (fake)")
        file = row["filename"]
        path = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if path is None:
            missing.append(file)
            continue
        label = TEST_LABELS[row["label"]]
        yield Item(
            data_set=NAME,
            name=f"test/{path.stem}",
            label=label,
            group=f"test/{path.stem}",
            path=path,
            manipulation="DFDC" if label == "fake" else "",
            source="" if label == "fake" else "DFDC",
            split="test",
        )
    report_missing(labels, missing, total)
