"""Draws a report into its video or picture: boxes, scores, heat maps, verdict and a timeline.

Faces are followed again with the report's settings; nothing is judged again but the heat maps, which come
from the same weights. Every frame of the source is written at its own time, with the sound.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from unmask.faces.align import PLAIN, Framing
from unmask.media.events import Media
from unmask.media.output import OutputError, atomic_path
from unmask.media.writer import VideoWriter
from unmask.report.drawing import COLOURS, UNJUDGED, draw_face, draw_header, draw_heat, make_strip
from unmask.report.follow import HeatMaps, Seen, Source
from unmask.report.schema import Report, ReportError
from unmask.report.words import percent
from unmask.runtime.session import set_threads

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
VIDEOS = (".mp4", ".m4v", ".mov")
_FRAME_RATE = Fraction(25)


def annotate(
    path: Path | str,
    report: Report,
    output: Path | str,
    *,
    heat: bool = True,
    model: Path | None = None,
    threads: int = 0,
    device: str = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Write the file at `path` with its report drawn into it.

    Args:
        path: the video or picture that was analysed.
        report: its report.
        output: an MP4 for a video; a PNG, JPEG or WebP for a picture.
        heat: whether heat maps are blended on the faces.
        model: the visual network, where the report was made with another than the embedded one.
        threads: of decoder, OpenCV and inference; 0 takes all cores.
        device: as in `unmask.runtime.session`.
        on_progress: called with the share done, 0..1.

    Raises:
        ReportError: the report is of another file, or the file has no picture to draw in.
        MediaError, WeightError, DeviceError: reading or the heat maps fail.
        OutputError: the output cannot be written; nothing is left half-written.
    """
    path, output = Path(path), Path(output)
    count = set_threads(threads)
    source = Source(path, report, threads=count, device=device)
    media = source.media
    _check_kind(media, output)
    maps = HeatMaps(report, model=model, threads=count, device=device) if heat and report.faces else None
    painter = _Painter(report, media, framing=PLAIN if maps is None else maps.framing)
    frames = source.seen(None if maps is None else maps.of)
    if media.kind == "picture":
        _save(painter.paint(next(frames)), output)
        return
    assert media.size is not None
    rate = media.frame_rate or _FRAME_RATE
    with VideoWriter(output, size=media.size, frame_rate=rate, audio_from=path) as writer:
        for seen in frames:
            time = seen.frame.time or 0.0
            writer.write(painter.paint(seen), time)
            if on_progress and painter.duration:
                on_progress(min(1.0, time / painter.duration))


def _check_kind(media: Media, output: Path) -> None:
    suffix = output.suffix.lower()
    if media.kind == "audio":
        raise ReportError(f"{media.path}: has no picture to draw in; its report is all there is to see")
    if media.kind == "picture" and suffix not in PICTURES:
        raise OutputError(f"{output}: of a picture, a picture is written; end the name in .png or .jpg")
    if media.kind == "video" and suffix not in VIDEOS:
        raise OutputError(f"{output}: of a video, an MP4 is written; end the name in .mp4")


class _Painter:
    """Paints one frame after the other."""

    def __init__(self, report: Report, media: Media, *, framing: Framing) -> None:
        self._report, self._framing = report, framing
        self._persons = {track.track: person for person in report.faces for track in person.tracks}
        times = [point[0] for entry in report.evidence.values() for point in entry.timeline]
        self.duration = media.duration or max(times, default=0.0)
        self._strip = None
        if media.kind == "video" and media.size:
            self._strip = make_strip(report, (media.size[1], media.size[0], 3), duration=self.duration)

    def paint(self, seen: Seen) -> np.ndarray:
        """Return the frame with everything drawn into it, (H, W, 3) uint8 RGB."""
        pixels = seen.frame.pixels.copy()
        for face in seen.faces:
            if face.track in seen.maps:
                draw_heat(pixels, seen.maps[face.track], face.detection.points, framing=self._framing)
        for face in seen.faces:
            caption, colour = self._caption(face.track)
            draw_face(pixels, face.detection.box.tolist(), caption, colour)
        if self._strip and seen.frame.time is not None:
            self._strip.draw(pixels, seen.frame.time)
        draw_header(pixels, self._report)
        return pixels

    def _caption(self, track: int) -> tuple[str, tuple[int, int, int]]:
        person = self._persons.get(track)
        if person is None:
            return "not judged", UNJUDGED
        score = "" if person.probability is None else f" {percent(person.probability)}"
        who = f"person {person.person}: " if len(self._report.faces) > 1 else ""
        return f"{who}{person.label}{score}", COLOURS[person.label]


def _save(pixels: np.ndarray, output: Path) -> None:
    with atomic_path(output) as temporary:
        Image.fromarray(pixels).save(temporary, PICTURES[output.suffix.lower()], quality=92)
