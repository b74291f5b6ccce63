"""`VideoWriter`: size, times, sound, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from making import BLUE, GREEN, RED, WHITE, corners, join, moving, quadrants, write_sound, write_video

from unmask.media import Audio, Frame, OutputError, VideoWriter, read


def write(path: Path, frames: list[np.ndarray], times: list[float], rate: Fraction, **options: Path) -> None:
    size = (frames[0].shape[1], frames[0].shape[0])
    with VideoWriter(path, size=size, frame_rate=rate, **options) as writer:
        for pixels, time in zip(frames, times, strict=True):
            writer.write(pixels, time)


@pytest.mark.parametrize(
    "rate", [Fraction(30), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25, 2)]
)
def test_constant_frame_rates_come_back_exactly(tmp_path: Path, rate: Fraction) -> None:
    frames = moving(24)
    write(tmp_path / "a.mp4", frames, [float(i / rate) for i in range(24)], rate)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        stamps = sorted(p.pts * stream.time_base for p in container.demux(stream) if p.pts is not None)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == rate
    assert stamps == [i / rate for i in range(24)]


def test_variable_times_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.12, 0.5, 1.7, 1.75]
    write(tmp_path / "a.mp4", moving(6), times, Fraction(30))
    seen = [e.time for e in read(tmp_path / "a.mp4", rate=None) if isinstance(e, Frame)]
    assert seen == pytest.approx(times, abs=2e-5)


def test_colours_come_back(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [quadrants(160, 120)] * 3, [0, 0.1, 0.2], Fraction(10))
    frame = next(e for e in read(tmp_path / "a.mp4") if isinstance(e, Frame))
    assert np.abs(np.array(corners(frame.pixels)) - np.array([RED, GREEN, BLUE, WHITE])).max() <= 6


def test_odd_sides_grow_by_one_copied_pixel(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [np.full((33, 51, 3), 180, np.uint8)] * 2, [0, 0.1], Fraction(10))
    media, frame = list(read(tmp_path / "a.mp4"))[:2]
    assert media.size == (52, 34)
    assert np.abs(frame.pixels.astype(int) - 180).max() <= 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    video = write_video(tmp_path / "v.mp4", moving(60))
    return join(tmp_path / "source.mp4", video, write_sound(tmp_path / "s.m4a", codec="aac"))


def sound_of(path: Path, **options: float) -> np.ndarray:
    return np.concatenate([e.samples for e in read(path, audio=True, **options) if isinstance(e, Audio)])


def test_sound_is_copied_packet_by_packet(tmp_path: Path, source: Path) -> None:
    write(tmp_path / "a.mp4", moving(60), [i / 30 for i in range(60)], Fraction(30), audio_from=source)
    old, new = sound_of(source), sound_of(tmp_path / "a.mp4")
    assert len(new) == pytest.approx(len(old), abs=1024)
    common = min(len(old), len(new)) - 1024
    assert np.array_equal(old[:common], new[:common])


def test_sound_stays_with_the_pictures_when_only_a_part_is_written(tmp_path: Path, source: Path) -> None:
    write(tmp_path / "a.mp4", moving(15), [1 + i / 30 for i in range(15)], Fraction(30), audio_from=source)
    blocks = [e for e in read(tmp_path / "a.mp4", audio=True) if isinstance(e, Audio)]
    samples = np.concatenate([b.samples for b in blocks])
    assert len(samples) / 44100 == pytest.approx(0.5, abs=0.05)
    # the tone at its place: sample n of the copy is the source at 1 s + block time + n / 44100
    old = sound_of(source, start=1 + blocks[0].time)
    middle = slice(4096, 12000)
    assert np.corrcoef(old[middle, 0], samples[middle, 0])[0, 1] > 0.99


def test_sound_that_mp4_cannot_hold_is_encoded_again(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", moving(60))
    sound = write_sound(tmp_path / "s.wav", codec="pcm_s16le")
    mixed = join(tmp_path / "source.mkv", video, sound)
    write(tmp_path / "a.mp4", moving(60), [i / 30 for i in range(60)], Fraction(30), audio_from=mixed)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    samples = sound_of(tmp_path / "a.mp4")
    assert len(samples) / 44100 == pytest.approx(2.0, abs=0.05)
    assert np.abs(samples[8000:80000]).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_video_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with (  # noqa: PT012
        pytest.raises(error),
        VideoWriter(tmp_path / "a.mp4", size=(64, 48), frame_rate=Fraction(30)) as writer,
    ):
        writer.write(np.zeros((48, 64, 3), np.uint8), 0.0)
        raise error
    assert os.listdir(tmp_path) == []


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", size=(64, 48), frame_rate=Fraction(30)) as writer:
        writer.write(black, 0.0)
        with pytest.raises(ValueError, match="does not come after"):
            writer.write(black, 0.0)
        with pytest.raises(ValueError, match="64x47"):
            writer.write(black[:47], 1.0)


def test_no_frame_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no frame"),
        VideoWriter(tmp_path / "a.mp4", size=(64, 48), frame_rate=Fraction(30)),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="create it first"),
        VideoWriter(tmp_path / "no/a.mp4", size=(64, 48), frame_rate=Fraction(30)),
    ):
        pass


FULL = """
import resource, sys, numpy as np
from fractions import Fraction
from unmask.media import OutputError, VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], size=(320, 240), frame_rate=Fraction(30)) as writer:
        for i in range(300):
            writer.write(rng.integers(0, 256, (240, 320, 3), np.uint8), i / 30)
except OutputError as error:
    print("refused:", error)
"""


def test_when_no_more_can_be_written_nothing_stays(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "a.mp4")], capture_output=True, text=True, timeout=120
    )
    assert run.stdout.startswith("refused:"), run.stderr
    assert "a.mp4" in run.stdout
    assert os.listdir(tmp_path) == []
