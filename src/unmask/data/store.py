"""The store that `unmask prepare` makes: a folder of zips of face crops, read like any data set zip.

    store.json              what was cut and how, and the list of zips; `complete` once everything is there
    NAME-00000.zip ...      `metadata.csv`, `images/<name>.jpg` (stored, not deflated), `landmarks.npy`
    problems.csv            files that could not be read, showed no face, or are partly damaged
    work/                   while unfinished: what was cut of each item

`metadata.csv` has the columns of every data set zip (name, label, identity, split, original, face_px,
manipulation) and in addition: source, compression and data_set; `clip`, the item's name in the data set;
`frame`, its number in the clip; `time` in seconds ("" of a picture); `person` (0: the main one); `points`,
five x y pairs, and `box`, x y width height, both in pixels of the crop; `size`, its width and height;
`scale`, crop pixels per pixel of the picture. `face_px` is the longer side of the detector's box in pixels of
the picture.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from unmask.data.manifest import DataError

FORMAT = "unmask.store/1"
INDEX = "store.json"
PROBLEMS = "problems.csv"
WORK = "work"
METADATA = "metadata.csv"
LANDMARKS = "landmarks.npy"
COLUMNS = (
    "name", "label", "identity", "split", "original", "face_px", "manipulation", "source", "compression",
    "data_set", "clip", "frame", "time", "person", "points", "box", "size", "scale",
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """What was wrong with an item, and how many crops came of it all the same."""

    clip: str
    file: str
    label: str
    split: str
    crops: int
    problem: str


@dataclass(frozen=True)
class Shard:
    """A finished zip of a store: its file name, the items and crops in it, and their problems."""

    file: str
    clips: int
    crops: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Index:
    """The content of `store.json`. `plan` is a hash of the items; `total` counts the zips to be."""

    settings: dict[str, object]
    plan: str
    total: int
    shards: dict[int, Shard]

    @property
    def complete(self) -> bool:
        """Whether every zip is there."""
        return len(self.shards) == self.total

    def write(self, folder: Path) -> None:
        """Write `store.json`, whole or not at all."""
        from unmask.media.output import atomic_path

        content = {
            "format": FORMAT,
            "complete": self.complete,
            "settings": self.settings,
            "plan": self.plan,
            "total": self.total,
            "shards": {number: asdict(shard) for number, shard in sorted(self.shards.items())},
        }
        with atomic_path(folder / INDEX) as path:
            path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Index | None:
        """Read `store.json`; None where the folder is no store.

        Raises:
            DataError: the file is damaged or of another version.
        """
        path = folder / INDEX
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["format"] != FORMAT:
                raise DataError(
                    f"{path}: format {content['format']!r} is not {FORMAT}; prepare the store again"
                )
            shards = {
                int(number): Shard(
                    entry["file"],
                    entry["clips"],
                    entry["crops"],
                    tuple(Problem(**problem) for problem in entry["problems"]),
                )
                for number, entry in content["shards"].items()
            }
            return cls(content["settings"], content["plan"], content["total"], shards)
        except DataError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: is damaged ({error}); prepare the store again") from None


def archives_at(path: Path) -> list[Path]:
    """Return the data set zips that a path stands for: itself, a store's, or those of a folder of zips.

    Raises:
        DataError: the path is a store that is not finished, or a zip of a store is gone.
    """
    if path.is_file():
        return [path] if path.suffix.lower() == ".zip" else []
    if not path.is_dir():
        return []
    index = Index.read(path)
    if index is None:
        return sorted(zip_path for zip_path in path.glob("*.zip") if not zip_path.name.startswith("."))
    if not index.complete:
        raise DataError(
            f"{path}: unmask prepare has not finished here ({len(index.shards)} of {index.total} zips): "
            "give its command again"
        )
    archives = [path / shard.file for shard in index.shards.values() if shard.crops]
    for archive in archives:
        if not archive.is_file():
            raise DataError(f"{archive}: is gone from the store; prepare the store again")
    return archives


def read_landmarks(archive: Path) -> np.ndarray:
    """Return the mesh of each crop of a store's zip, in the order of `metadata.csv`.

    (N, 478, 3) float32 in pixels of the crop (z on the same scale, smaller nearer to the camera); NaN where
    the mesh did not hold.

    Raises:
        DataError: the zip has none.
    """
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(LANDMARKS) as file:
            return np.load(file, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: its landmarks cannot be read ({error})") from None
