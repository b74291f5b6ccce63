"""Looks at labelled pictures as the `frequency` analyser would, after stated scaling and compression.

Frequency traces are what scaling and compression change most. Pictures of different sources are brought
to one face size and through the same compressions before anything is learnt or reported from them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from unmask.data.index import IndexedFace
from unmask.faces.align import crop_place
from unmask.signals.features import STEP, Window, features, window

AROUND = 1.6
"""So many crop sides to each side of the middle are kept: all that the features look at."""


@dataclass(frozen=True)
class Treatment:
    """What happens to a picture, in order.

    `face`: the longer side of the face's box, in pixels, that the picture is scaled to (None: left as it
    is); `qualities`: JPEG qualities by which it is saved one after the other; `scale`: a factor by which
    it is made smaller after that; `last`: JPEG qualities after the scaling.
    """

    face: float | None = None
    qualities: tuple[int, ...] = ()
    scale: float = 1.0
    last: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cut:
    """A part of a picture that begins on the 8-pixel grid, with one face's five points and box size in it."""

    pixels: np.ndarray
    points: np.ndarray
    box: float


def cut(pixels: np.ndarray, face: IndexedFace) -> Cut:
    """Cut a face with its surroundings, whole blocks of the stored grid at the upper left."""
    (x, y), side = crop_place(face.points)
    reach = AROUND * side
    left, top = (int(max(0.0, value - reach)) // STEP * STEP for value in (x, y))
    right, bottom = int(x + reach) + 1, int(y + reach) + 1
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    return Cut(part, face.points.astype(np.float64) - (left, top), float(max(face.box[2:])))


def resize(source: Cut, factor: float) -> Cut:
    """Scale a cut: by area averaging where it shrinks, else bicubic."""
    if abs(factor - 1) < 1e-9:
        return source
    height, width = (max(1, round(length * factor)) for length in source.pixels.shape[:2])
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    pixels = cv2.resize(source.pixels, (width, height), interpolation=method)
    exact = np.array([width, height]) / source.pixels.shape[1::-1]
    return Cut(pixels, (source.points + 0.5) * exact - 0.5, source.box * factor)


def save(source: Cut, quality: int) -> Cut:
    """Save a cut as JPEG (4:2:0, libjpeg's tables) and read it again."""
    data = io.BytesIO()
    Image.fromarray(source.pixels).save(data, "JPEG", quality=quality)
    return Cut(np.asarray(Image.open(data)), source.points, source.box)


def treat(source: Cut, treatment: Treatment) -> Cut:
    """Apply a treatment."""
    if treatment.face is not None:
        source = resize(source, treatment.face / source.box)
    for quality in treatment.qualities:
        source = save(source, quality)
    source = resize(source, treatment.scale)
    for quality in treatment.last:
        source = save(source, quality)
    return source


def place(source: Cut) -> Window | None:
    """Return the window that is examined, None where the face is too small."""
    (x, y), side = crop_place(source.points)
    return window((x, y), side, (source.pixels.shape[1], source.pixels.shape[0]))


def look(source: Cut) -> np.ndarray | None:
    """Return the feature vector of a cut, None where the face is too small."""
    found = place(source)
    return None if found is None else features(source.pixels, found)
