"""Cuts the faces of one video, picture or sequence of pictures, found and followed as the product does it.

A crop is a square along the picture's rows and columns at its own resolution: nothing is resampled (but for
faces larger than the limit). Beside it stand the five points from which `faces.align` makes the upright crop
of any size and margin, in one step, pixel for pixel as the product cuts it from the frame.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np

from unmask.data.index import central, decode
from unmask.data.manifest import PICTURES, Item
from unmask.evidence.schedule import Spread
from unmask.faces.align import crop_matrix
from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import Landmarker
from unmask.faces.persons import Persons
from unmask.faces.track import Tracker
from unmask.media.events import Cut, Frame, Gap, Media, MediaError
from unmask.media.reader import read
from unmask.pipeline import TRACK_RATE

JPEG_QUALITY = 95
UNMOVED = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How faces are cut.

    Attributes:
        frames: so many frames of each video or face sequence, spread evenly.
        faces: "main", the person who is largest and longest in sight, or "all".
        margin: side of the square as a multiple of the product's crop (`faces.align`): what a crop needs
            that training turns, shifts and enlarges, and what self-blending needs to see the whole head.
        largest: longest side of a stored crop in pixels; larger ones are reduced.
        encoding: "jpeg" (quality 95, colour at full resolution) or "png" (lossless).
    """

    frames: int = 32
    faces: Literal["main", "all"] = "main"
    margin: float = 2.2
    largest: int = 512
    encoding: Literal["jpeg", "png"] = "jpeg"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be 1 or more, not {self.frames}")
        if self.faces not in ("main", "all"):
            raise ValueError(f"faces must be main or all, not {self.faces!r}")
        if not 1.0 <= self.margin <= 6.0:
            raise ValueError(f"margin must be 1 to 6, not {self.margin}")
        if self.largest < 64:
            raise ValueError(f"the largest side must be 64 pixels or more, not {self.largest}")
        if self.encoding not in ("jpeg", "png"):
            raise ValueError(f"encoding must be jpeg or png, not {self.encoding!r}")

    @property
    def suffix(self) -> str:
        """The extension of the stored pictures."""
        return ".jpg" if self.encoding == "jpeg" else ".png"

    def as_dict(self) -> dict[str, object]:
        """Return the settings as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Crop:
    """One face of one frame.

    `picture` is the encoded crop; `points` (5, 2), `box` (4,) and `landmarks` (478, 3) or None are in its
    pixels. `size` is its width and height. `face_px` is the longer side of the detector's box, in pixels of
    the frame; `scale` is crop pixels per pixel of the frame. `person` counts from 0, the one who is largest
    and longest in sight.
    """

    frame: int
    time: float | None
    person: int
    picture: bytes
    size: tuple[int, int]
    points: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray | None
    face_px: float
    scale: float


@dataclass(frozen=True)
class Cuts:
    """All crops of one item, by person and frame, and what was wrong with it ("" if nothing)."""

    crops: tuple[Crop, ...]
    problem: str = ""


def window(points: np.ndarray, size: tuple[int, int], *, margin: float) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the square round a face, as far as the picture goes.

    It holds the upright crop of `faces.align`, enlarged by `margin` about its centre.

    Args:
        points: (5, 2) in picture pixels.
        size: (width, height) of the picture.
        margin: see `Settings`.
    """
    inverse = cv2.invertAffineTransform(crop_matrix(points, 1))
    half = margin / 2
    corners = np.array([[-half, -half], [half, -half], [half, half], [-half, half]])
    corners = corners @ inverse[:, :2].T + inverse[:, 2] + 0.5  # from pixel centres to pixel edges
    low, high = corners.min(axis=0), corners.max(axis=0)
    left, top = np.floor(np.clip(low, 0, np.array(size) - 1)).astype(int)
    right, bottom = np.ceil(np.clip(high, [left + 1, top + 1], size)).astype(int)
    return int(left), int(top), int(right), int(bottom)


def cut_face(pixels: np.ndarray, face: Face, settings: Settings) -> Crop:
    """Cut one face from an (H, W, 3) uint8 RGB frame; `person` is the track's number."""
    points = np.asarray(face.detection.points, np.float64)
    height, width = pixels.shape[:2]
    left, top, right, bottom = window(points, (width, height), margin=settings.margin)
    part = pixels[top:bottom, left:right]
    scale = min(1.0, settings.largest / max(part.shape[:2]))
    if scale < 1.0:
        size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    factor = np.array([part.shape[1] / (right - left), part.shape[0] / (bottom - top)])
    corner = np.array([left, top])

    def move(places: np.ndarray) -> np.ndarray:
        return (places - corner + 0.5) * factor - 0.5

    landmarks = None
    if face.landmarks is not None:
        landmarks = np.column_stack([move(face.landmarks[:, :2]), face.landmarks[:, 2] * factor.mean()])
    box = np.asarray(face.detection.box, np.float64)
    return Crop(
        frame=face.frame_index,
        time=face.time,
        person=face.track,
        picture=encode(part, settings),
        size=(part.shape[1], part.shape[0]),
        points=move(points),
        box=np.concatenate([move(box[:2]), box[2:] * factor]),
        landmarks=landmarks,
        face_px=float(box[2:].max()),
        scale=float(factor.mean()),
    )


def encode(pixels: np.ndarray, settings: Settings) -> bytes:
    """Encode an (H, W, 3) uint8 RGB picture as the settings say."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
    if settings.encoding == "jpeg":
        options = [
            cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]  # fmt: skip
    _, data = cv2.imencode(settings.suffix, np.ascontiguousarray(pixels[..., ::-1]), options)
    return data.tobytes()


class Cutter:
    """Cuts items, one after the other, with networks that are loaded once.

    Args:
        settings: how.
        threads: of decoder and inference.
    """

    def __init__(self, settings: Settings, *, threads: int = 1) -> None:
        self._settings = settings
        self._threads = threads
        self._detector = Detector(threads=threads, device="cpu")
        self._landmarker = Landmarker(threads=threads, device="cpu")

    def cut(self, item: Item) -> Cuts:
        """Return the crops of an item.

        Raises:
            MediaError: its file is missing or cannot be decoded.
        """
        if item.is_sequence:
            return self._cut_sequences(item)
        if item.member:
            pixels = _decode(_read_member(item), item)
            return _result(self._cut_picture(Frame(0, None, pixels, UNMOVED), central_face=item.face_crop))
        events = read(item.path, rate=TRACK_RATE, threads=self._threads)
        media = next(events)
        assert isinstance(media, Media)
        if media.kind == "audio":
            raise MediaError(f"{item.path}: has no picture that can be decoded")
        if media.kind == "picture":
            frames = [event for event in events if isinstance(event, Frame)]
            return _result(self._cut_picture(frames[0], central_face=item.face_crop))
        return self._cut_video(media, events)

    def _cut_video(self, media: Media, events: Iterator[object]) -> Cuts:
        tracker, likeness = self._tracker(), Persons(threads=self._threads, device="cpu")
        spread = Spread(self._settings.frames, length=media.duration or None)
        crops: list[Crop] = []
        presence: dict[int, float] = {}
        problem = ""
        for event in events:
            if isinstance(event, Cut):
                tracker.cut()
            elif isinstance(event, Gap):
                until = "the end" if event.end is None else f"{event.end:.2f} s"
                problem = problem or f"partly damaged, from {event.start:.2f} s to {until}: {event.reason}"
            elif isinstance(event, Frame):
                wanted = spread.choose(event.time, []) is not None
                faces = tracker.update(event, landmarks=wanted)
                likeness.observe(event, faces)
                for face in faces:
                    height = float(face.detection.box[3])
                    presence[face.track] = presence.get(face.track, 0.0) + height
                if wanted:
                    crops += [cut_face(event.pixels, face, self._settings) for face in faces]
        return _result(self._of_persons(crops, likeness.join(), presence), problem)

    def _of_persons(
        self, crops: Sequence[Crop], persons: Sequence[Sequence[int]], presence: dict[int, float]
    ) -> list[Crop]:
        """Give persons numbers by how large and long they are in sight, and keep those wanted."""
        ordered = sorted(persons, key=lambda tracks: -sum(presence[track] for track in tracks))
        if self._settings.faces == "main":
            ordered = ordered[:1]
        number = {track: person for person, tracks in enumerate(ordered) for track in tracks}
        kept = [replace(crop, person=number[crop.person]) for crop in crops if crop.person in number]
        return [
            crop
            for person in range(len(ordered))
            for crop in thin_by_time([c for c in kept if c.person == person], self._settings.frames)
        ]

    def _cut_picture(self, frame: Frame, *, central_face: bool) -> list[Crop]:
        faces = self._tracker().update(frame, landmarks=True)
        height, width = frame.pixels.shape[:2]
        middle = central([face.detection for face in faces], (width, height)) if central_face else None
        faces = sorted(faces, key=lambda face: (face.detection is not middle, -face.quality.size))
        if self._settings.faces == "main":
            faces = faces[:1]
        crops = [cut_face(frame.pixels, face, self._settings) for face in faces]
        return [replace(crop, person=person) for person, crop in enumerate(crops)]

    def _cut_sequences(self, item: Item) -> Cuts:
        """Cut each sequence of face crops; the central face of its pictures is the sequence's person."""
        crops, unread = [], []
        for person, number, data in read_sequences(item.path, self._settings.frames):
            try:
                frame = Frame(number, None, _decode(data, item), UNMOVED)
            except MediaError:
                unread.append(number)
                continue
            found = self._cut_picture(frame, central_face=True)[:1]
            crops += [replace(crop, person=person) for crop in found]
        problem = f"{len(unread)} pictures cannot be decoded (first: frame {unread[0]})" if unread else ""
        return _result(crops, problem)

    def _tracker(self) -> Tracker:
        return Tracker(self._detector, self._landmarker)


def thin_by_time(crops: Sequence[Crop], count: int) -> list[Crop]:
    """Keep at most `count` crops of a person, in order of time and spread evenly over it.

    There are more where a file does not tell its length, or tells it wrongly.
    """
    ordered = sorted(crops, key=lambda crop: crop.frame)
    if len(ordered) <= count:
        return ordered
    times = np.array([crop.time or 0.0 for crop in ordered])
    wanted = np.linspace(times[0], times[-1], count)
    return [ordered[place] for place in sorted({int(np.abs(times - time).argmin()) for time in wanted})]


def _result(crops: Sequence[Crop], problem: str = "") -> Cuts:
    return Cuts(tuple(crops), problem or ("" if crops else "no face found"))


def _read_member(item: Item) -> bytes:
    try:
        with zipfile.ZipFile(item.path) as archive:
            return archive.read(item.member)
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, KeyError and others
        raise MediaError(f"{item.path}: cannot read {item.member} ({error})") from None


def _decode(data: bytes, item: Item) -> np.ndarray:
    try:
        return decode(data)
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{item.path}: {item.member or 'a picture'} cannot be decoded ({error})") from None


def read_sequences(path: Path, count: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (sequence, frame number, encoded picture) of a folder or tar file of picture sequences.

    Of each folder of pictures, `count` are taken, spread evenly over its frames.

    Raises:
        MediaError: the tar file cannot be read.
    """
    if path.is_dir():
        files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
        for sequence, number, name in choose_frames(files, count):
            yield sequence, number, files[name].read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            members = {member.name: member for member in archive.getmembers() if member.isfile()}
            for sequence, number, name in choose_frames(members, count):
                file = archive.extractfile(members[name])
                assert file is not None
                yield sequence, number, file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise MediaError(f"{path}: cannot be read as a tar file ({error})") from None


def choose_frames(names: Iterable[str], count: int) -> list[tuple[int, int, str]]:
    """Choose up to `count` pictures of each folder, spread evenly from the first to the last.

    Returns (folder, frame number, name), folders counted from 0 in order of name. The frame number is what
    the picture's name says, or its place in the folder.
    """
    folders: dict[str, list[tuple[int, str]]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        if path.suffix.lower() in PICTURES and not path.name.startswith("."):
            frames = folders.setdefault(str(path.parent), [])
            frames.append((int(path.stem) if path.stem.isdecimal() else len(frames), name))
    chosen = []
    for sequence, folder in enumerate(sorted(folders)):
        frames = sorted(folders[folder])
        places = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
        chosen += [(sequence, *frames[place]) for place in places]
    return chosen
