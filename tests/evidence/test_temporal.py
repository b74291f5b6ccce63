"""The temporal analyser on clips made of one photograph, manipulated for a known stretch."""

from __future__ import annotations

import gc
import weakref
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from unmask.evidence.registry import Options, create
from unmask.evidence.temporal import Temporal, explained_by_light
from unmask.faces.face import Detection, Face, Quality
from unmask.faces.motion import wide_crop
from unmask.media.events import Cut, Frame, Gap, Media

ASTRONAUT = data.astronaut()[:256, 96:352]
POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64) - [96, 0]
"""Eyes, nose and mouth corners, read off the picture."""
FACE = (slice(85, 155), slice(95, 160))
OTHER = cv2.GaussianBlur(ASTRONAUT[FACE][:, ::-1].astype(np.float32) * [0.7, 0.9, 1.0], (0, 0), 3)


def face(track=0, time=0.0, *, size=90.0, exposure=120.0, points=POINTS):
    quality = Quality(size=size, sharpness=100, frontality=1, exposure=exposure, occlusion=0)
    return Face(track, 0, time, Detection(np.array([95.0, 70, 65, 90]), points, 0.9), quality)


def moving(count, rate):
    """The photograph swaying by some pixels and trembling by noise: (time, pixels, points)."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2, (5, 256, 256, 3)).round().astype(np.int16)
    for k in range(count):
        time = k / rate
        shift = np.array([4 * np.sin(2 * np.pi * 0.7 * time), 2 * np.cos(2 * np.pi * 0.4 * time)])
        moved = cv2.warpAffine(
            ASTRONAUT,
            np.array([[1, 0, shift[0]], [0, 1, shift[1]]]),
            (256, 256),
            borderMode=cv2.BORDER_REFLECT,
        )
        noisy = np.clip(moved + noise[k % 5], 0, 255).astype(np.uint8)
        yield time, noisy, POINTS + shift + rng.normal(0, 0.3, POINTS.shape)


def shade(pixels, gain):
    result = pixels.astype(np.float32)
    mask = np.zeros((256, 256), np.float32)
    cv2.ellipse(mask, (127, 120), (38, 50), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    return np.clip(result * (1 + mask * gain), 0, 255).astype(np.uint8)


def replaced(pixels):
    pixels = pixels.copy()
    pixels[FACE] = OTHER
    return pixels


def flickers(time, index, pixels):
    return shade(pixels, 0.08 * np.sin(2 * np.pi * 5 * time)) if 2 <= time < 4 else pixels


def replaces(time, index, pixels):
    return replaced(pixels) if 3 <= time < 4.5 else pixels


def swaps_every_tenth(time, index, pixels):
    return replaced(pixels) if 2 <= time < 4 and index % 10 == 0 else pixels


def relights(time, index, pixels):
    slope = np.linspace(-0.5, 0.5, 256)[None, :, None]
    return shade(pixels, 2.5 * slope) if time >= 4 else pixels


def untouched(time, index, pixels):
    return pixels


@cache
def conclude(change, *, rate=30, seconds=6.0, every=1):
    analyser = begun()
    for index, (time, pixels, points) in enumerate(moving(round(seconds * rate), rate)):
        if index % every == 0:
            pixels = change(time, index, pixels)
            analyser.observe(Frame(index, time, pixels, np.eye(2, 3)), [face(time=time, points=points)])
    (found,) = analyser.conclude()
    return found


def begun(kind="video"):
    analyser = Temporal(Options())
    analyser.begin(Media(Path("x"), "0" * 64, kind, "x", (256, 256), 6.0, Fraction(30)))
    return analyser


def still(pixels=ASTRONAUT, *, count, rate=30.0, start=0.0):
    for k in range(count):
        time = start + k / rate
        yield Frame(k, time, pixels, np.eye(2, 3)), [face(time=time)]


def test_a_clip_that_holds_together_has_no_suspicious_stretch():
    found = conclude(untouched)
    assert found.status == "ok"
    assert found.intervals == ()
    assert found.score < 0.3
    assert "Nothing was found" in found.summary
    assert len(found.timeline) == 180


@pytest.mark.parametrize(
    ("change", "stretch", "reason"),
    [
        (flickers, (2.0, 4.0), "flickers at 5.0 Hz"),
        (replaces, (3.0, 4.5), "look of the face changes"),
        (swaps_every_tenth, (2.0, 3.67), "6 single frames show another face"),
        (relights, (4.0, 5.97), "light on the face turns"),
    ],
)
def test_a_manipulated_stretch_is_found_with_its_reason(change, stretch, reason):
    found = conclude(change)
    (interval,) = found.intervals
    assert (interval.start, interval.end) == pytest.approx(stretch, abs=0.15)
    assert reason in interval.reason
    assert found.score > 0.5
    inside = [s for t, s in found.timeline if stretch[0] + 0.2 < t < stretch[1] - 0.2]
    assert max(inside) > 0.5


@pytest.mark.parametrize("change", [flickers, replaces, relights])
def test_half_the_frames_show_the_same_stretch(change):
    whole, half = conclude(change), conclude(change, every=2)
    (a,), (b,) = whole.intervals, half.intervals
    # at 15 frames a second three samples make a period of the flicker: its ends are less sharp
    assert (a.start, a.end) == pytest.approx((b.start, b.end), abs=0.2)
    for name in ("warping error", "mouth speed", "slip against surroundings", "growth against surroundings"):
        one, other = whole.measurements[name].value, half.measurements[name].value
        assert one == pytest.approx(other, rel=0.3, abs=0.02), name


def test_light_that_changes_for_the_whole_scene_is_none_of_the_faces():
    def dims(time, index, pixels):
        gain = 0.75 if 3 <= time < 4.5 else 1 + 0.08 * np.sin(2 * np.pi * 5 * time)
        return np.clip(pixels * gain, 0, 255).astype(np.uint8)

    assert conclude(dims).intervals == ()


@pytest.mark.parametrize("count", [1, 2, 8])
def test_a_few_frames_say_nothing_about_time(count):
    analyser = begun()
    for frame, faces in still(count=count):
        analyser.observe(frame, faces)
    (found,) = analyser.conclude()
    assert found.status == "not_applicable"
    assert f"({count} frames)" in found.reason
    assert found.score is None


def test_a_frozen_video_holds_together():
    analyser = begun()
    for frame, faces in still(count=90):
        analyser.observe(frame, faces)
    (found,) = analyser.conclude()
    assert (found.status, found.intervals) == ("ok", ())
    assert found.score < 0.1


@pytest.mark.parametrize("rate", [5, 120])
def test_slow_and_fast_clips_are_examined_too(rate):
    found = conclude(replaces, rate=rate, seconds=6 if rate == 5 else 5)
    assert found.status == "ok"
    (interval,) = found.intervals
    assert interval.start == pytest.approx(3.0, abs=0.3)
    # of 120 frames a second half are taken
    assert len(found.timeline) <= 60 * 6


def test_a_cut_is_no_artefact():
    analyser = begun()
    other = np.ascontiguousarray(ASTRONAUT[:, ::-1])
    for second in range(6):
        for frame, faces in still(other if second % 2 else ASTRONAUT, count=30, start=float(second)):
            analyser.observe(frame, faces)
        analyser.observe_other(Cut(second + 1.0))
    (found,) = analyser.conclude()
    assert found.intervals == ()
    assert found.score < 0.2


def test_a_gap_and_a_long_absence_are_none_either():
    analyser = begun()
    for start, pixels in ((0.0, ASTRONAUT), (3.0, np.ascontiguousarray(ASTRONAUT[:, ::-1]))):
        for frame, faces in still(pixels, count=40, start=start):
            analyser.observe(frame, faces)
    analyser.observe_other(Gap(5.0, 5.5, "damaged"))
    for frame, faces in still(ASTRONAUT, count=40, start=5.5):
        analyser.observe(frame, faces)
    (found,) = analyser.conclude()
    assert found.intervals == ()


def test_faces_that_come_and_go_are_judged_for_themselves():
    analyser = begun()
    for frame, faces in still(count=60):
        seen = list(faces)
        if 20 <= frame.index < 26:
            seen.append(face(1, frame.time))
        if frame.index >= 30:
            seen.append(face(2, frame.time))
        analyser.observe(frame, seen)
    found = {e.track: e.status for e in analyser.conclude()}
    assert found == {0: "ok", 1: "not_applicable", 2: "ok"}


def test_what_cannot_be_seen_is_not_applicable_with_the_reason():
    analyser = begun()
    for frame, _ in still(count=30):
        analyser.observe(frame, [face(0, frame.time, size=20), face(1, frame.time, exposure=3)])
    small, dark = analyser.conclude()
    assert "too small" in small.reason
    assert "too dark" in dark.reason


def test_a_picture_has_no_time():
    analyser = begun("picture")
    analyser.observe(Frame(0, None, ASTRONAUT, np.eye(2, 3)), [face(time=None)])
    assert analyser.conclude() == []


def test_a_face_at_the_edge_of_the_picture_does_no_harm():
    analyser = begun()
    for frame, _ in still(count=30):
        analyser.observe(frame, [face(0, frame.time, points=POINTS - [105, 100])])
    (found,) = analyser.conclude()
    assert found.status == "ok"


def test_no_frame_is_kept():
    analyser = begun()
    alive = []
    for k in range(40):
        pixels = ASTRONAUT.copy()
        alive.append(weakref.ref(pixels))
        analyser.observe(Frame(k, k / 30, pixels, np.eye(2, 3)), [face(time=k / 30)])
        del pixels
    gc.collect()
    assert sum(ref() is not None for ref in alive) == 0


def test_begin_forgets_the_file_before():
    analyser = begun()
    for frame, faces in still(count=30):
        analyser.observe(frame, faces)
    analyser.begin(Media(Path("y"), "0" * 64, "video", "x", (256, 256), 6.0, Fraction(30)))
    assert analyser.conclude() == []


def test_only_a_change_along_the_normals_is_one_of_light():
    grey = np.tile(np.linspace(100, 120, 6), (6, 1))
    look = np.repeat(grey.reshape(-1, 1), 3, axis=1).ravel().astype(np.float32)
    turned = np.repeat((grey * np.linspace(0.7, 1.3, 6)).reshape(-1, 1), 3, axis=1).ravel()
    scrambled = look + np.random.default_rng(0).normal(0, 20, look.shape)
    assert explained_by_light(look, turned) > 0.7
    assert explained_by_light(look, scrambled) < 0.6


def test_the_wide_crop_holds_the_aligned_square_in_its_middle():
    from unmask.faces.align import crop

    wide = wide_crop(ASTRONAUT, POINTS)
    inner = crop(ASTRONAUT, POINTS, size=48)
    assert wide.shape == (96, 96, 3)
    assert np.abs(wide[24:72, 24:72].astype(int) - inner).mean() < 1.5


def test_it_is_on_by_itself_only_where_every_frame_is_examined():
    names = [a.name for a in create(None, Options())]
    every = [a.name for a in create(None, Options(), thorough=True)]
    assert "temporal" not in names
    assert "temporal" in every
    assert [a.name for a in create(["temporal"], Options())] == ["temporal"]
