"""Makes small media files with known content, by script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
UNITY = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")


def quadrants(width: int, height: int) -> np.ndarray:
    """Red top left, green top right, blue bottom left, white bottom right."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    picture[height // 2 :, width // 2 :] = WHITE
    return picture


def flat_ten_bit(values: tuple[int, int, int], side: int = 64) -> av.VideoFrame:
    """One colour, given as 10-bit Y, Cb and Cr."""
    frame = av.VideoFrame(side, side, "yuv444p10le")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
    return frame


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """The colours a quarter in from the corners: top left, top right, bottom left, bottom right."""
    height, width = picture.shape[:2]
    return [
        tuple(int(v) for v in picture[y, x])
        for y in (height // 4, height - 1 - height // 4)
        for x in (width // 4, width - 1 - width // 4)
    ]


def moving(count: int, width: int = 160, height: int = 120, seed: int = 0) -> list[np.ndarray]:
    """Coloured blocks that shift by two pixels a frame."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    base = tiles.repeat(8, 0).repeat(8, 1)[:height, :width]
    return [np.roll(base, 2 * i, axis=1) for i in range(count)]


def write_video(
    path: Path,
    frames: Iterable[np.ndarray | av.VideoFrame],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    source: str = "rgb24",
    rate: Fraction | int = 30,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    gop: int = 12,
    tags: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode frames; `tags` are (matrix, primaries, transfer, range) as in ITU-T H.273."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = None
        for number, pixels in enumerate(frames):
            frame = pixels
            if isinstance(frame, np.ndarray):
                frame = av.VideoFrame.from_ndarray(frame, format=source)
            if stream is None:
                stream = container.add_stream(codec, rate=rate)
                stream.width, stream.height = frame.width, frame.height
                stream.pix_fmt = pixel_format
                stream.gop_size = gop
                stream.options = {"crf": "6", "preset": "fast"} if options is None else options
                context = stream.codec_context
                if aspect:
                    context.sample_aspect_ratio = aspect
                if tags:
                    context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
                if time_base:
                    context.time_base = stream.time_base = time_base
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], time_base or Fraction(1, 90000)
            for packet in stream.encode(frame):
                container.mux(packet)
        assert stream is not None
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def write_sound(
    path: Path, *, codec: str, seconds: float = 2.0, rate: int = 44100, cover: bytes | None = None
) -> Path:
    """A 440 Hz tone of half amplitude, in stereo; with a JPEG cover if given."""
    time = np.arange(int(seconds * rate)) / rate
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        picture = None
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 16
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            packet = av.Packet(cover)
            packet.stream = picture
            packet.pts = packet.dts = 0
            container.start_encoding()
            container.mux(packet)
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=rate)
        for first in range(0, len(tone), 4096):
            part = np.ascontiguousarray(np.stack([tone[first : first + 4096]] * 2))
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def join(path: Path, *sources: Path) -> Path:
    """Copy the streams of several files into one, each source's packets after the other's."""
    with av.open(str(path), "w") as output:
        inputs = [av.open(str(source)) for source in sources]
        pairs = [(i, s, output.add_stream_from_template(s)) for i in inputs for s in i.streams]
        for container, stream, target in pairs:
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = target
                    output.mux(packet)
        for container in inputs:
            container.close()
    return path


def set_display_matrix(path: Path, values: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d of the QuickTime track matrix (x' = a x + c y, y' = b x + d y) into an MP4."""
    data = path.read_bytes()
    place = data.index(UNITY, data.index(b"tkhd"))
    matrix = bytearray(UNITY)
    for slot, value in zip((0, 4, 12, 16), values, strict=True):
        matrix[slot : slot + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(data[:place] + matrix + data[place + len(matrix) :])
