"""What a file says about itself: checksum, tags, edit lists, encoder marks, EXIF, JPEG tables."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from av.container import InputContainer
from PIL import ExifTags, Image, JpegImagePlugin
from PIL.TiffImagePlugin import IFDRational

_MAKER_NOTE = 37500
_TEXT_LIMIT = 500
_HEAD = 262_144
_BOXES_WITH_BOXES = {b"moov", b"trak", b"edts", b"mdia", b"udta"}
_ENCODER_MARKS = re.compile(rb"(x264 - core \d+[^\0]{0,20}|x265 \(build \d+\)[^\0]{0,40})")
_XMP_TOOL = re.compile(rb"(?:CreatorTool|xmp:CreatorTool)(?:>|=\")([^<\"]{1,200})")

#: Annex K of ITU-T T.81, tables K.1 (luminance) and K.2 (chrominance), row by row.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file in hexadecimal, reading in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_container(path: Path, container: InputContainer) -> dict[str, Any]:
    """JSON-ready facts of a container: tags, streams, MP4 box order and edit lists, encoder marks."""
    facts: dict[str, Any] = {
        "tags": _texts(container.metadata),
        "streams": [_describe_stream(stream) for stream in container.streams],
    }
    created = container.metadata.get("creation_time")
    encoder = container.metadata.get("encoder") or container.metadata.get("ENCODER")
    if created:
        facts["creation_time"] = _text(created)
    if encoder:
        facts["encoder"] = _text(encoder)
    marks = _encoder_marks(path)
    if marks:
        facts["encoder_marks"] = marks
    if "mp4" in container.format.name:
        facts["mp4"] = mp4_facts(path)
    return facts


def _describe_stream(stream: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": stream.type, "tags": _texts(stream.metadata)}
    context = getattr(stream, "codec_context", None)
    if context is None:
        return facts
    facts |= {"codec": context.name, "profile": stream.profile, "bit_rate": stream.bit_rate}
    if stream.type == "video":
        facts |= {
            "size": [stream.width, stream.height],
            "pixel_format": context.pix_fmt,
            "aspect": str(stream.sample_aspect_ratio) if stream.sample_aspect_ratio else None,
            "colour": {
                "matrix": int(context.colorspace),
                "primaries": int(context.color_primaries),
                "transfer": int(context.color_trc),
                "range": int(context.color_range),
            },
            "has_b_frames": bool(context.has_b_frames),
            "frames": stream.frames or None,
        }
    elif stream.type == "audio":
        facts |= {"rate": context.sample_rate, "channels": len(context.layout.channels)}
    return facts


def _texts(tags: dict[str, str]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in tags.items()}


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else " " for c in text.strip("\0 "))[:_TEXT_LIMIT]


def _encoder_marks(path: Path) -> list[str]:
    """Find encoder names written into the coded data (x264 and x265 sign their first key frame)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if size > 2 * _HEAD:
            file.seek(-_HEAD, 2)
            data += file.read()
    return sorted({_text(mark) for mark in _ENCODER_MARKS.findall(data)})


def mp4_facts(path: Path) -> dict[str, Any]:
    """Top-level box order and the edit lists of an MP4 or QuickTime file.

    An edit is [duration in movie ticks, media time in media ticks (-1: empty), rate].
    """
    order: list[str] = []
    edits: list[list[list[float]]] = []
    with path.open("rb") as file:
        end = path.stat().st_size
        for kind, start, stop, depth in _boxes(file, 0, end, 0):
            if depth == 0 and len(order) < 64:
                order.append(kind.decode("latin-1") if kind.isalnum() else "????")
            if kind == b"elst" and len(edits) < 64:
                edits.append(_edit_list(file, start, min(stop, start + 65_536)))
    return {"boxes": order, "edit_lists": edits}


def _boxes(file: BinaryIO, start: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(kind, start and end of the content, depth) of every box that can hold what is looked for."""
    count = 0
    while start + 8 <= end and count < 10_000:
        count += 1
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        header = 8
        if size == 1 and len(head) == 16:
            size, header = struct.unpack(">Q", head[8:])[0], 16
        elif size == 0:
            size = end - start
        if size < header:
            return
        stop = min(start + size, end)
        yield kind, start + header, stop, depth
        if kind in _BOXES_WITH_BOXES and depth < 6:
            yield from _boxes(file, start + header, stop, depth + 1)
        start += size


def _edit_list(file: BinaryIO, start: int, stop: int) -> list[list[float]]:
    file.seek(start)
    data = file.read(stop - start)
    if len(data) < 8:
        return []
    wide = data[0] == 1
    form = struct.Struct(">QqhH" if wide else ">IihH")
    count = min(struct.unpack(">I", data[4:8])[0], (len(data) - 8) // form.size, 64)
    entries = (form.unpack_from(data, 8 + form.size * i) for i in range(count))
    return [[duration, time, whole + fraction / 65536] for duration, time, whole, fraction in entries]


def describe_picture(image: Image.Image, path: Path) -> dict[str, Any]:
    """JSON-ready facts of a picture: EXIF, JPEG tables with estimated quality, software tags.

    The place where a photo was taken stays out: only that the file tells it (`gps`: true).
    """
    facts: dict[str, Any] = {"mode": image.mode}
    exif = _exif(image)
    if exif:
        facts["exif"] = exif
    texts = {
        _text(key): _text(value)
        for key, value in image.info.items()
        if isinstance(key, str) and isinstance(value, str | bytes) and key in _TEXT_KEYS
    }
    if texts:
        facts["tags"] = texts
    software = _software(exif, texts, path)
    if software:
        facts["software"] = software
    if "icc_profile" in image.info:
        facts["icc_profile_bytes"] = len(image.info["icc_profile"] or b"")
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        facts["jpeg"] = _jpeg_facts(image)
    return facts


_TEXT_KEYS = {
    "Software",
    "Comment",
    "comment",
    "Description",
    "Title",
    "Author",
    "parameters",
    "prompt",
    "Source",
}


def _exif(image: Image.Image) -> dict[str, Any]:
    try:
        exif = image.getexif()
        tags = dict(exif) | dict(exif.get_ifd(ExifTags.IFD.Exif))
        found = {
            ExifTags.TAGS.get(tag, f"tag_{tag}"): _json_value(value)
            for tag, value in tags.items()
            if tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, _MAKER_NOTE)
        }
        if exif.get_ifd(ExifTags.IFD.GPSInfo):
            found["gps"] = True
    except (
        Exception
    ):  # Pillow's EXIF reader raises almost anything on damaged tags; they are no reason to stop
        return {"damaged": True}
    return found


def _json_value(value: Any) -> Any:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float | IFDRational):
        number = float(value)
        return number if np.isfinite(number) else None
    if isinstance(value, tuple | list):
        return [_json_value(v) for v in value[:64]]
    return _text(value)


def _software(exif: dict[str, Any], texts: dict[str, str], path: Path) -> list[str]:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = [_text(tool) for tool in _XMP_TOOL.findall(head)]
    found += [str(exif[key]) for key in ("Software", "ProcessingSoftware") if key in exif]
    found += [texts[key] for key in ("Software",) if key in texts]
    if b"c2pa" in head and b"jumb" in head:
        found.append("C2PA manifest")
    return sorted(set(found))


def _jpeg_facts(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    tables = {str(key): [int(v) for v in table] for key, table in image.quantization.items()}
    quality, exact = estimate_quality(tables["0"]) if "0" in tables else (None, False)
    sampling = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}.get(JpegImagePlugin.get_sampling(image))
    return {
        "quantisation": tables,
        "quality": quality,
        "standard_table": exact,
        "subsampling": sampling,
        "progressive": bool(image.info.get("progressive") or image.info.get("progression")),
    }


def estimate_quality(table: list[int]) -> tuple[int, bool]:
    """Find the libjpeg quality (1..100) whose luminance table is nearest to `table` (64 values).

    `table` runs row by row. Also tells whether it is that table exactly: cameras and editors often
    have tables of their own.
    """
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)[:, None]
    tables = np.clip((_LUMINANCE * scale + 50) // 100, 1, 255)
    distance = np.abs(tables - np.asarray(table)).sum(axis=1)
    best = len(distance) - 1 - int(np.argmin(distance[::-1]))
    return int(quality[best]), bool(distance[best] == 0)
