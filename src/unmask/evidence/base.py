"""What an analyser is: it declares what it needs, observes, and concludes with evidence.

Adding one: write a file in this folder with a class that follows `Analyser`, and add one line to
`ANALYSERS` in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from unmask.faces.face import Face
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.runtime.card import Card

Status = Literal["ok", "not_applicable", "inconclusive"]
SCORE = "score (0 real, 1 fake)"
"""What a timeline shows unless it says otherwise."""


@dataclass(frozen=True)
class Needs:
    """What an analyser asks of the pipeline.

    `frames`: how it samples: "spread" (a number of frames spread evenly over the clip, the user's
    `--frames`) or "every" (each frame at full rate). `landmarks`: whether the face mesh is wanted in each
    frame that it sees; between the tracker's ticks the mesh looks where the face lies on the straight line.
    `audio`: whether sound is wanted.
    """

    frames: Literal["spread", "every"] = "spread"
    landmarks: bool = False
    audio: bool = False


@dataclass(frozen=True)
class Measurement:
    """A named number with its unit ("" when it has none)."""

    value: float
    unit: str = ""


@dataclass(frozen=True)
class Interval:
    """A suspicious stretch of a clip, from `start` to `end` seconds, and why in plain words."""

    start: float
    end: float
    reason: str


@dataclass(frozen=True)
class Evidence:
    """What one analyser concludes about one track (`track` set) or about the whole file (`track` None).

    `score` runs from 0 (real) to 1 (fake); it is None unless `status` is "ok", and where the analyser only
    measures. `timeline` holds (time in seconds, value in 0..1) and `timeline_meaning` says what the value is;
    `intervals` are the stretches found suspicious. `embedding` is for later fusion, never written to JSON.
    """

    analyser: str
    track: int | None
    status: Status
    summary: str
    reason: str | None = None
    score: float | None = None
    timeline: tuple[tuple[float, float], ...] = ()
    timeline_meaning: str = SCORE
    measurements: dict[str, Measurement] = field(default_factory=dict)
    embedding: np.ndarray | None = None
    intervals: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class Heat:
    """Where in one face an analyser found what it goes by.

    `values` is (S, S) float32 over the aligned crop, above 0 speaks for fake, below 0 for real, in
    logits: their mean plus a constant is the frame's logit. `matrix` is the (2, 3) map from crop pixels
    to displayed pixels.
    """

    analyser: str
    frame: Frame
    face: Face
    score: float
    values: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class Features:
    """The pooled features, (D,) float32, that an analyser's network computed of one face."""

    analyser: str
    face: Face
    values: np.ndarray


@dataclass(frozen=True)
class Signals:
    """The raw signals behind one track's evidence, for plots and tables; no report holds them.

    `columns` are (N,) arrays at the N `times` (seconds), under names that end in their unit; NaN where there
    is no value. `marks` are stretches (start, end) in seconds that the analyser found, such as blinks.
    `spectra` are curves (x, y) by name, x in the unit that the name states.
    """

    times: np.ndarray
    columns: Mapping[str, np.ndarray]
    marks: tuple[tuple[float, float], ...] = ()
    spectra: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


class Analyser(Protocol):
    """One kind of evidence. Called with events in order; `observe` never keeps a whole video."""

    name: str
    needs: Needs
    cards: tuple[Card, ...]
    """The cards of the weight files that it runs."""

    def begin(self, media: Media) -> None:
        """Start a file."""

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """See one frame that was sampled as `needs` asks, with the faces tracked in it."""

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """See sound, a shot change, or a damaged stretch."""

    def conclude(self) -> list[Evidence]:
        """End the file: evidence per track that could be judged, and for the file where it makes sense."""
