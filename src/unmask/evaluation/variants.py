"""Puts a test item on disk as the file that is analysed, as it is or degraded in a stated way."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from unmask.data.manifest import Item

HALF_SIZE_CRF = 18
"""How clips are encoded again where only half the size was asked for: visually without loss."""


class VariantError(Exception):
    """An item could not be made ready; the message says why in one line."""


@dataclass(frozen=True)
class Variant:
    """What is done to each item before it is analysed.

    `half_size` halves width and height (pictures and clips); `jpeg` encodes pictures again at that JPEG
    quality (1..100); `h264` encodes clips again at that constant rate factor (0..51).
    """

    half_size: bool = False
    jpeg: int | None = None
    h264: int | None = None

    def __post_init__(self) -> None:
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise ValueError(f"JPEG quality must be 1..100, not {self.jpeg}")
        if self.h264 is not None and not 0 <= self.h264 <= 51:
            raise ValueError(f"the H.264 rate factor must be 0..51, not {self.h264}")

    def check(self, items: Sequence[Item]) -> None:
        """Raise `ValueError` when a part of the variant applies to none of the items."""
        if self.jpeg is not None and not any(item.is_picture for item in items):
            raise ValueError("JPEG re-encoding is for pictures, and there is none in the test data")
        if self.h264 is not None and all(item.is_picture for item in items):
            raise ValueError("H.264 re-encoding is for clips, and there is none in the test data")

    def touches(self, item: Item) -> bool:
        """Whether the item is changed."""
        return self.half_size or (self.jpeg if item.is_picture else self.h264) is not None

    def __str__(self) -> str:
        parts = ["half size"] * self.half_size
        parts += [f"JPEG quality {self.jpeg}"] * (self.jpeg is not None)
        parts += [f"H.264 crf {self.h264}"] * (self.h264 is not None)
        return ", ".join(parts) or "as it is"


class Workbench:
    """Turns items into files, one at a time, in a temporary folder; use as a context manager."""

    def __init__(self, variant: Variant | None = None) -> None:
        self._variant = variant or Variant()
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __enter__(self) -> Workbench:
        self._folder = Path(tempfile.mkdtemp(prefix="unmask-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for archive in self._archives.values():
            archive.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def file(self, item: Item) -> Iterator[Path]:
        """Give the path of the file to analyse; it is gone afterwards unless it is the item's own file.

        Raises:
            VariantError: the item cannot be read, or not encoded again.
        """
        made: list[Path] = []
        try:
            path = item.path
            if item.is_sequence:
                raise VariantError(
                    f"{path}: frames without a video; run unmask prepare and evaluate the store"
                )
            if item.member:
                path = self._folder / item.file_name
                made.append(path)
                path.write_bytes(self._read(item))
            if self._variant.touches(item):
                changed = self._folder / f"{path.stem}.variant{self._suffix(item)}"
                made.append(changed)
                (_change_picture if item.is_picture else _change_clip)(path, changed, self._variant)
                path = changed
            yield path
        finally:
            for path in made:
                path.unlink(missing_ok=True)

    def _suffix(self, item: Item) -> str:
        if not item.is_picture:
            return ".mkv"
        return ".png" if self._variant.jpeg is None else ".jpg"

    def _read(self, item: Item) -> bytes:
        try:
            if item.path not in self._archives:
                self._archives[item.path] = zipfile.ZipFile(item.path)
            return self._archives[item.path].read(item.member)
        except Exception as error:  # zipfile raises BadZipFile, zlib.error, KeyError and others
            raise VariantError(f"{item.path.name}: cannot read {item.member} ({error})") from None


def _change_picture(source: Path, target: Path, variant: Variant) -> None:
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as stored:
            picture = ImageOps.exif_transpose(stored).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise VariantError(f"{source.name}: cannot be decoded ({error})") from None
    if variant.half_size:
        picture = picture.resize(
            (max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX
        )
    if variant.jpeg is None:
        picture.save(target, compress_level=1)
    else:
        picture.save(target, quality=variant.jpeg)


def _change_clip(source: Path, target: Path, variant: Variant) -> None:
    """Encode the picture of a clip again with x264 (yuv420p), times kept, sound copied as it is."""
    import av

    try:
        with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
            _transcode(reader, writer, variant)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise VariantError(f"{source.name}: cannot be encoded again ({error})") from None


def _transcode(reader: Any, writer: Any, variant: Variant) -> None:
    video = reader.streams.video[0]
    video.thread_type = "AUTO"
    sound = reader.streams.audio[0] if reader.streams.audio else None
    copied = writer.add_stream_from_template(sound) if sound is not None else None
    encoded: Any = None
    waiting = []  # sound that comes before the first picture: no stream may be added after the first packet
    for packet in reader.demux([stream for stream in (video, sound) if stream is not None]):
        if packet.stream is sound:
            if packet.dts is not None:
                packet.stream = copied
                waiting.append(packet)
        else:
            for frame in packet.decode():
                if encoded is None:
                    encoded = _add_picture_stream(writer, frame, video, variant)
                writer.mux(encoded.encode(_reshape(frame, encoded)))
        if encoded is not None:
            writer.mux(waiting)
            waiting = []
    if encoded is None:
        raise ValueError("no frame could be decoded")
    writer.mux(encoded.encode(None))


def _add_picture_stream(writer: Any, frame: Any, video: Any, variant: Variant) -> Any:
    crf = HALF_SIZE_CRF if variant.h264 is None else variant.h264
    divisor = 2 if variant.half_size else 1
    width, height = frame.width, frame.height
    if frame.rotation % 180:
        width, height = height, width
    stream = writer.add_stream("libx264", rate=video.average_rate or Fraction(25), options={"crf": str(crf)})
    stream.width = max(2, width // divisor // 2 * 2)
    stream.height = max(2, height // divisor // 2 * 2)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = video.time_base
    if video.sample_aspect_ratio and not frame.rotation % 180:
        stream.codec_context.sample_aspect_ratio = video.sample_aspect_ratio
    return stream


def _reshape(frame: Any, stream: Any) -> Any:
    """Return the frame upright, at the stream's size, its presentation time kept."""
    import av
    import numpy as np

    upright = frame
    if frame.rotation % 360:
        turned = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90) % 4)
        upright = av.VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="rgb24")
    result = upright.reformat(
        width=stream.width, height=stream.height, format="yuv420p", interpolation="AREA"
    )
    result.pts, result.time_base = frame.pts, frame.time_base
    result.pict_type = 0
    return result
