"""A CSV list of pictures and videos: path,label and, where known, group, manipulation, split and more.

Columns: `path` (relative to the list; it may lead into a zip, as in `a.zip/images/b.jpg`), `label`; optional
`group`, `manipulation`, `source`, `split`, `compression`, `original` (the path of the real item that a fake
was made from) and `data_set`.
"""

from __future__ import annotations

from pathlib import Path

from unmask.data.files import read_rows
from unmask.data.manifest import DataError, Item, read_label
from unmask.data.sets.clips import FROZEN


def load(path: Path) -> list[Item]:
    """Read a list.

    Raises:
        DataError: it cannot be read or lacks a column, a label is unknown, or a listed file is not there.
    """
    items = []
    for line, row in read_rows(path, {"path", "label"}):
        label = read_label(row["label"], f"{path} line {line}")
        file, member = _split_member(path.parent / row["path"])
        if row.get("split") != FROZEN and not file.is_file():
            raise DataError(f"{path} line {line}: {row['path']} is not there")
        data_set = row.get("data_set") or path.stem
        items.append(
            Item(
                data_set=data_set,
                name=row["path"],
                label=label,
                group=row.get("group") or row.get("original") or row["path"],
                path=file,
                member=member,
                manipulation=(row.get("manipulation") or "unknown") if label == "fake" else "",
                source="" if label == "fake" else row.get("source") or data_set,
                original=row.get("original") or "",
                split=row.get("split") or "",
                compression=row.get("compression") or "",
                face_crop=bool(member),
            )
        )
    return items


def _split_member(path: Path) -> tuple[Path, str]:
    for parent in path.parents:
        if parent.suffix.lower() == ".zip" and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, ""
