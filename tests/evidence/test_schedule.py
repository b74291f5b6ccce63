"""Which frames the tracker and the analysers see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.evidence.schedule import EPSILON, MAX_WAITING, MIN_LOOKS, Between, Spread, Ticks
from unmask.faces.face import Detection, Face, Quality
from unmask.media.events import Frame

TICKS = [k / 10 for k in range(2000)]
QUALITY = Quality(size=100, sharpness=100, frontality=1, exposure=120, occlusion=0)


def face(track=0, x=0.0, time=0.0):
    points = np.zeros((5, 2)) + x
    return Face(track, 0, time, Detection(np.array([x, 0, 10, 10.0]), points, 0.9), QUALITY)


def frame(time, index=0):
    return Frame(index, time, np.zeros((4, 4, 3), np.uint8), np.eye(2, 3))


def chosen(spread, times, faces=()):
    return [time for time in times if spread.choose(time, list(faces)) is not None]


def test_the_tracker_sees_ten_of_thirty_frames_a_second():
    ticks = Ticks(10.0)
    assert [k for k in range(12) if ticks.due(k / 30)] == [0, 3, 6, 9]


def test_a_slow_clip_shows_the_tracker_every_frame():
    ticks = Ticks(10.0)
    assert all(ticks.due(k / 8) for k in range(20))


def test_a_picture_is_always_seen():
    ticks = Ticks(10.0)
    assert ticks.due(None)
    assert Spread(4).choose(None, [face(3)])[0].track == 3


def test_samples_lie_at_the_beginnings_of_equal_parts():
    # three parts of 3.33 s: 0, 3.33, 6.67, each taken at the next tick
    assert chosen(Spread(3, length=10.0), TICKS[:100]) == [0.0, 3.4, 6.7]


def test_samples_begin_where_the_stretch_begins():
    assert chosen(Spread(2, start=100.0, length=10.0), TICKS[1000:1100]) == [100.0, 105.0]


def test_a_single_frame_is_a_sample_whatever_the_length():
    assert chosen(Spread(1, length=0.4), [0.0], [face()]) == [0.0]
    assert chosen(Spread(32, length=None), [0.04]) == [0.04]


def test_a_short_clip_gives_all_its_ticks_and_no_more():
    assert chosen(Spread(32, length=1.0), TICKS[:10]) == pytest.approx(TICKS[:10])


def test_without_a_duration_samples_get_rarer():
    # 0.3 s apart, twice as far after every second sample: 0, 0.3, 0.6 (0.6 s), 1.2, 1.8 (1.2 s), 3.0, ...
    times = chosen(Spread(2), TICKS[:150])
    assert times == pytest.approx([0.0, 0.3, 0.6, 1.2, 1.8, 3.0, 4.2, 6.6, 9.0, 13.8])


@given(st.integers(1, 60), st.floats(0.5, 190))
def test_a_clip_of_known_length_gives_the_wanted_number_or_all_ticks(count, length):
    # A tick within the tolerance of the end counts as the next stretch's first.
    ticks = [time for time in TICKS if time < length - EPSILON]
    samples = len(chosen(Spread(count, length=length), ticks))
    assert samples <= count
    assert samples >= min(count, len(ticks)) - max(1, count // 4)


def test_an_endless_stream_costs_the_logarithm_of_its_length():
    spread = Spread(8)
    assert len(chosen(spread, (k / 10 for k in range(360_000)))) < 8 * 16


def test_a_face_between_two_samples_is_looked_at_all_the_same():
    # samples at 0 and 100 s; the face shows from 10.0 to 19.9
    spread = Spread(2, length=200.0)
    looks = [t for t in TICKS if spread.choose(t, [face()] if 10 <= t < 20 else [])]
    assert len(looks) == MIN_LOOKS
    assert np.diff(looks) == pytest.approx(0.3)
    assert looks[0] == 10.0


def test_only_the_face_in_want_is_looked_at():
    spread = Spread(1, length=200.0)
    for time in TICKS[:50]:
        spread.choose(time, [face(0)])
    assert [f.track for f in spread.choose(5.0, [face(0), face(1)])] == [1]


def test_the_faces_of_frames_in_between_lie_on_the_straight_line():
    between = Between()
    assert [f.index for f, _ in between.tick(frame(0.0, 0), [face(0, x=0.0)])] == [0]
    assert list(between.wait(frame(0.025, 1))) == []
    assert list(between.wait(frame(0.05, 2))) == []
    given_out = list(between.tick(frame(0.1, 3), [face(0, x=10.0), face(1)]))
    assert [f.index for f, _ in given_out] == [1, 2, 3]
    assert [faces[0].detection.box[0] for _, faces in given_out] == pytest.approx([2.5, 5.0, 10.0])
    assert given_out[1][1][0].detection.points[4] == pytest.approx([5.0, 5.0])
    assert given_out[1][1][0].time == 0.05
    # the other face was not there before
    assert [len(faces) for _, faces in given_out] == [1, 1, 2]


def test_at_a_cut_waiting_frames_keep_their_faces_and_then_all_is_forgotten():
    between = Between()
    list(between.tick(frame(0.0), [face(0, x=3.0)]))
    list(between.wait(frame(0.05, 1)))
    held = list(between.cut())
    assert [faces[0].detection.box[0] for _, faces in held] == [3.0]
    list(between.wait(frame(0.09, 2)))
    assert [len(faces) for _, faces in between.tick(frame(0.1, 3), [face(1)])] == [0, 1]


def test_no_more_than_a_few_frames_ever_wait():
    between = Between()
    list(between.tick(frame(0.0), [face(0)]))
    out = [len(list(between.wait(frame(0.001 * k, k)))) for k in range(1, 100)]
    assert max(out) == MAX_WAITING + 1
    assert sum(out) >= 99 - MAX_WAITING
