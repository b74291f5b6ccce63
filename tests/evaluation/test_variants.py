"""Items as files, as they are or degraded."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from evaluation_making import item
from PIL import Image

from unmask.data.manifest import Item
from unmask.evaluation.variants import Variant, VariantError, Workbench


def at(path: Path, member: str = "") -> Item:
    base = item(path.name, fake=True)
    return Item(**{**base.__dict__, "path": path, "member": member})


@pytest.fixture
def noisy(tmp_path) -> Path:
    path = tmp_path / "noisy.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return path


def make_clip(
    path: Path, stamps=(0, 100, 250, 300), size=(65, 48), pixel_format="yuv444p", sound=False
) -> Path:
    """A clip of grey frames 0, 50, 100, ... with the given times in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, 1000)
        tone = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for number, stamp in enumerate(stamps):
            pixels = np.full((size[1], size[0], 3), 50 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            for start in range(0, 8192, 1024):
                block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = 44100, start, Fraction(1, 44100)
                container.mux(tone.encode(block))
            container.mux(tone.encode(None))
    return path


def decode(path: Path) -> tuple[list[float], list[float], tuple[int, int], int]:
    """Times relative to the first, mean levels, size, and sound streams."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        sounds = len(container.streams.audio)
    times = [round(frame.time - frames[0].time, 3) for frame in frames]
    levels = [float(frame.to_ndarray(format="gray").mean()) for frame in frames]
    return times, levels, (frames[0].width, frames[0].height), sounds


class TestAsItIs:
    def test_a_file_is_given_as_it_is(self, noisy):
        with Workbench() as bench, bench.file(at(noisy)) as path:
            assert path == noisy
        assert noisy.exists()

    def test_a_member_of_a_zip_is_given_byte_for_byte_and_removed(self, noisy, tmp_path):
        archive = tmp_path / "faces.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(noisy, "images/noisy.png")
        with Workbench() as bench:
            with bench.file(at(archive, "images/noisy.png")) as path:
                assert path.read_bytes() == noisy.read_bytes()
                assert path.name == "noisy.png"
            assert not path.exists()
        assert not path.parent.exists()

    def test_a_member_that_is_not_there(self, noisy, tmp_path):
        archive = tmp_path / "faces.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(noisy, "images/noisy.png")
        with (
            Workbench() as bench,
            pytest.raises(VariantError, match=r"cannot read images/other\.png"),
            bench.file(at(archive, "images/other.png")),
        ):
            pass


class TestPictures:
    def test_half_size_averages_blocks_of_four(self, tmp_path):
        pixels = np.kron(np.array([[10, 20], [40, 60]], np.uint8), np.array([[1, 2], [3, 4]], np.uint8))
        path = tmp_path / "blocks.png"
        Image.fromarray(np.stack([pixels] * 3, axis=2)).save(path)
        with Workbench(Variant(half_size=True)) as bench, bench.file(at(path)) as changed:
            found = np.asarray(Image.open(changed))
        # each block of four holds v * (1, 2, 3, 4): its mean is 2.5 v
        assert found[:, :, 0].tolist() == [[25, 50], [100, 150]]

    def test_jpeg_quality_is_that_of_the_standard_tables(self, noisy):
        with (
            Workbench(Variant(jpeg=40)) as bench,
            bench.file(at(noisy)) as changed,
            Image.open(changed) as found,
        ):
            assert found.format == "JPEG"
            assert found.size == (60, 40)
            first = found.quantization[0][0]  # type: ignore[attr-defined]
        # Annex K's 16, scaled by 5000 / 40 = 125 %
        assert first == 20

    def test_orientation_is_applied(self, tmp_path):
        path = tmp_path / "turned.jpg"
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(path, exif=exif)
        with Workbench(Variant(half_size=True)) as bench, bench.file(at(path)) as changed:
            assert Image.open(changed).size == (10, 20)

    def test_unreadable_picture(self, tmp_path):
        path = tmp_path / "bad.jpg"
        path.write_bytes(b"\xff\xd8 no")
        with (
            Workbench(Variant(jpeg=50)) as bench,
            pytest.raises(VariantError, match=r"bad\.jpg"),
            bench.file(at(path)),
        ):
            pass


class TestClips:
    def test_times_frames_and_levels_are_kept(self, tmp_path):
        clip = make_clip(tmp_path / "a.mp4")
        with Workbench(Variant(h264=30)) as bench, bench.file(at(clip)) as changed:
            times, levels, size, sounds = decode(changed)
            with av.open(str(changed)) as container:
                assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert times == [0, 0.1, 0.25, 0.3]
        assert levels == pytest.approx(decode(clip)[1], abs=3)
        assert size == (64, 48)
        assert sounds == 0

    def test_half_size_and_sound(self, tmp_path):
        clip = make_clip(tmp_path / "a.mp4", sound=True)
        with Workbench(Variant(half_size=True)) as bench, bench.file(at(clip)) as changed:
            times, _, size, sounds = decode(changed)
        assert size == (32, 24)
        assert len(times) == 4
        assert sounds == 1

    def test_higher_rate_factor_makes_a_smaller_file(self, tmp_path):
        path = tmp_path / "noise.mp4"
        generator = np.random.default_rng(1)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(generator.integers(0, 256, (64, 64, 3), np.uint8), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        sizes = []
        for crf in (10, 30, 45):
            with Workbench(Variant(h264=crf)) as bench, bench.file(at(path)) as changed:
                sizes.append(changed.stat().st_size)
        assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]

    @pytest.mark.parametrize("turn", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
    def test_a_turned_clip_becomes_upright_as_the_product_shows_it(self, tmp_path, turn):
        from unmask.media.events import Frame
        from unmask.media.reader import read

        clip = tmp_path / "turned.mp4"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:16, :16] = 255  # a mark in one corner
        with av.open(str(clip), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode(None))
        _set_display_matrix(clip, turn)

        def shown(path: Path) -> np.ndarray:
            return next(event.pixels for event in read(path, rate=None) if isinstance(event, Frame))

        with Workbench(Variant(h264=10)) as bench, bench.file(at(clip)) as changed:
            expected, found = shown(clip).astype(int), shown(changed).astype(int)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 4

    def test_a_clip_that_cannot_be_read(self, tmp_path):
        path = tmp_path / "text.mp4"
        path.write_text("this is no video")
        with (
            Workbench(Variant(h264=30)) as bench,
            pytest.raises(VariantError, match=r"text\.mp4"),
            bench.file(at(path)),
        ):
            pass


def _set_display_matrix(path: Path, values: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d of the QuickTime track matrix into an MP4 (ISO 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    unity = bytes.fromhex("00010000 00000000 00000000 00000000 00010000")
    place = content.index(unity, content.index(b"tkhd"))
    for slot, value in zip((0, 4, 12, 16), values, strict=True):
        content[place + slot : place + slot + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)


class TestVariant:
    def test_says_what_it_does(self):
        assert str(Variant()) == "as it is"
        assert str(Variant(half_size=True, jpeg=40)) == "half size, JPEG quality 40"

    @pytest.mark.parametrize("wrong", [{"jpeg": 0}, {"jpeg": 101}, {"h264": -1}, {"h264": 52}])
    def test_values_out_of_range(self, wrong):
        with pytest.raises(ValueError, match="must be"):
            Variant(**wrong)

    def test_a_part_that_applies_to_nothing_is_refused(self, noisy):
        with pytest.raises(ValueError, match="for clips"):
            Variant(h264=30).check([at(noisy)])
        with pytest.raises(ValueError, match="for pictures"):
            Variant(jpeg=30).check([at(Path("a.mp4"))])


def test_pictures_are_known_by_their_extension():
    assert at(Path("a.WEBP")).is_picture
    assert not at(Path("a.mkv")).is_picture
    assert at(Path("x.zip"), "images/a.jpg").is_picture


def test_packed_frames_without_a_video_are_refused(tmp_path):
    with Workbench() as bench, pytest.raises(VariantError, match=r"1\.tar\.gz: frames without a video"):  # noqa: SIM117
        with bench.file(at(tmp_path / "1.tar.gz")):
            pass
