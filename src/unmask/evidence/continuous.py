"""What analysers of continuous signals share: numbers of every frame, by track, and what makes them unfit.

Such an analyser gives the numbers of one face in one frame and, at the end, judges the series of each track.
None of them has a calibration: they measure and give no score, so they carry no weight in a verdict.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unmask.evidence.base import Evidence, Measurement, Needs, Signals
from unmask.evidence.registry import Options
from unmask.faces.face import Face
from unmask.faces.pose import rotation_of
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.runtime.card import Card
from unmask.signals.filters import frame_rate, longest_step

MOST_GAP = 0.5
"""Seconds without the face's landmarks that a series may hold."""


@dataclass(frozen=True)
class Limits:
    """What a track must offer: seconds, frames a second, and the face's size in pixels (longer side)."""

    seconds: float
    rate: float
    size: float


@dataclass(frozen=True)
class Series:
    """One track's numbers: `times` (N,) seconds, `rows` (N, columns), the face's median `size` in pixels."""

    times: np.ndarray
    rows: np.ndarray
    size: float

    @property
    def seconds(self) -> float:
        """From the first sample to the last, and the length of one frame."""
        rate = frame_rate(self.times)
        return float(self.times[-1] - self.times[0]) + 1 / rate if rate else 0.0


@dataclass
class _Track:
    """What is kept of a track while the file runs."""

    times: array[float] = field(default_factory=lambda: array("d"))
    rows: array[float] = field(default_factory=lambda: array("f"))
    sizes: array[float] = field(default_factory=lambda: array("f"))

    def series(self) -> Series:
        count = len(self.times)
        rows = np.array(self.rows, np.float64).reshape(count, -1)
        return Series(np.array(self.times), rows, float(np.median(self.sizes)) if count else 0.0)


class Continuous:
    """An analyser that looks at the landmarks of every frame; subclasses give `measure` and `judge`."""

    name: str
    limits: Limits
    needs = Needs(frames="every", landmarks=True)
    cards: tuple[Card, ...] = ()

    def __init__(self, options: Options) -> None:
        self._on_signals = options.on_signals
        self._media: Media | None = None
        self._tracks: dict[int, _Track] = {}

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return the numbers of one face, always equally many; the face has landmarks and pose."""
        raise NotImplementedError

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Return the evidence on track `number` and its raw signals; the series keeps within the limits."""
        raise NotImplementedError

    def begin(self, media: Media) -> None:
        """Start a file."""
        self._media = media
        self._tracks = {}

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Take the numbers of the faces of one frame."""
        for face in faces:
            track = self._tracks.setdefault(face.track, _Track())
            if face.time is None or face.landmarks is None:
                continue
            if track.times and face.time <= track.times[-1]:
                continue
            track.times.append(face.time)
            track.rows.extend(float(value) for value in self.measure(frame, face))
            track.sizes.append(face.quality.size)

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """Pay no attention to sound, cuts and gaps: a cut ends tracks anyway."""

    def conclude(self) -> list[Evidence]:
        """End the file: evidence for every track that was seen."""
        return [self._conclude(number, track.series()) for number, track in sorted(self._tracks.items())]

    @property
    def media(self) -> Media:
        """The file that was begun."""
        assert self._media is not None
        return self._media

    def _conclude(self, number: int, series: Series) -> Evidence:
        reason = unfit(self.media, series, self.limits)
        evidence, signals = self.refuse(number, reason) if reason else self.judge(number, series)
        if self._on_signals is not None and signals is not None:
            self._on_signals(evidence, signals)
        return evidence

    def refuse(
        self, number: int, reason: str, measurements: dict[str, Measurement] | None = None
    ) -> tuple[Evidence, None]:
        """Return the evidence that this cannot be measured here, and why."""
        evidence = Evidence(
            self.name, number, "not_applicable", reason, reason=reason, measurements=measurements or {}
        )
        return evidence, None


def unfit(media: Media, series: Series, limits: Limits) -> str | None:
    """Return why a series cannot be judged, in plain words, or None."""
    if media.kind == "picture":
        return "A picture shows no course of time."
    if len(series.times) < 2:
        return "The face's landmarks were not found in enough frames."
    rate = frame_rate(series.times)
    if rate < limits.rate:
        return f"The frame rate is too low ({rate:.3g} a second; {limits.rate:g} are needed)."
    if series.seconds < limits.seconds:
        return f"The face is seen too briefly ({series.seconds:.1f} s; {limits.seconds:g} s are needed)."
    if series.size < limits.size:
        return f"The face is too small ({series.size:.0f} pixels; {limits.size:g} are needed)."
    if longest_step(series.times) > MOST_GAP:
        return f"The face's landmarks are missing for {longest_step(series.times):.1f} s in between."
    return None


def rotation(face: Face) -> np.ndarray:
    """Return the (1, 3, 3) rotation of a face's head; the face has a pose."""
    assert face.pose is not None
    return rotation_of(face.pose)[None]


def mesh(face: Face) -> np.ndarray:
    """Return the landmarks of one face as a series of one, (1, 478, 3)."""
    assert face.landmarks is not None
    return face.landmarks[None]


def timeline(times: np.ndarray, values: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return a timeline of (N,) values, kept within 0..1; what is not finite is left out."""
    values = np.asarray(values, np.float64)
    kept = np.isfinite(values)
    limited = np.clip(values[kept], 0, 1)
    return tuple(zip(map(float, np.asarray(times)[kept]), map(float, limited), strict=True))


def measured(**values: tuple[float, str]) -> dict[str, Measurement]:
    """Return measurements by name (underscores become spaces), leaving out what is not finite."""
    return {
        name.replace("_", " "): Measurement(float(f"{value:.6g}"), unit)
        for name, (value, unit) in values.items()
        if np.isfinite(value)
    }
