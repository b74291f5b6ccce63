"""`unmask benchmark`: several detectors on several data sets, in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    test_data: Annotated[
        list[Path],
        typer.Option("--test-data", "-t", help="As of `unmask evaluate`; may be given several times."),
    ],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", "-c", help="An exported .onnx, or a checkpoint; may be given several times."
        ),
    ] = None,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Measure the embedded detector too (alone: the only one).")
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Measure this split only. Without it: all but `frozen`.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for benchmark.json and benchmark.md.")
    ] = None,
    tune_data: Annotated[
        list[Path] | None,
        typer.Option(help="With --tune-films: the zips of the training, whose *tune* pictures are filmed."),
    ] = None,
    tune_share: Annotated[
        float | None, typer.Option(help="Share of train groups that training held out as tune.")
    ] = None,
    tune_seed: Annotated[int, typer.Option(help="Seed of that training run.")] = 0,
    tune_films: Annotated[
        int,
        typer.Option(
            min=0, help="As of `unmask evaluate`: learn on films how to combine the frames of clips."
        ),
    ] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take this many items at random from each data set.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames analysed of a clip.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads (0: all).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws behind the intervals.")] = 2000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Compare detectors: AUC on each data set, and the gap between data sets seen in training and others.

    Where a data set holds clips, a second table compares ways to combine their frames.

    Example: unmask benchmark -c xception.onnx -c lite0.onnx --embedded -t faces.zip -t clips --split val
    """
    from unmask.cli.evaluate import Bar, check_folder, command_line
    from unmask.evaluation.benchmark import benchmark, to_json, to_markdown
    from unmask.evaluation.items import TUNE_SHARE, TestDataError
    from unmask.evaluation.run import Plan
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    detectors: list[Path | None] = [*(checkpoint or ())]
    if embedded or not detectors:
        detectors.append(None)
    plan = Plan(
        test_data=tuple(test_data),
        split=split,
        tune_data=tuple(tune_data or ()),
        tune_share=TUNE_SHARE if tune_share is None else tune_share,
        tune_seed=tune_seed,
        tune_films=tune_films,
        limit=limit,
        frames=frames,
        threads=threads,
        device=device,
        draws=draws,
    )
    try:
        if tune_data and not tune_films:
            raise ValueError("--tune-data serves to make films alone: give --tune-films too")
        check_folder(output)
        with Bar(quiet) as bar:
            rows = benchmark(detectors, plan, on_progress=bar.step)
        if output is not None:
            content = json.dumps(to_json(rows, command=command_line()), indent=1, ensure_ascii=False) + "\n"
            (output / "benchmark.json").write_text(content, "utf-8")
            (output / "benchmark.md").write_text(to_markdown(rows), "utf-8")
    except (TestDataError, WeightError, DeviceError, ValueError, OSError) as error:
        typer.echo(f"unmask benchmark: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(to_markdown(rows))
