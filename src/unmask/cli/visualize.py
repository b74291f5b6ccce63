"""`unmask visualize`: write a video or picture with a report's findings drawn into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The video or picture that was analysed.")],
    predictions: Annotated[
        Path,
        typer.Option(
            "--predictions", "-p", metavar="JSON", help="Its report, as written by unmask detect --output."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="What to write: a video, or a picture of a picture."
        ),
    ],
    heat: Annotated[
        bool, typer.Option("--heat/--no-heat", help="Blend the heat map of the visual detector on faces.")
    ] = True,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The visual detector, when unmask detect was given one by --model."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads (0: all cores).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")] = False,
) -> None:
    """Draw a report into its video: a box, label and score for each person, the verdict, a timeline.

    Warm colours on a face show where the visual detector found what it takes for manipulation. Size, frame
    rate, times and sound stay those of the source.

    For example:

    - `unmask visualize suspicious.mp4 --predictions analysis_report.json --output annotated.mp4`
    - `unmask visualize photo.jpg -p report.json -o annotated.png`
    """
    from unmask.cli.detect import failure_line, progress_bar
    from unmask.cli.outputs import Target
    from unmask.media.output import OutputError
    from unmask.report.annotated import annotate
    from unmask.report.schema import Report, ReportError

    try:
        report = Report.from_json(predictions.read_bytes())
    except ReportError as error:
        _end(f"{predictions}: {error}; give the file that unmask detect --output wrote")
    except OSError as error:
        _end(f"{predictions}: cannot be read: {error.strerror}")
    if output.resolve() == source.resolve():
        _end(f"{output}: is the source itself; give another name")
    try:
        Target(output, False, output.suffix).check()
        with progress_bar(f"writing {output.name}", wanted=not quiet) as on_progress:
            annotate(
                source,
                report,
                output,
                heat=heat,
                model=model,
                threads=threads,
                device=device,
                on_progress=on_progress,
            )
    except OutputError as error:
        _end(str(error))
    except Exception as error:
        _end(failure_line(source, error))
    if not quiet:
        typer.echo(f"Written: {output}")


def _end(line: str) -> None:
    typer.echo(f"unmask visualize: {line}", err=True)
    raise typer.Exit(1) from None
