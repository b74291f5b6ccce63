"""Combines evidence: analysers into a track, tracks into a person.

All scores here are logits (above 0 means fake): averages of logits, unlike those of probabilities, let
a frame count by how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unmask.evidence.base import Evidence, Measurement
from unmask.signals.logistic import expit, logit

EDGE = 1e-12
"""Scores are kept this far from 0 and 1 before they become logits."""
FRAMES = "frames"
STANDARD_ERROR = "standard error"
"""Names of the measurements that an analyser gives, for the fusion to read: frames judged, and the
standard error of its logit over frames."""


@dataclass(frozen=True)
class Fused:
    """The combined score of a track or person: logit, its standard error over frames, frames judged."""

    score: float
    standard_error: float
    frames: float


def fuse(evidence: Sequence[Evidence], weights: Mapping[str, float]) -> Fused | None:
    """Combine what the analysers say about one track: the weighted mean of their logits.

    Evidence without weight, or that could not be judged, takes no part. None where nothing is left.
    """
    parts = [(weights.get(e.analyser, 0.0), e) for e in evidence if e.status == "ok" and e.score is not None]
    parts = [(weight, e) for weight, e in parts if weight > 0]
    total = sum(weight for weight, _ in parts)
    if not parts:
        return None
    score = sum(weight * _logit(e) for weight, e in parts) / total
    error = np.hypot.reduce([weight * _measured(e, STANDARD_ERROR, 0.0) for weight, e in parts]) / total
    return Fused(score, float(error), max(_measured(e, FRAMES, 1.0) for _, e in parts))


def weight_shares(evidence: Sequence[Evidence], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each analyser in the verdict on one track or person; 0 means observation only."""
    used = {e.analyser: weights.get(e.analyser, 0.0) if e.status == "ok" else 0.0 for e in evidence}
    total = sum(used.values())
    return {name: weight / total if total else 0.0 for name, weight in used.items()}


def join(tracks: Sequence[Fused]) -> Fused | None:
    """Combine a person's tracks: the mean of their logits, each weighed by its frames.

    The tracks of one person are looks at one face; a mean over all looks is steadier than the highest
    of many short tracks, which a single bad one would decide.
    """
    if not tracks:
        return None
    frames = np.array([track.frames for track in tracks])
    score = float(np.average([track.score for track in tracks], weights=frames))
    error = float(np.hypot.reduce([t.standard_error * t.frames for t in tracks]) / frames.sum())
    return Fused(score, error, float(frames.sum()))


def merge(evidence: Sequence[Evidence]) -> Evidence:
    """Merge one analyser's evidence on the tracks of one person into evidence on the person.

    The score is the mean of the logits weighed by frames; the summary is that of the most suspicious
    track; timelines and intervals are laid end to end. Where no track has a score, the track that shows the
    most stands for all.
    """
    judged = [e for e in evidence if e.status == "ok" and e.score is not None]
    if len(evidence) == 1 or not judged:
        return max(evidence, key=lambda e: (e.status == "ok", len(e.timeline)))
    frames = np.array([_measured(e, FRAMES, 1.0) for e in judged])
    leading = max(judged, key=_logit)
    score = float(expit(np.average([_logit(e) for e in judged], weights=frames)))
    measurements = dict(leading.measurements)
    measurements[FRAMES] = Measurement(float(frames.sum()))
    measurements["tracks"] = Measurement(float(len(judged)))
    summary = (
        f"{len(judged)} tracks; the most suspicious: {leading.summary}" if judged[1:] else leading.summary
    )
    return replace(
        leading,
        score=score,
        summary=summary,
        measurements=measurements,
        timeline=tuple(sorted(point for e in judged for point in e.timeline)),
        intervals=tuple(interval for e in judged for interval in e.intervals),
    )


def _logit(evidence: Evidence) -> float:
    assert evidence.score is not None
    return float(logit(np.clip(evidence.score, EDGE, 1 - EDGE)))


def _measured(evidence: Evidence, name: str, default: float) -> float:
    measured = evidence.measurements.get(name)
    return default if measured is None else float(measured.value)
