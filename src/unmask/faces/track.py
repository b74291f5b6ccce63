"""Follows each face from frame to frame, so that evidence can be gathered per track.

Three times a second, and whenever a face is missing, the whole frame is searched by the detector; what it
finds is matched with the living tracks by overlap, motion and look (assignment: Kuhn 1955, as in SORT,
Bewley et al. 2016, 1602.00763). In between, each face is looked for nearby, in an upright crop, which
costs a quarter. A track that the search of the frame lost is looked for nearby too; if that fails, the
face mesh may carry it for a moment. Nothing of a frame is kept but a few numbers per track.

What becomes a track: a detection that overlaps no other face, with a score of at least 0.6 (0.3 in a picture
that shows no surer one), in whose crop the face mesh is present (`landmarks.PRESENCE`) or whose score is at
least 0.85 (of 5,066 LFW faces 99.9 % have more). On the 53 `open` development clips (`benchmarks/faces.py`)
a face is followed in 4,030 of 4,038 frames, one track in each clip; at 0.8 a hairy film creature in an inset
was a second.

Reach: faces 40 px high pasted into cluttered 1080p scenes are found in the first frame in 80 of 80 LFW heads
and 72 of 80 portraits (many of these oddly lit or cropped), 30 px high in 71 and 56, with no false face. New
faces are found up to a tilt of 45 degrees, about half of them at 75; a followed face may tilt further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np

from unmask.faces import align, quality
from unmask.faces.detect import SEARCH_SIDE, THRESHOLD, Detector
from unmask.faces.face import Detection, Face
from unmask.faces.landmarks import (
    PRESENCE,
    Landmarker,
    Square,
    detection_of_landmarks,
    square_of_detection,
)
from unmask.faces.pose import head_pose
from unmask.media.events import Frame

WEAK_THRESHOLD = 0.4
"""Score from which a detection continues a track; a new one needs `detect.THRESHOLD`."""
FAINT_THRESHOLD = 0.3
"""Score from which a face is taken in a picture that shows none surer, if the mesh is present in it. Of 195
training pictures without a surer face this finds 55; those looked at are faces, most of them broken swaps."""
SURE_SCORE = 0.85
"""Score from which a detection starts a track without the mesh's consent (profiles: the mesh misses them)."""
PATIENCE = 0.7
"""Seconds without a sight of the face after which its track has ended."""
CARRY = 0.35
"""Seconds for which the mesh alone may carry a face that the detector does not find."""
REFUSED_FOR = 0.5
"""Seconds for which a refused detection is not examined again at the same place."""
SAME_PLACE = 0.3
"""Overlap (intersection over union) from which two boxes are held to be one face."""
INSIDE = 0.7
"""Share of the smaller box within the larger from which the less sure one is held to be part of a face."""
SEARCH_EVERY = 0.5
"""Seconds between searches of the whole frame while every known face is found nearby."""
FOLLOWED = 3
"""With more faces than this, a search of the whole frame costs less than one near each."""
WIDE_EVERY = 1.0
"""Seconds between searches at full effort while no face is known."""
NEAR_SIDE = 192
"""Side in pixels of the crop in which a lost face is looked for."""
NEAR_SCALE = 2.4
"""Side of that crop in longer sides of the box last seen."""
FINE_SIDE = 40
"""A face that measures less than this in the searched picture is located again, in an enlarged crop."""
LOOK_SIDE = 24
"""Side in pixels of the crop by which looks are compared."""
LOOK_MEMORY = 0.8
"""Weight of the earlier looks of a track against the new one."""
SIZE_JUMP = 1.5
"""Factor by which a face may change its size at once; it doubles with each second out of sight."""
GATE = 1.2
"""Costs above this are no match. The cost is 0 for the same place, size and look; see `_cost`."""


@dataclass
class _Track:
    """What is remembered of a face: where it was last seen, how it moves, and what it looks like."""

    number: int
    detection: Detection
    look: np.ndarray
    time: float
    """When it was last seen, by detector or mesh."""
    found: float
    """When the detector last found it."""
    velocity: np.ndarray
    """Pixels per second of the centre."""

    def ahead(self, time: float) -> np.ndarray:
        """Return the (2,) shift in pixels to be expected since it was last seen, damped over gaps."""
        elapsed = max(0.0, time - self.time)
        return np.asarray(self.velocity * min(elapsed, PATIENCE / 2))

    def see(self, detection: Detection, look: np.ndarray | None, time: float) -> None:
        """Take note of where the face is now; without `look`, its look stays as it was."""
        elapsed = time - self.time
        if elapsed > 0:
            moved = (_centre(detection.box) - _centre(self.detection.box)) / elapsed
            self.velocity = 0.5 * self.velocity + 0.5 * moved
        if look is not None:
            self.look = LOOK_MEMORY * self.look + (1 - LOOK_MEMORY) * look
            self.found = time
        self.detection = detection
        self.time = time


class Tracker:
    """Finds and follows the faces of one file, frame after frame, in order.

    A frame without time is a picture of its own: it is searched with all effort, and each face is a track.
    Whether landmarks are asked for never changes what is found.
    """

    def __init__(self, detector: Detector, landmarker: Landmarker) -> None:
        self._detector = detector
        self._landmarker = landmarker
        self._tracks: list[_Track] = []
        self._refused: list[tuple[float, np.ndarray]] = []
        self._next = 0
        self._wide_at: float | None = None
        self._searched = -np.inf

    def cut(self) -> None:
        """End all tracks: the next frame belongs to another shot."""
        self._tracks = []
        self._refused = []
        self._wide_at = None

    def update(self, frame: Frame, *, landmarks: bool = False) -> list[Face]:
        """Return the faces seen in a frame, by track number.

        Args:
            frame: the next frame; times must not run backwards (a step back ends all tracks).
            landmarks: whether landmarks, blendshapes and pose are wanted; they stay None where the mesh
                does not hold (presence below `landmarks.PRESENCE`).

        A face that only the mesh saw has a detection with score 0 and points derived from the landmarks.
        """
        time = 0.0 if frame.time is None else frame.time
        if frame.time is None or any(time < track.time for track in self._tracks):
            self.cut()
        self._tracks = [track for track in self._tracks if time - track.time <= PATIENCE]
        self._refused = [entry for entry in self._refused if entry[0] > time]
        followed = self._follow(frame, time)
        if followed is not None:
            return self._faces(frame, [(track, None) for track in followed], landmarks)
        self._searched = time
        found = _distinct(self._search(frame, time))
        looks = [_look(frame.pixels, detection) for detection in found]
        pairs = self._match(found, looks, time)
        seen: list[tuple[_Track, np.ndarray | None]] = []
        for track, index in pairs:
            track.see(found[index], looks[index], time)
            seen.append((track, None))
        matched = {track.number for track, _ in pairs}
        for track in [track for track in self._tracks if track.number not in matched]:
            kept = self._recover(track, frame.pixels, [other.detection for other, _ in seen], time)
            if kept is not None:
                seen.append((track, kept if kept.size else None))
        taken = {index for _, index in pairs}
        for index in (i for i in range(len(found)) if i not in taken):
            others = [track.detection for track, _ in seen]
            least = FAINT_THRESHOLD if frame.time is None else THRESHOLD
            if self._may_start(found[index], frame.pixels, others, time, least=least):
                seen.append((self._start(found[index], looks[index], time), None))
        seen.sort(key=lambda pair: pair[0].number)
        return self._faces(frame, seen, landmarks)

    def _follow(self, frame: Frame, time: float) -> list[_Track] | None:
        """Find every known face near where it was; None where the whole frame must be searched.

        That is when the last search lies back, when no face or many are known, when one is missing, or
        when two are so close that one might be taken for the other.
        """
        due = time - self._searched > SEARCH_EVERY - 1e-6
        if due or not 0 < len(self._tracks) <= FOLLOWED or self._are_close():
            return None
        seen: list[tuple[Detection, np.ndarray]] = []
        for track in self._tracks:
            where = _centre(track.detection.box) + track.ahead(time)
            best = self._nearest(track, frame.pixels, where, [detection for detection, _ in seen], time)
            if best is None:
                return None
            seen.append(best)
        for track, (detection, look) in zip(self._tracks, seen, strict=True):
            track.see(detection, look, time)
        return list(self._tracks)

    def _are_close(self) -> bool:
        """Say whether any face lies in the crop in which another is looked for."""
        boxes = [track.detection.box for track in self._tracks]
        return any(
            np.abs(_centre(a) - _centre(b)).max() < NEAR_SCALE * max(a[2:].max(), b[2:].max())
            for a, b in combinations(boxes, 2)
        )

    def _search(self, frame: Frame, time: float) -> list[Detection]:
        """Return the detections in a frame, small faces located finely."""
        weak = THRESHOLD if frame.time is None else WEAK_THRESHOLD
        found = self._detector.detect(frame.pixels, threshold=weak)
        sure = any(detection.score >= THRESHOLD for detection in found)
        if not sure and not self._tracks and (self._wide_at is None or time >= self._wide_at):
            self._wide_at = time + WIDE_EVERY
            found = self._detector.detect_picture(frame.pixels)
            if not found and frame.time is None:
                found = self._detector.detect_picture(frame.pixels, threshold=FAINT_THRESHOLD)
        reduction = min(1.0, SEARCH_SIDE / max(frame.pixels.shape[:2]))
        return [
            self._finer(detection, frame.pixels)
            if reduction < 1 and detection.box[2:].max() * reduction < FINE_SIDE
            else detection
            for detection in found
        ]

    def _finer(self, detection: Detection, pixels: np.ndarray) -> Detection:
        """Locate a small face again at a size that suits the detector; the score stays the first one."""
        nearby = self._look_near(pixels, detection, _centre(detection.box))
        best = max(nearby, key=lambda d: _overlap(d.box, detection.box), default=None)
        if best is None or _overlap(best.box, detection.box) < SAME_PLACE:
            return detection
        return Detection(best.box, best.points, max(detection.score, best.score))

    def _match(
        self, found: Sequence[Detection], looks: Sequence[np.ndarray], time: float
    ) -> list[tuple[_Track, int]]:
        """Pair tracks with detections at the least total cost."""
        if not found or not self._tracks:
            return []
        costs = np.array(
            [[_cost(t, d, k, time) for d, k in zip(found, looks, strict=True)] for t in self._tracks]
        )
        rows, columns = _assign(np.minimum(costs, 10 * GATE))
        return [
            (self._tracks[row], int(column))
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] <= GATE
        ]

    def _recover(
        self, track: _Track, pixels: np.ndarray, others: Sequence[Detection], time: float
    ) -> np.ndarray | None:
        """Look for a lost face where it should be; None when it is not there.

        Returns its landmarks when the mesh carried it, an empty array when the detector found it.
        """
        where = _centre(track.detection.box) + track.ahead(time)
        height, width = pixels.shape[:2]
        if not (0 <= where[0] < width and 0 <= where[1] < height):
            return None
        best = self._nearest(track, pixels, where, others, time)
        if best is not None:
            track.see(*best, time)
            return np.empty(0)
        if time - track.found > CARRY:
            return None
        square = square_of_detection(track.detection)
        shift = track.ahead(time)
        moved = Square((square.centre[0] + shift[0], square.centre[1] + shift[1]), square.side, square.angle)
        landmarks, presence = self._landmarker.mesh(pixels, moved)
        if presence < PRESENCE:
            return None
        carried = detection_of_landmarks(landmarks)
        if _clashes(carried, others) or _cost(track, carried, _look(pixels, carried), time) > GATE:
            return None
        track.see(carried, None, time)
        return landmarks

    def _nearest(
        self, track: _Track, pixels: np.ndarray, where: np.ndarray, others: Sequence[Detection], time: float
    ) -> tuple[Detection, np.ndarray] | None:
        """Return the track's face and look as the detector finds them near `where`, apart from `others`."""
        nearby = [
            (_cost(track, d, look, time), d, look)
            for d in self._look_near(pixels, track.detection, where)
            if not _clashes(d, others)
            for look in [_look(pixels, d)]
        ]
        best = min(nearby, key=lambda entry: entry[0], default=None)
        return best[1:] if best is not None and best[0] <= GATE else None

    def _look_near(self, pixels: np.ndarray, last: Detection, where: np.ndarray) -> list[Detection]:
        """Search an upright crop round `where`, sized by the face last seen; return picture coordinates."""
        right, left = last.points[0], last.points[1]
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        side = NEAR_SCALE * max(float(last.box[2:].max()), 1.0)
        matrix = Square((float(where[0]), float(where[1])), side, angle).matrix(NEAR_SIDE)
        crop = align.warp(pixels, matrix, NEAR_SIDE)
        inverse = cv2.invertAffineTransform(matrix)
        return [_carry(d, inverse) for d in self._detector.detect(crop, threshold=WEAK_THRESHOLD)]

    def _may_start(
        self,
        detection: Detection,
        pixels: np.ndarray,
        others: Sequence[Detection],
        time: float,
        *,
        least: float,
    ) -> bool:
        if detection.score < least or _clashes(detection, others):
            return False
        if detection.score >= SURE_SCORE:
            return True
        if any(_overlap(detection.box, box) > SAME_PLACE for _, box in self._refused):
            return False
        if self._landmarker.mesh(pixels, detection)[1] >= PRESENCE:
            return True
        self._refused.append((time + REFUSED_FOR, detection.box))
        return False

    def _start(self, detection: Detection, look: np.ndarray, time: float) -> _Track:
        track = _Track(self._next, detection, look, time, time, np.zeros(2))
        self._next += 1
        self._tracks.append(track)
        return track

    def _faces(
        self, frame: Frame, seen: Sequence[tuple[_Track, np.ndarray | None]], landmarks: bool
    ) -> list[Face]:
        """Describe the tracks seen; the mesh runs where asked for, and where the frame's edge may cut."""
        meshes = {track.number: carried for track, carried in seen if carried is not None}
        wanted = [
            track
            for track, carried in seen
            if carried is None and (landmarks or quality.meets_edge(frame.pixels, track.detection))
        ]
        points, presence = self._landmarker.meshes(frame.pixels, [track.detection for track in wanted])
        meshes |= {t.number: m for t, m, p in zip(wanted, points, presence, strict=True) if p >= PRESENCE}
        return [self._face(frame, track, meshes.get(track.number), landmarks) for track, _ in seen]

    def _face(self, frame: Frame, track: _Track, mesh: np.ndarray | None, landmarks: bool) -> Face:
        extent = None
        if mesh is not None and quality.meets_edge(frame.pixels, track.detection):
            extent = detection_of_landmarks(mesh).box
        given = mesh if landmarks else None
        return Face(
            track=track.number,
            frame_index=frame.index,
            time=frame.time,
            detection=track.detection,
            quality=quality.measure(frame.pixels, track.detection, extent=extent),
            landmarks=given,
            blendshapes=None if given is None else self._landmarker.blendshapes(given),
            pose=None if given is None else head_pose(given),
        )


def _assign(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the assignment with the least total cost."""
    if 1 in costs.shape:
        row, column = np.unravel_index(np.argmin(costs), costs.shape)
        return np.array([row]), np.array([column])
    # Loaded where it is needed: it takes a third of a second, and most files show one face.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(costs)
    return rows, columns


def _centre(box: np.ndarray) -> np.ndarray:
    return np.asarray(box[:2] + box[2:] / 2, np.float64)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two boxes (x, y, width, height)."""
    shared = _shared(a, b)
    union = float(a[2] * a[3] + b[2] * b[3]) - shared
    return shared / union if union > 0 else 0.0


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    return float(np.prod(np.maximum(high - low, 0)))


def _clashes(detection: Detection, others: Sequence[Detection]) -> bool:
    """Say whether a detection is one of the other faces, or part of one."""
    box = detection.box
    for other in others:
        smaller = min(float(np.prod(box[2:])), float(np.prod(other.box[2:])))
        if _overlap(box, other.box) > SAME_PLACE or _shared(box, other.box) > INSIDE * smaller:
            return True
    return False


def _distinct(found: Sequence[Detection]) -> list[Detection]:
    """Drop detections that lie within a surer one."""
    kept: list[Detection] = []
    for detection in sorted(found, key=lambda d: -d.score):
        if not _clashes(detection, kept):
            kept.append(detection)
    return kept


def _carry(detection: Detection, matrix: np.ndarray) -> Detection:
    """Carry a detection through a (2, 3) similarity; its box stays upright and keeps its proportions."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    centre = matrix[:, :2] @ _centre(detection.box) + matrix[:, 2]
    size = np.asarray(detection.box[2:], np.float64) * scale
    points = detection.points @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([centre - size / 2, size])
    return Detection(box.astype(np.float32), points.astype(np.float32), detection.score)


def _look(pixels: np.ndarray, detection: Detection) -> np.ndarray:
    """Return a small aligned likeness: the pattern of the crop, without mean and contrast, and its colour."""
    crop = align.crop(pixels, detection.points, size=LOOK_SIDE).astype(np.float64)
    grey = crop.mean(axis=2)
    pattern = (grey - grey.mean()) / (grey.std() + 4.0)
    colour = (crop.mean(axis=(0, 1)) - 128.0) / 32.0
    return np.concatenate([pattern.ravel() / LOOK_SIDE, colour])


def _cost(track: _Track, detection: Detection, look: np.ndarray, time: float) -> float:
    """Return how unlike a detection is to a track: distance from the expected place, size, and look.

    The distance is in longer sides of the box and counts less the longer the face was out of sight, the
    size is the logarithm of the ratio (infinite beyond `SIZE_JUMP`), the look half the squared difference
    of patterns and of colours.
    """
    size = float(track.detection.box[2:].max())
    place = _centre(track.detection.box) + track.ahead(time)
    reach = 1.0 + 2.0 * max(0.0, time - track.time)
    distance = float(np.linalg.norm(_centre(detection.box) - place)) / (max(size, 1.0) * reach)
    ratio = abs(float(np.log(max(float(detection.box[2:].max()), 1.0) / max(size, 1.0))))
    if ratio > np.log(SIZE_JUMP) + np.log(2.0) * max(0.0, time - track.time):
        return float("inf")
    difference = float(((track.look - look) ** 2).sum()) / 2
    return distance + ratio / 2 + min(difference, 1.0) / 2
