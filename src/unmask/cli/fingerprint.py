"""`unmask fingerprint`: take the common noise of a folder of pictures, and compare others with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

_FEWEST = 8


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures of one generator or camera.")],
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", "-c", metavar="FILE", help="A picture or folder to compare; repeatable."),
    ] = None,
    side: Annotated[
        int, typer.Option(min=32, max=4096, help="The middle square of so many pixels a side is used.")
    ] = 256,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the fingerprint as .npy.")
    ] = None,
) -> None:
    """Build the fingerprint of a folder of pictures and say how much other pictures bear it.

    All must come from one generator at one size, unscaled and uncropped: a fingerprint is tied to the
    places of pixels. The number given for each picture is the peak-to-correlation energy: about 1 by
    chance, above 50 when the picture bears the fingerprint. What the folder's own pictures reach against
    a fingerprint from the other half of them is stated first: unless that is high, it says nothing.

    For example:

    - `unmask fingerprint generated/ --compare suspicious.png --side 512`
    """
    import io

    import numpy as np

    from unmask.cli.inputs import expand
    from unmask.cli.outputs import write_bytes
    from unmask.media.output import OutputError
    from unmask.signals.fingerprint import build, correlation, peak_energy

    members, failures = expand([str(folder)])
    planes = [plane for member in members if (plane := _middle(member.path, side)) is not None]
    if failures or len(planes) < _FEWEST:
        _end(
            f"{folder}: {len(planes)} of {len(members)} files are pictures of at least {side} x {side} "
            f"pixels; give {_FEWEST} or more, or a smaller --side"
        )
    halves = build(planes[0::2]), build(planes[1::2])
    own = [peak_energy(plane, halves[1 - index % 2]) for index, plane in enumerate(planes)]
    low, middle, high = np.percentile(own, [10, 50, 90])
    typer.echo(
        f"{len(planes)} pictures ({len(members) - len(planes)} left out); of their own against each other: "
        f"median {middle:.1f}, from {low:.1f} to {high:.1f} (10th to 90th per cent)"
    )
    fingerprint = build(planes)
    others, wrong = expand(compare or [])
    for other in others:
        plane = _middle(other.path, side)
        if plane is None:
            wrong.append(
                f"{other.path}: no picture of at least {side} x {side} pixels; give a smaller --side"
            )
            continue
        energy, coefficient = peak_energy(plane, fingerprint), correlation(plane, fingerprint)
        typer.echo(f"{other.path}: {energy:.1f} (correlation {coefficient:.4f})")
    if output is not None:
        data = io.BytesIO()
        np.save(data, fingerprint)
        try:
            write_bytes(output, data.getvalue())
        except OutputError as error:
            _end(str(error))
        typer.echo(f"Written: {output}")
    for line in wrong:
        typer.echo(f"unmask fingerprint: {line}", err=True)
    if wrong:
        raise typer.Exit(1)


def _middle(path: Path, side: int) -> np.ndarray | None:
    """Return the middle of a picture's luma, None where the file is no picture or too small."""
    from unmask.media.events import Frame, MediaError
    from unmask.media.reader import read
    from unmask.signals.fingerprint import central
    from unmask.signals.planes import luma

    try:
        for event in read(path, rate=1.0):
            if isinstance(event, Frame):
                return central(luma(event.pixels), side)
    except MediaError:
        pass
    return None


def _end(line: str) -> None:
    typer.echo(f"unmask fingerprint: {line}", err=True)
    raise typer.Exit(1) from None
