"""WildDeepfake (Zi et al. 2020, 2101.01456): face crops of videos found on the net.

An item is one archive `N.tar.gz`, or the folder N it was unpacked to: the frames of one video, in a folder
for each face sequence, as PNG files named by the frame's number. The number N says nothing across the four
folders.
"""

from __future__ import annotations

from pathlib import Path

from unmask.data.files import folder_named, need_folder
from unmask.data.manifest import Item, Label, check_classes

NAME = "wilddeepfake"
LABELS: tuple[Label, ...] = ("real", "fake")
SPLITS = ("train", "test")


def load(root: Path) -> list[Item]:
    """Read the archives, or the unpacked folders, of `real_train`, `real_test`, `fake_train` and `fake_test`.

    The folders may have a space in place of the underscore. An archive beside its unpacked folder counts
    once.

    Raises:
        DataError: a class is empty.
    """
    need_folder(root)
    items: dict[str, Item] = {}
    for label in LABELS:
        for split in SPLITS:
            folder = folder_named(root, f"{label}_{split}")
            for path in sorted(folder.iterdir()) if folder else ():
                number = path.name.removesuffix(".tar.gz")
                if path.name.startswith(".") or not (path.is_dir() or number != path.name):
                    continue
                name = f"{label}_{split}/{number}"
                items.setdefault(
                    name,
                    Item(
                        data_set=NAME,
                        name=name,
                        label=label,
                        group=name,
                        path=path,
                        manipulation="WildDeepfake" if label == "fake" else "",
                        source="" if label == "fake" else "the net",
                        split=split,
                        face_crop=True,
                    ),
                )
    found = list(items.values())
    check_classes(found, root, real="real_train/1.tar.gz and so on", fake="fake_train/1.tar.gz and so on")
    return found
