"""`read` on videos and sound: order, times, geometry, colours, and what is broken."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    corners,
    flat_ten_bit,
    join,
    moving,
    quadrants,
    set_display_matrix,
    write_sound,
    write_video,
)

from unmask.media import Audio, Cut, End, Event, Frame, Gap, Media, MediaError, read

FIRST = {"movflags": "faststart"}  # the index before the pictures


def frames_of(events: list[Event]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def times_of(events: list[Event]) -> list[float | None]:
    return [frame.time for frame in frames_of(events)]


def close(a: tuple[int, ...], b: tuple[int, ...], tolerance: int = 4) -> bool:
    return all(abs(int(x) - int(y)) <= tolerance for x, y in zip(a, b, strict=True))


def assert_corners(pixels: np.ndarray, *expected: tuple[int, int, int], tolerance: int = 6) -> None:
    found = corners(pixels)
    assert all(close(a, b, tolerance) for a, b in zip(found, expected, strict=True)), found


def test_a_video_gives_media_then_frames_then_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(20))
    events = list(read(path, rate=None))
    media, end = events[0], events[-1]
    assert isinstance(media, Media)
    assert (media.kind, media.size, media.frame_rate, media.frame_count) == ("video", (160, 120), 30, 20)
    assert media.video_codec == "h264"
    assert media.duration == pytest.approx(20 / 30)
    assert [f.index for f in frames_of(events)] == list(range(20))
    assert times_of(events) == pytest.approx([i / 30 for i in range(20)])
    assert end == End(20, pytest.approx(19 / 30))
    assert all(isinstance(event, Frame) for event in events[1:-1])


def test_pixels_are_those_that_were_written(tmp_path: Path) -> None:
    frames = moving(5)
    # PyAV turns RGB into Y'CbCr by BT.601
    path = write_video(tmp_path / "b.mp4", frames, pixel_format="yuv444p", tags=(6, 6, 6, 1))
    for written, seen in zip(frames, frames_of(list(read(path, rate=None))), strict=True):
        assert np.abs(written.astype(int) - seen.pixels).mean() < 3
        assert seen.pixels.dtype == np.uint8
        assert np.allclose(seen.transform, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (10.0, [0, 3, 6, 9, 12, 15, 18]),  # 30 frames a second: every third falls on a tick
        (7.0, [0, 5, 9, 13, 18]),  # ticks at 0, .143, .286, .429, .571 s: frames 0, 4.3, 8.6, 12.9, 17.1
        (100.0, list(range(20))),
        (0.5, [0]),
    ],
)
def test_the_first_frame_at_or_after_each_tick_is_yielded(
    tmp_path: Path, rate: float, expected: list[int]
) -> None:
    path = write_video(tmp_path / "a.mp4", moving(20))
    assert [f.index for f in frames_of(list(read(path, rate=rate)))] == expected


def test_variable_frame_times_are_kept(tmp_path: Path) -> None:
    stamps = [0, 3000, 4500, 12000, 12900, 40000, 90000, 93003]
    path = write_video(
        tmp_path / "v.mp4", moving(8), stamps=stamps, time_base=Fraction(1, 90000), options={"bf": "2"}
    )
    assert times_of(list(read(path, rate=None))) == pytest.approx([s / 90000 for s in stamps], abs=1e-4)
    path = write_video(tmp_path / "v.mkv", moving(8), stamps=stamps, time_base=Fraction(1, 90000))
    assert times_of(list(read(path, rate=None))) == pytest.approx([s / 90000 for s in stamps], abs=1e-3)


def test_time_starts_at_the_first_frame(tmp_path: Path) -> None:
    stamps = [450_000 + 3000 * i for i in range(10)]
    path = write_video(tmp_path / "late.ts", moving(10), stamps=stamps, time_base=Fraction(1, 90000))
    assert times_of(list(read(path, rate=None))) == pytest.approx([i / 30 for i in range(10)])


@pytest.mark.parametrize(
    ("codec", "name"), [("mpeg4", "a.avi"), ("libx264", "a.avi"), ("mpeg2video", "a.mpg"), ("mpeg4", "a.mkv")]
)
def test_old_containers_keep_their_times(tmp_path: Path, codec: str, name: str) -> None:
    path = write_video(tmp_path / name, moving(30), codec=codec, options={"bf": "2"})
    times = times_of(list(read(path, rate=None)))
    assert len(times) == 30
    assert np.diff(np.array(times, float)) == pytest.approx(1 / 30, abs=1e-3)


@pytest.mark.parametrize(
    ("matrix", "expected", "orientation"),
    [
        ((0, 1, -1, 0), (BLUE, RED, WHITE, GREEN), [[0, -1, 119], [1, 0, 0]]),  # 90 degrees clockwise
        ((-1, 0, 0, -1), (WHITE, BLUE, GREEN, RED), [[-1, 0, 159], [0, -1, 119]]),  # upside down
        ((0, -1, 1, 0), (GREEN, WHITE, RED, BLUE), [[0, 1, 0], [-1, 0, 159]]),  # 90 degrees anticlockwise
        ((-1, 0, 0, 1), (GREEN, RED, WHITE, BLUE), [[-1, 0, 159], [0, 1, 0]]),  # mirrored
    ],
)
def test_the_display_matrix_is_honoured(
    tmp_path: Path, matrix: tuple[int, ...], expected: tuple, orientation: list
) -> None:
    path = write_video(tmp_path / "r.mp4", [quadrants(160, 120)] * 3, tags=(6, 6, 6, 1))
    set_display_matrix(path, matrix)
    media, frame = list(read(path))[:2]
    assert media.size == frame.pixels.shape[1::-1] == ((120, 160) if matrix[0] == 0 else (160, 120))
    assert_corners(frame.pixels, *expected)
    assert np.allclose(frame.transform, orientation)


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (213, 120)), (Fraction(8, 9), (160, 135))])
def test_pixels_are_made_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "s.mp4", [quadrants(160, 120)] * 2, aspect=aspect, tags=(6, 6, 6, 1))
    media, frame = list(read(path))[:2]
    assert media.size == size
    assert frame.pixels.shape == (size[1], size[0], 3)
    assert_corners(frame.pixels, RED, GREEN, BLUE, WHITE)
    # the edges of the stored picture (-0.5 and 159.5) become the edges of the displayed one
    edges = frame.transform @ np.array([[-0.5, 159.5], [-0.5, 119.5], [1, 1]])
    assert np.allclose(edges, [[-0.5, size[0] - 0.5], [-0.5, size[1] - 0.5]])


@pytest.mark.parametrize("size", [(161, 121), (33, 17), (2, 2), (640, 16)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), (200, 100, 50), np.uint8)
    path = write_video(tmp_path / "o.mkv", [picture] * 2, codec="ffv1", pixel_format="yuv444p", options={})
    media, frame = list(read(path))[:2]
    assert media.size == size
    assert frame.pixels.shape == picture.shape
    assert np.abs(frame.pixels.astype(int) - picture).max() <= 3


# Colours as ITU-R BT.601 and BT.709 give them: red is Y'CbCr (81, 90, 240) by the one and (63, 102, 240) by
# the other, in limited range; (76, 85, 255) by BT.601 in full range.
@pytest.mark.parametrize(
    ("ycbcr", "tags", "expected"),
    [
        ((81, 90, 240), (6, 6, 6, 1), RED),
        ((63, 102, 240), (1, 1, 1, 1), RED),
        ((76, 85, 255), (6, 6, 6, 2), (254, 0, 0)),
        ((41, 240, 110), (5, 5, 6, 1), BLUE),
        ((32, 240, 118), (1, 1, 1, 1), BLUE),
        ((81, 90, 240), None, RED),  # undeclared and small: BT.601
        ((235, 128, 128), (1, 1, 1, 1), WHITE),
        ((16, 128, 128), (1, 1, 1, 1), (0, 0, 0)),
        ((235, 128, 128), (1, 1, 1, 2), (235, 235, 235)),
    ],
)
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p"])
def test_matrix_and_range(
    tmp_path: Path, ycbcr: tuple[int, ...], tags: tuple | None, expected: tuple, pixel_format: str
) -> None:
    planes = np.stack([np.full((64, 64), v, np.uint8) for v in ycbcr])
    if pixel_format == "yuv420p":
        planes = np.concatenate(
            [np.full(64 * 64 // d, v, np.uint8) for v, d in zip(ycbcr, (1, 4, 4), strict=True)]
        )
        planes = planes.reshape(96, 64)
    path = write_video(
        tmp_path / "c.mp4",
        [planes] * 2,
        source=pixel_format,
        pixel_format=pixel_format,
        options={"qp": "0"},
        tags=tags,
    )
    frame = list(read(path))[1]
    assert close(tuple(frame.pixels[32, 32]), expected, 3), frame.pixels[32, 32]


def test_undeclared_high_definition_is_bt709(tmp_path: Path) -> None:
    planes = np.stack([np.full((720, 1280), v, np.uint8) for v in (63, 102, 240)])
    path = write_video(
        tmp_path / "hd.mp4", [planes], source="yuv444p", pixel_format="yuv444p", options={"qp": "0"}
    )
    assert close(tuple(list(read(path))[1].pixels[300, 300]), RED, 3)


def test_ten_bit_hevc(tmp_path: Path) -> None:
    frames = [flat_ten_bit((4 * 63, 4 * 102, 4 * 240)) for _ in range(3)]
    path = write_video(
        tmp_path / "h.mp4",
        frames,
        codec="libx265",
        pixel_format="yuv444p10le",
        options={"x265-params": "log-level=none:lossless=1"},
        tags=(1, 1, 1, 1),
    )
    media, frame = list(read(path))[:2]
    assert (media.video_codec, media.pixel_format) == ("hevc", "yuv444p10le")
    assert close(tuple(frame.pixels[10, 10]), RED, 3)


@pytest.mark.parametrize(("tags", "expected"), [(None, (0, 128, 255)), ((1, 1, 1, 2), (16, 126, 235))])
def test_grey_video(tmp_path: Path, tags: tuple | None, expected: tuple[int, ...]) -> None:
    # 16, 126 and 235 of limited range are 0, (126 - 16) * 255 / 219 = 128 and 255
    picture = np.repeat(np.array([16, 126, 235], np.uint8), 32)[None].repeat(32, 0)
    path = write_video(
        tmp_path / "g.mp4",
        [np.ascontiguousarray(picture)] * 2,
        source="gray",
        pixel_format="gray",
        options={"qp": "0"},
        tags=tags,
    )
    frame = list(read(path))[1]
    for column, value in zip((8, 40, 72), expected, strict=True):
        assert close(tuple(frame.pixels[16, column]), (value,) * 3, 2)


def pq_code(nits: float) -> float:
    """The inverse EOTF of SMPTE ST 2084, 0..1."""
    power = (nits / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


# Diffuse white (203 cd/m2; HLG 75 %) lands at 0.7 + 0.3 * (1 - 1/e) = 0.8896 of linear light, which the
# BT.1886 curve codes as 255 * 0.8896 ** (1 / 2.4) = 243; a quarter of that (50.75 cd/m2) as
# 255 * 0.25 ** (1 / 2.4) = 143.
@pytest.mark.parametrize(
    ("signal", "transfer", "expected"),
    [
        (pq_code(203), 16, 243),
        (pq_code(50.75), 16, 143),
        (pq_code(0), 16, 0),
        (pq_code(10000), 16, 255),
        (0.75, 18, 243),
        (0.0, 18, 0),
    ],
)
def test_high_dynamic_range_is_brought_to_bt709(
    tmp_path: Path, signal: float, transfer: int, expected: int
) -> None:
    code = round(64 + 876 * signal)
    path = write_video(
        tmp_path / "hdr.mkv",
        [flat_ten_bit((code, 512, 512)) for _ in range(2)],
        codec="libx265",
        pixel_format="yuv444p10le",
        options={"x265-params": "log-level=none:lossless=1"},
        tags=(9, 9, transfer, 1),
    )
    media, frame = list(read(path))[:2]
    assert close(tuple(frame.pixels[10, 10]), (expected,) * 3, 2), frame.pixels[10, 10]
    assert any("dynamic range" in warning for warning in media.warnings)


def comb(pixels: np.ndarray) -> float:
    """How much each line differs from the mean of its neighbours: high where two fields interleave."""
    grey = pixels[..., 1].astype(float)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


def test_interlaced_video_is_deinterlaced(tmp_path: Path) -> None:
    def scene(field: int) -> np.ndarray:
        picture = np.full((128, 192, 3), 40, np.uint8)
        picture[:, 20 + 6 * field : 60 + 6 * field] = 220
        return picture

    frames = []
    for number in range(12):
        frame = scene(2 * number)
        frame[1::2] = scene(2 * number + 1)[1::2]
        frames.append(frame)
    path = write_video(tmp_path / "i.mp4", frames, options={"x264-params": "tff=1", "crf": "4"})
    with av.open(str(path)) as container:
        raw = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    events = list(read(path, rate=None))
    seen = frames_of(events)
    assert times_of(events) == pytest.approx([i / 30 for i in range(12)])
    assert comb(seen[6].pixels) < comb(raw[6]) / 5
    assert any("deinterlaced" in warning for warning in events[0].warnings)


def test_a_change_of_size_midway_keeps_the_displayed_size(tmp_path: Path) -> None:
    write_video(tmp_path / "a.h264", [quadrants(160, 120)] * 5, tags=(6, 6, 6, 1))
    write_video(tmp_path / "b.h264", [quadrants(320, 240)] * 5, tags=(6, 6, 6, 1))
    path = tmp_path / "both.h264"
    path.write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
    frames = frames_of(list(read(path, rate=None)))
    assert {f.pixels.shape for f in frames} == {(120, 160, 3)}
    assert len(frames) == 10
    assert_corners(frames[-1].pixels, RED, GREEN, BLUE, WHITE, tolerance=10)
    assert np.allclose(frames[-1].transform[:, :2], 0.5 * np.eye(2))


def test_large_frames_are_reduced_with_a_warning(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "big.mp4", [quadrants(5120, 64)] * 2, options={"preset": "ultrafast"}, tags=(6, 6, 6, 1)
    )
    media, frame = list(read(path))[:2]
    assert media.size == (4096, 51)
    assert frame.pixels.shape == (51, 4096, 3)
    assert "5120x64" in media.warnings[0]


def test_start_and_end_give_what_lies_between(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(90), options={"bf": "2"})
    whole = {f.index: f for f in frames_of(list(read(path, rate=None)))}
    events = list(read(path, rate=None, start=1.0, end=2.0))
    frames = frames_of(events)
    assert [f.index for f in frames] == list(range(30, 60))
    assert [f.time for f in frames] == pytest.approx([i / 30 for i in range(30, 60)])
    assert all(np.array_equal(f.pixels, whole[f.index].pixels) for f in frames)
    assert events[-1] == End(30, pytest.approx(59 / 30))


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi", "a.h264"])
def test_start_works_in_every_container(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, moving(90), codec="mpeg4" if name == "a.avi" else "libx264")
    whole = times_of(list(read(path, rate=None)))
    times = times_of(list(read(path, rate=None, start=1.5)))
    assert len(whole) == 90
    assert len(times) in (45, 52)  # a bare stream does not say how fast it runs: FFmpeg takes 25 a second
    assert times == pytest.approx([time for time in whole if time >= 1.5])


def test_a_start_after_the_end_gives_no_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(10))
    events = list(read(path, start=99.0))
    assert [type(e) for e in events] == [Media, End]
    assert events[-1] == End(0, None)


@pytest.mark.parametrize(
    "options",
    [{"rate": 0.0}, {"rate": -1.0}, {"rate": float("nan")}, {"start": -1.0}, {"start": 2.0, "end": 1.0}],
)
def test_impossible_wishes_are_refused(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match="must"):
        read(tmp_path / "a.mp4", **options)


def test_one_frame_is_enough(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", moving(1))
    events = list(read(path))
    assert [type(e) for e in events] == [Media, Frame, End]


def test_sound_and_pictures_come_in_order_of_time(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", moving(60))
    sound = write_sound(tmp_path / "s.m4a", codec="aac")
    path = join(tmp_path / "both.mkv", video, sound)  # all pictures first, then all sound
    events = list(read(path, rate=None, audio=True))
    starts = [e.time for e in events if isinstance(e, Frame | Audio)]
    assert starts == sorted(starts)
    assert len(frames_of(events)) == 60
    blocks = [e for e in events if isinstance(e, Audio)]
    samples = np.concatenate([b.samples for b in blocks])
    assert blocks[0].rate == 44100
    assert samples.dtype == np.float32
    assert samples.shape[1] == 2
    assert len(samples) == pytest.approx(2 * 44100, abs=2048)
    spectrum = np.abs(np.fft.rfft(samples[4096:69632, 0]))
    assert np.argmax(spectrum) * 44100 / 65536 == pytest.approx(440, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


def test_sound_is_cut_to_the_sample(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "s.wav", codec="pcm_s16le")
    blocks = [e for e in read(path, audio=True, start=0.25, end=1.5) if isinstance(e, Audio)]
    assert blocks[0].time == pytest.approx(0.25, abs=1e-4)
    samples = np.concatenate([b.samples for b in blocks])
    assert len(samples) == pytest.approx(1.25 * 44100, abs=1)
    time = 0.25 + np.arange(len(samples)) / 44100
    assert np.abs(samples[:, 0] - 0.5 * np.sin(2 * np.pi * 440 * time)).max() < 0.01


def test_without_audio_no_sound_is_decoded(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "s.mp3", codec="libmp3lame")
    assert [type(e) for e in read(path)] == [Media, End]


@pytest.mark.parametrize(("name", "codec"), [("s.mp3", "libmp3lame"), ("s.m4a", "aac")])
def test_a_cover_picture_does_not_make_a_video(tmp_path: Path, name: str, codec: str) -> None:
    cover = cv2.imencode(".jpg", np.full((16, 16, 3), 99, np.uint8))[1].tobytes()
    path = write_sound(tmp_path / name, codec=codec, cover=cover)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    events = list(read(path, audio=True))
    assert events[0].kind == "audio"
    assert events[0].size is None
    assert not frames_of(events)
    assert events[-1].time == pytest.approx(2.0, abs=0.1)


def damage(path: Path, at: float, length: int) -> None:
    data = bytearray(path.read_bytes())
    begin = int(len(data) * at)
    noise = np.random.default_rng(1).integers(0, 256, length, dtype=np.uint8)
    data[begin : begin + length] = noise.tobytes()
    path.write_bytes(data)


STEADY = {"crf": "6", "preset": "fast", "x264-params": "mbtree=0:ref=1"}
"""The same bits at every call (`unmask.media.h264` says why others differ): damage hits the same data."""


@pytest.fixture(scope="module")
def whole_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[np.ndarray]]]:
    """By codec: a sound clip of 4 s with key frames a second apart, and its pictures."""
    clips = {}
    for codec in ("libx264", "mpeg4"):
        path = write_video(
            tmp_path_factory.mktemp("whole") / "d.mp4",
            moving(120, 320, 240),
            codec=codec,
            gop=30,
            container_options=FIRST,
            options=STEADY,
        )
        clips[codec] = path, [f.pixels for f in frames_of(list(read(path, rate=None)))]
    return clips


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("length", [4, 300, 6000])
@pytest.mark.parametrize("threads", [1, 2])
def test_damage_in_the_middle_makes_a_gap_and_what_is_shown_is_whole(
    tmp_path: Path, whole_clips: dict, codec: str, length: int, threads: int
) -> None:
    whole_path, whole = whole_clips[codec]
    path = tmp_path / "d.mp4"
    path.write_bytes(whole_path.read_bytes())
    damage(path, 0.6, length)
    events = list(read(path, rate=None, threads=threads))
    gaps = [e for e in events if isinstance(e, Gap)]
    frames = frames_of(events)
    assert gaps
    assert gaps[0].end is not None
    assert 1.0 < gaps[0].start < gaps[0].end <= 4.0
    assert 60 <= len(frames) < 120
    assert frames[-1].time == pytest.approx(119 / 30)
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - whole[round(frame.time * 30)]).mean() < 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("at", "length"), [(0.45, 4), (0.5, 60), (0.65, 300)])
def test_pictures_that_lean_on_a_damaged_one_shown_later_are_withheld(
    tmp_path: Path, whole_clips: dict, at: float, length: int, threads: int
) -> None:
    """Where a P picture is damaged, the B pictures before it are decoded after it, and not marked."""
    whole_path, whole = whole_clips["libx264"]
    path = tmp_path / "d.mp4"
    path.write_bytes(whole_path.read_bytes())
    damage(path, at, length)
    events = list(read(path, rate=None, threads=threads))
    frames = frames_of(events)
    gaps = [e for e in events if isinstance(e, Gap)]
    assert len(gaps) == 1
    shown = {round(frame.time * 30) for frame in frames}
    missing = sorted(set(range(120)) - shown)
    # One gap, from the first missing picture to the next that is shown, and no other picture is missing.
    assert gaps[0].start == pytest.approx(missing[0] / 30)
    assert missing == list(range(missing[0], round(gaps[0].end * 30)))
    assert [frame.index for frame in frames] == sorted(shown)
    for frame in frames:
        assert np.abs(frame.pixels.astype(int) - whole[round(frame.time * 30)]).mean() < 1


def test_damaged_hevc_makes_a_gap(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "d.mp4",
        moving(120, 320, 240),
        codec="libx265",
        options={"x265-params": "log-level=none"},
        gop=30,
        container_options=FIRST,
    )
    damage(path, 0.6, 6000)
    events = list(read(path, rate=None))
    assert any(isinstance(e, Gap) for e in events)
    assert events[-1].frames >= 55


def test_a_truncated_mp4_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mp4", moving(120, 320, 240), container_options=FIRST)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    events = list(read(path, rate=None))
    gap, end = events[-2:]
    assert isinstance(gap, Gap)
    assert isinstance(end, End)
    assert 30 < end.frames < 100
    assert gap.start == pytest.approx(end.time + 1 / 30)
    assert gap.end == pytest.approx(4.0)
    assert "cut off" in gap.reason


def test_a_truncated_matroska_file_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mkv", moving(150, 320, 240))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    events = list(read(path))
    assert isinstance(events[-2], Gap)
    assert events[-2].end == pytest.approx(5.0, abs=0.1)


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mp4", moving(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"t\.mp4.*index"):
        list(read(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"Dear editor, here is the video.\n" * 200, "text"),
        ("Grüße und schöne Tage\n".encode() * 300, "text"),
        (b"\0" * 5000, "zero bytes"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n" * 20, "text"),
        (bytes(range(256)) * 40, "not a video"),
    ],
)
def test_what_is_no_media_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as caught:
        list(read(path))
    assert "clip.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        list(read(tmp_path / "nothing.mp4"))
    with pytest.raises(MediaError, match="folder"):
        list(read(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MediaError, match="permission"):
        list(read(path))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match="ordinary file"):
        list(read(tmp_path / "pipe"))


HEADS = [
    b"",
    b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0",
    b"GIF89a\x10\0\x10\0\x80\0\0",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"BM\x40\0\0\0\0\0\0\0\x36\0\0\0",
    b"II*\0\x08\0\0\0",
    b"\0\0\0\x18ftypisom\0\0\2\0isommp41\0\0\1\0moov",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    b"\x1aE\xdf\xa3",
    b"RIFF\x40\0\0\0AVI LIST",
    b"ID3\4\0\0\0\0\0\0",
    b"OggS\0\2",
    b"\0\0\1\xba",
    b"G@\0\x10",
    b"fLaC\0\0\0\x22",
    b"\0\0\0\1\x67\x42\0\x1e",
]


def assert_read_or_refused(path: Path) -> None:
    """The one allowed failure is a `MediaError` of one line that names the file."""
    try:
        events = list(read(path, rate=None, audio=True))
    except MediaError as error:
        message = str(error)
    else:
        message = path.name
        assert isinstance(events[0], Media)
        assert isinstance(events[-1], End)
    assert path.name in message
    assert "\n" not in message


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from(HEADS), tail=st.binary(max_size=3000))
def test_random_bytes_never_give_anything_but_a_media_error(tmp_path: Path, head: bytes, tail: bytes) -> None:
    path = tmp_path / "random.bin"
    path.write_bytes(head + tail)
    assert_read_or_refused(path)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_video_with_random_damage_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    source = tmp_path / "source.mp4"
    if not source.exists():
        video = write_video(tmp_path / "v.mp4", moving(20, 64, 48))
        join(source, video, write_sound(tmp_path / "s.m4a", codec="aac", seconds=0.7))
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    assert_read_or_refused(path)


@pytest.mark.parametrize(
    "name", ["hyperlips_1_fake.mp4", "dfl_Dean_Wiesel_0_real.mp4", "uadfv_0017_fake.mp4"]
)
def test_real_clips_agree_with_independent_counts(clips_dir: Path, name: str) -> None:
    path = clips_dir / name
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stamps = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
        expected = [float((s - stamps[0]) * stream.time_base) for s in stamps]
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.grab():
        count += 1
    events = list(read(path, rate=None))
    assert times_of(events) == pytest.approx(expected)
    assert len(frames_of(events)) == count == events[0].frame_count
    assert not [e for e in events if isinstance(e, Cut | Gap)]


def test_threads_do_not_change_what_is_seen(clips_dir: Path) -> None:
    path = clips_dir / "dfl_Dean_Wiesel_0_real.mp4"
    one, two = (frames_of(list(read(path, threads=n))) for n in (1, 2))
    assert [f.index for f in one] == [f.index for f in two]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, two, strict=True))
