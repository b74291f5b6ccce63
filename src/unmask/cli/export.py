"""`unmask export`: turn a checkpoint into an ONNX file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="Checkpoints written by unmask train; the answers of several are averaged."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The ONNX file; beside the checkpoint by default.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit arithmetic: half the time and size; wants --dataset.")
    ] = False,
    dataset: Annotated[
        list[Path] | None,
        typer.Option("--dataset", "-d", help="With --int8: the zips, or folders of zips, of the training."),
    ] = None,
    tune_share: Annotated[float, typer.Option(help="The training run's share of tune groups.")] = 0.06,
    seed: Annotated[int, typer.Option(help="The training run's seed of the tune fold.")] = 0,
) -> None:
    """Export a checkpoint, or several as one network, to ONNX, with a card that says what it is.

    Example: unmask export runs/visual/best.safetensors --output visual.onnx
    """
    if int8 != bool(dataset):
        typer.echo("unmask export: --int8 and --dataset go together", err=True)
        raise typer.Exit(2)
    try:
        from unmask.training.checkpoint import CheckpointError
        from unmask.training.export import export
    except ModuleNotFoundError as error:
        typer.echo(
            f'unmask export needs {error.name}: install the laboratory with pip install "unmask[train]"',
            err=True,
        )
        raise typer.Exit(2) from None
    try:
        if dataset:
            from unmask.training.archives import find_archives, training_items
            from unmask.training.quantise import export_int8

            items = training_items(find_archives(dataset), tune_share=tune_share, seed=seed)
            written = export_int8(checkpoints, output, items, report=typer.echo)
        else:
            written = export(checkpoints[0], output, others=checkpoints[1:])
    except (CheckpointError, OSError, RuntimeError, ValueError) as error:
        typer.echo(f"unmask export: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{written} and its card")
