"""Likeness: facts of the histograms, the rules of joining by hand, and real people."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import Place as At
from scenes import Sprite, background, paste, sprites
from skimage.feature import local_binary_pattern

from unmask.faces.face import Detection, Face, Quality
from unmask.faces.persons import (
    FEATURES,
    GRIDS,
    PATTERNS,
    Persons,
    Sighting,
    clear,
    features_of_crop,
    join_tracks,
)
from unmask.faces.track import Tracker
from unmask.media.events import Frame

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def seen(first: float, last: float, *likeness: float) -> Sighting:
    total = np.array(likeness) if likeness else None
    return Sighting(first, last, looks=int(bool(likeness)), total=total)


def frame(pixels: np.ndarray, time: float | None) -> Frame:
    return Frame(0, time, pixels, IDENTITY)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (112, 112)).astype(np.uint8)


def test_each_histogram_holds_shares_that_add_up_to_one(grey):
    values = features_of_crop(grey)
    assert values.shape == (FEATURES,)
    cells = (values[: 81 * PATTERNS].reshape(81, PATTERNS) ** 2).sum(axis=1)
    # The mean of two square-rooted histograms is shorter than either, unless they are equal.
    assert (cells <= 1 + 1e-6).all()
    symmetric = np.concatenate([grey[:, :56], grey[:, 55::-1]], axis=1)
    middle = (features_of_crop(symmetric)[: 81 * PATTERNS].reshape(9, 9, PATTERNS)[:, 4] ** 2).sum(axis=1)
    assert (middle > 0.9).all()


def test_a_mirror_image_has_the_same_features(grey):
    np.testing.assert_allclose(features_of_crop(grey[:, ::-1]), features_of_crop(grey), atol=1e-6)


def test_brighter_and_steeper_light_changes_nothing(grey):
    dim = (grey // 4).astype(np.uint8)
    bright = (dim.astype(int) * 3 + 40).astype(np.uint8)
    np.testing.assert_array_equal(features_of_crop(bright), features_of_crop(dim))


def test_an_even_crop_has_one_pattern_only():
    values = features_of_crop(np.full((112, 112), 77, np.uint8)).reshape(-1, PATTERNS)
    # Every neighbour is at least as bright as the centre: the pattern of eight ones, the last uniform one.
    np.testing.assert_allclose(values[:, PATTERNS - 2], 1.0)


def test_the_share_of_uniform_patterns_is_that_of_scikit_image(grey):
    # scikit-image samples the ring on a circle; of the square ring of radius 1 the four straight neighbours
    # are the same. Compare on a picture whose rows are even, where the sampling does not matter.
    rows = np.repeat(grey[:, :1], 112, axis=1)
    ours = features_of_crop(rows).reshape(-1, PATTERNS)[:81] ** 2
    theirs = local_binary_pattern(rows, 8, 1, method="nri_uniform")[1:-1, 1:-1]
    others = np.mean(theirs == PATTERNS - 1)
    assert np.mean(ours[:, PATTERNS - 1]) == pytest.approx(others, abs=0.02)


def test_grids_match_the_feature_count():
    assert FEATURES == 59 * (81 + 49) == 7670
    assert GRIDS == ((1, 9), (2, 7))


def test_tracks_that_are_alike_are_one_person():
    tracks = {0: seen(0, 1, 1, 0), 1: seen(2, 3, 0, 1), 2: seen(4, 5, 0.9, 0.1)}
    assert join_tracks(tracks, threshold=0.8) == [[0, 2], [1]]


def test_tracks_seen_at_the_same_time_are_different_people():
    assert join_tracks({0: seen(0, 2, 1, 0), 1: seen(2, 3, 1, 0)}, threshold=0.8) == [[0], [1]]


def test_two_pictures_of_a_face_in_one_picture_are_two_people():
    assert join_tracks({0: seen(0, 0, 1, 0), 1: seen(0, 0, 1, 0)}, threshold=0.8) == [[0], [1]]


def test_a_track_without_likeness_stays_alone():
    assert join_tracks({0: seen(0, 1, 1, 0), 1: seen(2, 3), 2: seen(4, 5)}, threshold=0.0) == [[0], [1], [2]]


def test_every_track_of_a_person_must_resemble_every_other():
    # At 0, 30 and 60 degrees: neighbours have cosine 0.866, the outer two 0.5. The nearest join first.
    angles = np.radians([0, 30, 59])
    tracks = {i: seen(2 * i, 2 * i + 1, np.cos(a), np.sin(a)) for i, a in enumerate(angles)}
    assert join_tracks(tracks, threshold=0.8) == [[0], [1, 2]]


def test_who_was_seen_beside_one_of_them_cannot_be_the_person():
    tracks = {0: seen(0, 1, 1, 0), 1: seen(2, 4, 1, 0), 2: seen(3, 5, 1, 0)}
    joined = join_tracks(tracks, threshold=0.8)
    assert [1, 2] not in joined
    assert all(not {1, 2} <= set(group) for group in joined)


def test_no_tracks_no_persons():
    assert join_tracks({}) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5), st.floats(0, 6.28)), max_size=8))
def test_persons_divide_the_tracks_and_never_hold_two_at_once(entries):
    tracks = {
        i: seen(start, start + length, np.cos(angle), np.sin(angle))
        for i, (start, length, angle) in enumerate(entries)
    }
    persons = join_tracks(tracks, threshold=0.7)
    assert sorted(track for person in persons for track in person) == sorted(tracks)
    for person in persons:
        for a in person:
            for b in person:
                if a < b:
                    one, other = tracks[a], tracks[b]
                    assert one.last < other.first or other.last < one.first
                    assert one.likeness @ other.likeness >= 0.7 - 1e-9


@pytest.mark.parametrize(
    ("size", "frontality", "occlusion", "score", "result"),
    [
        (100, 1.0, 0.0, 0.9, True),
        (40, 1.0, 0.0, 0.9, False),
        (100, 0.5, 0.0, 0.9, False),
        (100, 1.0, 0.5, 0.9, False),
        (100, 1.0, 0.0, 0.0, False),
    ],
)
def test_only_clear_faces_are_compared(size, frontality, occlusion, score, result):
    detection = Detection(np.zeros(4), np.zeros((5, 2)), score)
    assert clear(Face(0, 0, 0.0, detection, Quality(size, 9.0, frontality, 99.0, occlusion))) is result


def test_a_person_who_leaves_and_returns_is_joined_and_another_is_not(data_dir, detector, landmarker):
    one, other = sprites(data_dir, detector, 2)
    tracker, persons = Tracker(detector, landmarker), Persons(threads=1)
    clutter = background((480, 360))
    shots: list[tuple[Sprite, At]] = [
        (one, At(150, 180, 140)),
        (other, At(240, 180, 150)),
        (one, At(300, 190, 130)),
    ]
    for number, (head, place) in enumerate(shots):
        canvas = clutter.copy()
        paste(canvas, head, place)
        tracker.cut()
        for tick in range(2):
            picture = frame(canvas, number + tick / 10)
            persons.observe(picture, tracker.update(picture))
    assert persons.join() == [[0, 2], [1]]


# A woman and a man, of each the beginning and a later piece of an open clip, as if cut into one film.
def test_pieces_of_clips_are_joined_by_person(clips_dir, detector, landmarker):
    tracker, persons = Tracker(detector, landmarker), Persons(threads=1)
    time = 0.0
    who: dict[int, str] = {}
    for clip in ("talking_d3", "talking_d19"):
        with av.open(str(clips_dir / f"{clip}.mp4")) as container:
            for number, picture in enumerate(container.decode(video=0)):
                if number in (0, 80):
                    tracker.cut()
                if number in (0, 6, 12, 80, 86, 92):
                    time += 0.3
                    shown = frame(picture.to_ndarray(format="rgb24"), time)
                    faces = tracker.update(shown)
                    persons.observe(shown, faces)
                    who |= {face.track: clip for face in faces}
                if number > 92:
                    break
    groups = persons.join()
    assert len(who) == 4
    assert [{who[track] for track in group} for group in groups] == [{"talking_d3"}, {"talking_d19"}]
