"""A folder of clips with `labels.csv` (file,label[,origin,group,split]); other labels are passed over."""

from __future__ import annotations

from pathlib import Path

from unmask.data.files import need_folder, read_rows
from unmask.data.manifest import LABELS, DataError, Item

LIST = "labels.csv"
FROZEN = "frozen"
"""The split that is looked at once: left out unless asked for by name; its files need not be there."""


def load(root: Path) -> list[Item]:
    """Read the clips that `labels.csv` lists.

    Raises:
        DataError: the list is missing or lacks a column, or a listed file is not there.
    """
    items = []
    path = need_folder(root) / LIST
    for line, row in read_rows(path, {"file", "label"}):
        label = LABELS.get(row["label"].strip().lower())
        if label is None:
            continue
        if row.get("split") != FROZEN and not (root / row["file"]).is_file():
            raise DataError(f"{path} line {line}: {row['file']} is not there")
        origin = row.get("origin") or "unknown"
        items.append(
            Item(
                data_set=root.name,
                name=Path(row["file"]).stem,
                label=label,
                group=row.get("group") or row["file"],
                path=root / row["file"],
                manipulation=origin if label == "fake" else "",
                source="" if label == "fake" else origin,
                split=row.get("split") or "",
            )
        )
    return items
