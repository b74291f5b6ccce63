"""`unmask detect`: judge videos, pictures and sound, and write what was found."""

from __future__ import annotations

import enum
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unmask.cli.inputs import Input
    from unmask.cli.outputs import Target
    from unmask.report.schema import Report

_INPUT = "Input"
_RESULT = "Results"
_HOW = "How to look"


class FailOn(enum.StrEnum):
    """What makes the command end with exit code 3."""

    FAKE = "fake"


@dataclass(frozen=True)
class _Targets:
    """Where the results go; None: not wanted. `csv` is one file for all inputs."""

    json: Target | None
    html: Target | None
    heatmaps: Target | None
    csv: Path | None

    @property
    def uses_stdout(self) -> bool:
        paths = [target.path for target in (self.json, self.html) if target] + [self.csv]
        return Path("-") in paths


def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders (searched through) or patterns such as '*.mp4'.", show_default=False
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="JSON report: a file for one input, a folder for several, - for stdout.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="JSON on stdout; of several inputs one line each.", rich_help_panel=_RESULT
        ),
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table with a row for each input (- for stdout).", rich_help_panel=_RESULT
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="HTML report: file or folder, as --output.", rich_help_panel=_RESULT
        ),
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for pictures of each person's face with the heat map of the visual detector.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    no_images: Annotated[
        bool,
        typer.Option("--no-images", help="No pictures of faces in the HTML report.", rich_help_panel=_RESULT),
    ] = False,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="Exit with 3 when something was judged so.", rich_help_panel=_RESULT),
    ] = None,
    frames: Annotated[
        int,
        typer.Option(
            "--frames", "-n", min=1, help="Frames to judge, spread over a clip.", rich_help_panel=_HOW
        ),
    ] = 32,
    every_frame: Annotated[
        bool,
        typer.Option(
            "--every-frame",
            help="Judge every frame instead, with all analysers: also motion, pulse, blinks ... (slow).",
            rich_help_panel=_HOW,
        ),
    ] = False,
    analyser: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Use this analyser only; may be given several times.", rich_help_panel=_HOW
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin here: seconds or mm:ss.", rich_help_panel=_HOW)
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End here: seconds or mm:ss.", rich_help_panel=_HOW)
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(
            help="Share of fakes among files like these, between 0 and 1 (default: as in validation, half).",
            rich_help_panel=_HOW,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Visual detector to use: an exported .onnx file or a checkpoint.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, help="Processor threads (0: all cores).", rich_help_panel=_HOW)
    ] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.", rich_help_panel=_HOW)
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Show all evidence; twice: also tracebacks.")
    ] = 0,
) -> None:
    """Judge videos, pictures and sound recordings of people: fake, real or inconclusive, and why.

    Examples:
    - `unmask detect suspicious.mp4`
    - `unmask detect suspicious.mp4 --output analysis_report.json --html report.html`
    - `unmask detect uploads/ more/*.jpg --output reports/ --csv all.csv`
    - `unmask detect interview.mkv --start 1:30 --end 2:00 --every-frame`
    - `unmask detect clip.mp4 --json | jq .verdict`

    Scope: manipulated or synthesised human faces. Not judged: voices, scenes without a face, cartoons,
    beauty filters.

    Exit codes: 0 analysed, whatever the verdict; 1 some inputs failed; 2 wrong usage; 3 with
    `--fail-on fake` when something was judged fake.
    """
    from unmask.cli.inputs import expand, is_one_file
    from unmask.cli.outputs import UsageError
    from unmask.media.output import OutputError
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    _log(verbose)
    try:
        targets = _targets(output, json, html, heatmaps, csv, one_file=is_one_file(inputs))
        settings = analysis_settings(frames, every_frame, start, end, threads, device, prior, model)
        settings["analysers"] = chosen_analysers(analyser)
    except UsageError as error:
        typer.echo(f"unmask detect: {error}", err=True)
        raise typer.Exit(2) from None
    files, failures = expand(inputs)
    for line in failures:
        typer.echo(f"unmask detect: {line}", err=True)
    try:
        if files:
            _check(targets)
        run = _Run(targets, settings, images=not no_images, quiet=quiet, verbose=verbose, files=len(files))
        for number, source in enumerate(files, 1):
            run.one(number, source)
        run.finish(failures)
    except (OutputError, WeightError, DeviceError) as error:
        typer.echo(f"unmask detect: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, DeviceError) else 1) from None
    if fail_on and run.labels.get(fail_on.value):
        raise typer.Exit(3)
    if failures or run.labels.get("failed"):
        raise typer.Exit(1)


class _Run:
    """Analyses one input after the other, writes and prints what was found, and counts."""

    def __init__(
        self,
        targets: _Targets,
        settings: dict[str, Any],
        *,
        images: bool,
        quiet: bool,
        verbose: int,
        files: int,
    ) -> None:
        from rich.console import Console

        self.labels: dict[str, int] = {}
        self._targets = targets
        self._settings = settings
        self._images = images
        self._show = not quiet and not targets.uses_stdout
        self._progress = not quiet
        self._verbose = verbose
        self._files = files
        self._console = Console(highlight=False)
        self._rows: list[tuple[str, Report | str]] = []

    def one(self, number: int, source: Input) -> None:
        """Analyse one input. A failure of the input is one line; other failures end the run."""
        from unmask.runtime.card import WeightError
        from unmask.runtime.session import DeviceError

        try:
            report, pictures = self._analyse(number, source)
        except (WeightError, DeviceError):
            raise  # not this input's fault: the others would fail alike
        except Exception as error:
            self._fail(source, error)
            return
        self._count(report.verdict.label)
        if self._targets.csv:
            self._rows.append((str(source.path), report))
        self._write(source, report, pictures)
        if self._show:
            self._print(report)

    def finish(self, missing: list[str]) -> None:
        """Write the table and print the totals."""
        from unmask.cli.outputs import write
        from unmask.report.csv import to_csv

        if self._targets.csv:
            write(self._targets.csv, to_csv(self._rows))
        if self._show and self._files > 1:
            totals = [f"{count} {label}" for label, count in sorted(self.labels.items())]
            typer.echo(f"\n{self._files} files: {', '.join(totals)}")

    def _analyse(self, number: int, source: Input) -> tuple[Report, dict[int, bytes]]:
        """Return the report, and a picture of each person's face where such pictures are wanted."""
        from unmask.pipeline import analyse
        from unmask.report.heatmaps import FaceSheets

        wanted = self._targets.heatmaps or (self._targets.html and self._images)
        sheets = FaceSheets() if wanted else None
        title = source.path.name if self._files == 1 else f"{number}/{self._files} {source.path.name}"
        with progress_bar(title, wanted=self._progress) as on_progress:
            report = analyse(
                source.path,
                on_progress=on_progress,
                on_heat=sheets.take if sheets else None,
                **self._settings,
            )
        return report, sheets.sheets(report) if sheets else {}

    def _write(self, source: Input, report: Report, pictures: dict[int, bytes]) -> None:
        from unmask.cli.outputs import write_bytes
        from unmask.report.html import to_html

        targets = self._targets
        if targets.json:
            lines = targets.json.path == Path("-") and self._files > 1
            text = report.model_dump_json(by_alias=True) + "\n" if lines else report.to_json()
            targets.json.write(source, text)
        if targets.html:
            targets.html.write(source, to_html(report, pictures if self._images else None))
        if targets.heatmaps:
            for person, picture in pictures.items():
                name = f"{source.stem.name}_person{person}.jpg"
                write_bytes(targets.heatmaps.path / source.stem.with_name(name), picture)

    def _print(self, report: Report) -> None:
        from unmask.report.terminal import print_line, print_summary

        if self._files == 1 or self._verbose:
            print_summary(report, self._console, verbose=self._verbose > 0)
        else:
            print_line(report, self._console)

    def _fail(self, source: Input, error: Exception) -> None:
        line = failure_line(source.path, error)
        typer.echo(f"unmask detect: {line}", err=True)
        if self._verbose > 1:
            traceback.print_exception(error)
        self._count("failed")
        if self._targets.csv:
            self._rows.append((str(source.path), line))

    def _count(self, label: str) -> None:
        self.labels[label] = self.labels.get(label, 0) + 1


def failure_line(path: Path, error: Exception) -> str:
    """Say in one line which file failed, why, and what to do."""
    from unmask.media.events import MediaError
    from unmask.report.schema import ReportError
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    text = " ".join(str(error).split())
    if isinstance(error, MediaError | WeightError | DeviceError | ReportError):
        return text
    if isinstance(error, MemoryError):
        return (
            f"{path}: not enough memory; close other programs, or analyse a shorter stretch (--start, --end)"
        )
    if isinstance(error, OSError) and error.strerror:
        return f"{path}: cannot be read: {error.strerror}"
    return f"{path}: unexpected {type(error).__name__} ({text}); run again with -vv and report what it prints"


@contextmanager
def progress_bar(title: str, *, wanted: bool = True) -> Iterator[Callable[[float], None] | None]:
    """Show a bar on stderr when that is a terminal; gives a function that takes the share done, 0..1."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from unmask.report.words import printable

    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(printable(title), total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _targets(
    output: str | None,
    json: bool,
    html: str | None,
    heatmaps: Path | None,
    csv: Path | None,
    *,
    one_file: bool,
) -> _Targets:
    from unmask.cli.outputs import STDOUT, Target, UsageError

    if json and output not in (None, "-"):
        raise UsageError("--json writes to stdout and --output to a file; give one of them")
    given = "-" if json else output
    targets = _Targets(
        json=None
        if given is None
        else Target.of(given, suffix=".json", option="--output", one_file=one_file),
        html=None if html is None else Target.of(html, suffix=".html", option="--html", one_file=one_file),
        heatmaps=None if heatmaps is None else Target(heatmaps, True, ".jpg"),
        csv=csv,
    )
    if csv and csv.is_dir():
        raise UsageError(f"--csv {csv}: is a folder; give the name of a file")
    paths = [target.path for target in (targets.json, targets.html) if target] + [csv]
    if paths.count(STDOUT) > 1:
        raise UsageError("only one kind of result can go to stdout")
    return targets


def _check(targets: _Targets) -> None:
    """Try every place that results will go to, before the long work."""
    from unmask.cli.outputs import Target

    for target in (targets.json, targets.html, targets.heatmaps):
        if target:
            target.check()
    if targets.csv:
        Target(targets.csv, False, ".csv").check()


def analysis_settings(
    frames: int,
    every_frame: bool,
    start: str | None,
    end: str | None,
    threads: int,
    device: str,
    prior: float | None,
    model: Path | None,
) -> dict[str, Any]:
    """Check the options and return them as the keywords of `analyse`."""
    from unmask.cli.outputs import UsageError
    from unmask.runtime.session import DEVICES

    begin, finish = seconds("--start", start), seconds("--end", end)
    if finish is not None and finish <= (begin or 0.0):
        raise UsageError(f"--end {end} must lie after the start; times are seconds or mm:ss")
    if prior is not None and not 0 < prior < 1:
        raise UsageError(f"--prior {prior}: give a share between 0 and 1, such as 0.01")
    if device not in DEVICES:
        raise UsageError(f"--device {device}: choose one of {', '.join(DEVICES)}")
    if model is not None and not model.is_file():
        raise UsageError(f"--model {model}: no such file")
    return {
        "frames": frames,
        "every_frame": every_frame,
        "start": begin,
        "end": finish,
        "threads": threads,
        "device": device,
        "prior": prior,
        "model": model,
    }


def chosen_analysers(names: list[str] | None) -> list[str] | None:
    """Check the names of analysers; None where none is given."""
    from unmask.cli.outputs import UsageError
    from unmask.evidence.registry import ANALYSERS

    for name in names or ():
        if name not in ANALYSERS:
            raise UsageError(f"--analyser {name}: choose one of {', '.join(ANALYSERS)}")
    return names or None


def seconds(option: str, text: str | None) -> float | None:
    """Read a time: seconds, mm:ss or hh:mm:ss, each with decimals where wanted.

    Raises:
        UsageError: this is not a time.
    """
    from unmask.cli.outputs import UsageError

    if text is None:
        return None
    wrong = UsageError(f"{option} {text}: give seconds or mm:ss, such as 90 or 1:30")
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        raise wrong from None
    whole = all(part == int(part) for part in parts[:-1] if part < float("inf"))
    if not (len(parts) <= 3 and whole and all(0 <= part < float("inf") for part in parts)):
        raise wrong
    if any(part >= 60 for part in parts[1:]):
        raise wrong
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _log(verbose: int) -> None:
    level = (logging.ERROR, logging.WARNING, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="unmask: %(message)s")
    logging.getLogger("unmask").setLevel(level)
    logging.captureWarnings(True)
