"""`unmask biosignals`: a page of plots and a table of a video's biological signals, the heart rate first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

PAGE = "biosignals.html"
TABLE = "signals.csv"
ANALYSERS = ("pulse", "blink", "breathing", "head_pose", "consistency")
"""The analysers whose signals are shown, in the order of the page."""


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The video.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the page and the table of signals."),
    ],
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Begin here: seconds or mm:ss.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End here: seconds or mm:ss.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads (0: all cores).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")] = False,
) -> None:
    """Measure pulse, blinks, breathing and head motion of the people in a video.

    What is the heart rate in my video? It is said only where the whole face agrees on it; otherwise the
    answer is that it cannot be told, and why. At least 8 s of a steady, well lit face of 96 pixels are
    needed, 20 s and 200 pixels are better. Every frame is looked at. For a verdict see `unmask detect`.

    For example:

    - `unmask biosignals me.mp4 --output me/`
    - `unmask biosignals interview.mkv --start 1:30 --end 2:10 -o interview/`
    """
    from unmask.cli.detect import failure_line, progress_bar, seconds
    from unmask.cli.outputs import Target, UsageError, write
    from unmask.evidence.base import Evidence, Signals
    from unmask.media.output import OutputError
    from unmask.pipeline import analyse
    from unmask.report.biosignals import heart_rates, to_page, to_table
    from unmask.runtime.session import DEVICES

    try:
        begin, finish = seconds("--start", start), seconds("--end", end)
    except UsageError as error:
        _end(str(error), code=2)
    if finish is not None and finish <= (begin or 0.0):
        _end(f"--end {end} must lie after the start; times are seconds or mm:ss", code=2)
    if device not in DEVICES:
        _end(f"--device {device}: choose one of {', '.join(DEVICES)}", code=2)
    found: list[tuple[Evidence, Signals]] = []
    try:
        Target(output, True, ".html").check()
        with progress_bar(source.name, wanted=not quiet) as on_progress:
            report = analyse(
                source,
                analysers=ANALYSERS,
                start=begin,
                end=finish,
                threads=threads,
                device=device,
                on_progress=on_progress,
                on_signals=lambda evidence, signals: found.append((evidence, signals)),
            )
        found.sort(key=lambda pair: (pair[0].track or 0, ANALYSERS.index(pair[0].analyser)))
        write(output / PAGE, to_page(report, found))
        write(output / TABLE, to_table(found))
    except OutputError as error:
        _end(str(error))
    except Exception as error:
        _end(failure_line(source, error))
    if not quiet:
        for line in heart_rates(report, found):
            typer.echo(line)
        typer.echo(f"Written: {output / PAGE}, {output / TABLE}")


def _end(line: str, *, code: int = 1) -> NoReturn:
    typer.echo(f"unmask biosignals: {line}", err=True)
    raise typer.Exit(code) from None
