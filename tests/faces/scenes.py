"""Scripted scenes for tests: real faces that move over a made-up background, with their true places known."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from unmask.faces.detect import Detector
from unmask.media.events import Frame

RATE = Fraction(10)


def names(data: Path, archive: str, split: str = "train") -> list[str]:
    """The pictures of one split of a zip of development media, in its order."""
    with zipfile.ZipFile(data / archive) as bundle, bundle.open("metadata.csv") as table:
        return [row["name"] for row in csv.DictReader(io.TextIOWrapper(table)) if row["split"] == split]


def picture(data: Path, archive: str, name: str) -> np.ndarray:
    """(H, W, 3) RGB."""
    with zipfile.ZipFile(data / archive) as bundle:
        raw = np.frombuffer(bundle.read(f"images/{name}.jpg"), np.uint8)
    return np.ascontiguousarray(cv2.imdecode(raw, cv2.IMREAD_COLOR)[:, :, ::-1])


@dataclass(frozen=True)
class Sprite:
    """A cut-out head: picture, mask 0..1, centre of the face in it, and the face's height in pixels."""

    pixels: np.ndarray
    mask: np.ndarray
    centre: np.ndarray
    height: float


def sprite(pixels: np.ndarray, detector: Detector) -> Sprite | None:
    """Cut the head out of a portrait; None unless it shows exactly one face, well inside."""
    found = detector.detect_picture(pixels)
    if len(found) != 1:
        return None
    box = found[0].box
    centre = box[:2] + box[2:] / 2
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    distance = np.hypot((columns - centre[0]) / (0.9 * box[2]), (rows - centre[1]) / (0.85 * box[3]))
    mask = np.clip((1.0 - distance) / 0.08, 0, 1).astype(np.float32)
    return Sprite(pixels, mask, centre.astype(np.float64), float(box[3]))


def sprites(data: Path, detector: Detector, count: int, archive: str = "portraits.zip") -> list[Sprite]:
    """The first `count` usable heads of an archive's train split."""
    result = []
    for name in names(data, archive):
        cut = sprite(picture(data, archive, name), detector)
        if cut is not None:
            result.append(cut)
        if len(result) == count:
            break
    return result


@dataclass(frozen=True)
class Place:
    """Where a face is: centre in pixels, height of the face in pixels, tilt in degrees clockwise."""

    x: float
    y: float
    height: float
    tilt: float = 0.0


def background(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Clutter without a face: coarse and fine noise with rectangles and lines, (H, W, 3)."""
    width, height = size
    random = np.random.default_rng(seed)
    coarse = cv2.resize(random.uniform(40, 200, (9, 16, 3)).astype(np.float32), size)
    for _ in range(40):
        corner = (int(random.integers(width)), int(random.integers(height)))
        other = (corner[0] + int(random.integers(10, 200)), corner[1] + int(random.integers(10, 200)))
        colour = tuple(float(value) for value in random.uniform(0, 255, 3))
        cv2.rectangle(coarse, corner, other, colour, int(random.integers(-1, 6)))
    return np.clip(coarse + random.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8)


def paste(canvas: np.ndarray, cut: Sprite, place: Place) -> None:
    """Put a head onto a canvas, in place; what lies outside is cut off."""
    scale = place.height / cut.height
    pixels, mask, centre = cut.pixels, cut.mask, cut.centre
    if scale < 0.7:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        ratio = np.array([size[0] / cut.pixels.shape[1], size[1] / cut.pixels.shape[0]])
        centre = (centre + 0.5) * ratio - 0.5
        scale = 1.0
    angle = np.radians(place.tilt)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, np.array([place.x, place.y]) - turn @ centre])
    size = (canvas.shape[1], canvas.shape[0])
    warped = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)
    alpha = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[:, :, None]
    canvas[:] = np.rint(canvas * (1 - alpha) + warped * alpha).astype(np.uint8)


def scene(
    size: tuple[int, int],
    actors: list[tuple[Sprite, Callable[[float], Place | None]]],
    seconds: float,
    seed: int = 0,
) -> Iterator[tuple[Frame, list[Place | None]]]:
    """Film actors, each with a path over time, the later ones in front; yields frames and true places."""
    behind = background(size, seed)
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    for index in range(round(seconds * RATE)):
        time = float(index / RATE)
        places = [path(time) for _, path in actors]
        canvas = behind.copy()
        for (cut, _), place in zip(actors, places, strict=True):
            if place is not None:
                paste(canvas, cut, place)
        yield Frame(index=index, time=time, pixels=canvas, transform=identity), places


def whose(box: np.ndarray, places: list[Place | None]) -> int | None:
    """Say which actor a box shows: the one whose centre lies within 0.35 heights and whose size fits."""
    centre = box[:2] + box[2:] / 2
    best = None
    for actor, place in enumerate(places):
        if place is None:
            continue
        distance = float(np.hypot(centre[0] - place.x, centre[1] - place.y)) / place.height
        fits = 0.6 < box[2:].max() / place.height < 1.6
        if fits and distance < 0.35 and (best is None or distance < best[0]):
            best = (distance, actor)
    return None if best is None else best[1]
