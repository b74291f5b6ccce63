"""The single pass, end to end: from a file to what its report says."""

from __future__ import annotations

import csv
import gc
import socket
import threading
import wave
import weakref
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import tiny_networks
import unmask
from unmask import pipeline
from unmask.evidence.schedule import MAX_WAITING
from unmask.evidence.visual import Visual
from unmask.faces.align import crop
from unmask.faces.detect import Detector
from unmask.media.ahead import DEPTH
from unmask.media.events import Cut, End, Frame, Gap, Media, MediaError
from unmask.pipeline import analyse
from unmask.report.schema import Report
from unmask.runtime.card import WeightError, load_card

SAMPLE = Path(unmask.__file__).parent / "samples" / "untouched.mp4"
"""Five seconds of a filmed portrait, 640 x 480, 25 frames a second."""
PORTRAIT = astronaut()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A network that calls bright faces fake."""
    return tiny_networks.brightness_network(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def sample_report(model) -> Report:
    return analyse(SAMPLE, model=model, threads=1)


def content(report: Report) -> dict:
    return report.model_dump(exclude={"timing"})


def saved(pixels: np.ndarray, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_a_clip_becomes_a_report_of_its_facts(sample_report):
    media = sample_report.media
    assert (media.file_name, media.kind, media.size) == ("untouched.mp4", "video", (640, 480))
    assert media.duration == pytest.approx(5.0, abs=0.05)
    assert media.frame_rate == "25"
    assert media.frames_analysed == 32


def test_the_one_face_of_a_clip_is_one_person_followed_throughout(sample_report):
    (person,) = sample_report.faces
    (track,) = person.tracks
    assert person.person == 1
    assert track.start == pytest.approx(0.0, abs=0.05)
    assert track.end == pytest.approx(4.9, abs=0.15)
    assert track.boxes_points == 50  # ten a second
    assert all(0 <= box.x < 640 and 0 <= box.y < 480 and 40 < box.width < 400 for box in track.boxes)


def test_evidence_has_a_timeline_spread_over_the_clip(sample_report):
    evidence = sample_report.faces[0].evidence["visual"]
    assert evidence.status == "ok"
    assert evidence.weight == 1.0
    assert evidence.measurements["frames"].value == 32
    times = [t for t, _ in evidence.timeline]
    assert len(times) == 32
    assert times == sorted(times)
    assert times[0] == 0.0
    assert max(np.diff(times)) <= 0.25  # 5 s / 32, taken at the next tenth
    assert sample_report.evidence["visual"] == evidence


def test_the_verdict_of_an_uncalibrated_network_warns(sample_report, model):
    verdict = sample_report.verdict
    assert verdict.label in ("fake", "real")
    assert verdict.probability == pytest.approx(sample_report.faces[0].probability)
    assert any("no calibration" in warning for warning in sample_report.warnings)
    weights = {weight.name: weight for weight in sample_report.tool.weights}
    assert weights["tiny"].sha256 == load_card(model).sha256
    assert weights["tiny"].analyser == "visual"
    assert "face_detection_yunet" in weights
    assert sample_report.tool.version == unmask.__version__


def test_timing_names_the_stages(sample_report):
    timing = sample_report.timing
    assert {"load", "decode", "faces", "visual", "verdict"} <= set(timing.stages)
    assert sum(timing.stages.values()) <= timing.seconds + 0.05


def test_the_same_file_gives_the_same_report_with_one_thread_or_two(sample_report, model):
    again = analyse(SAMPLE, model=model, threads=2)
    assert content(again) == content(sample_report)


def test_every_frame_gives_the_same_report_with_one_thread_or_two(model):
    one, two = (analyse(SAMPLE, model=model, every_frame=True, threads=n, end=1.5) for n in (1, 2))
    assert content(two) == content(one)


def test_an_error_of_an_analyser_ends_the_analysis(model, monkeypatch):
    def fail(self, frame, faces):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Visual, "observe", fail)
    before = threading.active_count()
    for threads in (1, 2):
        with pytest.raises(RuntimeError, match="broken on purpose"):
            analyse(SAMPLE, model=model, every_frame=True, threads=threads)
    gc.collect()
    assert threading.active_count() == before


def test_the_report_reads_back_as_it_was(sample_report):
    assert Report.from_json(sample_report.to_json()) == sample_report


def test_every_frame_means_every_frame_and_the_same_tracks(sample_report, model):
    every = analyse(SAMPLE, model=model, every_frame=True, end=2.0)
    assert every.media.frames_analysed == 50
    assert every.faces[0].evidence["visual"].timeline_points == 50
    # what the tracker sees does not depend on the analysers
    assert every.faces[0].tracks[0].boxes == sample_report.faces[0].tracks[0].boxes[:20]
    # the frames in between look like the others
    assert every.faces[0].probability == pytest.approx(sample_report.faces[0].probability, abs=0.05)


def test_a_continuous_analyser_sees_landmarks_in_every_frame_and_changes_nothing_for_others(model):
    both = analyse(SAMPLE, model=model, analysers=["visual", "blink"], end=2.0)
    evidence = both.faces[0].evidence
    assert evidence["blink"].timeline_points == 50
    assert evidence["blink"].weight == 0
    assert evidence["blink"].score is None
    alone = analyse(SAMPLE, model=model, analysers=["visual"], end=2.0)
    assert list(alone.faces[0].evidence) == ["visual"]
    assert evidence["visual"] == alone.faces[0].evidence["visual"]
    assert both.faces[0].tracks == alone.faces[0].tracks
    assert both.verdict == alone.verdict


def test_a_stretch_of_a_clip(model):
    report = analyse(SAMPLE, model=model, start=1.0, end=2.5, frames=5)
    times = [t for t, _ in report.faces[0].evidence["visual"].timeline]
    assert len(times) == 5
    assert all(1.0 <= t < 2.5 for t in times)
    assert report.tool.settings["start"] == 1.0
    assert report.tool.settings["end"] == 2.5


def test_a_stretch_without_pictures_is_refused(model):
    with pytest.raises(MediaError, match=r"untouched\.mp4"):
        analyse(SAMPLE, model=model, start=100.0)


def test_progress_runs_from_nought_to_one(model):
    shares: list[float] = []
    analyse(SAMPLE, model=model, end=1.0, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert 0 <= shares[0] < 0.2


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"prior": 0.0}, {"prior": 1.0}, {"analysers": ["x"]}])
def test_arguments_out_of_range_are_refused(wrong, model):
    with pytest.raises(ValueError, match=r"must|unknown"):
        analyse(SAMPLE, model=model, **wrong)


def test_a_picture_is_judged_by_the_very_crop_of_its_face(tmp_path, model):
    report = analyse(saved(PORTRAIT, tmp_path / "portrait.png"), model=model)
    assert report.media.kind == "picture"
    (person,) = report.faces
    assert person.tracks[0].start is None
    assert person.evidence["visual"].timeline == ()
    (detection,) = Detector().detect_picture(PORTRAIT)
    aligned = crop(PORTRAIT, detection.points, size=tiny_networks.SIZE)
    logit = 0.1 * (float(aligned.mean()) - 128)
    assert person.evidence["visual"].measurements["logit"].value == pytest.approx(logit, abs=0.01)
    assert report.verdict.probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=0.001)


def test_a_picture_that_is_a_tight_face_crop_is_found_and_judged(tmp_path, model):
    (detection,) = Detector().detect_picture(PORTRAIT)
    x, y, w, h = detection.box
    # no margin, forehead and chin cut off
    tight = PORTRAIT[round(y + 0.1 * h) : round(y + 0.95 * h), round(x) : round(x + w)]
    report = analyse(saved(tight, tmp_path / "tight.png"), model=model)
    assert len(report.faces) == 1
    assert report.faces[0].evidence["visual"].status == "ok"


def test_one_bright_face_among_several_makes_the_picture_fake(tmp_path, model):
    dark = (PORTRAIT * 0.5).astype(np.uint8)
    bright = np.clip(PORTRAIT * 0.5 + 120, 0, 255).astype(np.uint8)
    group = np.concatenate([dark, bright, dark], axis=1)
    report = analyse(saved(group, tmp_path / "group.png"), model=model)
    assert len(report.faces) == 3
    labels = [person.label for person in sorted(report.faces, key=lambda p: p.tracks[0].boxes[0].x)]
    assert labels == ["real", "fake", "real"]
    assert report.verdict.label == "fake"


def test_a_picture_without_a_face_is_inconclusive_without_a_number(tmp_path, model):
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    report = analyse(saved(noise, tmp_path / "noise.png"), model=model)
    assert report.verdict.label == "inconclusive"
    assert report.verdict.probability is None
    assert report.faces == ()
    assert "No face" in report.verdict.reasons[0]


def test_a_dark_face_is_inconclusive(tmp_path, model):
    report = analyse(saved((PORTRAIT * 0.06).astype(np.uint8), tmp_path / "dark.png"), model=model)
    assert report.verdict.label == "inconclusive"
    assert report.verdict.probability is None


def test_a_small_face_is_inconclusive_with_the_reason(tmp_path, model):
    small = np.array(Image.fromarray(PORTRAIT).resize((110, 110)))
    scene = np.full((240, 320, 3), 90, np.uint8)
    scene[60:170, 100:210] = small
    report = analyse(saved(scene, tmp_path / "small.png"), model=model)
    assert report.verdict.label == "inconclusive"
    assert "too small" in " ".join(report.verdict.reasons)


def test_sound_alone_is_inconclusive(tmp_path, model):
    path = tmp_path / "voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((np.sin(np.arange(16000) / 5) * 9000).astype(np.int16).tobytes())
    report = analyse(path, model=model)
    assert report.media.kind == "audio"
    assert report.verdict.label == "inconclusive"
    assert "no picture" in report.verdict.reasons[0]


def test_files_that_cannot_be_analysed_are_named_in_one_line(tmp_path, model):
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 50)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path in (tmp_path / "missing.mp4", tmp_path, text, empty):
        with pytest.raises(MediaError) as error:
            analyse(path, model=model)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)


def test_a_truncated_clip_is_analysed_as_far_as_it_can_be_read(tmp_path, model):
    path = tmp_path / "cut_off.ts"
    import av

    with av.open(str(SAMPLE)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    report = analyse(path, model=model)
    (person,) = report.faces
    assert person.evidence["visual"].status == "ok"
    assert 1.0 < person.tracks[0].end < 4.5


def test_an_exchanged_weight_file_is_refused(tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightError, match="sha256"):
        analyse(SAMPLE, model=path)


def test_a_model_can_be_named_by_its_analyser(model, tmp_path):
    picture = saved(PORTRAIT, tmp_path / "p.png")
    assert content(analyse(picture, model={"visual": model})) == content(analyse(picture, model=str(model)))


def test_nothing_asks_the_network(monkeypatch, tmp_path, model):
    def refuse(*_, **__):
        raise AssertionError("a network connection was asked for")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert analyse(saved(PORTRAIT, tmp_path / "p.png"), model=model).faces


def stream(times, *, duration=None, alive=None, extra=()):
    """Stand in for the reader: a portrait at each time, other events before the frame of their index."""
    pixels = np.array(Image.fromarray(PORTRAIT[:256, 100:356]))

    def read(path, **_):
        yield Media(Path(path), "0" * 64, "video", "x", (256, 256), duration, Fraction(30))
        for index, time in enumerate(times):
            yield from (event for at, event in extra if at == index)
            frame = Frame(index, time, pixels.copy(), np.eye(2, 3))
            if alive is not None:
                alive.append(weakref.ref(frame.pixels))
            yield frame
            del frame
        yield End(len(times), times[-1])

    return read


@pytest.mark.parametrize(("every_frame", "most"), [(False, 2), (True, MAX_WAITING + 3)])
def test_the_frames_kept_do_not_grow_with_the_clip(every_frame, most, monkeypatch, model):
    alive: list[weakref.ref] = []
    counts = []

    def count(_):
        counts.append(sum(ref() is not None for ref in alive))

    times = [k / 30 for k in range(60)]
    monkeypatch.setattr(pipeline, "read", stream(times, duration=2.0, alive=alive))
    analyse("clip", model=model, every_frame=every_frame, on_progress=count)
    # Those read ahead wait in the queue, and one is in the reading thread's hand; so it is with those whose
    # faces are known, where faces and analysers work side by side.
    assert max(counts) <= most + (DEPTH + 1) * (1 + every_frame)


def test_an_unknown_duration_is_said_and_sampled_ever_more_rarely(monkeypatch, model):
    monkeypatch.setattr(pipeline, "read", stream([k / 10 for k in range(60)]))
    report = analyse("clip", model=model, frames=4)
    assert any("does not state its duration" in warning for warning in report.warnings)
    # every 0.3 s, twice as far apart after every fourth sample
    assert [t for t, _ in report.faces[0].evidence["visual"].timeline] == pytest.approx(
        [0.0, 0.3, 0.6, 0.9, 1.2, 1.8, 2.4, 3.0, 3.6, 4.8]
    )


@pytest.mark.parametrize(("seconds", "rate", "seen"), [(12, 5.0, 60), (3, 10.0, 30)])
def test_the_tracker_sees_fewer_frames_where_few_are_judged(seconds, rate, seen, monkeypatch, model):
    """32 judged frames lie 0.375 s apart in 12 s, and 0.09 s in 3 s."""
    counts = []
    update = pipeline.Tracker.update
    monkeypatch.setattr(
        pipeline.Tracker, "update", lambda *args, **options: counts.append(1) or update(*args, **options)
    )
    monkeypatch.setattr(
        pipeline, "read", stream([k / 10 for k in range(10 * seconds)], duration=float(seconds))
    )
    report = analyse("clip", model=model)
    assert report.tool.settings["track_rate"] == rate
    assert len(counts) == seen


def test_a_cut_ends_the_track_but_not_the_person(monkeypatch, model):
    times = [k / 10 for k in range(20)]
    monkeypatch.setattr(pipeline, "read", stream(times, duration=2.0, extra=[(10, Cut(1.0))]))
    report = analyse("clip", model=model)
    (person,) = report.faces
    assert [(t.start, t.end) for t in person.tracks] == [(0.0, 0.9), (1.0, 1.9)]
    evidence = person.evidence["visual"]
    assert "2 tracks" in evidence.summary
    assert evidence.measurements["frames"].value == 20
    # the same picture twenty times: the person's score is that of each of its tracks
    assert {t.probability for t in person.tracks} == {person.probability}


def test_damaged_stretches_are_warned_of_but_not_without_end(monkeypatch, model):
    gaps = [(k, Gap(k / 10, k / 10 + 0.05, "packet lost")) for k in range(1, 9)]
    monkeypatch.setattr(pipeline, "read", stream([k / 10 for k in range(10)], duration=1.0, extra=gaps))
    warnings = [w for w in analyse("clip", model=model).warnings if "damaged" in w]
    assert len(warnings) == 6
    assert "0.10 s to 0.15 s" in warnings[0]
    assert "packet lost" in warnings[0]
    assert warnings[-1].startswith("3 further")


def test_a_clip_of_one_frame_is_too_short(monkeypatch, model):
    monkeypatch.setattr(pipeline, "read", stream([0.0], duration=0.04))
    report = analyse("clip", model=model)
    assert report.verdict.label == "inconclusive"
    assert "too briefly" in report.verdict.reasons[0]


def test_a_real_clip(clips_dir, model):
    with (clips_dir / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "open"]
    (name,) = [row["file"] for row in rows if row["file"] == "person_s18.mp4"]
    report = analyse(clips_dir / name, model=model)
    assert report.media.size == (1280, 720)
    assert report.media.frames_analysed == 32
    assert len(report.faces) == 1
    assert report.faces[0].tracks[0].end > 9
    assert report.faces[0].evidence["visual"].measurements["frames"].value == 32
    assert "x264" in str(report.media.metadata)


def test_tight_crops_of_the_development_set_are_found(data_dir, tmp_path, model):
    with zipfile.ZipFile(data_dir / "dfdc_faces.zip") as archive:
        rows = list(csv.DictReader(archive.read("metadata.csv").decode().splitlines()))
        names = [row["name"] for row in rows if row["split"] == "train"][:400:20]
        found = 0
        for name in names:
            path = tmp_path / f"{name}.jpg"
            path.write_bytes(archive.read(f"images/{name}.jpg"))
            found += bool(analyse(path, model=model).faces)
    # of 20; a blurred or turned-away face may be missed
    assert found >= 18
