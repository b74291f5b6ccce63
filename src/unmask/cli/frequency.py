"""`unmask frequency`: show what the eye does not see in one picture or frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from unmask.media.events import Frame, Media
    from unmask.report.frequency import Subject

_LOOKS = 8


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A picture or video.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the page, pictures and numbers.")
    ],
    at: Annotated[
        float | None,
        typer.Option(min=0, help="Second of a video; without it the largest face of its first 8 s."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")] = False,
) -> None:
    """Measure the frequencies, 8 x 8 blocks and noise of a face, and explain them on one HTML page.

    The largest face is taken; without a face the middle of the picture. Pixels are read as stored.

    For example:

    - `unmask frequency photo.jpg --output photo-frequency`
    - `unmask frequency clip.mp4 --at 2.5 -o look`
    """
    import json

    from unmask.cli.detect import failure_line
    from unmask.cli.outputs import Target, write_bytes
    from unmask.evidence.frequency import MODEL, is_scaled
    from unmask.media.events import MediaError
    from unmask.media.output import OutputError
    from unmask.report.frequency import TooSmallError, examine, figures, numbers, sentences, to_html
    from unmask.report.words import clock, printable
    from unmask.runtime.linear import LinearClassifier
    from unmask.signals.features import NAMES

    try:
        Target(output, True, "").check()
        media, frame, seen = _choose(source, at)
        as_stored = not is_scaled(frame.transform)
        found = examine(seen, tables=media.metadata.get("jpeg") if as_stored else None)
        band = LinearClassifier(MODEL, NAMES).band if seen.is_face else None
        pictures, words = figures(seen, found, band), sentences(found, band)
        time = "" if frame.time is None else f" at {clock(frame.time)}"
        where = "The largest face" if seen.is_face else "No face was found: the middle of the picture"
        what = f"{where}{time}, a window of {seen.place.side} x {seen.place.side} pixels" + (
            "." if as_stored else "; the picture was scaled when read, which hides the finest traces."
        )
        page = to_html(printable(source.name), what, words, pictures)
        for part, data in pictures.items():
            write_bytes(output / f"{part}.png", data)
        write_bytes(output / "frequency.json", (json.dumps(numbers(found), indent=1) + "\n").encode())
        write_bytes(output / "frequency.html", page.encode())
    except TooSmallError as error:
        _end(f"{source}: {error}; give a larger picture")
    except (OutputError, MediaError) as error:
        _end(str(error))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        _end(failure_line(source, error))
    if not quiet:
        for lines in words.values():
            for sentence in lines:
                typer.echo(sentence)
        typer.echo(f"Written: {output / 'frequency.html'}")


def _choose(source: Path, at: float | None) -> tuple[Media, Frame, Subject]:
    """Read the media and take the frame with the largest face, else the first frame's middle."""
    from unmask.faces.align import crop_place
    from unmask.faces.detect import Detector
    from unmask.media.events import Frame, Media, MediaError
    from unmask.media.reader import read
    from unmask.report.frequency import subject

    detector = Detector()
    media: Media | None = None
    first: Frame | None = None
    best: tuple[float, Frame, tuple[tuple[float, float], float]] | None = None
    looks = 0
    for event in read(source, rate=1.0, start=at):
        if isinstance(event, Media):
            media = event
        elif isinstance(event, Frame):
            first = first or event
            for face in detector.detect_picture(event.pixels):
                place = crop_place(face.points)
                if best is None or place[1] > best[0]:
                    best = place[1], event, place
            looks += 1
            if at is not None or looks == _LOOKS:
                break
    if media is None or first is None:
        raise MediaError(f"{source}: no picture at this time; choose another --at")
    if best is None:
        return media, first, subject(first.pixels, None)
    return media, best[1], subject(best[1].pixels, best[2])


def _end(line: str) -> None:
    typer.echo(f"unmask frequency: {line}", err=True)
    raise typer.Exit(1) from None
