"""A classifier on frequency features that looks at one of them alone, and faces to look at."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unmask.runtime.card import Card, write_card
from unmask.runtime.linear import Band, LinearWeights
from unmask.signals.features import NAMES, RINGS


def classifier(folder: Path, feature: str, *, middle: float, low: float = -60.0, high: float = 90.0) -> Path:
    """Write a classifier whose logit is that feature less `middle`; real faces lie from low to high dB."""
    index = NAMES.index(feature)
    count = len(NAMES)
    stored = LinearWeights(
        names=NAMES,
        mean=tuple(middle if i == index else 0.0 for i in range(count)),
        deviation=(1.0,) * count,
        kinds=("any",),
        weights=(tuple(float(i == index) for i in range(count)),),
        bias=(0.0,),
        clip=5.0,
        band=Band(
            frequency=tuple((i + 0.5) * 0.5 / RINGS for i in range(RINGS)),
            low=(low,) * RINGS,
            middle=((low + high) / 2,) * RINGS,
            high=(high,) * RINGS,
            faces=10,
        ),
    )
    path = folder / "tiny.json"
    path.write_text(stored.model_dump_json(by_alias=True))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_card(Card(name="tiny", file=path.name, architecture="linear", sha256=digest, licence="x"), folder)
    return path
