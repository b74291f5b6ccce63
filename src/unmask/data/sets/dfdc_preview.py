"""Preview of the Deepfake Detection Challenge (Dolhansky et al. 2019, 1910.08854).

`dataset.json` gives label and set of each video. Where it names the target person, that is the group; else
the folder in which the video lies, which bears the person's number.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from unmask.data.files import need_folder, read_json, report_missing
from unmask.data.manifest import DataError, Item, check_classes, read_label

NAME = "dfdc_preview"
LIST = "dataset.json"


def load(root: Path) -> list[Item]:
    """Read the videos that `dataset.json` lists.

    Raises:
        DataError: the list is missing or not as it should be, or a class is empty.
    """
    path = need_folder(root) / LIST
    if not path.is_file():
        raise DataError(f"{path}: is missing; it comes with the data set and gives labels and splits")
    entries = read_json(path)
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise DataError(f"{path}: not a table of videos with label and set")
    missing = [file for file in entries if not (root / file).is_file()]
    items = [_item(root, path, file, entries[file]) for file in sorted(set(entries) - set(missing))]
    report_missing(path, missing, len(entries))
    check_classes(items, root, real="original_videos/", fake="method_A/ and method_B/")
    return items


def _item(root: Path, path: Path, file: str, entry: dict[str, Any]) -> Item:
    label = read_label(str(entry.get("label", "")), f"{path}: {file}")
    split = entry.get("set")
    if not isinstance(split, str) or not split:
        raise DataError(f"{path}: {file}: no set (train or test) given")
    place = PurePosixPath(file)
    return Item(
        data_set=NAME,
        name=str(place.with_suffix("")),
        label=label,
        group=f"person {entry.get('target_id') or place.parent.name}",
        path=root / file,
        manipulation=place.parts[0] if label == "fake" else "",
        source="" if label == "fake" else place.parts[0],
        split=split,
    )
