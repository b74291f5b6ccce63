"""Write annotated video: H.264 in MP4, every frame at its own time, with the sound of the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av import AudioFrame, AudioResampler, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from unmask.media.container import open_container, picture_stream, sound_stream
from unmask.media.events import MediaError
from unmask.media.output import DISK_ERRORS, OutputError, atomic_path, output_error

#: Sound codecs that are copied as they are; others are encoded again as AAC.
COPIED = {"aac", "mp3", "mp3float", "ac3", "eac3", "alac"}
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000}
_AAC_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
_FINEST = 90_000
_BT709 = 1


class VideoWriter:
    """Writes RGB frames of one `size` (width, height) to an MP4 that appears only when it is complete.

    Times are seconds; the first frame written becomes time 0 of the new file and the sound is shifted
    with it. Sound begins and ends with the pictures. H.264 in its common form (4:2:0) cannot have odd
    sides: an odd width or height grows by one pixel, a copy of the last column or row.

    Raises:
        OutputError: the folder is missing or not writable, the disk is full, or encoding failed.
    """

    def __init__(
        self, path: Path | str, *, size: tuple[int, int], frame_rate: Fraction, audio_from: Path | None = None
    ) -> None:
        if min(size) < 1 or frame_rate <= 0:
            raise ValueError(f"size and frame rate must be positive, not {size} and {frame_rate}")
        self._path = Path(path)
        self._size = size
        self._rate = Fraction(frame_rate).limit_denominator(1_000_000)
        self._source = audio_from
        # A multiple of the rate's numerator: constant frame rates fall on whole ticks.
        ticks = self._rate.numerator * max(1, round(_FINEST / self._rate.numerator))
        self._base = Fraction(1, ticks)
        self._reformatter = VideoReformatter()
        self._stack = ExitStack()
        self._origin: float | None = None
        self._last: int | None = None

    def __enter__(self) -> VideoWriter:
        try:
            temporary = self._stack.enter_context(atomic_path(self._path))
            self._container: OutputContainer = self._stack.enter_context(_opened(temporary, self._base))
            self._stream = self._add_stream()
            self._sound = _Sound.opened(self._source, self._container, self._stack)
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _add_stream(self) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate)
        width, height = self._size
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._base
        stream.options = {"preset": "veryfast", "crf": "18"}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        return stream

    def write(self, pixels: np.ndarray, time: float) -> None:
        """Add one frame: (H, W, 3) uint8 RGB, shown from `time` seconds on (later than the one before)."""
        height, width = pixels.shape[:2]
        if (width, height) != self._size:
            raise ValueError(f"the frame is {width}x{height}, the video {self._size[0]}x{self._size[1]}")
        if self._origin is None:
            self._origin = time
        stamp = round((time - self._origin) / self._base)
        if self._last is not None and stamp <= self._last:
            raise ValueError(f"the frame at {time} s does not come after the one before")
        with self._one_line():
            self._encode(self._frame(pixels, stamp))
            if self._sound:
                self._sound.write_until(time, self._origin)
        self._last = stamp

    def _frame(self, pixels: np.ndarray, stamp: int) -> VideoFrame:
        height, width = pixels.shape[:2]
        if width % 2 or height % 2:
            pixels = cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        frame.pts, frame.time_base = stamp, self._base
        frame.duration = round(1 / self._rate / self._base)
        return frame

    def _encode(self, frame: VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _one_line(self) -> _OneLine:
        return _OneLine(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._one_line():
            if error is None:
                try:
                    self._finish()
                except BaseException as late:
                    self._stack.__exit__(type(late), late, late.__traceback__)
                    raise
            self._stack.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self._last is None:
            raise OutputError(f"{self._path}: no frame was written; nothing to save")
        self._encode(None)
        if self._sound and self._origin is not None:
            end = self._origin + float(self._last * self._base + 1 / self._rate)
            self._sound.write_until(end, self._origin)
            self._sound.finish()


class _OneLine:
    """Turns the errors of FFmpeg and of the disk into `OutputError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, av.error.FFmpegError | OSError):
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise output_error(self._path, error) from error
            raise OutputError(f"{self._path}: could not be encoded ({str(error).splitlines()[0]})") from error


class _Closing:
    """An output container that is closed either way; closing errors count only when all went well."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container

    def __enter__(self) -> OutputContainer:
        return self._container

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError):
            if error is None:
                raise


def _opened(path: Path, base: Fraction) -> _Closing:
    # edit lists count in movie ticks: milliseconds by default, too coarse to keep sound in place
    options = {"movflags": "+faststart", "movie_timescale": str(base.denominator)}
    return _Closing(av.open(f"file:{path}", "w", format="mp4", options=options))


class _Sound:
    """Carries the sound of a source over, packet by packet, up to the time that the pictures have reached."""

    def __init__(
        self, source: InputContainer, stream: AudioStream, output: OutputContainer, begin: float
    ) -> None:
        self._output = output
        self._base = stream.time_base or Fraction(1, stream.rate)
        self._begin = begin
        self._copies = stream.codec_context.name in COPIED
        self._stream: AudioStream
        if self._copies:
            self._stream = output.add_stream_from_template(stream)
        else:
            rate = stream.rate if stream.rate in _AAC_RATES else 48_000
            layout = _AAC_LAYOUTS.get(len(stream.layout.channels), "stereo")
            self._stream = output.add_stream("aac", rate=rate, layout=layout)
        self._packets = self._read(source, stream)
        self._held: Packet | AudioFrame | None = None

    @classmethod
    def opened(cls, path: Path | None, output: OutputContainer, stack: ExitStack) -> _Sound | None:
        """Open the sound of the file at `path`, None when it has none that can be read."""
        if path is None:
            return None
        try:
            with open_container(path) as other:
                begin = _first_picture_time(other)
            source = stack.enter_context(open_container(path))
        except MediaError:  # a picture or an animation has no sound to carry over
            return None
        stream = sound_stream(source)
        return cls(source, stream, output, begin) if stream is not None else None

    def _read(self, source: InputContainer, stream: AudioStream) -> Iterator[Packet | AudioFrame]:
        resampler = AudioResampler(format="fltp", layout=self._stream.layout, rate=self._stream.rate)
        try:
            for packet in source.demux(stream):
                if self._copies:
                    if packet.size and packet.pts is not None:
                        yield packet
                    continue
                try:
                    frames = stream.codec_context.decode(packet if packet.size else None)
                except av.error.FFmpegError:
                    continue
                for frame in frames:
                    yield from resampler.resample(frame)
        except (av.error.FFmpegError, OSError):
            return

    def write_until(self, time: float, origin: float) -> None:
        """Write what begins before `time` (seconds of the source) and not before `origin`."""
        while True:
            item = self._held or next(self._packets, None)
            self._held = None
            if item is None:
                return
            base = item.time_base or self._base
            begin = float((item.pts or 0) * base) - self._begin
            if begin >= time:
                self._held = item
                return
            if begin < origin and (origin > 0 or begin < -0.5):
                continue
            self._shift(item, origin, base)
            if isinstance(item, Packet):
                item.stream = self._stream
                self._output.mux(item)
            else:
                self._mux(item)

    def _shift(self, item: Packet | AudioFrame, origin: float, base: Fraction) -> None:
        offset = round((self._begin + origin) / base)
        item.pts = (item.pts or 0) - offset
        if isinstance(item, Packet) and item.dts is not None:
            item.dts -= offset

    def _mux(self, frame: AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._output.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if not self._copies:
            self._mux(None)


def _first_picture_time(source: InputContainer) -> float:
    """Find the container time, in seconds, of the first picture: time 0 of the events."""
    stream = picture_stream(source)
    if stream is None:
        return 0.0
    try:
        frame = next(source.decode(stream), None)
    except av.error.FFmpegError:
        frame = None
    if frame is None or frame.pts is None:
        return float((stream.start_time or 0) * (stream.time_base or 0))
    return float(frame.pts * (stream.time_base or 0))
