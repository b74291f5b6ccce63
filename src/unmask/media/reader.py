"""Read a video, picture or sound file as one ordered stream of events, in one pass and constant memory."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from unmask.media.colour import Converter, is_high_dynamic_range
from unmask.media.container import (
    check_file,
    is_cover,
    open_container,
    picture_stream,
    seconds,
    sound_stream,
)
from unmask.media.decode import Decoded, Decoder
from unmask.media.events import Audio, Cut, End, Event, Frame, Gap, Media, MediaError
from unmask.media.geometry import (
    MAX_PIXELS,
    UPRIGHT,
    Layout,
    lay_out,
    orientation_from_display_matrix,
    reduced_warning,
)
from unmask.media.metadata import describe_container, sha256
from unmask.media.picture import is_picture, read_picture
from unmask.media.sampling import Picture, Selector, Window
from unmask.media.sound import hears_something, read_sound


def read(
    path: Path | str,
    *,
    rate: float | None = 10.0,
    start: float | None = None,
    end: float | None = None,
    audio: bool = False,
    threads: int = 0,
) -> Iterator[Event]:
    """Yield `Media`, then `Frame`, `Audio`, `Cut` and `Gap` by time, then `End`.

    Args:
        path: a video, picture or sound file; what it is, is told from its content.
        rate: frames wanted per second: the first at or after each tick k / rate, and the first of
            all. None: every frame. Cuts are looked for in every decoded frame whatever the rate.
        start: leave out what lies before this time, in seconds from the first frame.
        end: leave out what lies at or after this time.
        audio: also decode the sound.
        threads: of the decoder; 0 leaves the choice to FFmpeg.

    Raises:
        MediaError: the file is missing, unreadable, or holds neither picture nor sound. Raised when
            the first event is asked for.
        ValueError: a rate that is not positive, or an end that is not after the start.
    """
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"rate must be a positive number or None, not {rate}")
    if start is not None and not (start >= 0 and math.isfinite(start)):
        raise ValueError(f"start must be 0 or more, not {start}")
    if end is not None and not end > (start or 0.0):
        raise ValueError(f"end ({end}) must lie after start ({start or 0.0})")
    return _read(Path(path), Window(rate=rate, start=start, end=end), audio=audio, threads=threads)


def _read(path: Path, window: Window, *, audio: bool, threads: int) -> Iterator[Event]:
    check_file(path)
    if is_picture(path):
        yield from read_picture(path, window)
        return
    try:
        with open_container(path) as container:
            yield from _read_container(path, container, window, audio=audio, threads=threads)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{path}: is damaged ({error.strerror}); get the file again from its source"
        ) from error


def _read_container(
    path: Path, container: InputContainer, window: Window, *, audio: bool, threads: int
) -> Iterator[Event]:
    stream = picture_stream(container)
    warnings: tuple[str, ...] = ()
    if stream is not None:
        if stream.width * stream.height > MAX_PIXELS:
            raise MediaError(f"{path}: {stream.width}x{stream.height} pixels a frame; reduce the video first")
        decoder = Decoder(container, stream, threads=threads)
        beginning = _until_first_picture(decoder)
        if any(isinstance(item, Decoded) for item in beginning):
            video = _Video(path, container, stream, decoder, beginning)
            yield from video.events(window, audio=audio, threads=threads)
            return
        warnings = ("the pictures of this file could not be decoded: only its sound was examined",)
    elif any(other.type == "video" and not is_cover(other) for other in container.streams):
        warnings = ("the pictures are in a codec that is not known: only the sound was examined",)
    if sound_stream(container) is not None and hears_something(path):
        yield from _sound_only(path, container, window, warnings, audio=audio)
    elif any(other.type in ("video", "audio") for other in container.streams):
        raise MediaError(
            f"{path}: nothing in it could be decoded (damaged, or in an unknown codec); "
            "get the file again, or convert it to H.264 in MP4"
        )
    else:
        raise MediaError(f"{path}: has no picture and no sound; check which file was meant")


def _until_first_picture(decoder: Decoder) -> list[Decoded | Gap]:
    items: list[Decoded | Gap] = []
    for item in decoder.items:
        items.append(item)
        if isinstance(item, Decoded):
            break
    return items


def _sound_only(
    path: Path, container: InputContainer, window: Window, warnings: tuple[str, ...], *, audio: bool
) -> Iterator[Event]:
    stream = sound_stream(container)
    yield Media(
        path=path,
        sha256=sha256(path),
        kind="audio",
        container=container.format.name,
        size=None,
        duration=seconds(container.duration, Fraction(1, av.time_base)),
        audio_codec=stream.codec_context.name if stream else None,
        bit_rate=container.bit_rate or None,
        metadata=describe_container(path, container),
        warnings=warnings,
    )
    last: float | None = None
    if audio:
        for event in read_sound(path, origin=None, start=window.start, end=window.end):
            if isinstance(event, Audio):
                last = event.time + len(event.samples) / event.rate
            yield event
    yield End(0, last)


class _Video:
    """A video whose first picture is known."""

    def __init__(
        self,
        path: Path,
        container: InputContainer,
        stream: VideoStream,
        decoder: Decoder,
        beginning: list[Decoded | Gap],
    ) -> None:
        self._path, self._container, self._stream = path, container, stream
        self._decoder, self._beginning = decoder, beginning
        self._converter = Converter()
        self._first = next(item.frame for item in beginning if isinstance(item, Decoded))
        matrix: Any = self._first.side_data.get("DISPLAYMATRIX")
        self._orientation = orientation_from_display_matrix(matrix) if matrix else UPRIGHT
        self._layout = self._lay_out(self._first)

    def _lay_out(self, frame: VideoFrame) -> Layout:
        return lay_out(
            (frame.width, frame.height),
            aspect=self._stream.sample_aspect_ratio,
            orientation=self._orientation,
        )

    def events(self, window: Window, *, audio: bool, threads: int) -> Iterator[Event]:
        """Yield the whole stream of events."""
        yield self._media()
        selector = Selector(window)
        pictures = selector.run(map(self._candidate, self._from(window.start, threads)))
        if audio and sound_stream(self._container) is not None:
            begin = float((self._decoder.origin or 0) * (self._stream.time_base or 0))
            sound = read_sound(self._path, origin=begin, start=window.start, end=window.end)
            yield from heapq.merge(pictures, sound, key=_time)
        else:
            yield from pictures
        yield selector.end

    def _from(self, start: float | None, threads: int) -> Iterator[Decoded | Gap]:
        """Pictures from the key frame at or before `start` on, or from the beginning."""
        if start:
            with open_container(self._path) as container:
                stream = container.streams[self._stream.index]
                assert isinstance(stream, VideoStream)
                later = Decoder(container, stream, threads=threads, origin=self._decoder.origin)
                if later.seek(start):
                    first = next(later.items, None)
                    if isinstance(first, Decoded) and first.time <= start:
                        yield first
                        yield from later.items
                        return
        yield from chain(self._beginning, self._decoder.items)

    def _candidate(self, item: Decoded | Gap) -> Picture | Gap:
        if isinstance(item, Gap):
            return item
        return Picture(item.index, item.time, self._converter.luma(item.frame), self._renderer(item.frame))

    def _renderer(self, frame: VideoFrame) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        def render() -> tuple[np.ndarray, np.ndarray]:
            layout = self._layout
            if layout.stored != (frame.width, frame.height):  # the size changed midway: keep the display's
                layout = Layout((frame.width, frame.height), layout.scaled, layout.orientation)
            return layout.turn(self._converter.rgb(frame, layout.scaled)), layout.transform

        return render

    def _media(self) -> Media:
        stream, container = self._stream, self._container
        sound = sound_stream(container)
        duration = seconds(stream.duration, stream.time_base)
        if duration is None:
            duration = seconds(container.duration, Fraction(1, av.time_base))
        return Media(
            path=self._path,
            sha256=sha256(self._path),
            kind="video",
            container=container.format.name,
            size=self._layout.size,
            duration=duration,
            frame_rate=stream.average_rate or stream.guessed_rate,
            frame_count=stream.frames or None,
            video_codec=stream.codec_context.name,
            audio_codec=sound.codec_context.name if sound else None,
            pixel_format=self._first.format.name,
            bit_rate=container.bit_rate or None,
            metadata=describe_container(self._path, container),
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterable[str]:
        reduced = reduced_warning(self._layout.stored, self._layout)
        if reduced:
            yield reduced
        if self._decoder.deinterlaces:
            yield "interlaced video was deinterlaced: every other line was interpolated"
        if is_high_dynamic_range(self._first):
            yield "high dynamic range was converted to standard range (BT.709)"


def _time(event: Frame | Audio | Cut | Gap) -> float:
    time = event.start if isinstance(event, Gap) else event.time
    return 0.0 if time is None else time
