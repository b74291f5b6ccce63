"""`unmask calibrate`: fit probabilities and thresholds of an exported network on the tune fold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="An exported network (.onnx) with its card.")],
    dataset: Annotated[
        list[Path],
        typer.Option("--dataset", "-d", help="The zips, or folders of zips, given to unmask train."),
    ],
    clips: Annotated[
        Path | None,
        typer.Option(help="A folder of labelled clips: its open split tells how many fakes are missed."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("verdict.json"),
    tune_share: Annotated[float, typer.Option(help="The training run's share of tune groups.")] = 0.06,
    seed: Annotated[int, typer.Option(help="The training run's seed.")] = 0,
    pictures: Annotated[int, typer.Option(help="Most pictures of each data set and manipulation.")] = 1200,
    films: Annotated[int, typer.Option(help="Most filmed pictures of each.")] = 100,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 takes all.")] = 0,
) -> None:
    """Fit the verdict of a network: probabilities, thresholds at 1 % false alarms, and fakes missed.

    Example: unmask calibrate visual.onnx --dataset DATA_SETS --output verdict.json
    """
    from unmask.data.manifest import Item, check_leaks, cut_tune, merge, read_zip
    from unmask.evaluation.calibrate import calibrate
    from unmask.evaluation.items import TestDataError, read_test_data, without_trained
    from unmask.evaluation.spread import cores
    from unmask.runtime.card import WeightError, load_card
    from unmask.training.archives import find_archives

    try:
        items = cut_tune(merge(map(read_zip, find_archives(dataset))), share=tune_share, seed=seed)
        check_leaks(items)
        shown: list[Item] = []
        if clips is not None:
            shown, trained = without_trained(read_test_data([clips], split="open"), load_card(model))
            if trained:
                typer.echo(f"clips left out, for the network was trained on them: {', '.join(trained)}")
        settings = calibrate(
            model,
            items,
            held_out=[item for item in items if item.split == "val"],
            clips=shown,
            pictures=pictures,
            films=films,
            threads=threads,
            processes=cores(threads),
            seed=seed,
            report=typer.echo,
        )
        settings.save(output)
    except (OSError, ValueError, WeightError, TestDataError) as error:
        typer.echo(f"unmask calibrate: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{output} written")
