"""The `blink` analyser: when the eyes shut, for how long and how far, and whether the number is human."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.continuous import Continuous, Limits, Series, measured, mesh, rotation, timeline
from unmask.faces.face import Face
from unmask.faces.landmarks import blendshape_names
from unmask.media.events import Frame
from unmask.signals import blink

RARE = 0.01
"""Probability below which a count of blinks is called out of the ordinary."""
USUAL = (0.1, 0.4)
"""Duration of a blink in seconds."""
LOWEST_NOISE = 0.06
"""Standard deviation of the closure, 0..1, above which the eyes are not seen well enough."""


class Blink(Continuous):
    """Finds blinks in the eye aspect ratio and the mesh's eyeBlink coefficients."""

    name = "blink"
    limits = Limits(seconds=2.0, rate=14.0, size=64.0)

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return the aspect ratios of right and left eye, and their eyeBlink coefficients."""
        names = blendshape_names()
        ratios = blink.eye_aspect_ratio(mesh(face), rotation(face))[0]
        assert face.blendshapes is not None
        shapes = face.blendshapes[[names.index("eyeBlinkRight"), names.index("eyeBlinkLeft")]]
        return [*ratios, *shapes]

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Find the blinks of one track and compare their number with the human range."""
        state = blink.closure(series.times, series.rows[:, :2], series.rows[:, 2:])
        if state.noise > LOWEST_NOISE:
            return self.refuse(
                number, f"The eyes are not seen steadily enough (noise {state.noise:.2f} of a full blink)."
            )
        found = blink.find_blinks(state)
        probability = blink.count_probability(len(found), series.seconds)
        values = {
            "blinks": (len(found), ""),
            "blinks_per_minute": (60 * len(found) / series.seconds, "1/min"),
            "probability_of_such_a_count": (probability, ""),
            "noise": (state.noise, "of a full blink"),
        }
        if found:
            lengths = np.array([b.duration for b in found])
            values |= {
                "median_duration": (float(np.median(lengths)), "s"),
                "median_amplitude": (float(np.median([b.amplitude for b in found])), "of a full blink"),
                "complete_blinks": (float(np.mean([b.amplitude >= blink.COMPLETE for b in found])), "share"),
                "median_synchrony": (float(np.median([b.synchrony for b in found])), ""),
                "durations_of_100_to_400_ms": (
                    float(np.mean((lengths >= USUAL[0]) & (lengths <= USUAL[1]))),
                    "share",
                ),
            }
        if len(found) > 2:
            apart = np.diff([b.peak for b in found])
            values |= {
                "median_interval": (float(np.median(apart)), "s"),
                "spread_of_intervals": (float(apart.std() / apart.mean()), "of their mean"),
            }
        evidence = Evidence(
            self.name,
            number,
            "ok",
            _summary(len(found), series.seconds, probability),
            timeline=timeline(series.times, np.interp(series.times, state.times, state.both)),
            timeline_meaning="closure of the eyes (0 open, 1 shut)",
            measurements=measured(**values),
        )
        return evidence, _signals(series, state, found)


def _signals(series: Series, state: blink.Closure, found: list[blink.Blink]) -> Signals:
    """Return what the blinks were found in."""
    names = ("aspect ratio right", "aspect ratio left", "eyeBlink right", "eyeBlink left")
    columns = dict(zip(names, series.rows.T, strict=True))
    columns["closure"] = np.interp(series.times, state.times, state.both)
    return Signals(series.times, columns, tuple((b.start, b.end) for b in found))


def _summary(count: int, seconds: float, probability: float) -> str:
    said = f"{count or 'No'} blink{'s' if count != 1 else ''} in {seconds:.1f} s"
    if probability >= RARE:
        return f"{said}: within what people show in such a time."
    kind = "few" if count / seconds < blink.HIGHEST_RATE / 60 else "many"
    return f"{said}: unusually {kind} (a person shows so {kind} with a probability of {probability:.2g})."
