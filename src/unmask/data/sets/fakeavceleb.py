"""FakeAVCeleb (Khalid et al. 2021, 2108.05080): faces and voices, each real or fake.

In `meta_data.csv` the column **`path` holds the file name and the tenth column, which has no name, the
folder**. A video of the type RealVideo-FakeAudio is a fake whose pictures are real: such items are marked
`voice_only`, and `unmask prepare` leaves them out. There is no official split; groups are the persons seen
(`source`). A fake by face swap also carries the face of a second person, who may be the source of other
items.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from unmask.data.files import need_folder, read_rows, report_missing
from unmask.data.manifest import DataError, Item, check_classes

NAME = "fakeavceleb"
LIST = "meta_data.csv"
COLUMNS = ("source", "method", "type", "race", "gender", "path", "")
REAL = "RealVideo-RealAudio"
VOICE_ONLY = "RealVideo-FakeAudio"
TYPES = (REAL, VOICE_ONLY, "FakeVideo-RealAudio", "FakeVideo-FakeAudio")


def load(root: Path) -> list[Item]:
    """Read the videos that `meta_data.csv` lists; `root` is the folder that holds the four types.

    Raises:
        DataError: the list is missing or not as it should be, or a class is empty.
    """
    path = need_folder(root) / LIST
    items, missing, total = [], [], 0
    for line, row in read_rows(path, COLUMNS):
        total += 1
        if row["type"] not in TYPES:
            raise DataError(f"{path} line {line}: type {row['type']!r} is none of {', '.join(TYPES)}")
        folder = _folder(row[""], row["type"], f"{path} line {line}")
        if not (root / folder / row["path"]).is_file():
            missing.append(str(folder / row["path"]))
            continue
        items.append(_item(root, folder, row))
    report_missing(path, missing, total)
    names = {item.name for item in items}
    check_classes(items, root, real=f"{REAL}/", fake="FakeVideo-RealAudio/ and so on")
    return [item if item.original in names else replace(item, original="") for item in items]


def _folder(text: str, kind: str, where: str) -> PurePosixPath:
    """Return the folder below `root`: the tenth column begins with the name of the data set's own folder."""
    parts = PurePosixPath(text).parts
    if kind not in parts:
        raise DataError(f"{where}: the tenth column, {text!r}, names no folder of the type {kind}")
    return PurePosixPath(*parts[parts.index(kind) :])


def _item(root: Path, folder: PurePosixPath, row: dict[str, str]) -> Item:
    fake = row["type"] != REAL
    place = folder / row["path"]
    origin = PurePosixPath(REAL, *folder.parts[1:], row["path"].partition("_")[0])
    return Item(
        data_set=NAME,
        name=str(place.with_suffix("")),
        label="fake" if fake else "real",
        group=row["source"],
        path=root / place,
        manipulation=f"{row['method']} ({row['type']})" if fake else "",
        source="" if fake else f"{row['race']}, {row['gender']}",
        original=str(origin.with_suffix("")) if fake else "",
        voice_only=row["type"] == VOICE_ONLY,
    )
