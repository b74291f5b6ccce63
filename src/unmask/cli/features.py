"""`unmask features`: write what the visual detector's network makes of each face, as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unmask.cli.inputs import Input
    from unmask.report.features import FaceFeatures
    from unmask.report.schema import Weight


def command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders (searched through) or patterns such as '*.mp4'.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The table to write: .npz or .csv.")
    ],
    frames: Annotated[
        int, typer.Option("--frames", "-n", min=1, help="Frames to look at, spread over a clip.")
    ] = 32,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Look at every frame instead (slow).")
    ] = False,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Begin here: seconds or mm:ss.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End here: seconds or mm:ss.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Network to use: an exported .onnx file or a checkpoint."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="Processor threads (0: all cores).")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or openvino.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but failures.")] = False,
) -> None:
    """Write the pooled features of all faces: the numbers from which the visual detector's last layer judges.

    A row for each face and moment: file, time, track, person, box and features. Faces are found, followed
    and cut as in `unmask detect`; those too small or too dark to be judged have no row. The numbers serve
    as input for other detectors.

    Examples:
    - `unmask features clips/ --output features.npz`
    - `unmask features photo.jpg --output features.csv`
    - `unmask features clips/ --model runs/xception/best.safetensors --output features.npz`

    Exit codes: 0 written; 1 some inputs failed; 2 wrong usage.
    """
    from unmask.cli.detect import analysis_settings
    from unmask.cli.inputs import expand
    from unmask.cli.outputs import Target, UsageError
    from unmask.media.output import OutputError
    from unmask.report.features import SUFFIXES, feature_table
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    try:
        if output.suffix.lower() not in SUFFIXES or output.is_dir():
            raise UsageError(f"--output {output}: give the name of a {' or '.join(SUFFIXES)} file")
        settings = analysis_settings(frames, every_frame, start, end, threads, device, None, model)
    except UsageError as error:
        typer.echo(f"unmask features: {error}", err=True)
        raise typer.Exit(2) from None
    files, failures = expand(inputs)
    for line in failures:
        typer.echo(f"unmask features: {line}", err=True)
    if not files:
        raise typer.Exit(1)
    rows, failed = 0, len(failures)
    try:
        Target(output, False, output.suffix).check()
        with feature_table(output) as table:
            for number, source in enumerate(files, 1):
                title = f"{number}/{len(files)} {source.path.name}"
                found = _features(source, title, settings, quiet=quiet)
                if found is None:
                    failed += 1
                    continue
                faces, network = found
                table.describe(network.name, network.sha256)
                for face in faces:
                    table.add(face)
                rows += len(faces)
            if failed - len(failures) == len(files):
                raise typer.Exit(1)
    except (OutputError, WeightError, DeviceError) as error:
        typer.echo(f"unmask features: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, DeviceError) else 1) from None
    if not quiet:
        typer.echo(f"{output}: {rows} rows from {len(files) + len(failures) - failed} files")
    if failed:
        raise typer.Exit(1)


def _features(
    source: Input, title: str, settings: dict[str, Any], *, quiet: bool
) -> tuple[list[FaceFeatures], Weight] | None:
    """Return the features of one input's faces and the network, None (said on stderr) where it fails."""
    from unmask.cli.detect import failure_line, progress_bar
    from unmask.evidence.base import Features
    from unmask.evidence.visual import Visual
    from unmask.pipeline import analyse
    from unmask.report.features import FaceFeatures
    from unmask.runtime.card import WeightError
    from unmask.runtime.session import DeviceError

    seen: list[Features] = []
    try:
        with progress_bar(title, wanted=not quiet) as on_progress:
            report = analyse(
                source.path,
                analysers=[Visual.name],
                on_features=seen.append,
                on_progress=on_progress,
                **settings,
            )
    except (WeightError, DeviceError):
        raise  # not this input's fault: the others would fail alike
    except Exception as error:
        typer.echo(f"unmask features: {failure_line(source.path, error)}", err=True)
        return None
    persons = {track.track: person.person for person in report.faces for track in person.tracks}
    rows = [
        FaceFeatures(
            file=str(source.path),
            time=item.face.time,
            track=item.face.track,
            person=persons[item.face.track],
            box=item.face.detection.box,
            values=item.values,
        )
        for item in seen
    ]
    return rows, next(weight for weight in report.tool.weights if weight.analyser == Visual.name)
