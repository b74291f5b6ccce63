"""`unmask selfblend`: make fakes of real pictures as training does, and draw them on a contact sheet."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Way(StrEnum):
    """How a fake is made of a real picture."""

    blend = "self-blend"
    swap = "self-swap"
    parts = "part-swap"


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Real pictures, or folders.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet, a PNG or JPEG.")] = Path(
        "selfblend.png"
    ),
    kind: Annotated[
        Way, typer.Option(help="A changed copy, a face drawn anew, or parts of another.")
    ] = Way.blend,
    renderer: Annotated[
        Path | None, typer.Option(help="The autoencoder that draws self-swaps; without it they are smoothed.")
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Fakes of each picture.")] = 1,
    most: Annotated[int, typer.Option(min=1, help="Pictures at most.")] = 12,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
) -> None:
    """Draw how training makes fakes of real pictures: the face, what is blended in, the mask, the result.

    For example:

    - `unmask selfblend portraits/ --output sheet.png`
    - `unmask selfblend portrait.jpg --each 8 --kind self-swap --output sheet.png`
    - `unmask selfblend portraits/ --kind part-swap --output sheet.png`
    """
    import cv2
    import numpy as np

    from unmask.cli.inputs import expand
    from unmask.cli.outputs import write_bytes
    from unmask.data.contact_sheet import canvas, draw_sheet, make, make_of_two
    from unmask.faces.detect import Detector
    from unmask.faces.landmarks import Landmarker
    from unmask.faces.track import Tracker
    from unmask.media.events import Frame, MediaError
    from unmask.media.output import OutputError
    from unmask.media.reader import read

    draw = None
    if renderer is not None:
        from unmask.training.autoencoder import Renderer

        try:
            draw = Renderer(renderer)
        except ValueError as error:
            _end(str(error))
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        _end(f"{output}: a sheet is a .png or .jpg file")
    members, failures = expand(inputs)
    wrong = [str(failure) for failure in failures]
    squares: dict[int, tuple[np.ndarray, ...]] = {}
    for number, member in enumerate(members[:most]):
        try:
            frame = next(event for event in read(member.path, rate=1.0) if isinstance(event, Frame))
        except (MediaError, StopIteration) as error:
            wrong.append(str(error) or f"{member.path}: no picture in it")
            continue
        faces = [
            face
            for face in Tracker(Detector(), Landmarker()).update(frame, landmarks=True)
            if face.landmarks is not None
        ]
        if not faces:
            wrong.append(f"{member.path}: no face found; give a picture that shows one")
            continue
        face = max(faces, key=lambda each_face: each_face.quality.size)
        assert face.landmarks is not None
        points = np.asarray(face.detection.points, np.float64)
        squares[number] = canvas(frame.pixels, points, face.landmarks)
    if kind is Way.parts and len(squares) == 1:
        _end("a part swap needs pictures of two faces at least")
    rows = []
    for number, square in squares.items():
        others = [other for place, other in squares.items() if place != number]
        for turn in range(each):
            rng = np.random.default_rng((seed, number, turn))
            if kind is Way.parts:
                made = make_of_two(square, others, rng)
            else:
                made = make(square, rng, swap=kind is Way.swap, renderer=draw)
            rows.append((square[0], made))
    for line in wrong:
        typer.echo(f"unmask selfblend: {line}", err=True)
    if not rows:
        raise typer.Exit(1)
    _, data = cv2.imencode(output.suffix.lower(), np.ascontiguousarray(draw_sheet(rows)[..., ::-1]))
    try:
        write_bytes(output, data.tobytes())
    except OutputError as error:
        _end(str(error))
    typer.echo(f"Written: {output} ({len(rows)} fakes; face, what is blended in, mask, result)")
    if wrong:
        raise typer.Exit(1)


def _end(line: str) -> None:
    typer.echo(f"unmask selfblend: {line}", err=True)
    raise typer.Exit(1) from None
