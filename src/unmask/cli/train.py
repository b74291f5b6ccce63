"""`unmask train`: train a detector on data set zips and write self-describing checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    dataset: Annotated[
        list[Path],
        typer.Option(
            "--dataset", "-d", help="A data set zip, or a folder of them; may be given several times."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; runs/MODEL if not given.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A JSON configuration, such as configs/visual.json.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Architecture by name.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(help="Start from the packaged ImageNet weights if any, or from nothing."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file in a public format (timm, ...) to start from.")
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    frozen_backbone: Annotated[
        bool | None, typer.Option("--frozen-backbone", help="Train the last layer alone.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="A checkpoint whose answers are learned.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures in pixels; the architecture's if not given.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the fakes.")] = None,
    steps: Annotated[int | None, typer.Option(help="Batches to train for.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End by the clock instead.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a batch, half of them fake.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="adamw, sgd or sam.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    sampling: Annotated[str | None, typer.Option(help="paired, balanced or natural.")] = None,
    patience: Annotated[int | None, typer.Option(help="End after so many evaluations without gain.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="auto, cpu or gpu.")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices of this machine to train on.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Machines to train on.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting, name=value with the value as JSON; several times."),
    ] = None,
) -> None:
    """Train a detector. A run that was stopped goes on when the same command is given again.

    A folder that holds a run of other settings or other pictures is refused.

    Examples:
        unmask train --config configs/visual.json --dataset DATA_SETS --output runs/visual

        unmask train --dataset CROPS --model xception --weights xception.pth --epochs 30 --batch-size 32

        unmask train --dataset CROPS --set mix_up=0.2 --set 'augmentation={"jpeg": 0.8}'

        unmask train --dataset STORE --model gru --steps 300 --set motion=true --output runs/gru
    """
    try:
        from unmask.media.output import OutputError
        from unmask.models import sequences
        from unmask.runtime.card import WeightError
        from unmask.training import sequences as sequence_training
        from unmask.training.checkpoint import CheckpointError
        from unmask.training.config import TrainingConfig, read_settings
        from unmask.training.run import run
    except ModuleNotFoundError as error:
        typer.echo(
            f'unmask train needs {error.name}: install the laboratory with pip install "unmask[train]"',
            err=True,
        )
        raise typer.Exit(2) from None
    given = {
        "model": model,
        "pretrained": pretrained,
        "weights": weights,
        "initial": initial,
        "frozen_backbone": frozen_backbone,
        "teacher": teacher,
        "phases": None if size is None else [{"until": 1.0, "size": size}],
        "epochs": epochs,
        "steps": steps,
        "minutes": minutes,
        "batch_size": batch_size,
        "optimiser": optimiser,
        "learning_rate": learning_rate,
        "sampling": sampling,
        "patience": patience,
        "precision": precision,
        "accelerator": accelerator,
        "devices": devices,
        "nodes": nodes,
        "threads": threads,
        "seed": seed,
    }
    overrides = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in given.items()
        if value is not None
    }
    try:
        settings = {} if config is None else read_settings(config)
        settings |= overrides | _settings(set_ or [])
        looks_along_time = settings.get("model") in sequences.names()
        if looks_along_time and size is not None:
            settings["size"] = settings.pop("phases")[0]["size"]
        start = sequence_training.run if looks_along_time else run
        name = settings.get("model", TrainingConfig.model_fields["model"].default)
        best = start(settings, dataset, output or Path("runs") / str(name), report=typer.echo)
    except (OSError, ValueError, FloatingPointError, CheckpointError, OutputError, WeightError) as error:
        typer.echo(f"unmask train: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"best checkpoint: {best}")


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Read name=value pairs; a value that is no JSON is taken as text."""
    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"--set takes name=value, not {pair!r}")
        try:
            settings[name] = json.loads(text)
        except json.JSONDecodeError:
            settings[name] = text
    return settings
