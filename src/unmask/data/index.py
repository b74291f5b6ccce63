"""Finds the faces of a data set once, with the product's own detector, and remembers them.

Training then cuts its crops straight from the stored picture with `faces.align`, as the product does.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from unmask.data.manifest import DataError, Item
from unmask.faces.detect import Detector
from unmask.faces.face import Detection

SAVE_EVERY = 2000
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises of a file that is no picture, or a damaged one."""


@dataclass(frozen=True)
class IndexedFace:
    """The labelled face of one item: YuNet's five points (5, 2) and box (4,), in picture pixels."""

    points: np.ndarray
    box: np.ndarray
    size: tuple[int, int]


def decode(data: bytes) -> np.ndarray:
    """Decode a stored picture to (H, W, 3) uint8 RGB, upright."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))


def read_member(opened: zipfile.ZipFile, path: Path, member: str) -> bytes:
    """Return the bytes of one member of an open zip.

    Raises:
        DataError: the zip is damaged there.
    """
    try:
        return opened.read(member)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, KeyError) as error:
        raise DataError(f"{path}: {member} cannot be read: the zip is damaged ({error})") from None


def central(found: Sequence[Detection], size: tuple[int, int]) -> Detection | None:
    """Return the face nearest the middle of a (width, height) picture: the one its label speaks of."""
    if not found:
        return None
    middle = np.array(size) / 2

    def distance(face: Detection) -> float:
        return float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - middle) / max(face.box[3], 1.0))

    return min(found, key=distance)


def recorded_faces(archive: Path) -> dict[str, IndexedFace]:
    """Return the faces that a store's zip records, by member name; none where it is another data set zip.

    Raises:
        DataError: a record is damaged.
    """
    with zipfile.ZipFile(archive) as opened:
        members = {Path(name).stem: name for name in opened.namelist() if name.startswith("images/")}
        rows = list(csv.DictReader(io.StringIO(opened.read("metadata.csv").decode())))
    if not rows or "points" not in rows[0]:
        return {}
    faces = {}
    for row in rows:
        try:
            points = np.array(row["points"].split(), np.float32).reshape(5, 2)
            box = np.array(row["box"].split(), np.float32).reshape(4)
            width, height = (int(value) for value in row["size"].split())
            faces[members[row["name"]]] = IndexedFace(points, box, (width, height))
        except (ValueError, KeyError) as error:
            raise DataError(f"{archive}: the record of {row['name']} is damaged ({error})") from None
    return faces


class FaceIndex:
    """A store of found faces, one file a zip, kept beside the training runs.

    `unreadable` says of the pictures last built for which of them are none, and what is wrong with them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.unreadable: dict[tuple[Path, str], str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, archive: Path) -> Path:
        key = hashlib.sha256(f"{archive.resolve()}:{archive.stat().st_size}".encode()).hexdigest()[:8]
        return self._folder / f"{archive.stem}-{key}.json"

    def load(self, archive: Path) -> dict[str, IndexedFace | None]:
        """Return the faces of a zip found so far, by member name; None where the picture has no face.

        Raises:
            DataError: the file of the index is damaged.
        """
        path = self._path(archive)
        if not path.exists():
            return {}
        faces: dict[str, IndexedFace | None] = {}
        try:
            for member, face in json.loads(path.read_text()).items():
                faces[member] = None
                if face is not None and "unreadable" in face:
                    self.unreadable[archive, member] = face["unreadable"]
                elif face is not None:
                    points, box = (np.array(face[name], np.float32) for name in ("points", "box"))
                    faces[member] = IndexedFace(points, box, tuple(face["size"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: the index of faces is damaged ({error}); remove it, and they are found anew"
            ) from None
        return faces

    def _save(self, archive: Path, faces: dict[str, IndexedFace | None]) -> None:
        path = self._path(archive)
        stored: dict[str, dict[str, Any] | None] = {}
        for member, face in faces.items():
            reason = self.unreadable.get((archive, member))
            if face is not None:
                stored[member] = {
                    "points": np.round(face.points.astype(float), 2).tolist(),
                    "box": np.round(face.box.astype(float), 2).tolist(),
                    "size": list(face.size),
                }
            else:
                stored[member] = None if reason is None else {"unreadable": reason}
        part = path.with_suffix(".part")
        part.write_text(json.dumps(stored))
        part.replace(path)

    def build(
        self,
        items: Sequence[Item],
        *,
        detector: Detector,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[tuple[Path, str], IndexedFace | None]:
        """Find the central face of every item that is not known yet; goes on where it was stopped.

        The crops of a store bring their faces with them (`recorded_faces`). A picture that cannot be read
        counts as one without a face and is named in `unreadable`.

        Raises:
            DataError: a zip or the file of an index is damaged.
        """
        self.unreadable = {}
        result: dict[tuple[Path, str], IndexedFace | None] = {}
        done = 0
        for archive in sorted({item.path for item in items}):
            faces: dict[str, IndexedFace | None] = dict(recorded_faces(archive)) or self.load(archive)
            wanted = [item.member for item in items if item.path == archive]
            missing = [member for member in wanted if member not in faces]
            with zipfile.ZipFile(archive) as pictures:
                for count, member in enumerate(missing, start=1):
                    data = read_member(pictures, archive, member)
                    try:
                        faces[member] = _find(data, detector)
                    except UNREADABLE as error:
                        faces[member] = None
                        self.unreadable[archive, member] = str(error).partition("\n")[0]
                    done += 1
                    if on_progress:
                        on_progress(done, len(items))
                    if count % SAVE_EVERY == 0:
                        self._save(archive, faces)
            if missing:
                self._save(archive, faces)
            result |= {(archive, member): faces[member] for member in wanted}
        return result


def _find(data: bytes, detector: Detector) -> IndexedFace | None:
    """Return the central face of a stored picture; raises one of `UNREADABLE` where it is none."""
    pixels = decode(data)
    size = (pixels.shape[1], pixels.shape[0])
    face = central(detector.detect_picture(pixels), size)
    return None if face is None else IndexedFace(_stored(face.points), _stored(face.box), size)


def _stored(values: np.ndarray) -> np.ndarray:
    """Round as the index on disk does, so that the first run sees the very numbers that later ones read."""
    return np.round(values.astype(float), 2).astype(np.float32)
