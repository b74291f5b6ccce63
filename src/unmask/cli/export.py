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
) -> None:
    """Export a checkpoint, or several as one network, to ONNX, with a card that says what it is.

    Example: unmask export runs/visual/best.safetensors --output visual.onnx
    """
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
        written = export(checkpoints[0], output, others=checkpoints[1:])
    except (CheckpointError, OSError, RuntimeError) as error:
        typer.echo(f"unmask export: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{written} and its card")
