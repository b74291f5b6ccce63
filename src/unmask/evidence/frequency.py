"""The `frequency` analyser: looks for traces of generators in faces, at the pixels as stored.

Resampling destroys what it looks for, so it reads upright windows of the original frame and refuses faces
too small for that. One look a second is enough: what a generator or a re-compression leaves does not
change from frame to frame. How well it tells fakes from real faces is in docs/experiments/frequency.md;
it carries no weight in the verdict.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from unmask.evidence.base import Evidence, Measurement, Needs
from unmask.evidence.registry import Options
from unmask.faces.align import crop_place
from unmask.faces.face import Face
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.runtime.card import WEIGHTS
from unmask.runtime.linear import LinearClassifier
from unmask.signals.features import NAMES, RINGS, SHOWN, features, shown, window
from unmask.signals.logistic import expit

MODEL = WEIGHTS / "frequency.json"
MIN_SIDE = 64
"""Side of the aligned crop in stored pixels, below which a face is not judged."""
INTERVAL = 1.0
"""Seconds between two looks at a track."""
DECIMALS = 4
SCALED = "The picture was scaled when it was read, which destroys what frequency analysis looks for."
TOO_SMALL = f"The face is too small: frequency analysis needs {MIN_SIDE} stored pixels from brows to chin."


class Frequency:
    """Looks at every track once a second and concludes per track.

    Args:
        options: under `models["frequency"]` another classifier file.

    Raises:
        WeightError: the classifier's file is missing, damaged, or made for other features.
    """

    name = "frequency"
    needs = Needs(frames="spread")

    def __init__(self, options: Options) -> None:
        self._classifier = LinearClassifier(options.models.get(self.name, MODEL), NAMES)
        self.cards = (self._classifier.card,)
        self._tracks: dict[int, _Track] = {}

    def begin(self, media: Media) -> None:
        """Start a file."""
        self._tracks = {}

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Look at the faces of one frame that were not looked at within the last second."""
        for face in faces:
            track = self._tracks.setdefault(face.track, _Track())
            if not track.due(face.time):
                continue
            if is_scaled(frame.transform):
                track.refused[SCALED] += 1
                continue
            centre, width = crop_place(face.detection.points)
            place = window(centre, width, (frame.pixels.shape[1], frame.pixels.shape[0]))
            if place is None or place.side < MIN_SIDE:
                track.refused[TOO_SMALL] += 1
                continue
            values = features(frame.pixels, place)
            logit = float(self._classifier.logits(values[None])[0])
            numbers = np.concatenate([values[:RINGS], shown(frame.pixels, place)])
            track.add(logit, face.time, numbers, width)

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """Pay no attention to sound, cuts and gaps."""

    def conclude(self) -> list[Evidence]:
        """End the file: evidence for every track that was seen."""
        return [self._evidence(number, track) for number, track in sorted(self._tracks.items())]

    def _evidence(self, number: int, track: _Track) -> Evidence:
        count = len(track.logits)
        measurements = {
            "frames": Measurement(count),
            "frames refused": Measurement(track.refused.total()),
        }
        if not count:
            reason = track.refused.most_common(1)[0][0] if track.refused else TOO_SMALL
            return Evidence(
                self.name, number, "inconclusive", reason, reason=reason, measurements=measurements
            )
        mean = track.total / count
        outside = outside_band(mean[:RINGS], self._classifier)
        measurements |= {
            "crop width": Measurement(round(track.width / count, 1), "px"),
            "outside the band of real faces": Measurement(round(outside, DECIMALS), "dB"),
        }
        measurements |= {
            name: Measurement(round(float(value), DECIMALS), unit)
            for (name, unit), value in zip(SHOWN.items(), mean[RINGS:], strict=True)
        }
        score = float(expit(np.mean(track.logits)))
        scores = map(float, expit(np.array(track.logits)))
        timeline = tuple(zip(track.times, scores, strict=True)) if track.times else ()
        return Evidence(
            self.name,
            number,
            "ok",
            (
                f"The face's spectrum leaves the band of real faces by {outside:.1f} dB"
                if outside >= 0.05
                else "The face's spectrum lies in the band of real faces"
            )
            + f"; compared with wholly generated faces it scores {score:.2f} (0 real, 1 fake), which alone "
            "is unreliable.",
            score=score,
            timeline=timeline,
            measurements=measurements,
        )


@dataclass
class _Track:
    """What is kept of a track: the sum of its profiles and of what is shown, and 16 bytes a look."""

    logits: array[float] = field(default_factory=lambda: array("d"))
    times: array[float] = field(default_factory=lambda: array("d"))
    refused: Counter[str] = field(default_factory=Counter)
    total: np.ndarray = field(default_factory=lambda: np.zeros(RINGS + len(SHOWN)))
    width: float = 0.0
    last: float | None = None

    def due(self, time: float | None) -> bool:
        """Whether a second has gone by since the last look; a picture is always due."""
        if time is not None:
            if self.last is not None and time - self.last < INTERVAL:
                return False
            self.last = time
        return True

    def add(self, logit: float, time: float | None, values: np.ndarray, width: float) -> None:
        """Take in one look."""
        self.logits.append(logit)
        if time is not None:
            self.times.append(time)
        self.total += values
        self.width += width


def is_scaled(transform: np.ndarray) -> bool:
    """Whether the (2, 3) map from stored to displayed pixels enlarges or shrinks."""
    return bool(np.abs(np.linalg.svd(transform[:, :2], compute_uv=False) - 1).max() > 1e-6)


def outside_band(profile: np.ndarray, classifier: LinearClassifier) -> float:
    """Return by how many dB a profile (RINGS,) leaves the band of real faces at most, 0 where it does not."""
    low, high = np.array(classifier.band.low), np.array(classifier.band.high)
    return float(max(0.0, (low - profile).max(), (profile - high).max()))
