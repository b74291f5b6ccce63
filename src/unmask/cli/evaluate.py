"""`unmask evaluate`: measure a detector on labelled media, the whole way that `detect` goes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH = 140
"""Columns of the tables where the output is no terminal."""


def command(
    test_data: Annotated[
        list[Path],
        typer.Option(
            "--test-data",
            "-t",
            help="A folder with real/ and fake/, a zip with metadata.csv, a folder of zips, a folder with "
            "labels.csv, or a CSV list (path,label[,group,manipulation,split]); may be given several times.",
        ),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", "-c", help="An exported .onnx, or a checkpoint. Left out: the embedded one."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Measure this split only. Without it: all but `frozen`.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for evaluation.json, scores.csv, index.html."),
    ] = None,
    tune_data: Annotated[
        list[Path] | None,
        typer.Option(help="Choose thresholds on the *tune* split of these: give the zips of the training."),
    ] = None,
    tune_share: Annotated[
        float | None, typer.Option(help="Share of train groups that training held out as tune.")
    ] = None,
    tune_seed: Annotated[int, typer.Option(help="Seed of that training run.")] = 0,
    false_alarm_rate: Annotated[
        float, typer.Option(min=0, max=1, help="False-alarm rate of the threshold chosen on tune.")
    ] = 0.01,
    tune_films: Annotated[
        int,
        typer.Option(
            min=0,
            help="Film at most so many tune pictures of each data set and kind; learn on the films how to "
            "combine the frames of clips (needs the extra train).",
        ),
    ] = 0,
    match_face_size: Annotated[
        bool, typer.Option("--match-face-size", help="Compare reals and fakes in pairs of equal face width.")
    ] = False,
    jpeg: Annotated[
        int | None, typer.Option(min=1, max=100, help="Encode pictures again at this JPEG quality first.")
    ] = None,
    half_size: Annotated[
        bool, typer.Option("--half-size", help="Halve width and height of pictures and clips first.")
    ] = False,
    h264: Annotated[
        int | None, typer.Option(min=0, max=51, help="Encode clips again at this x264 rate factor first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take this many items at random from each data set.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames analysed of a clip.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads (0: all).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws behind the intervals.")] = 2000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure a detector on labelled pictures and clips.

    Every item goes through detection, alignment, crop, network and verdict exactly as in `unmask detect`.
    An item whose face is not found counts as a mistake in every figure.

    Example: unmask evaluate --checkpoint visual.onnx --test-data faces.zip --split val
    """
    from unmask.evaluation.items import TUNE_SHARE, TestDataError
    from unmask.evaluation.run import Plan, evaluate
    from unmask.evaluation.spread import cores
    from unmask.evaluation.variants import Variant
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    try:
        plan = Plan(
            test_data=tuple(test_data),
            checkpoint=checkpoint,
            split=split,
            tune_data=tuple(tune_data or ()),
            tune_share=TUNE_SHARE if tune_share is None else tune_share,
            tune_seed=tune_seed,
            tune_films=tune_films,
            false_alarm_rate=false_alarm_rate,
            match_face_size=match_face_size,
            variant=Variant(half_size=half_size, jpeg=jpeg, h264=h264),
            limit=limit,
            frames=frames,
            threads=threads,
            processes=cores(threads, device),
            device=device,
            draws=draws,
            command=command_line(),
        )
        check_folder(output)
        with Bar(quiet) as bar:
            result = evaluate(plan, on_progress=bar.step)
        if output is not None:
            result.write(output)
    except (TestDataError, WeightError, DeviceError, ValueError, OSError) as error:
        typer.echo(f"unmask evaluate: {error}", err=True)
        raise typer.Exit(2) from None
    _show(result.json)
    if output is not None:
        typer.echo(f"written: {output}/evaluation.json, scores.csv, index.html, false_alarms.png, misses.png")


def command_line() -> str:
    """Return the command as it was typed, for the record."""
    return shlex.join(["unmask", *sys.argv[1:]])


def check_folder(output: Path | None) -> None:
    """Find out before the work begins whether its result can be written."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / ".write-test"
        probe.touch()
        probe.unlink()


class Bar:
    """A progress bar on the error stream."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage has come."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done)


def _show(run: dict[str, Any]) -> None:
    """Print the figures as tables."""
    from rich.console import Console

    from unmask.evaluation.page import FIGURE_NAMES, share, value

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    if groups := run["left_out_as_trained_on"]:
        console.print(f"left out, for the network was trained on them: {', '.join(groups)}")
    for result in run["results"]:
        title = f"{result['data_set']} {result['split']}".strip()
        found = result["faces_found"]
        console.print(
            f"\n[bold]{title}[/]  {result['level']} level, {result['real']} real, {result['fake']} fake, "
            f"{result['groups']} groups; "
            f"no face found in {found['none']}, no answer for {found['without_answer']}"
        )
        figures = _table("fakes", "n", "AUC", "accuracy at 0.5", "equal error", "called fake", "inconclusive")
        for name, part in result["manipulations"].items():
            figures.add_row(name, *_row(part, value, share))
            if own := part.get("own_reals"):
                figures.add_row(
                    f"  against {own['real']} own reals", str(own["fake"]), value(own["figures"].get("auc"))
                )
        if len(result["manipulations"]) > 1:
            figures.add_row("all", str(result["fake"]), *_row(result, value, None)[1:])
        if result["manipulations"]:
            console.print(figures)
        reals = _table("real source", "n", "called fake", "called real", "inconclusive", "failed")
        for name, part in result["real_sources"].items():
            reals.add_row(
                name,
                str(part["n"]),
                *(share(part[outcome]) for outcome in ("fake", "real", "inconclusive", "failed")),
            )
        if result["real_sources"]:
            console.print(reals)
        if result["figures"]:
            more = (
                f"{title} {value(result['figures'][key])}"
                for key, title in FIGURE_NAMES.items()
                if key in result["figures"] and key not in ("auc", "eer")
            )
            console.print("; ".join(more))
        if result["aggregations"]:
            ways = _table("frames of a clip combined by", "AUC")
            for name, figure in result["aggregations"].items():
                ways.add_row(name, value(figure))
            console.print(ways)
        for name, part in result["levels"].items():
            console.print(_level_table(name, part))
    if alone := run["real_only"]:
        console.print(f"\nreal only ({', '.join(alone['data_sets'])}): called fake {share(alone['fake'])}")


def _level_table(name: str, level: dict[str, Any]) -> Any:
    """Return the table of a level beside that of the items."""
    from unmask.evaluation.page import level_rows, level_title, value

    table = _table(level_title(name, level), "real", "fake", "AUC", "equal error")
    for kind, part in level_rows(level).items():
        cells = (value(part["figures"].get(figure)) for figure in ("auc", "eer"))
        table.add_row(kind, str(part["real"]), str(part["fake"]), *cells)
    return table


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(header_style="")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _row(part: dict[str, Any], value: Any, share: Any) -> list[str]:
    figures, even = part["figures"], part["decisions"].get("even", {})
    row = [
        str(part["fake"]),
        value(figures.get("auc")),
        value(even.get("accuracy")),
        value(figures.get("eer")),
    ]
    if share is not None:
        row += [share(part["shares"]["fake"]), share(part["shares"]["inconclusive"])]
    return row
