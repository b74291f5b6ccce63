"""`read` on still pictures and animations: colours, orientation, times, size limits."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from making import BLUE, GREEN, RED, WHITE, corners, quadrants
from PIL import Image

from unmask.media import End, Frame, Gap, Media, MediaError, read


def read_still(path: Path) -> tuple[Media, Frame]:
    media, frame, end = read(path)
    assert isinstance(media, Media)
    assert isinstance(frame, Frame)
    assert end == End(1, None)
    assert (media.kind, frame.time, frame.index, media.duration) == ("picture", None, 0, None)
    assert media.size == frame.pixels.shape[1::-1]
    return media, frame


def assert_corners(pixels: np.ndarray, *expected: tuple[int, int, int], tolerance: int = 0) -> None:
    found = corners(pixels)
    assert np.abs(np.array(found) - np.array(expected)).max() <= tolerance, found


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("a.png", 0), ("a.bmp", 0), ("a.tiff", 0), ("a.gif", 0), ("a.jpg", 4), ("a.webp", 20), ("a.avif", 8)],
)
def test_every_format_is_told_by_its_content(tmp_path: Path, name: str, tolerance: int) -> None:
    Image.fromarray(quadrants(64, 48)).save(tmp_path / name, quality=95)
    path = tmp_path / "misnamed.mp4"
    (tmp_path / name).rename(path)
    media, frame = read_still(path)
    assert media.size == (64, 48)
    assert_corners(frame.pixels, RED, GREEN, BLUE, WHITE, tolerance=tolerance)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(quadrants(64, 48))).save(str(tmp_path / "a.heic"), quality=95)
    _, frame = read_still(tmp_path / "a.heic")
    assert_corners(frame.pixels, RED, GREEN, BLUE, WHITE, tolerance=10)


def test_heic_without_its_library_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(MediaError, match=r"unmask\[heif\]"):
        list(read(tmp_path / "a.heic"))


# What the viewer sees when red, green / blue, white are stored, by Exif 2.32 section 4.6.4: the "0th row"
# and "0th column" of the stored picture are, for orientation 6, the right hand side and the top.
@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (RED, GREEN, BLUE, WHITE)),
        (2, (GREEN, RED, WHITE, BLUE)),
        (3, (WHITE, BLUE, GREEN, RED)),
        (4, (BLUE, WHITE, RED, GREEN)),
        (5, (RED, BLUE, GREEN, WHITE)),
        (6, (BLUE, RED, WHITE, GREEN)),
        (7, (WHITE, GREEN, BLUE, RED)),
        (8, (GREEN, WHITE, RED, BLUE)),
    ],
)
def test_exif_orientation(tmp_path: Path, orientation: int, expected: tuple) -> None:
    stored = quadrants(64, 48)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    media, frame = read_still(tmp_path / "a.png")
    assert media.size == ((48, 64) if orientation >= 5 else (64, 48))
    assert_corners(frame.pixels, *expected)
    # the transform takes every stored pixel to the place where it is displayed
    for x, y in [(0, 0), (63, 0), (0, 47), (20, 10), (40, 30)]:
        column, row = frame.transform @ (x, y, 1)
        assert tuple(frame.pixels[round(row), round(column)]) == tuple(stored[y, x])


def test_sixteen_bit_grey(tmp_path: Path) -> None:
    samples = np.array([[0, 0x1234, 0x8000, 0xFFFF]], np.uint16).repeat(8, 0)
    Image.fromarray(samples).save(tmp_path / "a.png")
    _, frame = read_still(tmp_path / "a.png")
    assert frame.pixels[0].tolist() == [[0] * 3, [0x12] * 3, [0x80] * 3, [0xFF] * 3]


def test_float_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32).repeat(4, 0)).save(tmp_path / "a.tiff")
    _, frame = read_still(tmp_path / "a.tiff")
    assert frame.pixels[0, :, 0].tolist() == [0, 127, 255]


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_grey_palette_and_cmyk(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(quadrants(64, 48)).convert(mode)
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    media, frame = read_still(path)
    assert media.pixel_format == mode
    # grey by BT.601: .299 R, .587 G, .114 B
    expected = {"L": [(76,) * 3, (149,) * 3, (29,) * 3, WHITE]}.get(mode, [RED, GREEN, BLUE, WHITE])
    if mode == "1":
        assert set(np.unique(frame.pixels)) <= {0, 255}
    else:
        assert_corners(frame.pixels, *expected, tolerance=1)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((8, 3, 4), np.uint8)
    pixels[:, 0] = (255, 0, 0, 255)
    pixels[:, 1] = (0, 0, 0, 0)
    pixels[:, 2] = (0, 0, 0, 51)  # a fifth black on white: 204
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    _, frame = read_still(tmp_path / "a.png")
    assert frame.pixels[0].tolist() == [[255, 0, 0], [255, 255, 255], [204, 204, 204]]
    palette = Image.fromarray(quadrants(64, 48)).quantize(8)
    clear = palette.getpixel((0, 0))
    palette.save(tmp_path / "p.png", transparency=clear)
    _, frame = read_still(tmp_path / "p.png")
    assert_corners(frame.pixels, WHITE, GREEN, BLUE, WHITE)


def animation(count: int) -> list[Image.Image]:
    """Frame k is a white square at column 8 k on black."""
    frames = []
    for number in range(count):
        picture = np.zeros((32, 64, 3), np.uint8)
        picture[8:24, 8 * number : 8 * number + 8] = 255
        frames.append(Image.fromarray(picture))
    return frames


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.avif"])
def test_an_animation_is_a_video_with_its_own_frame_times(tmp_path: Path, name: str) -> None:
    first, *rest = animation(5)
    durations = [40, 100, 30, 500, 200]
    options = {"lossless": True} if name == "a.webp" else {"quality": 95} if name == "a.avif" else {}
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=durations, loop=0, **options)
    media, *frames, end = read(tmp_path / name, rate=None)
    assert media.kind == "video"
    assert media.size == (64, 32)
    assert media.duration == pytest.approx(0.87)
    assert media.frame_count == 5
    assert [f.time for f in frames] == pytest.approx([0.0, 0.04, 0.14, 0.17, 0.67])
    assert end == End(5, pytest.approx(0.67))
    for number, frame in enumerate(frames):
        assert frame.pixels[16, 8 * number + 4].min() > 240
        assert frame.pixels[16, (8 * number + 36) % 64].max() < 15


def test_the_window_holds_for_animations_too(tmp_path: Path) -> None:
    first, *rest = animation(8)
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=100)
    assert [e.index for e in read(tmp_path / "a.gif", rate=5.0) if isinstance(e, Frame)] == [0, 2, 4, 6]
    frames = [e for e in read(tmp_path / "a.gif", rate=None, start=0.3, end=0.5) if isinstance(e, Frame)]
    assert [f.index for f in frames] == [3, 4]


def test_an_animation_without_times_runs_at_ten_a_second(tmp_path: Path) -> None:
    first, *rest = animation(3)
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=0)
    frames = [e for e in read(tmp_path / "a.gif", rate=None) if isinstance(e, Frame)]
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2])


def test_a_cut_off_animation_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, *rest = (Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(6))
    path = tmp_path / "a.gif"
    first.save(path, save_all=True, append_images=rest, duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    events = list(read(path, rate=None))
    count = sum(isinstance(e, Frame) for e in events)
    assert 1 <= count < 6
    assert isinstance(events[-1], End)


def test_only_the_first_page_of_a_document_is_examined(tmp_path: Path) -> None:
    first, *rest = animation(3)
    first.save(tmp_path / "a.tiff", save_all=True, append_images=rest)
    media, _ = read_still(tmp_path / "a.tiff")
    assert "first of 3 pages" in media.warnings[0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_long_pictures_are_reduced_with_a_warning(tmp_path: Path, name: str) -> None:
    Image.fromarray(quadrants(9000, 400)).save(tmp_path / name, quality=95)
    media, frame = read_still(tmp_path / name)
    assert media.size == (4096, 182)
    assert "9000x400" in media.warnings[0]
    assert_corners(frame.pixels, RED, GREEN, BLUE, WHITE, tolerance=4)
    assert np.allclose(frame.transform @ (8999.5, 399.5, 1), (4095.5, 181.5))


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000), (1, 1)])
def test_very_wide_or_tall_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "a.png")
    media, frame = read_still(tmp_path / "a.png")
    assert media.size == size
    assert frame.pixels[-1, -1].tolist() == [10, 20, 30]


def bare_png(width: int, height: int, rows: bytes | None = None) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows or b"") + chunk(b"IEND", b"")


def test_a_giant_picture_is_reduced(tmp_path: Path) -> None:
    packer = zlib.compressobj(1)
    row = b"\0" + bytes([77]) * 16384
    rows = b"".join(packer.compress(row) for _ in range(16384)) + packer.flush()
    (tmp_path / "a.png").write_bytes(bare_png(16384, 16384, rows))
    media, frame = read_still(tmp_path / "a.png")
    assert media.size == (4096, 4096)
    assert "16384x16384" in media.warnings[0]
    assert (frame.pixels == 77).all()


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bare_png(30000, 10001))
    with pytest.raises(MediaError, match=r"bomb\.png: 30000x10001 .*300 megapixels"):
        list(read(path))


def test_a_damaged_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(quadrants(640, 480)).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(MediaError, match=r"a\.jpg.*damaged"):
        list(read(path))


def test_the_limit_of_pillow_is_left_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    list(read(tmp_path / "a.png"))
    assert before == Image.MAX_IMAGE_PIXELS
    assert not [e for e in read(tmp_path / "a.png") if isinstance(e, Gap)]
