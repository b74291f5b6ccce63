"""Faces followed through clips, read from the stores of `unmask prepare`, for networks that look along time.

Whatever a clip's own frame rate and length, a sequence is sampled at one rate and has one length, so that
neither tells the label. The deep features of a frozen frame network, and how the face moved between
moments, are taken once and kept on disk.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unmask.data.augment import Draw
from unmask.data.augment import Strength as Augmentation
from unmask.data.clips import QUALITY, augment
from unmask.data.contact_sheet import canvas
from unmask.data.index import decode
from unmask.data.manifest import DataError, Label, read_label
from unmask.data.selfblend import lay_mesh
from unmask.data.selfblend_video import self_blend_clip
from unmask.data.store import METADATA, read_landmarks
from unmask.faces.align import PLAIN, Framing, crop
from unmask.faces.motion import MOTION, SIDEWAYS, motion_row, wide_crop
from unmask.media.h264 import recompress
from unmask.media.output import atomic_path
from unmask.runtime.network import VisualNetwork

RATE = 5.0
"""Moments a second at normal speed. Stores hold at most ten (the tracker's rate); every second of these
comes equally spaced from clips of 25 and of 30 frames a second."""
SPEED = (0.8, 1.25)
MOST_WINDOWS = 8
"""A clip is judged by at most so many sequences, evenly placed."""
BATCH = 32
BACK = 4
"""Stored crops by which the moments of a sequence lie apart, at most, to be compared for motion."""
LONGEST = 0.5
"""Seconds: moments farther apart are not compared."""
NEEDED = ("clip", "time", "points", "person")
"""Columns that a store has beyond those of every data set zip."""


@dataclass(frozen=True, eq=False)
class FaceSequence:
    """One face followed through one clip of a store.

    `rows` (N,) are the places of its crops in the store's zip, `members` their names there; `times` (N,) in
    ascending seconds; `points` (N, 5, 2) in the pixels of each crop.
    """

    archive: Path
    data_set: str
    clip: str
    person: int
    label: Label
    group: str
    manipulation: str
    split: str
    rows: np.ndarray
    members: tuple[str, ...]
    times: np.ndarray
    points: np.ndarray

    @property
    def fake(self) -> bool:
        """Whether the clip is labelled fake."""
        return self.label == "fake"

    def __len__(self) -> int:
        return len(self.times)


def read_sequences(archive: Path) -> list[FaceSequence]:
    """Read the sequences of a store's zip; crops of single pictures are passed over.

    Raises:
        DataError: the zip is none of a store, or a row is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {Path(name).stem: name for name in opened.namelist() if name.startswith("images/")}
            rows = list(csv.DictReader(io.StringIO(opened.read(METADATA).decode())))
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive}: cannot be read as a data set zip ({error})") from None
    if not rows or any(column not in rows[0] for column in NEEDED):
        raise DataError(f"{archive}: holds no sequences; make a store of clips with unmask prepare")
    faces: dict[tuple[str, str, int], list[tuple[float, int]]] = {}
    try:
        for place, row in enumerate(rows):
            if row["time"]:
                key = (row["data_set"], row["clip"], int(row["person"]))
                faces.setdefault(key, []).append((float(row["time"]), place))
        return [_sequence(archive, rows, sorted(found), members) for found in faces.values()]
    except (ValueError, KeyError) as error:
        raise DataError(f"{archive}: a row of its {METADATA} is damaged ({error})") from None


def _sequence(
    archive: Path, rows: Sequence[dict[str, str]], found: list[tuple[float, int]], members: dict[str, str]
) -> FaceSequence:
    places = [place for _, place in found]
    own = [rows[place] for place in places]
    first = own[0]
    return FaceSequence(
        archive=archive,
        data_set=first["data_set"],
        clip=first["clip"],
        person=int(first["person"]),
        label=read_label(first["label"], f"{archive}: {first['clip']}"),
        group=first["identity"] or first["clip"],
        manipulation=first["manipulation"] if first["label"].strip().lower() == "fake" else "",
        split=first["split"] or "train",
        rows=np.array(places),
        members=tuple(members[row["name"]] for row in own),
        times=np.array([time for time, _ in found]),
        points=np.array([row["points"].split() for row in own], np.float64).reshape(-1, 5, 2),
    )


def moments(times: np.ndarray, *, start: float, interval: float, length: int) -> np.ndarray:
    """Return the crops nearest to start, start + interval, ...: (M,) ascending indices, 1 <= M <= length.

    Moments at which the face was not seen, or that lie beyond the end, are left out.

    Args:
        times: (N,) ascending seconds, N >= 1.
        start: the first moment in seconds.
        interval: seconds between moments.
        length: moments wanted.
    """
    wanted = start + interval * np.arange(length)
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    right = np.minimum(right, len(times) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(wanted - times[left] <= times[right] - wanted, left, right)
    near = np.abs(times[nearest] - wanted) < interval / 2 - 1e-6
    found = np.unique(nearest[near])
    return found if len(found) else nearest[:1]


def windows(times: np.ndarray, *, length: int, rate: float = RATE) -> list[np.ndarray]:
    """Place the sequences by which a clip is judged: side by side if it is long enough, at least one.

    Each begins at a stored crop: from there two ticks of the tracker make 0.2 s, whatever the frame rate.
    """
    interval = 1 / rate
    room = float(times[-1] - times[0]) - (length - 1) * interval
    count = min(MOST_WINDOWS, max(1, int((room + length * interval) / (length * interval) + 1e-6)))
    starts = times[0] + np.linspace(0.0, max(0.0, room), count)
    begun = times[np.abs(times[:, None] - starts).argmin(axis=0)]
    return [moments(times, start=float(start), interval=interval, length=length) for start in begun]


def draw_moments(
    times: np.ndarray,
    rng: np.random.Generator,
    *,
    length: int,
    rate: float = RATE,
    speed: tuple[float, float] = SPEED,
) -> np.ndarray:
    """Draw a sequence for training: a random speed, then a random start."""
    interval = float(np.exp(rng.uniform(*np.log(speed)))) / rate
    room = float(times[-1] - times[0]) - (length - 1) * interval
    start = float(times[0] + rng.uniform(0, max(0.0, room)))
    return moments(times, start=start, interval=interval, length=length)


class Crops:
    """Reads the crops and meshes of sequences, each zip opened once.

    Args:
        framing: of the crops that are cut out of the stored ones.
    """

    def __init__(self, framing: Framing = PLAIN) -> None:
        self._framing = framing
        self._open: dict[Path, zipfile.ZipFile] = {}
        self._meshes: dict[Path, np.ndarray] = {}

    def pixels(self, sequence: FaceSequence, index: int) -> np.ndarray:
        """Return a stored crop (H, W, 3) uint8 RGB."""
        if sequence.archive not in self._open:
            self._open[sequence.archive] = zipfile.ZipFile(sequence.archive)
        return decode(self._open[sequence.archive].read(sequence.members[index]))

    def mesh(self, sequence: FaceSequence, index: int) -> np.ndarray:
        """Return the (478, 2) mesh in pixels of the crop; the mean mesh where it did not hold."""
        if sequence.archive not in self._meshes:
            self._meshes[sequence.archive] = read_landmarks(sequence.archive)
        mesh = self._meshes[sequence.archive][sequence.rows[index], :, :2]
        return mesh if np.isfinite(mesh).all() else lay_mesh(sequence.points[index])

    def aligned(self, sequence: FaceSequence, chosen: np.ndarray, size: int) -> np.ndarray:
        """Return the product's crops (M, size, size, 3) uint8 RGB of the chosen moments."""
        return np.stack(
            [
                crop(self.pixels(sequence, i), sequence.points[i], size=size, framing=self._framing)
                for i in chosen
            ]
        )

    def augmented(
        self,
        sequence: FaceSequence,
        chosen: np.ndarray,
        rng: np.random.Generator,
        *,
        size: int,
        augmentation: Augmentation,
    ) -> np.ndarray:
        """Return the crops (M, size, size, 3) after one draw for all of them and a real encoder."""
        frames = [self.pixels(sequence, index) for index in chosen]
        draw = _one_draw(rng, augmentation)
        crops = augment(frames, sequence.points[chosen], draw, size, framing=self._framing)
        return recompress(crops, **_encoder(rng))

    def self_blended(
        self,
        sequence: FaceSequence,
        chosen: np.ndarray,
        rng: np.random.Generator,
        *,
        size: int,
        augmentation: Augmentation,
    ) -> SelfBlended:
        """Make a self-blend of a real sequence, and its partner, by one draw and one encoder."""
        made = [canvas(self.pixels(sequence, i), sequence.points[i], self.mesh(sequence, i)) for i in chosen]
        squares, points, meshes = (np.stack(part) for part in zip(*made, strict=True))
        blend = self_blend_clip(squares, meshes, rng)
        draw, encoder = _one_draw(rng, augmentation), _encoder(rng)
        halves = [augment(h, points, draw, size, framing=self._framing) for h in (blend.real, blend.fake)]
        encoded = np.stack([recompress(half, **encoder) for half in halves])
        return SelfBlended(encoded, (blend.real, blend.fake), points, sequence.times[chosen], encoder)


@dataclass(frozen=True, eq=False)
class SelfBlended:
    """A real sequence and its self-blend.

    `crops` (2, M, S, S, 3) uint8 RGB: the real one, the blend, augmented and encoded. `squares`: both
    (M, C, C, 3) before, with the points (M, 5, 2) in them, `times` (M,) seconds, and how they were encoded.
    """

    crops: np.ndarray
    squares: tuple[np.ndarray, np.ndarray]
    points: np.ndarray
    times: np.ndarray
    encoder: dict[str, Any]

    def motion(self) -> np.ndarray:
        """Return how both moved from moment to moment, (2, M - 1, 8), after the same encoder.

        The squares are narrower than the wide crop, whose outermost tenths repeat their edges in both halves.
        """
        halves = [recompress(square, **self.encoder) for square in self.squares]
        return np.stack(
            [
                _rows_between([wide_crop(f, p) for f, p in zip(h, self.points, strict=True)], self.times)
                for h in halves
            ]
        )


def _rows_between(wide: Sequence[np.ndarray], times: np.ndarray) -> np.ndarray:
    """Return the motion between following wide crops, (M - 1, 8); NaN where they lie too far apart."""
    rows = np.full((len(wide) - 1, len(MOTION)), np.nan)
    for place, elapsed in enumerate(np.diff(times)):
        if elapsed <= LONGEST:
            rows[place] = motion_row(wide[place], wide[place + 1], float(elapsed))
    return rows


def begun(rows: np.ndarray) -> np.ndarray:
    """Return motion (..., M - 1, 8) as (..., M, 8): 0 at the first moment, and wherever nothing is known."""
    first = np.zeros((*rows.shape[:-2], 1, rows.shape[-1]))
    return np.nan_to_num(np.concatenate([first, rows], axis=-2), nan=0.0)


def _one_draw(rng: np.random.Generator, augmentation: Augmentation) -> Draw:
    """Draw for all frames of a sequence; without noise and JPEG, which would stand still over it."""
    return Draw(int(rng.integers(2**31)), replace(augmentation, noise=0.0, jpeg=0.0, video=0.0))


def _encoder(rng: np.random.Generator) -> dict[str, Any]:
    crf, top, left = (int(v) for v in rng.integers((QUALITY[0], 0, 0), (QUALITY[1] + 1, 16, 16)))
    return {"crf": crf, "offset": (top, left)}


@dataclass(frozen=True)
class Looked:
    """What a frame network says of the N crops of a sequence.

    `features` (N, 2, D) float32 and `logits` (N, 2): of the crop as it is, and mirrored.
    """

    features: np.ndarray
    logits: np.ndarray

    @property
    def frame_logits(self) -> np.ndarray:
        """The (N,) logits as the product counts them in a clip: of the crops as they are."""
        return self.logits[:, 0]


class FrameFeatures:
    """Takes the features of sequences by a frozen frame network, and keeps them.

    Args:
        network: the frame network.
        folder: where the features are kept, one file a sequence and network.
    """

    def __init__(self, network: VisualNetwork, folder: Path) -> None:
        self.network = network
        self._folder = folder
        self._crops = Crops(network.framing)
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, sequence: FaceSequence) -> Looked:
        """Return what the network says of all crops of a sequence."""
        path = self._path(sequence, "frames")
        if not path.exists():
            parts = np.array_split(np.arange(len(sequence)), -(-len(sequence) // BATCH))
            answers = [self._both(self._crops.aligned(sequence, p, self.network.size)) for p in parts]
            _write(
                path,
                features=np.concatenate([a.features for a in answers]),
                logits=np.concatenate([a.logits for a in answers]),
            )
        with np.load(path) as kept:
            return Looked(kept["features"].astype(np.float32), kept["logits"])

    def self_blends(
        self,
        sequence: FaceSequence,
        count: int,
        *,
        length: int,
        rate: float = RATE,
        augmentation: Augmentation,
        seed: int,
        motion: bool = False,
    ) -> list[np.ndarray]:
        """Return `count` pairs of a real sequence and its self-blend, each (2, M, D): real, fake.

        With `motion` its eight numbers stand behind the features of each moment.
        """
        facts = (count, length, rate, augmentation, seed, *(("motion",) if motion else ()))
        key = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        path = self._path(sequence, f"blends-{key}")
        if not path.exists():
            pairs = {}
            for number in range(count):
                rng = np.random.default_rng((seed, number, *sequence.clip.encode()))
                chosen = draw_moments(sequence.times, rng, length=length, rate=rate)
                made = self._crops.self_blended(
                    sequence, chosen, rng, size=self.network.size, augmentation=augmentation
                )
                flat = self.network.infer(made.crops.reshape(-1, *made.crops.shape[2:])).embeddings
                pair = flat.reshape(2, len(chosen), -1)
                pairs[f"pair{number}"] = (
                    np.concatenate([pair, begun(made.motion())], axis=2) if motion else pair
                )
            _write(path, **pairs)
        with np.load(path) as kept:
            return [kept[f"pair{number}"].astype(np.float32) for number in range(count)]

    def motion(self, sequence: FaceSequence) -> np.ndarray:
        """Return how the face moved to each of the N crops from each of the `BACK` before: (N, BACK, 8).

        NaN where there is none before, or it lies too far back.
        """
        path = self._path(sequence, "motion")
        if not path.exists():
            wide = [
                wide_crop(self._crops.pixels(sequence, i), sequence.points[i]) for i in range(len(sequence))
            ]
            rows = np.full((len(sequence), BACK, len(MOTION)), np.nan)
            for back in range(1, BACK + 1):
                for i in range(back, len(sequence)):
                    pair = [i - back, i]
                    rows[i, back - 1] = _rows_between([wide[j] for j in pair], sequence.times[pair])[0]
            _write(path, motion=rows)
        with np.load(path) as kept:
            return kept["motion"].astype(np.float32)

    def _both(self, crops: np.ndarray) -> Looked:
        answers = [self.network.infer(pixels) for pixels in (crops, crops[:, :, ::-1])]
        return Looked(
            np.stack([a.embeddings for a in answers], axis=1), np.stack([a.logits for a in answers], axis=1)
        )

    def _path(self, sequence: FaceSequence, what: str) -> Path:
        file = sequence.archive.stat()
        place = (str(sequence.archive.resolve()), file.st_size, file.st_mtime_ns)
        face = (sequence.data_set, sequence.clip, sequence.person)
        facts = (self.network.card.sha256, place, face)
        return self._folder / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:24]}-{what}.npz"


def _write(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays, features in half precision, whole or not at all."""
    halved = {k: v if k == "logits" else v.astype(np.float16) for k, v in arrays.items()}
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez(file, **halved)  # type: ignore[arg-type]


def motion_of(rows: np.ndarray, chosen: np.ndarray, *, mirrored: bool) -> np.ndarray:
    """Return the motion to each chosen moment from the one chosen before: (M, 8), 0 where it is not known.

    Args:
        rows: (N, BACK, 8), as `FrameFeatures.motion` gives them.
        chosen: (M,) ascending places.
        mirrored: whether the crops are.
    """
    back = np.diff(chosen)
    known = back <= rows.shape[1]
    found = np.full((len(back), rows.shape[2]), np.nan)
    found[known] = rows[chosen[1:][known], back[known] - 1]
    if mirrored:
        found[:, SIDEWAYS] *= -1
    return begun(found)


def padded(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Join (M, D) arrays of different lengths to (N, T, D), and say what is none of the padding: (N, T)."""
    longest = max(len(array) for array in arrays)
    joined = np.zeros((len(arrays), longest, arrays[0].shape[1]), np.float32)
    mask = np.zeros((len(arrays), longest), bool)
    for place, array in enumerate(arrays):
        joined[place, : len(array)], mask[place, : len(array)] = array, True
    return joined, mask


def held(crops: np.ndarray, length: int) -> np.ndarray:
    """Return crops (M, H, W, 3) as exactly `length` of them: the last one is held."""
    return crops[np.minimum(np.arange(length), len(crops) - 1)]
