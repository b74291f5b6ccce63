"""`unmask train`: train a detector on data set zips and write self-describing checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    dataset: Annotated[
        list[Path],
        typer.Option(
            "--dataset", "-d", help="A data set zip, or a folder of them; may be given several times."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")] = Path("runs/visual"),
    config: Annotated[
        Path | None, typer.Option(help="A JSON configuration, such as configs/visual.json.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Architecture by name.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train for.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End by the clock instead of by steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a batch, half of them fake.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    initial: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
) -> None:
    """Train a detector. A run that was stopped goes on when the same command is given again.

    Example: unmask train --config configs/visual.json --dataset DATA_SETS --output runs/visual
    """
    try:
        from unmask.training.run import run
    except ModuleNotFoundError as error:
        typer.echo(
            f'unmask train needs {error.name}: install the laboratory with pip install "unmask[train]"',
            err=True,
        )
        raise typer.Exit(2) from None
    given = {
        "model": model,
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "initial": None if initial is None else str(initial),
        "threads": threads,
        "seed": seed,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        settings = {} if config is None else json.loads(config.read_text())
        best = run(settings | overrides, dataset, output, report=typer.echo)
    except (OSError, ValueError, FloatingPointError) as error:
        typer.echo(f"unmask train: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"best checkpoint: {best}")
