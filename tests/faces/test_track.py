"""Tracks of real faces in scripted scenes, whose true places are known, and on real clips."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
import pytest
from scenes import Place, Sprite, background, paste, scene, sprites, whose
from skimage import data as samples

from unmask.faces import track as module
from unmask.faces.face import Detection
from unmask.faces.landmarks import Landmarker
from unmask.faces.track import Tracker
from unmask.media.events import Frame

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


@pytest.fixture
def tracker(detector, landmarker) -> Tracker:
    return Tracker(detector, landmarker)


@pytest.fixture(scope="module")
def heads(data_dir, detector) -> list[Sprite]:
    return sprites(data_dir, detector, 8)


@pytest.fixture(scope="module")
def astronaut(detector) -> np.ndarray:
    return np.ascontiguousarray(samples.astronaut()[:320])


def frame(pixels: np.ndarray, time: float | None = None, index: int = 0) -> Frame:
    return Frame(index=index, time=time, pixels=pixels, transform=IDENTITY)


def follow(
    tracker: Tracker,
    size: tuple[int, int],
    actors: list[tuple[Sprite, Callable[[float], Place | None]]],
    seconds: float,
) -> tuple[float, int, dict[int, set[int]]]:
    """Return the share of the shown faces that were found, false faces, and the actors on each track."""
    shown = hit = false = 0
    actors_of: dict[int, set[int]] = {}
    for picture, places in scene(size, actors, seconds):
        seen = set()
        for face in tracker.update(picture):
            actor = whose(face.detection.box, places)
            if actor is None:
                false += 1
            else:
                seen.add(actor)
                actors_of.setdefault(face.track, set()).add(actor)
        shown += sum(place is not None for place in places)
        hit += len(seen)
    return hit / shown, false, actors_of


def test_three_people_who_move_have_a_track_each(tracker, heads):
    recall, false, actors = follow(
        tracker,
        (960, 540),
        [
            (heads[0], lambda t: Place(150 + 60 * t, 150, 90)),
            (heads[1], lambda t: Place(480, 250 + 20 * t, 130)),
            (heads[2], lambda t: Place(800 - 100 * t, 420, 100)),
        ],
        2,
    )
    assert (recall, false) == (1.0, 0)
    assert sorted(actors.values(), key=min) == [{0}, {1}, {2}]


@pytest.mark.parametrize("first", [0, 2, 4, 6])
def test_two_people_who_cross_keep_their_tracks(tracker, heads, first):
    recall, false, actors = follow(
        tracker,
        (640, 360),
        [
            (heads[first], lambda t: Place(120 + 150 * t, 180, 110)),
            (heads[first + 1], lambda t: Place(520 - 150 * t, 185, 110)),
        ],
        2.7,
    )
    # While one covers the other, only one can be seen.
    assert recall > 0.9
    assert false == 0
    assert sorted(actors.values(), key=min) == [{0}, {1}]


def test_who_leaves_and_returns_gets_a_new_track(tracker, heads):
    def path(t: float) -> Place | None:
        return Place(320, 240, 150) if t < 0.8 or t >= 2.0 else None

    recall, false, actors = follow(tracker, (640, 480), [(heads[3], path)], 2.8)
    assert (recall, false) == (1.0, 0)
    assert actors == {0: {0}, 1: {0}}


def test_who_is_away_for_a_moment_keeps_the_track(tracker, heads):
    def path(t: float) -> Place | None:
        return None if 0.75 < t < 1.15 else Place(320 + 40 * t, 240, 150)

    recall, false, actors = follow(tracker, (640, 480), [(heads[3], path)], 2)
    assert (recall, false) == (1.0, 0)
    assert actors == {0: {0}}


@pytest.mark.parametrize("head", [0, 1, 3, 5])
def test_a_face_of_40_pixels_in_a_1080p_scene_is_followed(tracker, heads, head):
    recall, false, actors = follow(
        tracker, (1920, 1080), [(heads[head], lambda t: Place(300 + 60 * t, 400 + 10 * t, 40))], 0.4
    )
    assert (recall, false) == (1.0, 0)
    assert len(actors) == 1


def test_a_head_that_tilts_as_far_as_lying_down_is_followed(tracker, heads):
    recall, false, actors = follow(
        tracker, (480, 480), [(heads[5], lambda t: Place(240, 240, 150, 45 * t))], 2.1
    )
    assert recall > 0.95
    assert false == 0
    assert len(actors) == 1


@pytest.mark.parametrize("hidden", [0.2, 0.5])
def test_a_face_half_out_of_the_frame_is_found_and_called_so(tracker, heads, hidden):
    canvas = background((480, 360))
    paste(canvas, heads[6], Place(120 * (0.5 - hidden), 180, 150))
    (face,) = tracker.update(frame(canvas, 0.0))
    assert face.quality.occlusion == pytest.approx(hidden, abs=0.2)


def test_clutter_shows_no_face(tracker):
    for seed in range(5):
        canvas = background((640, 360), seed)
        assert tracker.update(frame(canvas, seed / 10)) == []


def test_a_cut_ends_all_tracks(tracker, astronaut):
    (first,) = tracker.update(frame(astronaut, 0.0))
    (same,) = tracker.update(frame(astronaut, 0.1))
    tracker.cut()
    (other,) = tracker.update(frame(astronaut, 0.2))
    assert first.track == same.track
    assert other.track != first.track


def test_time_that_runs_backwards_ends_all_tracks(tracker, astronaut):
    (first,) = tracker.update(frame(astronaut, 5.0))
    (other,) = tracker.update(frame(astronaut, 1.0))
    assert other.track != first.track


def test_pictures_are_on_their_own(tracker, astronaut):
    (first,) = tracker.update(frame(astronaut))
    (other,) = tracker.update(frame(astronaut))
    assert first.time is None
    assert other.track != first.track


def test_a_face_in_a_tight_crop_is_found(tracker, astronaut):
    # Neither forehead nor chin: from the brows to the lower lip.
    tight = np.ascontiguousarray(astronaut[84:160, 186:264])
    (face,) = tracker.update(frame(tight))
    # The eyes lie at (203, 101) and (246, 103) of the whole picture.
    np.testing.assert_allclose(face.detection.points[:2], [[17, 17], [60, 19]], atol=7)


def test_landmarks_come_on_demand_and_change_nothing_else(detector, landmarker, astronaut):
    with_mesh, without = Tracker(detector, landmarker), Tracker(detector, landmarker)
    for i in range(3):
        shifted = np.roll(astronaut, 4 * i, axis=1)
        (rich,) = with_mesh.update(frame(shifted, i / 10), landmarks=True)
        (plain,) = without.update(frame(shifted, i / 10))
        assert plain.landmarks is plain.blendshapes is plain.pose is None
        assert rich.landmarks.shape == (478, 3)
        assert rich.blendshapes.shape == (52,)
        assert abs(rich.pose.yaw) < 30
        np.testing.assert_array_equal(rich.detection.box, plain.detection.box)
        assert rich.quality == plain.quality
        assert rich.track == plain.track


class Scripted:
    """A detector that says what it is told, whatever it is shown."""

    def __init__(self, answers: Sequence[list[Detection]]) -> None:
        self.answers = list(answers)

    def detect(self, pixels: np.ndarray, **_: object) -> list[Detection]:
        if pixels.shape[:2] == (module.NEAR_SIDE, module.NEAR_SIDE):
            return []
        return self.answers.pop(0)

    def detect_picture(self, pixels: np.ndarray, **_: object) -> list[Detection]:
        return []


def test_the_mesh_carries_a_face_that_the_detector_loses_and_not_for_long(
    detector, landmarker: Landmarker, astronaut
):
    (found,) = detector.detect(astronaut)
    tracker = Tracker(Scripted([[found]] + [[]] * 9), landmarker)  # type: ignore[arg-type]
    seen = [tracker.update(frame(astronaut, i / 10)) for i in range(10)]
    # Found at 0 s, then carried for CARRY seconds, then given up although the face is there.
    assert [len(faces) for faces in seen] == [1] * 4 + [0] * 6
    (carried,) = seen[2]
    assert carried.detection.score == 0
    eyes = np.linalg.norm(found.points[0] - found.points[1])
    assert np.linalg.norm(carried.detection.points - found.points, axis=1).max() < 0.2 * eyes


def test_unsure_detections_need_the_mesh_and_sure_ones_do_not(landmarker):
    canvas = background((320, 240))
    points = np.array([[90, 90], [130, 90], [110, 110], [95, 130], [125, 130]], np.float32)
    box = np.array([70, 60, 80, 100], np.float32)
    for score, faces in ((0.7, 0), (0.9, 1), (0.5, 0)):
        tracker = Tracker(Scripted([[Detection(box, points, score)]]), landmarker)  # type: ignore[arg-type]
        assert len(tracker.update(frame(canvas, 0.0))) == faces


def test_a_detection_within_a_surer_one_is_no_face_of_its_own(landmarker):
    canvas = background((320, 240))
    points = np.array([[90, 90], [130, 90], [110, 110], [95, 130], [125, 130]], np.float32)
    whole = Detection(np.array([70, 60, 80, 100], np.float32), points, 0.9)
    part = Detection(np.array([80, 70, 40, 50], np.float32), points / 2 + 30, 0.85)
    tracker = Tracker(Scripted([[part, whole]]), landmarker)  # type: ignore[arg-type]
    (face,) = tracker.update(frame(canvas, 0.0))
    assert face.detection is whole


def test_a_real_clip_with_one_person_has_one_track(tracker, clips_dir):
    seen, tracks = [], set()
    with av.open(str(clips_dir / "talking_d3.mp4")) as container:
        stream = container.streams.video[0]
        for index, picture in enumerate(container.decode(stream)):
            if index % 3 == 0:
                time = float(picture.pts * (stream.time_base or Fraction(1)))
                faces = tracker.update(frame(picture.to_ndarray(format="rgb24"), time, index))
                seen.append(len(faces))
                tracks |= {face.track for face in faces}
            if index > 90:
                break
    assert seen == [1] * len(seen)
    assert len(tracks) == 1


class Doubtful:
    """A detector that finds what the real one finds, and is never sure of it."""

    def __init__(self, detector, score: float) -> None:
        self._detector, self._score = detector, score

    def detect(self, pixels: np.ndarray, *, threshold: float = 0.6, **_) -> list[Detection]:
        found = self._detector.detect(pixels)
        return [Detection(d.box, d.points, self._score) for d in found if self._score > threshold]

    detect_picture = detect


def test_a_faint_face_is_taken_in_a_picture_where_the_mesh_is_present(detector, landmarker, astronaut):
    def found(score: float, time: float | None) -> int:
        return len(Tracker(Doubtful(detector, score), landmarker).update(frame(astronaut, time)))

    assert found(0.4, None) == 1
    # In a clip other frames will show it better.
    assert found(0.4, 0.0) == 0
    assert found(0.25, None) == 0
