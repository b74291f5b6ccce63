"""`unmask prepare`: cut the faces of a data set once, into a store that training reads."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    dataset: Annotated[
        str,
        typer.Argument(
            help="The data set by name, such as faceforensics or celeb_df_v2; see docs/datasets.md."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where its files lie.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the store.  [default: stores/DATASET]")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each video, spread evenly.")] = 32,
    faces: Annotated[
        str, typer.Option(help="main (the person largest and longest in sight) or all.")
    ] = "main",
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given several times.")
    ] = None,
    manipulation: Annotated[
        list[str] | None,
        typer.Option(help="Of the fakes only this manipulation; may be given several times."),
    ] = None,
    compression: Annotated[
        list[str] | None, typer.Option(help="Only this compression, such as c23; may be given several times.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Side of the stored square, in sides of the product's crop.")
    ] = 2.2,
    largest: Annotated[int, typer.Option(help="Longest side of a stored crop in pixels.")] = 512,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Store PNG instead of JPEG of quality 95.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Cut the faces of a data set into a store, found and framed as `unmask detect` does it.

    Stopped, even killed, it goes on when the same command is given again. Then train on the store:
    unmask train --dataset stores/DATASET

    Example: unmask prepare faceforensics /data/FaceForensics++ --compression c23
    """
    from unmask.data.cut import Settings
    from unmask.data.manifest import DataError
    from unmask.data.prepare import prepare, select
    from unmask.data.registry import load
    from unmask.media.output import OutputError
    from unmask.runtime.session import cores
    from unmask.training.archives import STORES

    place = output or STORES / dataset
    try:
        settings = Settings(
            frames=frames,
            faces=faces,  # type: ignore[arg-type]
            margin=margin,
            largest=largest,
            encoding="png" if lossless else "jpeg",
        )
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            items = load(dataset, folder)
        for note in noted:
            typer.echo(f"note: {note.message}", err=True)
        items, left_out = select(
            items, splits=split or (), manipulations=manipulation or (), compressions=compression or ()
        )
        for reason in left_out:
            typer.echo(f"left out: {reason}", err=True)
        typer.echo(_counts(items))
        with _Bar(quiet) as bar:
            index = prepare(items, place, settings, workers=workers or cores(), on_progress=bar.step)
    except (DataError, OutputError, ValueError, OSError) as error:
        typer.echo(f"unmask prepare: {error}", err=True)
        raise typer.Exit(2) from None
    problems = [problem for shard in index.shards.values() for problem in shard.problems]
    typer.echo(f"{place}: {sum(s.crops for s in index.shards.values())} crops of {len(items)} items")
    if problems:
        without = sum(problem.crops == 0 for problem in problems)
        typer.echo(
            f"{without} items gave no crop, {len(problems) - without} are damaged: {place}/problems.csv"
        )


def _counts(items: list[Any]) -> str:
    """Return how many reals and fakes each split has, in one line."""
    counts = Counter((item.split or "no split", item.label) for item in items)
    splits = sorted({split for split, _ in counts})
    return "; ".join(f"{s}: {counts[s, 'real']} real, {counts[s, 'fake']} fake" for s in splits)


class _Bar:
    """A progress bar on the error stream, with items a second; plain lines would fill a log."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("cutting faces"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.speed:.1f} a second"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._task: Any = None

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task("", total=total, completed=done)
        self._progress.update(self._task, completed=done)
