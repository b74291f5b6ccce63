"""Makes small data set zips of one public-domain face: reals, and fakes with a red stripe."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
from skimage import data as pictures

COLUMNS = ("name", "label", "identity", "split", "original", "manipulation")


def write_zip(path: Path, *, persons: int = 8, fakes: bool = True, broken: tuple[str, ...] = ()) -> Path:
    """Write a zip of `persons` reals p0, p2 ... and the fakes p1, p3 ... made of them, of the kind "stripe".

    The pictures named in `broken` hold text in place of a picture.
    """
    face = pictures.astronaut()[50:200, 150:300]
    rng = np.random.default_rng(0)
    rows = io.StringIO()
    writer = csv.DictWriter(rows, COLUMNS)
    writer.writeheader()
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2 * persons):
            fake = number % 2
            if fake and not fakes:
                continue
            picture = np.clip(face + rng.normal(0, 4, face.shape), 0, 255).astype(np.uint8)
            if fake:
                picture[60:110, 60:75, 0] = 255
            name = f"p{number}"
            data = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
            archive.writestr(f"images/{name}.jpg", b"no picture" if name in broken else data)
            origin, kind = (f"p{number - 1}", "stripe") if fake else ("", "")
            label = "fake" if fake else "real"
            row = (name, label, f"person{number // 2}", "train", origin, kind)
            writer.writerow(dict(zip(COLUMNS, row, strict=True)))
        archive.writestr("metadata.csv", rows.getvalue())
    return path
