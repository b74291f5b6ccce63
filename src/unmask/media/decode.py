"""Decode the pictures of one stream in presentation order, with true times and honest gaps.

Damage is handled so that concealment never passes for content: from the first picture that could not
be decoded to the next key frame, but at most `HEALING` seconds, pictures are withheld and reported as
one `Gap`; later pictures lean on ever less of the damaged one. Pictures that are shown before the damaged one
but decoded after it may lean on it too (B pictures): each waits until all that was decoded before it has
come out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
from av import VideoFrame
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.stream import VideoStream

from unmask.media.container import seconds
from unmask.media.events import Gap

HEALING = 1.0
_REORDER = 32
_HELD = 16
"""Pictures that wait at most: no codec has more between two that it orders anew."""


@dataclass(frozen=True)
class Decoded:
    """One decoded picture: its number in the file and its time in seconds from the first picture."""

    index: int
    time: float
    frame: VideoFrame


@dataclass
class _Held:
    """A picture from the decoder that waits, and what is known of it."""

    frame: VideoFrame
    sent: int | None
    """Its packet's decoding time stamp; None: it cannot be told what was decoded before."""
    lost: tuple[int, ...]
    """Presentation time stamps of the pictures before it that an error swallowed."""
    failed: bool
    """Whether an error came before it of which it is not known what it swallowed."""
    spoilt: bool
    """Whether it is damaged, or may lean on a damaged one."""
    errors: int
    """Errors so far."""


class Decoder:
    """Decodes one stream; `items` gives its pictures and gaps by time, to the end of the file."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, threads: int, origin: int | None = None
    ) -> None:
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        self._container = container
        self._stream = stream
        self._base = stream.time_base or Fraction(1, 90000)
        self._interval = float(1 / stream.average_rate) if stream.average_rate else 0.04
        # AVI stores no presentation times: the order of decoding is all there is.
        self._by_order = container.format.name == "avi"
        self._origin = origin
        self._index = 0
        self._last: float | None = None
        self._shift = 0.0
        self._pending: dict[int, int] = {}
        self._held: deque[_Held] = deque()
        self._error: str | None = None
        self._errors = 0
        self._quiet = 0
        self._gap: float | None = None
        self._settling = False
        self._sent: int | None = None
        self._furthest = 0.0
        self._deinterlacer: _Deinterlacer | None = None
        self.items = self._run()

    @property
    def origin(self) -> int | None:
        """Presentation time stamp of the first picture, in units of the stream's time base."""
        return self._origin

    @property
    def deinterlaces(self) -> bool:
        """Whether interlaced pictures were met."""
        return self._deinterlacer is not None

    def seek(self, start: float) -> bool:
        """Go to the key frame at or before `start` seconds, before anything is decoded; False: cannot."""
        target = (self._origin or 0) + int(start / self._base)
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError):
            return False
        self._index, self._settling = -1, True
        return True

    def _run(self) -> Iterator[Decoded | Gap]:
        for packet in self._packets():
            for frame in self._decode(packet):
                yield from self._arrived(frame)
        while self._held:
            yield from self._place(self._held.popleft())
        if self._deinterlacer:
            for frame in self._deinterlacer.drain():
                yield from self._number(frame)
        yield from self._finish()

    def _packets(self) -> Iterator[Packet]:
        streams = [self._stream, *(s for s in self._container.streams.audio if s.codec_context is not None)]
        try:
            for packet in self._container.demux(*streams):
                end = seconds((packet.pts or packet.dts or 0) + (packet.duration or 0), packet.time_base)
                self._furthest = max(self._furthest, end or 0.0)
                if packet.stream_index == self._stream.index:
                    yield packet
        except (av.error.FFmpegError, OSError) as error:
            self._failed(f"the container is damaged ({_reason(error)})")
            flush = Packet()
            flush.stream = self._stream
            yield flush

    def _decode(self, packet: Packet) -> list[VideoFrame]:
        if packet.dts is not None:
            self._sent = packet.dts
            if self._index < 0:
                self._index = self._index_of(packet)
        if packet.pts is not None and not packet.is_discard and packet.size:
            self._pending[packet.pts] = packet.pts if packet.dts is None else packet.dts
        if packet.is_corrupt:
            self._failed("a packet is cut off")
        try:
            return self._stream.codec_context.decode(packet if packet.size else None)
        except (av.error.FFmpegError, OSError) as error:
            self._failed(f"damaged data ({_reason(error)})")
            return []

    def _failed(self, reason: str) -> None:
        self._error, self._errors = reason, self._errors + 1

    def _index_of(self, packet: Packet) -> int:
        """How many pictures lie before the key frame that was sought: from the index, else from the rate."""
        entries = self._stream.index_entries
        if len(entries) and self._stream.frames == len(entries):
            found = entries.search_timestamp(packet.dts, backward=True, any_frame=True)
            if found >= 0:
                return found
        stamp = packet.pts if packet.pts is not None else packet.dts or 0
        return max(0, round(float((stamp - (self._origin or 0)) * self._base) / self._interval))

    def _arrived(self, frame: VideoFrame) -> Iterator[Decoded | Gap]:
        """Take in a frame from the decoder, and place those that no damage can reach any more."""
        if self._origin is None and not frame.is_corrupt:
            self._origin = self._stamp(frame)
        if self._settling and frame.is_corrupt:  # leans on pictures before the key frame that was sought
            return
        stamp = None if self._by_order else frame.pts
        sent = None if stamp is None else self._pending.get(stamp)
        lost = () if stamp is None else self._lost_before(stamp)
        failed = stamp is None and self._error is not None
        if self._settling:
            lost, failed = (), False
        self._settling = False
        damaged = [*([sent] if frame.is_corrupt else []), *(self._pending[pts] for pts in lost)]
        for held in self._held:
            held.spoilt |= any(d is not None and held.sent is not None and held.sent > d for d in damaged)
        if stamp is not None:
            self._pending = {pts: dts for pts, dts in self._pending.items() if pts > stamp}
        self._held.append(_Held(frame, sent, lost, failed, bool(frame.is_corrupt), self._errors))
        while self._held and (len(self._held) > _HELD or not self._waits(self._held[0])):
            yield from self._place(self._held.popleft())

    def _waits(self, held: _Held) -> bool:
        """Whether a picture that was decoded before is still to come out."""
        return held.sent is not None and any(dts < held.sent for dts in self._pending.values())

    def _lost_before(self, stamp: int) -> tuple[int, ...]:
        """Find the pictures before a time stamp that an error swallowed."""
        if not self._error or self._origin is None:
            return ()
        lost = tuple(sorted(pts for pts in self._pending if pts < stamp))
        if not lost:
            self._quiet += 1
            if self._quiet > _REORDER:
                self._error, self._quiet = None, 0
        return lost

    def _place(self, held: _Held) -> Iterator[Decoded | Gap]:
        """Decide whether a picture is shown."""
        time = self._time(held.frame)
        missing = None
        self._index += len(held.lost)
        if held.lost and self._origin is not None:
            missing = float((held.lost[0] - self._origin) * self._base) + self._shift
        elif held.failed:
            missing = self._last or 0.0
        if self._gap is None and (held.spoilt or missing is not None):
            self._gap = time if missing is None else min(missing, time)
            self._error = self._error or "damaged data"
        if self._gap is not None:
            if held.spoilt or not (held.frame.key_frame or time - self._gap >= HEALING):
                self._index += 1
                return
            yield Gap(self._gap, time, self._error or "damaged data")
            self._gap = None
            if held.errors == self._errors:  # else one came while this picture waited
                self._error = None
        yield from self._deinterlaced(held.frame)

    def _stamp(self, frame: VideoFrame) -> int | None:
        return frame.dts if self._by_order else frame.pts

    def _time(self, frame: VideoFrame) -> float:
        """Seconds since the first picture; jumps backwards in the file's own clock are bridged."""
        stamp = self._stamp(frame)
        if stamp is None or self._origin is None:
            return 0.0 if self._last is None else self._last + self._interval
        time = float((stamp - self._origin) * self._base) + self._shift
        if self._last is not None and time <= self._last:
            self._shift += self._last + self._interval - time
            time = self._last + self._interval
        return time

    def _deinterlaced(self, frame: VideoFrame) -> Iterator[Decoded]:
        if frame.interlaced_frame and self._deinterlacer is None:
            self._deinterlacer = _Deinterlacer(frame, self._base)
        if self._deinterlacer is None:
            yield from self._number(frame)
            return
        if not self._deinterlacer.fits(frame):
            for earlier in self._deinterlacer.drain():
                yield from self._number(earlier)
            self._deinterlacer = _Deinterlacer(frame, self._base)
        for ready in self._deinterlacer.push(frame):
            yield from self._number(ready)

    def _number(self, frame: VideoFrame) -> Iterator[Decoded]:
        time = self._time(frame)
        self._last = time
        yield Decoded(self._index, time, frame)
        self._index += 1

    def _finish(self) -> Iterator[Gap]:
        start = self._gap
        if start is None and self._pending and self._error:
            start = (self._last or 0.0) + (self._interval if self._last is not None else 0.0)
        missing = self._cut_off()
        if start is None and missing is not None:
            start = 0.0 if self._last is None else self._last + self._interval
        if start is not None:
            reason = "the file ends early (it was cut off)" if missing is not None else self._error
            yield Gap(start, missing, reason or "damaged data")

    def _cut_off(self) -> float | None:
        """Tell the end that the file promised, in seconds, when its data end before it."""
        promised = self._promised_end()
        if promised is None:
            return None
        end = promised - float((self._origin or 0) * self._base)
        return max(end, self._last or 0.0)

    def _promised_end(self) -> float | None:
        stream, entries = self._stream, self._stream.index_entries
        if stream.frames and len(entries) >= 2 and self._sent is not None:
            final = entries[len(entries) - 1].timestamp
            short = self._sent < final and stream.frames <= len(entries)
            if not short:
                return None
            promised = float(((stream.start_time or 0) + (stream.duration or 0)) * self._base)
            return max(float(final * self._base) + self._interval, promised)
        declared = seconds(self._container.duration, Fraction(1, av.time_base))
        begin = max(0.0, seconds(self._container.start_time, Fraction(1, av.time_base)) or 0.0)
        if declared is None or declared + begin - self._furthest <= max(1.0, 3 * self._interval):
            return None
        return declared + begin


class _Deinterlacer:
    """Bob Weaver deinterlacing (FFmpeg's `bwdif`), one picture out for each one in."""

    def __init__(self, frame: VideoFrame, base: Fraction) -> None:
        self._form = (frame.width, frame.height, frame.format.name)
        self._base = base
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=base
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()

    def fits(self, frame: VideoFrame) -> bool:
        """Whether the frame has the size and format that the graph was built for."""
        return self._form == (frame.width, frame.height, frame.format.name)

    def push(self, frame: VideoFrame) -> list[VideoFrame]:
        """Give one frame; get those that are ready (one frame later)."""
        self._graph.push(frame)
        return self._pull()

    def drain(self) -> list[VideoFrame]:
        """Get the frames still inside."""
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> list[VideoFrame]:
        frames: list[VideoFrame] = []
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return frames
            if frame.pts is not None and frame.time_base:  # the filter counts in half ticks
                frame.pts, frame.time_base = round(frame.pts * frame.time_base / self._base), self._base
            frames.append(frame)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
