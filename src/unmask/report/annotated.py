"""Draws a report into its video or picture: boxes, scores, heat maps, verdict and a timeline.

Faces are followed again with the report's settings; nothing is judged again but the heat maps, which come
from the same weights. Every frame of the source is written at its own time, with the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from unmask.faces.face import Face
from unmask.media.events import Cut, Frame, Media
from unmask.media.output import OutputError, atomic_path
from unmask.media.writer import VideoWriter
from unmask.report.between import Between, Sighting
from unmask.report.drawing import COLOURS, UNJUDGED, draw_face, draw_header, draw_heat, make_strip
from unmask.report.follow import HeatMaps, follow, open_source, persons_by_track, strongest
from unmask.report.schema import Report, ReportError
from unmask.report.words import percent
from unmask.runtime.session import get_threads, set_threads

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
VIDEOS = (".mp4", ".m4v", ".mov")
_FRAME_RATE = Fraction(25)


def annotate(
    source: Path | str,
    report: Report,
    output: Path | str,
    *,
    heat: bool = True,
    model: Path | None = None,
    threads: int = 0,
    device: str = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Write `source` with its report drawn into it.

    Args:
        source: the video or picture that was analysed.
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
    source, output = Path(source), Path(output)
    set_threads(threads)
    media, events = open_source(source, report, threads=get_threads())
    _check_kind(media, output)
    maps = HeatMaps(report, model=model, threads=threads, device=device) if heat and report.faces else None
    followed = follow(source, report, threads=threads, device=device)
    frames = _sighted((event for event in events if isinstance(event, Frame)), followed, maps)
    painter = _Painter(report, media)
    if media.kind == "picture":
        frame, sightings = next(frames)
        _save(painter.paint(frame, sightings), output)
        return
    assert media.size is not None
    rate = media.frame_rate or _FRAME_RATE
    with VideoWriter(output, size=media.size, frame_rate=rate, audio_from=source) as writer:
        for frame, sightings in frames:
            writer.write(painter.paint(frame, sightings), frame.time or 0.0)
            if on_progress and painter.duration:
                on_progress(min(1.0, (frame.time or 0.0) / painter.duration))


def _check_kind(media: Media, output: Path) -> None:
    suffix = output.suffix.lower()
    if media.kind == "audio":
        raise ReportError(f"{media.path}: has no picture to draw in; its report is all there is to see")
    if media.kind == "picture" and suffix not in PICTURES:
        raise OutputError(f"{output}: of a picture, a picture is written; end the name in .png or .jpg")
    if media.kind == "video" and suffix not in VIDEOS:
        raise OutputError(f"{output}: of a video, an MP4 is written; end the name in .mp4")


def _sighted(
    frames: Iterator[Frame], followed: Iterator[tuple[Frame, list[Face]] | Cut], maps: HeatMaps | None
) -> Iterator[tuple[Frame, list[Sighting]]]:
    """Join all frames with those in which faces were followed, and fill the faces in between.

    Frames before and after the analysed stretch have no faces.
    """
    between = Between()
    ahead = next(followed, None)
    for frame in frames:
        while isinstance(ahead, Cut) and ahead.time <= (frame.time or 0.0):
            yield from between.hold()
            between.forget()
            ahead = next(followed, None)
        if ahead is None:
            yield from between.hold()
            between.forget()
            yield from between.tick(frame, [])
        elif not isinstance(ahead, Cut) and ahead[0].index == frame.index:
            yield from between.tick(frame, _sightings(*ahead, maps))
            ahead = next(followed, None)
        else:
            yield from between.add(frame)
    yield from between.hold()


def _sightings(frame: Frame, faces: list[Face], maps: HeatMaps | None) -> list[Sighting]:
    found = maps.of(frame, faces) if maps else {}
    return [
        Sighting(
            track=face.track,
            box=np.asarray(face.detection.box, np.float64),
            points=np.asarray(face.detection.points, np.float64),
            heat=found[face.track].values if face.track in found else None,
        )
        for face in faces
    ]


class _Painter:
    """Paints one frame after the other."""

    def __init__(self, report: Report, media: Media) -> None:
        self._report = report
        self._persons = persons_by_track(report)
        times = [point[0] for entry in report.evidence.values() for point in entry.timeline]
        self.duration = media.duration or max(times, default=0.0)
        self._strip = None
        if media.kind == "video" and media.size:
            self._strip = make_strip(report, (media.size[1], media.size[0], 3), duration=self.duration)

    def paint(self, frame: Frame, sightings: list[Sighting]) -> np.ndarray:
        """Return the frame with everything drawn into it, (H, W, 3) uint8 RGB."""
        pixels = frame.pixels.copy()
        for sighting in sightings:
            if sighting.heat is not None:
                draw_heat(pixels, sighting.heat, sighting.points, strongest=strongest(sighting.heat))
        for sighting in sightings:
            caption, colour = self._caption(sighting.track)
            draw_face(pixels, sighting.box.tolist(), caption, colour)
        if self._strip and frame.time is not None:
            self._strip.draw(pixels, frame.time)
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
