"""From what was measured at each moment of a face to the stretches of time that do not hold together.

Three things are looked for, each against the surroundings of the face, so that a change of the scene's light
or of the exposure, which both show, is none:
- lasting steps of the look, paired where one undoes the other (a face replaced or relit for a while);
- single strange frames that recur (every tenth frame exchanged);
- a flicker of the brightness.
Each strength is given in multiples of the threshold at which it counts, so that 1 is the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unmask.signals.change import intervals
from unmask.signals.flicker import flicker_over_time

Kind = Literal["look", "light", "frames", "flicker"]


@dataclass(frozen=True)
class Thresholds:
    """From where on something counts.

    `step` and `strange` in grey levels (0..255), `flicker` as amplitude in per cent of the brightness;
    `undoes` is the cosine between two steps below which the later undoes the earlier; `recurs` the seconds
    within which another strange frame must follow; `light` the share of a step that a turned light must
    explain to be called one.
    """

    step: float = 3.0
    strange: float = 3.5
    flicker: float = 2.0
    undoes: float = -0.35
    recurs: float = 1.5
    light: float = 0.7


@dataclass(frozen=True)
class Step:
    """A lasting change of the look of a face at `time` seconds.

    `size` in grey levels; `change` is (K,), the cells' means after less before; `light` is the share of the
    change over the face that a turned light explains, 0..1.
    """

    time: float
    size: float
    change: np.ndarray
    light: float = 0.0


@dataclass(frozen=True)
class Finding:
    """A stretch from `start` to `end` seconds that does not hold together.

    `strength` is in multiples of the threshold, above 1. `detail` is the flicker's frequency in Hz, the
    number of strange frames, or the step's size in grey levels.
    """

    kind: Kind
    start: float
    end: float
    strength: float
    detail: float


@dataclass(frozen=True)
class Excess:
    """What stands out at N moments, in multiples of the thresholds; `frequency` is the flicker's in Hz."""

    strange: np.ndarray
    step: np.ndarray
    flicker: np.ndarray
    frequency: np.ndarray

    @property
    def highest(self) -> np.ndarray:
        """The largest of the three at each moment, (N,)."""
        return np.maximum(np.maximum(self.strange, self.step), self.flicker)


def excess(
    times: np.ndarray,
    *,
    strange: np.ndarray,
    step: np.ndarray,
    brightness: np.ndarray,
    surroundings: np.ndarray,
    thresholds: Thresholds,
) -> Excess:
    """Express what was measured at (N,) moments in multiples of the thresholds.

    Args:
        times: (N,) seconds, ascending.
        strange: (N,) grey levels, see `change.strangeness`, less that of the surroundings.
        step: (N,) grey levels, lasting changes less those around them, see `change.beyond_usual`.
        brightness: (N,) brightness of the face in per cent of its mean.
        surroundings: (N,) that of what is round it.
        thresholds: where each counts.
    """
    jumps = (strange >= thresholds.strange / 2) | (step >= thresholds.step / 2)
    own, frequency = flicker_over_time(times, _without_jumps(brightness, jumps))
    around, _ = flicker_over_time(times, _without_jumps(surroundings, jumps))
    flicker = np.maximum(0.0, own - around)
    return Excess(
        strange / thresholds.strange, step / thresholds.step, flicker / thresholds.flicker, frequency
    )


def _without_jumps(values: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """Return (N,) values without the changes beside the moments marked (N,): a jump is no flicker."""
    near = jumps.copy()
    near[1:] |= jumps[:-1]
    near[:-1] |= jumps[1:]
    return np.cumsum(np.where(near, 0.0, np.diff(values, prepend=values[:1])))


def findings(
    times: np.ndarray, measured: Excess, steps: Sequence[Step], thresholds: Thresholds
) -> list[Finding]:
    """Return all stretches found among (N,) moments, by start."""
    if not len(times):
        return []
    found = [
        *_flickers(times, measured),
        *_recurring(times, measured.strange, thresholds),
        *_replaced(steps, float(times[0]), float(times[-1]), thresholds),
    ]
    return sorted(found, key=lambda finding: (finding.start, finding.kind))


def _flickers(times: np.ndarray, measured: Excess) -> list[Finding]:
    """Return the stretches of flicker: where its window lies half within, half the amplitude is seen."""
    result = []
    for start, end in intervals(times, measured.flicker, enter=1.0, leave=0.5, join=0.5):
        inside = (times >= start) & (times <= end)
        peak = float(measured.flicker[inside].max())
        high = times[inside & (measured.flicker >= peak / 2)]
        strongest = int(np.flatnonzero(inside)[measured.flicker[inside].argmax()])
        result.append(
            Finding("flicker", float(high[0]), float(high[-1]), peak, float(measured.frequency[strongest]))
        )
    return result


def _recurring(times: np.ndarray, strange: np.ndarray, thresholds: Thresholds) -> list[Finding]:
    """Return the stretches in which strange frames recur: one alone may be a fault of the recording."""
    events = np.flatnonzero(strange >= 1.0)
    result = []
    for run in np.split(events, np.flatnonzero(np.diff(times[events]) > thresholds.recurs) + 1):
        if len(run) >= 2:
            strength = float(np.median(strange[run]))
            result.append(
                Finding("frames", float(times[run[0]]), float(times[run[-1]]), strength, float(len(run)))
            )
    return result


def _replaced(steps: Sequence[Step], begin: float, finish: float, thresholds: Thresholds) -> list[Finding]:
    """Return the stretches between steps.

    A step and the next one that undoes it bound a stretch. Of a step that nothing undoes the shorter side
    of the clip is held to be the odd one, the later side where both are about as long (within a fifth).
    """
    left = sorted(steps, key=lambda step: step.time)
    result = []
    while left:
        first = left.pop(0)
        partner = next(
            (s for s in left if s.size >= 0.6 * thresholds.step and _undoes(first, s, thresholds)), None
        )
        if partner is not None and max(first.size, partner.size) >= thresholds.step:
            left = [step for step in left if step.time > partner.time]
            result.append(
                _between(first, first.time, partner.time, max(first.size, partner.size), thresholds)
            )
        elif first.size >= thresholds.step:
            earlier = first.time - begin < 0.8 * (finish - first.time)
            start, end = (begin, first.time) if earlier else (first.time, finish)
            result.append(_between(first, start, end, first.size, thresholds))
    return result


def _undoes(first: Step, second: Step, thresholds: Thresholds) -> bool:
    """Say whether a step leads back by about as much as the first led away."""
    lengths = float(np.linalg.norm(first.change) * np.linalg.norm(second.change))
    if lengths == 0 or not 1 / 3 <= second.size / first.size <= 3:
        return False
    return float(first.change @ second.change) / lengths <= thresholds.undoes


def _between(step: Step, start: float, end: float, size: float, thresholds: Thresholds) -> Finding:
    kind: Kind = "light" if step.light >= thresholds.light else "look"
    return Finding(kind, start, end, size / thresholds.step, size)
