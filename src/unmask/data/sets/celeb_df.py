"""Celeb-DF, versions 1 and 2 (Li et al. 2020, 1909.12962).

`List_of_testing_videos.txt` gives the test split, and in it **1 means real**. The rest is no clean training
set: the fakes of the list were made from videos that are not in it, and show people of whom other videos are
not in it. An unlisted video whose person (target or donor) also stands in the list is therefore put in the
split `overlap`, which is neither trained nor tested on; of version 2 that leaves little but YouTube-real for
training. The data set is meant, and mostly used, for testing what was trained elsewhere.
"""

from __future__ import annotations

import re
from pathlib import Path

from unmask.data.files import folder_named, need_folder, report_missing, videos_in
from unmask.data.manifest import OVERLAP, DataError, Item, Label, check_classes

LIST = "List_of_testing_videos.txt"
FOLDERS: dict[str, Label] = {"Celeb-real": "real", "YouTube-real": "real", "Celeb-synthesis": "fake"}
LISTED_LABELS: dict[str, Label] = {"1": "real", "0": "fake"}
PERSON = re.compile(r"id\d+")


def load_v1(root: Path) -> list[Item]:
    """Read version 1; see `load`."""
    return load(root, "celeb_df_v1")


def load_v2(root: Path) -> list[Item]:
    """Read version 2; see `load`."""
    return load(root, "celeb_df_v2")


def load(root: Path, data_set: str) -> list[Item]:
    """Read the three folders and the test list; groups are the persons whose videos were taken.

    Raises:
        DataError: the list or a class is missing, or a label of the list contradicts the folder.
    """
    listed = _read_list(need_folder(root) / LIST)
    tested = {person for name in listed for person in PERSON.findall(name)}
    items = []
    for folder, label in FOLDERS.items():
        for path in videos_in(folder_named(root, folder)):
            name = f"{folder}/{path.stem}"
            persons = PERSON.findall(path.stem)
            if name in listed:
                split = "test"
            else:
                split = OVERLAP if tested & set(persons) else "train"
            items.append(
                Item(
                    data_set=data_set,
                    name=name,
                    label=label,
                    group=persons[0] if persons else name,
                    path=path,
                    manipulation="Celeb-DF" if label == "fake" else "",
                    source="" if label == "fake" else folder,
                    split=split,
                    original=_original(path.stem) if label == "fake" else "",
                )
            )
    names = {item.name for item in items}
    check_classes(
        items,
        root,
        real="Celeb-real/id0_0000.mp4 and so on",
        fake="Celeb-synthesis/id0_id1_0000.mp4 and so on",
    )
    report_missing(root / LIST, [name for name in listed if name not in names], len(listed))
    return items


def _original(stem: str) -> str:
    """Return the name of the real video behind `id0_id1_0000`: the target's, `id0_0000`."""
    target, _, rest = stem.partition("_")
    return f"Celeb-real/{target}_{rest.rpartition('_')[2]}"


def _read_list(path: Path) -> dict[str, Label]:
    """Return the label of each listed video by folder and name without extension."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        raise DataError(f"{path}: is missing; it comes with the data set and gives the test split") from None
    listed: dict[str, Label] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        value, _, place = line.strip().partition(" ")
        folder = next((f for f in FOLDERS if f.lower() == place.partition("/")[0].lower()), None)
        if value not in LISTED_LABELS or folder is None:
            raise DataError(f'{path} line {number}: {line!r} is not like "1 YouTube-real/00170.mp4"')
        if LISTED_LABELS[value] != FOLDERS[folder]:
            raise DataError(
                f"{path} line {number}: label {value} ({LISTED_LABELS[value]}) contradicts the folder "
                f"{folder}; in this list 1 means real and 0 fake"
            )
        listed[f"{folder}/{Path(place).stem}"] = LISTED_LABELS[value]
    if not listed:
        raise DataError(f"{path}: lists no video")
    return listed
