"""Joins tracks that measured likeness says are one person; in doubt they stay apart.

No network that recognises faces is at hand. The likeness is the classical one: histograms of uniform
local binary patterns of the aligned face (Ahonen et al. 2006, doi 10.1109/TPAMI.2006.244), averaged with
those of its mirror image, on the axes that best tell people apart (principal components, then linear
discriminants: Belhumeur et al. 1997, doi 10.1109/34.598228). The axes are learned by
`unmask.training.likeness` from photographs of public figures (LFW); a track's place on them is the mean
over its clear frames, and tracks are compared by the cosine of their places.

The threshold is meant for pieces of one film. Measured by `benchmarks/faces.py` on the first and last
third of the 53 `open` development clips, of 25 groups (people or source films) in two halves: 99.9 % of the
pairs of different groups stay below 0.572 in the harder half (10 groups), hence 0.57, which 2 of 768 pass.
The other half (15 groups) then joins 0 of 1,740 pairs of different groups and misses 2 of 31 pairs of one
clip. All together: 6 of 5,154 false joins (0.12 %; resampling the groups 0 to 0.8 %) and 3 of 52 missed
(6 %; 0 to 12 %). The half that did not give the threshold is the easier one: young women resemble each other
most, up to 0.59.

Two faces in one LFW photograph (263 pairs; same light, same camera) reach 0.41 at most. Between photographs
of different days it hardly ever joins: of LFW people that the axes were not learned from, 0 of 19,927
different pairs are joined and 97 % of 2,064 same ones are missed. Blur makes faces alike: of 6,000 pairs of
different people none passes 0.50 at a box of 64 px, 0.2 % at 32 px; hence `MIN_SIZE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from unmask.faces import align
from unmask.faces.face import Face
from unmask.media.events import Frame
from unmask.runtime.session import open_session

NETWORK = "likeness.onnx"
SIDE = 112
"""Width and height of the aligned face, framed by `align.TEMPLATE` as it is, in pixels."""
GRIDS = ((1, 9), (2, 7))
"""Radius of the patterns in pixels, and cells across the face in which they are counted."""
PATTERNS = 59
"""Kinds of pattern: 58 uniform ones (at most two changes round the circle), and all others."""
FEATURES = PATTERNS * sum(cells**2 for _, cells in GRIDS)
MIN_SIZE = 64.0
"""Smaller faces (longer side of the box, pixels) have no likeness: enlarged, they all look alike."""
MIN_FRONTALITY = 0.9
MAX_OCCLUSION = 0.1
EVERY = 0.5
"""Seconds between looks at the same track."""
LOOKS = 24
"""Looks at one track, at most."""
THRESHOLD = 0.57
"""Cosine from which two tracks are one person; see above."""


def features(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the (`FEATURES`,) float32 histograms of a face in an (H, W, 3) uint8 RGB picture.

    Each cell's histogram holds the square roots of shares that add up to 1, the mean of face and mirror
    image. `points` are the detector's five points.
    """
    face = align.warp(pixels, align.similarity(points, align.TEMPLATE), SIDE)
    return features_of_crop(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY))


def features_of_crop(grey: np.ndarray) -> np.ndarray:
    """Return the features of a (112, 112) uint8 aligned face; see `features`."""
    sides = [grey, grey[:, ::-1]]
    parts = [np.mean([_histograms(s, radius, cells) for s in sides], axis=0) for radius, cells in GRIDS]
    return np.concatenate(parts).astype(np.float32)


def _uniform() -> np.ndarray:
    """Return the kind of each of the 256 patterns: uniform ones in order, then 58 for the others."""
    kinds = np.full(256, PATTERNS - 1, np.uint8)
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    uniform = np.flatnonzero((bits != np.roll(bits, -1, axis=1)).sum(axis=1) <= 2)
    kinds[uniform] = np.arange(len(uniform))
    return kinds


_KINDS = _uniform()


def _histograms(grey: np.ndarray, radius: int, cells: int) -> np.ndarray:
    """Count patterns in `cells` x `cells` cells: (cells * cells * 59,) square roots of shares."""
    side = grey.shape[0] - 2 * radius
    centre = grey[radius:-radius, radius:-radius]
    ring = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    code = np.zeros((side, side), np.uint8)
    for bit, (row, column) in enumerate(ring):
        top, left = row * radius, column * radius
        neighbour = grey[top : top + side, left : left + side]
        code |= (neighbour >= centre).astype(np.uint8) << bit
    across = np.arange(side) * cells // side
    cell = across[:, None] * cells + across
    counts = np.bincount((cell * PATTERNS + _KINDS[code]).ravel(), minlength=cells**2 * PATTERNS)
    histograms = counts.reshape(cells**2, PATTERNS).astype(np.float64)
    return np.asarray(np.sqrt(histograms / histograms.sum(axis=1, keepdims=True)).ravel())


@dataclass
class Sighting:
    """What is remembered of a track: from when to when it was seen, and the sum of its looks.

    `total` is (D,), the sum over `looks` frames of the projected features; zero looks: no likeness.
    """

    first: float
    last: float
    looks: int = 0
    looked: float = field(default=-np.inf)
    total: np.ndarray | None = None

    @property
    def likeness(self) -> np.ndarray | None:
        """The (D,) likeness, of length 1; None when the face was never seen well enough."""
        if self.total is None:
            return None
        return np.asarray(self.total / max(float(np.linalg.norm(self.total)), 1e-12))


class Persons:
    """Looks at the tracks of one file as they pass, and says at the end which of them are one person.

    Args:
        threads: inference threads; 0 leaves the choice to the runtime.
        device: "auto", "cpu", "cuda", ... as in `unmask.runtime.session`.
    """

    def __init__(self, *, threads: int = 0, device: str = "auto") -> None:
        self._session = open_session(NETWORK, threads=threads, device=device)
        self._input = self._session.get_inputs()[0].name
        self._sightings: dict[int, Sighting] = {}

    def observe(self, frame: Frame, faces: Iterable[Face]) -> None:
        """See the faces that the tracker found in a frame."""
        time = 0.0 if frame.time is None else frame.time
        for face in faces:
            seen = self._sightings.setdefault(face.track, Sighting(time, time))
            seen.last = time
            if seen.looks < LOOKS and time - seen.looked >= EVERY and clear(face):
                seen.total = self.project(features(frame.pixels, face.detection.points)) + (
                    0 if seen.total is None else seen.total
                )
                seen.looks += 1
                seen.looked = time

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return the (D,) place of (`FEATURES`,) features on the axes that tell people apart."""
        answer = self._session.run(None, {self._input: values[None].astype(np.float32)})[0]
        return np.asarray(answer[0], np.float64)

    def likeness(self, track: int) -> np.ndarray | None:
        """Return the (D,) likeness of a track, of length 1; None when it was never seen well enough."""
        seen = self._sightings.get(track)
        return None if seen is None else seen.likeness

    def join(self) -> list[list[int]]:
        """Return the tracks of each person, persons by their first track."""
        return join_tracks(self._sightings)


def clear(face: Face) -> bool:
    """Say whether a face shows enough to be compared: found by the detector, large, frontal and whole."""
    q = face.quality
    sees = q.size >= MIN_SIZE and q.frontality >= MIN_FRONTALITY and q.occlusion <= MAX_OCCLUSION
    return sees and face.detection.score > 0


def join_tracks(sightings: Mapping[int, Sighting], *, threshold: float = THRESHOLD) -> list[list[int]]:
    """Group tracks into persons, the most alike first.

    Two groups are joined only if every track of the one resembles every track of the other (complete
    linkage). Tracks seen at the same time are different people, and a track without likeness is a person
    of its own.
    """
    groups = {track: [track] for track in sorted(sightings)}
    alike = _alike(sightings, threshold)
    for a, b in sorted(alike, key=lambda pair: (-alike[pair], pair)):
        one, other = groups[a], groups[b]
        if one is other or any((min(x, y), max(x, y)) not in alike for x in one for y in other):
            continue
        one.extend(other)
        groups |= dict.fromkeys(other, one)
    persons = {id(group): sorted(group) for group in groups.values()}
    return sorted(persons.values())


def _alike(sightings: Mapping[int, Sighting], threshold: float) -> dict[tuple[int, int], float]:
    """Return the cosines of the pairs of tracks, lower number first, that may be one person."""
    known = [(track, sightings[track]) for track in sorted(sightings) if sightings[track].total is not None]
    if not known:
        return {}
    tracks = [track for track, _ in known]
    likenesses = np.array([seen.likeness for _, seen in known])
    first = np.array([seen.first for _, seen in known])
    last = np.array([seen.last for _, seen in known])
    result = {}
    for i in range(len(known) - 1):
        cosines = likenesses[i + 1 :] @ likenesses[i]
        apart = (first[i + 1 :] > last[i]) | (last[i + 1 :] < first[i])
        for j in np.flatnonzero((cosines >= threshold) & apart):
            result[tracks[i], tracks[i + 1 + j]] = float(cosines[j])
    return result
