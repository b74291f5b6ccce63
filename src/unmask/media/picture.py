"""Read still pictures and short animations with Pillow: JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC, AVIF.

Colours become 8-bit RGB without colour management: of 16-bit samples the high byte is kept, transparent
pixels are laid on white, CMYK is converted by complement. Nothing is decoded before the header's size
was found acceptable.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from unmask.media.events import End, Event, Frame, Gap, Media, MediaError
from unmask.media.geometry import (
    EXIF_ORIENTATIONS,
    MAX_PIXELS,
    UPRIGHT,
    Layout,
    Matrix,
    lay_out,
    reduced_warning,
)
from unmask.media.metadata import describe_picture, sha256
from unmask.media.sampling import Picture, Selector, Window

_FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF"]
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
#: Shown for this long when the file gives no time at all, as browsers do.
_DEFAULT_DURATION = 0.1
_GRID = (72, 128)
_pillow_settings = threading.Lock()


def is_picture(path: Path) -> bool:
    """Whether the content is that of a picture format (also an animated one)."""
    return _kind(path) is not None


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")):
        return "common"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "common"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "common"
    if head[4:8] != b"ftyp":
        return None
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, min(int.from_bytes(head[:4]), 64), 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if head[8:12] in _HEIF_BRANDS else None


def read_picture(path: Path, window: Window) -> Iterator[Event]:
    """Yield the events of a still picture (one frame without time) or of an animation (a silent video).

    Raises:
        MediaError: damaged, more than 300 megapixels, or in need of a library that is not installed.
    """
    _prepare(path)
    with _pillow(path):
        Image.init()
        image = Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])
    with image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise MediaError(
                f"{path}: {width}x{height} pixels are more than {MAX_PIXELS // 1_000_000} megapixels; "
                "reduce the picture first"
            )
        with _pillow(path):
            orientation = _orientation(image)
            facts = describe_picture(image, path)
            animated = _is_animated(image)
        layout = lay_out(image.size, orientation=orientation)
        if animated:
            yield from _read_animation(path, image, layout, facts, window)
        else:
            yield from _read_still(path, image, layout, facts)


def _prepare(path: Path) -> None:
    """Make Pillow able to open HEIC and AVIF, or say what to install."""
    kind = _kind(path)
    if kind == "avif" and not features.check("avif"):
        raise MediaError(
            f"{path}: AVIF needs Pillow 11.3 or later; run: pip install -U pillow 'unmask[heif]'"
        )
    if kind == "heif":
        try:
            import pillow_heif
        except ImportError as error:
            raise MediaError(
                f"{path}: HEIC pictures need an extra library; run: pip install 'unmask[heif]'"
            ) from error
        pillow_heif.register_heif_opener()


@contextmanager
def _pillow(path: Path) -> Iterator[None]:
    """Call Pillow with our own size limit in place of its own, silently, all its errors in one line."""
    with _pillow_settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        except MemoryError as error:
            raise MediaError(f"{path}: too large for the memory at hand; reduce the picture first") from error
        except Exception as error:  # on damaged files Pillow's readers raise almost anything
            raise MediaError(
                f"{path}: the picture is damaged or cut off; get the file again from its source"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _orientation(image: Image.Image) -> Matrix:
    try:
        return EXIF_ORIENTATIONS.get(image.getexif().get(274, 1), UPRIGHT)
    except Exception:  # damaged EXIF is no reason to refuse the picture
        return UPRIGHT


def _media(path: Path, image: Image.Image, layout: Layout, facts: dict[str, Any], **more: Any) -> Media:
    warning = reduced_warning(layout.stored, layout)
    name = image.format or "picture"
    return Media(
        path=path,
        sha256=sha256(path),
        container=name.lower(),
        size=layout.size,
        pixel_format=facts["mode"],
        metadata=facts,
        warnings=((warning,) if warning else ()) + more.pop("warnings", ()),
        **more,
    )


def _read_still(path: Path, image: Image.Image, layout: Layout, facts: dict[str, Any]) -> Iterator[Event]:
    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    notes = (f"only the first of {pages} pages was examined",) if pages > 1 else ()
    with _pillow(path):
        if layout.scaled != layout.stored:
            image.draft(None, layout.scaled)
        image.load()
        pixels = layout.turn(_scaled(image, layout))
    yield _media(path, image, layout, facts, kind="picture", frame_count=1, warnings=notes)
    yield Frame(0, None, pixels, layout.transform)
    yield End(1, None)


def _scaled(image: Image.Image, layout: Layout) -> np.ndarray:
    """(H, W, 3) uint8 RGB at the size of `layout` before turning."""
    if image.mode not in ("L", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        image = _to_rgb(image)
    if image.size != layout.scaled:
        image = image.resize(layout.scaled, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(_to_rgb(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode.startswith(("I", "F")):
        return _from_deep(np.asarray(image))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        if mode in ("RGBa", "La"):
            image = image.convert("RGBA" if mode == "RGBa" else "LA")
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def _from_deep(samples: np.ndarray) -> Image.Image:
    """Grey samples of more than 8 bits: integers are 16-bit, floats run from 0 to 1 (or 255, or 65535)."""
    if samples.dtype.kind == "f":
        top = float(np.nanmax(samples, initial=0.0))
        scale = 255.0 if top <= 1 else 1.0 if top <= 255 else 255 / 65535
        grey = np.clip(np.nan_to_num(samples) * scale, 0, 255).astype(np.uint8)
    else:
        grey = np.clip(samples >> 8, 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _is_animated(image: Image.Image) -> bool:
    try:
        return image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
    except Exception:  # the second frame is damaged: the first may still be shown
        return False


def _read_animation(
    path: Path, image: Image.Image, layout: Layout, facts: dict[str, Any], window: Window
) -> Iterator[Event]:
    durations, complete = _durations(path, image)
    total = sum(durations)
    yield _media(
        path,
        image,
        layout,
        facts,
        kind="video",
        duration=total,
        frame_count=len(durations),
        frame_rate=Fraction(len(durations) / total).limit_denominator(1001),
        video_codec=(image.format or "").lower(),
    )
    selector = Selector(window)
    yield from selector.run(_animation(path, image, layout, durations, complete))
    yield selector.end


def _first(image: Image.Image) -> int:
    """Give the number of the first animated frame (an APNG may begin with a picture for old viewers)."""
    return 1 if image.info.get("default_image") else 0


def _durations(path: Path, image: Image.Image) -> tuple[list[float], bool]:
    """How long each frame is shown, in seconds, up to a damaged one; and whether there was none."""
    durations: list[float] = []
    with _pillow(path):
        for number in count(_first(image)):
            try:
                image.seek(number)
                image.load()
            except EOFError:
                break
            except Exception:  # as in _pillow; what was read so far is shown
                if not durations:
                    raise
                return durations, False
            durations.append(float(image.info.get("duration") or 0) / 1000 or _DEFAULT_DURATION)
    return durations, True


def _animation(
    path: Path, image: Image.Image, layout: Layout, durations: list[float], complete: bool
) -> Iterator[Picture | Gap]:
    time, first = 0.0, _first(image)
    for index, duration in enumerate(durations):
        with _pillow(path):
            image.seek(first + index)
            picture = _to_rgb(image.convert("RGBA"))
        yield _candidate(index, time, picture, layout)
        time += duration
    if not complete:
        yield Gap(time, None, "the file ends early or is damaged")


def _candidate(index: int, time: float, picture: Image.Image, layout: Layout) -> Picture:
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    luma = pixels[:: max(1, height // _GRID[0]), :: max(1, width // _GRID[1]), 1]

    def render() -> tuple[np.ndarray, np.ndarray]:
        return layout.turn(_scaled(picture, layout)), layout.transform

    return Picture(index, time, luma, render)
