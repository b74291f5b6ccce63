"""The annotated video is the source with the report drawn into it: every frame, its time, and the sound."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import files
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="the stand-in network is built with onnx (extra: train)")
from typer.testing import CliRunner

import unmask
from tiny_networks import brightness_network
from unmask.cli.commands import app
from unmask.media.output import OutputError
from unmask.report.annotated import annotate
from unmask.report.drawing import COLOURS, header_height, unit
from unmask.report.follow import Source
from unmask.report.heatmaps import SIDE, TILES, FaceSheets
from unmask.report.schema import Report, ReportError
from unmask.runtime.card import WeightError

RATE = Fraction(30000, 1001)
SIZE = (322, 242)
COUNT = 45


def sample_frames() -> list[np.ndarray]:
    with av.open(str(files("unmask") / "samples" / "manipulated.mp4")) as container:
        pictures = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [
            cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA) for picture in islice(pictures, COUNT)
        ]


def write_clip(path: Path, frames: list[np.ndarray]) -> Path:
    """Encode the frames at 29.97 a second with a tone of 440 Hz."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        sound.layout = "mono"
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(COUNT / RATE * 48000)) / 48000)
        block = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format="fltp", layout="mono")
        block.sample_rate = 48000
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path


def decode(path: Path) -> tuple[list[np.ndarray], list[float], Fraction, tuple[int, int]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert stream.average_rate is not None
        return (
            [frame.to_ndarray(format="rgb24") for frame in frames],
            [float(frame.time or 0) for frame in frames],
            stream.average_rate,
            (stream.width, stream.height),
        )


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A network that calls everything brighter than 60 fake."""
    return brightness_network(tmp_path_factory.mktemp("network"), threshold=60.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", sample_frames())


@pytest.fixture(scope="module")
def clip_report(clip, network) -> Report:
    return unmask.analyse(clip, model=network)


@pytest.fixture(scope="module")
def annotated(clip, clip_report, network, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("annotated") / "annotated.mp4"
    annotate(clip, clip_report, output, model=network)
    return output


def test_every_frame_is_written_at_its_own_time_in_the_same_size_and_rate(clip, annotated):
    _, times, rate, size = decode(clip)
    _, new_times, new_rate, new_size = decode(annotated)
    assert len(new_times) == COUNT
    assert new_times == pytest.approx(times, abs=1e-4)
    assert (new_rate, new_size) == (rate, size) == (RATE, SIZE)


def test_the_sound_is_kept(clip, annotated):
    before, after = sound_of(clip), sound_of(annotated)
    shared = min(len(before), len(after))
    assert shared > 0.95 * len(before)
    assert np.corrcoef(before[:shared], after[:shared])[0, 1] > 0.99


def test_box_header_and_strip_are_drawn_and_the_rest_is_left_alone(clip, annotated, clip_report):
    sources, times, _, _ = decode(clip)
    frames, _, _, _ = decode(annotated)
    track = clip_report.faces[0].tracks[0]
    colour = np.array(COLOURS[clip_report.faces[0].label], float)
    index = 20
    box = min(track.boxes, key=lambda point: abs((point.time or 0) - times[index]))
    row = frames[index][round(box.y + box.height / 2)].astype(float)
    near = row[round(box.x) - 3 : round(box.x) + 4]
    assert np.abs(near - colour).mean(axis=1).min() < 60
    assert np.abs(frames[index][2:6, 1:5] - colour).mean() < 30  # the label's field in the header
    top, bottom = header_height(frames[0]), SIZE[1] - 4 * unit(frames[0])
    corner = np.s_[top + 4 : bottom - 4, 4:40]
    assert np.abs(frames[index][corner].astype(float) - sources[index][corner]).mean() < 4
    strips = [frame[bottom + 2 :].astype(float) for frame in (frames[2], frames[40])]
    assert np.abs(strips[0] - strips[1]).max() > 60  # the cursor moves


@pytest.mark.parametrize("window", [{}, {"start": 0.35, "end": 1.05}])
def test_tracks_and_boxes_are_those_of_the_report(clip, network, window):
    report = unmask.analyse(clip, model=network, **window)
    boxes = {(t.track, b.time): b[1:] for p in report.faces for t in p.tracks for b in t.boxes}
    assert len(boxes) > 5
    found, last = {}, -1.0
    count = 0
    for seen in Source(clip, report).seen():
        count += 1
        assert seen.frame.time > last
        last = seen.frame.time
        inside = window.get("start", 0) <= seen.frame.time < window.get("end", 99)
        assert bool(seen.faces) == inside
        found |= {(face.track, round(face.time, 4)): face.detection.box for face in seen.faces}
    assert count == COUNT
    for key, box in boxes.items():
        assert found[key] == pytest.approx(box, abs=0.06)


def test_heat_glows_only_where_the_network_speaks_for_fake(clip, clip_report, network, annotated, tmp_path):
    plain = tmp_path / "plain.mp4"
    annotate(clip, clip_report, plain, heat=False)
    box = clip_report.faces[0].tracks[0].boxes[5]
    inside = np.s_[
        round(box.y + box.height * 0.4) : round(box.y + box.height * 0.6),
        round(box.x + box.width * 0.3) : round(box.x + box.width * 0.7),
    ]
    with_heat, without = decode(annotated)[0][15][inside], decode(plain)[0][15][inside]
    change = with_heat.astype(float).mean(axis=(0, 1)) - without.astype(float).mean(axis=(0, 1))
    assert change[0] - change[2] > 20  # warmer: red gains on blue


def test_a_report_of_another_file_is_refused(clip_report, tmp_path, network):
    other = write_clip(tmp_path / "other.mp4", sample_frames()[:10])
    with pytest.raises(ReportError, match=r"other\.mp4.*report is of another file \(clip\.mp4"):
        annotate(other, clip_report, tmp_path / "out.mp4", model=network)
    assert not list(tmp_path.glob("*out*"))


def test_weights_other_than_the_reports_are_refused(clip, clip_report, tmp_path):
    other = brightness_network(tmp_path, name="other", threshold=61.0)
    with pytest.raises(WeightError, match="sha256"):
        annotate(clip, clip_report, tmp_path / "out.mp4", model=other)
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_becomes_a_picture(tmp_path, network, suffix):
    source = tmp_path / "photo.png"
    Image.fromarray(sample_frames()[0]).save(source)
    report = unmask.analyse(source, model=network)
    output = tmp_path / f"annotated{suffix}"
    annotate(source, report, output, model=network)
    with Image.open(output) as picture:
        assert picture.size == SIZE
        assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[suffix]
    with pytest.raises(OutputError, match="picture"):
        annotate(source, report, tmp_path / "annotated.mp4", model=network)


def test_a_video_does_not_go_into_a_picture(clip, clip_report, tmp_path):
    with pytest.raises(OutputError, match=r"\.mp4"):
        annotate(clip, clip_report, tmp_path / "out.png", heat=False)


def test_sheets_show_each_person_at_the_most_suspicious_moments(clip, network, tmp_path):
    sheets = FaceSheets()
    report = unmask.analyse(clip, model=network, on_heat=sheets.take)
    pictures = sheets.sheets(report)
    assert list(pictures) == [1]
    (tmp_path / "sheet.jpg").write_bytes(pictures[1])
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.width > TILES * SIDE
        assert sheet.height > 2 * SIDE


def test_the_command_reads_back_what_detect_wrote(clip, network, tmp_path):
    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)

    report, output = tmp_path / "report.json", tmp_path / "annotated.mp4"
    assert run("detect", clip, "-o", report, "--model", network, "--frames", 5).exit_code == 0
    assert run("visualize", clip, "-p", report, "-o", output, "--model", network).exit_code == 0
    assert len(decode(output)[1]) == COUNT


@pytest.mark.parametrize(
    ("source", "predictions", "output", "part"),
    [
        ("missing.mp4", "report.json", "out.mp4", "missing.mp4"),
        ("clip.mp4", "missing.json", "out.mp4", "missing.json"),
        ("clip.mp4", "clip.mp4", "out.mp4", "not an unmask.report/1 report"),
        ("clip.mp4", "report.json", "clip.mp4/out.mp4", "clip.mp4"),
        ("clip.mp4", "report.json", "clip.mp4", "another name"),
        ("clip.mp4", "report.json", "out.mp4", "report is of another file"),
    ],
)
def test_what_does_not_fit_is_one_line(
    report, clip, tmp_path, monkeypatch, source, predictions, output, part
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "report.json").write_text(report.to_json())
    result = CliRunner().invoke(app, ["visualize", source, "-p", predictions, "-o", output])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert part in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "report.json"]
