"""Decode the sound of a file into blocks of float samples, beside the pictures and on the same clock."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import AudioFrame, AudioResampler

from unmask.media.container import open_container, sound_stream
from unmask.media.events import Audio, Gap, MediaError

BLOCK = 0.5
_TOLERANCE = 0.05


def read_sound(
    path: Path, *, origin: float | None, start: float | None, end: float | None
) -> Iterator[Audio | Gap]:
    """Yield the sound of `path` as blocks of at most about `BLOCK` seconds, at its own rate and channels.

    `origin` is the container time in seconds of the first picture, which is time 0 (None: the first
    sound is time 0). The file is opened a second time, so that pictures and sound come in order of
    time however the container interleaves them, in constant memory. Sound before the first picture
    has a negative time.
    """
    with open_container(path) as container:
        stream = sound_stream(container)
        if stream is None:
            return
        if start:
            base = stream.time_base or Fraction(1, stream.rate)
            begin = origin if origin is not None else float((stream.start_time or 0) * base)
            container.seek(int((begin + start) / base), stream=stream, backward=True)
            origin = begin
        blocks = _Blocks(origin)
        try:
            for packet in container.demux(stream):
                try:
                    frames = stream.codec_context.decode(packet if packet.size else None)
                except (av.error.FFmpegError, OSError):
                    yield from blocks.flush()
                    yield Gap(blocks.next, blocks.next, "damaged sound")
                    continue
                for frame in frames:
                    yield from _between(blocks.add(frame), start, end)
                if end is not None and blocks.next >= end:
                    break
        except (av.error.FFmpegError, OSError):
            yield Gap(blocks.next, None, "the sound breaks off (the container is damaged)")
        yield from _between(blocks.flush(), start, end)


def hears_something(path: Path) -> bool:
    """Whether at least one block of sound can be decoded."""
    try:
        return any(isinstance(event, Audio) for event in read_sound(path, origin=None, start=None, end=None))
    except MediaError:
        return False


class _Blocks:
    """Joins decoder frames into blocks, breaking where time or format jumps; `next` is the time due."""

    def __init__(self, origin: float | None) -> None:
        self._origin = origin
        self._parts: list[np.ndarray] = []
        self._time = 0.0
        self._rate = 0
        self._resampler: AudioResampler | None = None
        self._form: tuple[int, str, str] | None = None
        self.next = 0.0

    def add(self, frame: AudioFrame) -> list[Audio]:
        done: list[Audio] = []
        form = (frame.sample_rate, frame.layout.name, frame.format.name)
        time = self._time_of(frame)
        if self._parts and (form != self._form or abs(time - self.next) > _TOLERANCE):
            done = self.flush()
        if form != self._form:
            self._form = form
            self._resampler = AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
        if not self._parts:
            self._time, self._rate = time, frame.sample_rate
        self._parts.append(self._floats(frame))
        count = sum(len(part) for part in self._parts)
        self.next = self._time + count / self._rate
        if count >= BLOCK * self._rate:
            done += self.flush()
        return done

    def _time_of(self, frame: AudioFrame) -> float:
        if frame.pts is None:
            return self.next
        absolute = float(frame.pts * (frame.time_base or Fraction(1, frame.sample_rate)))
        if self._origin is None:
            self._origin = absolute
        return absolute - self._origin

    def _floats(self, frame: AudioFrame) -> np.ndarray:
        channels = len(frame.layout.channels)
        assert self._resampler is not None
        parts = [part.to_ndarray().reshape(-1, channels) for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros((0, channels), np.float32)

    def flush(self) -> list[Audio]:
        """Close the block begun so far."""
        samples = np.concatenate(self._parts) if self._parts else np.zeros((0, 1), np.float32)
        self._parts = []
        return [Audio(self._time, samples, self._rate)] if len(samples) else []


def _between(blocks: list[Audio], start: float | None, end: float | None) -> Iterator[Audio]:
    """Cut blocks to the samples at times in start <= t < end."""
    for block in blocks:
        first = 0 if start is None else max(0, int(np.ceil((start - block.time) * block.rate - 1e-6)))
        last = len(block.samples)
        if end is not None:
            last = min(last, int(np.ceil((end - block.time) * block.rate - 1e-6)))
        if first < last:
            yield Audio(block.time + first / block.rate, block.samples[first:last], block.rate)
