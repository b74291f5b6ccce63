"""Turns the scores of an evaluation into its result: figures per data set, manipulation and real source."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.evaluation import metrics
from unmask.evaluation.levels import frames_of, level, videos_of
from unmask.evaluation.metrics import Interval, Sample
from unmask.evaluation.scoring import Score
from unmask.signals.logistic import expit, logit
from unmask.verdict.aggregate import AGGREGATIONS, LEARNED, Learned

SCHEMA = "unmask.evaluation/1"
EVEN = 0.5
FRAME_EDGE = 1e-4
"""Frame scores in a report are rounded to four places."""
MATCHED_REALS = 5
"""Fewest reals of the fakes' own groups for which a comparison with them alone is stated."""
SIZE_RATIO = 1.05
"""Two faces match in size when their box widths differ by no more than this factor."""

OUTCOMES = ("fake", "real", "inconclusive", "failed")
COLUMNS = (
    "data_set", "split", "item", "label", "manipulation", "source", "group", "outcome", "probability",
    "faces", "face_width", "kind", "named", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Thresholds:
    """Probability thresholds taken from *tune* items (called fake at or above), and on how many items."""

    youden: float
    false_alarm: float
    false_alarm_rate: float
    reals: int
    fakes: int

    @classmethod
    def of(cls, scores: Sequence[Score], *, false_alarm_rate: float) -> Thresholds:
        """Take both thresholds from scored tune items.

        Raises:
            ValueError: a class is empty or has no answered item.
        """
        sample = sample_of(scores)
        return cls(
            youden=metrics.youden_threshold(sample),
            false_alarm=metrics.false_alarm_threshold(sample, false_alarm_rate),
            false_alarm_rate=false_alarm_rate,
            reals=int((~sample.fake).sum()),
            fakes=int(sample.fake.sum()),
        )


def sample_of(scores: Sequence[Score]) -> Sample:
    """Return scores as arrays; groups of different data sets are different groups."""
    return Sample.of(
        [score.item.fake for score in scores],
        [score.probability for score in scores],
        [f"{score.item.data_set}\0{score.item.group}" for score in scores],
    )


def match_face_size(scores: Sequence[Score]) -> list[Score]:
    """Keep pairs of a real and a fake whose faces are equally wide (within 5 %), as many as there are.

    Items whose face was not found have no width; they stay, so that they still count as mistakes.
    """
    kept = [score for score in scores if not score.face_width]
    for data_set in sorted({score.item.data_set for score in scores}):
        wide = [s for s in scores if s.face_width and s.item.data_set == data_set]
        reals = sorted((s for s in wide if not s.item.fake), key=lambda s: s.face_width or 0.0)
        fakes = sorted((s for s in wide if s.item.fake), key=lambda s: s.face_width or 0.0)
        i = j = 0
        while i < len(reals) and j < len(fakes):
            ratio = (fakes[j].face_width or 0.0) / (reals[i].face_width or 1.0)
            if ratio > SIZE_RATIO:
                i += 1
            elif ratio < 1 / SIZE_RATIO:
                j += 1
            else:
                kept += [reals[i], fakes[j]]
                i, j = i + 1, j + 1
    return kept


def evaluate(
    scores: Sequence[Score],
    *,
    thresholds: Thresholds | None = None,
    aggregation: str = "mean",
    learned: Learned | None = None,
    draws: int = metrics.DRAWS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return one JSON-ready result a data set and split, in order of first appearance.

    Args:
        scores: of all items.
        thresholds: taken from *tune*; None leaves their decisions out.
        aggregation: the name in `AGGREGATIONS` of the way in which the product combines frames; the crops of
            a video are combined in the same.
        learned: a way to combine frames that was learned on *tune*, compared with the others.
        draws: bootstrap draws behind the intervals.
        seed: of the bootstrap.
    """
    parts: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        parts.setdefault((score.item.data_set, score.item.split), []).append(score)
    return [
        {"data_set": data_set, "split": split}
        | _evaluate_part(part, thresholds, draws, seed)
        | {"aggregations": _aggregations(part, learned, draws, seed)}
        | {"levels": _other_levels(part, aggregation, draws, seed)}
        for (data_set, split), part in parts.items()
    ]


def _evaluate_part(
    scores: list[Score], thresholds: Thresholds | None, draws: int, seed: int
) -> dict[str, Any]:
    reals = [score for score in scores if not score.item.fake]
    fakes = [score for score in scores if score.item.fake]

    def figures(chosen: list[Score]) -> dict[str, Any]:
        return _figures(chosen, thresholds, draws, seed)

    result = (
        {"level": level(scores)}
        | _counts(scores)
        | {"faces_found": _faces(scores)}
        | figures(scores)
        | {"real_sources": _shares_by(reals, lambda score: score.item.source)}
    )
    kinds: dict[str, Any] = {}
    for name, shares in _shares_by(fakes, lambda score: score.item.manipulation).items():
        own = [score for score in fakes if score.item.manipulation == name]
        named = Counter(score.named for score in own if score.outcome == "fake")
        kinds[name] = (
            {"shares": shares, "named": dict(sorted(named.items()))}
            | _counts(own + reals)
            | figures(own + reals)
        )
        groups = {score.item.group for score in own}
        matched = [score for score in reals if score.item.group in groups]
        if MATCHED_REALS <= len(matched) < len(reals):
            kinds[name]["own_reals"] = _counts(own + matched) | figures(own + matched)
    return result | {"manipulations": kinds}


def _other_levels(scores: Sequence[Score], aggregation: str, draws: int, seed: int) -> dict[str, Any]:
    """Return the figures of the frames of clips and of the videos of crops; nothing of other pictures.

    They are those of the order alone: what the network says of a frame, and crops combined, are no
    probabilities that the product would state.
    """
    result = {}
    if frames := frames_of(scores):
        result["frame"] = _ranked(frames, draws, seed)
    if videos := videos_of(scores, AGGREGATIONS[aggregation]):
        result["video"] = _ranked(videos, draws, seed) | {"combined_by": aggregation}
    return result


def _ranked(scores: Sequence[Score], draws: int, seed: int) -> dict[str, Any]:
    """Return the ranking figures of all fakes and of each manipulation, against all reals."""

    def figures(chosen: Sequence[Score]) -> dict[str, Any]:
        sample = sample_of(chosen)
        if not sample.fake.any() or sample.fake.all():
            return {}
        found = metrics.with_intervals(sample, metrics.ranking_figures, draws=draws, seed=seed)
        return {name: _json(value) for name, value in found.items()}

    reals = [score for score in scores if not score.item.fake]
    kinds = {}
    for name in sorted({score.item.manipulation for score in scores if score.item.fake}):
        chosen = reals + [score for score in scores if score.item.fake and score.item.manipulation == name]
        kinds[name] = _counts(chosen) | {"figures": figures(chosen)}
    unanswered = sum(score.probability is None for score in scores)
    return _counts(scores) | {
        "without_answer": unanswered,
        "figures": figures(scores),
        "manipulations": kinds,
    }


def _aggregations(scores: Sequence[Score], learned: Learned | None, draws: int, seed: int) -> dict[str, Any]:
    """Return the AUC over clips of each way to combine the scores of frames; none where there are no clips.

    The frames are those of the person that decided the verdict; a clip without any counts as an error.
    """
    clips = [score for score in scores if score.kind == "video" or score.outcome == "failed"]
    if not any(score.frames for score in clips) or len({score.item.fake for score in clips}) < 2:
        return {}
    result = {}
    ways = AGGREGATIONS if learned is None else AGGREGATIONS | {LEARNED: learned}
    for name, combine in ways.items():
        combined = [
            float(expit(combine(logit(np.clip(score.frames, FRAME_EDGE, 1 - FRAME_EDGE)))))
            if score.frames
            else None
            for score in clips
        ]
        sample = Sample.of(
            [score.item.fake for score in clips], combined, [str(score.item.group) for score in clips]
        )
        free, _ = metrics.measure(sample, {}, draws=draws, seed=seed)
        result[name] = _json(free["auc"])
    return result


def _counts(scores: Sequence[Score]) -> dict[str, int]:
    fake = sum(score.item.fake for score in scores)
    groups = len({score.item.group for score in scores})
    return {"items": len(scores), "real": len(scores) - fake, "fake": fake, "groups": groups}


def _faces(scores: Sequence[Score]) -> dict[str, Any]:
    """Return how many faces were found, and the reasons why items got no answer."""
    found = Counter(min(score.faces, 2) for score in scores)
    reasons = Counter(score.reason for score in scores if score.probability is None)
    return {
        "none": found[0],
        "one": found[1],
        "several": found[2],
        "without_answer": sum(score.probability is None for score in scores),
        "reasons": dict(reasons.most_common(10)),
    }


def _shares_by(scores: Sequence[Score], key: Callable[[Score], str]) -> dict[str, Any]:
    return {
        name: shares([score for score in scores if key(score) == name])
        for name in sorted({key(score) for score in scores})
    }


def shares(scores: Sequence[Score]) -> dict[str, Any]:
    """Return how many items got each outcome, as shares with Clopper-Pearson intervals."""
    count: Counter[str] = Counter(score.outcome for score in scores)
    return {"n": len(scores)} | {
        outcome: {"count": count[outcome]} | _json(metrics.clopper_pearson(count[outcome], len(scores)))
        for outcome in OUTCOMES
    }


def _figures(scores: Sequence[Score], thresholds: Thresholds | None, draws: int, seed: int) -> dict[str, Any]:
    """Return the threshold-free figures and those of every decision; none where a class is empty."""
    sample = sample_of(scores)
    if not sample.fake.any() or sample.fake.all():
        return {"figures": {}, "decisions": {}}
    decisions = {
        "product": np.array([score.outcome == "fake" for score in scores]),
        "even": sample.probability >= EVEN,
    }
    if thresholds is not None:
        decisions["youden"] = sample.probability >= thresholds.youden
        decisions["false_alarm_rate"] = sample.probability >= thresholds.false_alarm
    free, decided = metrics.measure(sample, decisions, draws=draws, seed=seed)
    return {
        "figures": {name: _json(value) for name, value in free.items()},
        "decisions": {
            name: {key: _json(value) for key, value in figures.items()} for name, figures in decided.items()
        },
    }


def _json(interval: Interval) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 5)

    return {"value": number(interval.value), "interval": [number(interval.low), number(interval.high)]}


def real_only(scores: Sequence[Score]) -> dict[str, Any] | None:
    """Return the shares over all data sets together that hold real items alone; None where there is none."""
    with_fakes = {score.item.data_set for score in scores if score.item.fake}
    chosen = [score for score in scores if score.item.data_set not in with_fakes]
    if not chosen:
        return None
    return {"data_sets": sorted({score.item.data_set for score in chosen})} | shares(chosen)


def to_csv(scores: Sequence[Score]) -> str:
    """Write one line an item."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for score in scores:
        item = score.item
        writer.writerow(
            [
                item.data_set, item.split, item.file_name, "fake" if item.fake else "real", item.manipulation,
                item.source, item.group, score.outcome, _blank(score.probability, 6), score.faces,
                _blank(score.face_width, 1), score.kind, score.named, score.reason,
            ]
        )  # fmt: skip
    return text.getvalue()


def _blank(value: float | None, digits: int) -> float | str:
    return "" if value is None else round(value, digits)
