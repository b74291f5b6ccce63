"""From the scores of tracks and persons to `fake`, `real` or `inconclusive`, with reasons in plain words.

One manipulated person makes the file fake. For `fake`, scores are first corrected for the number of
faces (`calibration.family_wise`), so that a group is called fake as rarely as a single face. For `real`,
every face must stay at or below the real threshold on its own, so that the stated share of fakes missed
holds for each; a group is therefore called real less often, and inconclusive more often. The probability
of a file with several faces is that one of them, not known which, is fake.

A label follows from score thresholds, which come from *tune* items at a stated false-alarm rate. The
prior moves the probability and, where a probability above a half is not reached, withholds the label:
`fake` is said only at a probability of at least one half, `real` only at one of at most one half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from unmask.evidence.base import Evidence
from unmask.media.events import MediaKind
from unmask.signals.logistic import expit, logit
from unmask.verdict.calibration import family_wise, shift_prior
from unmask.verdict.fusion import FRAMES, Fused, fuse, join
from unmask.verdict.kinds import Kind, KindSettings
from unmask.verdict.settings import Level, LevelName, VerdictSettings

Label = Literal["fake", "real", "inconclusive"]
NO_FACE = "No face was found."
INTERVAL = (2.5, 97.5)
_FOLDS = {"tune": "items set aside for tuning", "val": "held-out pictures", "open": "held-out clips"}
STEP = 1e-4
"""The last place of a probability in a report: an inconclusive one stays so far from the thresholds."""


@dataclass(frozen=True)
class Opinion:
    """What is said about a file, person or track; the numbers are None where no face could be judged."""

    label: Label
    probability: float | None = None
    interval: tuple[float, float] | None = None
    reasons: tuple[str, ...] = ()
    kind: Kind | None = None


@dataclass(frozen=True)
class Thresholds:
    """Probabilities at the assumed prior, and the rates they were set by."""

    fake: float
    real: float
    false_alarm_rate: float | None
    miss_rate: float | None


@dataclass(frozen=True)
class Decision:
    """The file's opinion, those of persons and tracks, and what the user is to be warned of."""

    file: Opinion
    persons: dict[int, Opinion]
    tracks: dict[int, Opinion]
    thresholds: Thresholds | None
    interval_meaning: str | None
    prior: float
    warnings: tuple[str, ...]


def decide(
    persons: Mapping[int, Sequence[int]],
    evidence: Mapping[int, Sequence[Evidence]],
    *,
    kind: MediaKind,
    settings: VerdictSettings,
    prior: float | None = None,
) -> Decision:
    """Judge a file.

    Args:
        persons: the tracks of each person.
        evidence: what the analysers concluded, by track.
        kind: of the file; pictures are judged by the calibration of pictures.
        settings: thresholds and calibrations.
        prior: the share of fakes to assume; None takes that of the calibration.

    Raises:
        ValueError: the prior is not strictly between 0 and 1.
    """
    part_name: LevelName = "picture" if kind == "picture" else "track"
    file_name: LevelName = "picture" if kind == "picture" else "file"
    if prior is not None and not 0 < prior < 1:
        raise ValueError(f"the prior must lie strictly between 0 and 1, not {prior}")
    assumed = settings.level(file_name).prior if prior is None else prior
    fused = {track: fuse(items, settings.weights) for track, items in evidence.items()}
    joined = {
        person: join([f for t in tracks if (f := fused.get(t)) is not None])
        for person, tracks in persons.items()
    }
    judged = {person: score for person, score in joined.items() if score is not None}
    faces = max(1, len(judged))
    parts = settings.level(part_name)
    part = Scale(parts, parts, faces=faces, prior=assumed)
    whole = Scale(settings.level(file_name), parts, faces=faces, prior=assumed)
    refusals = _refusals(persons, joined, evidence)
    tracks = {t: part.judge(f, "this track") if f else Opinion("inconclusive") for t, f in fused.items()}
    opinions = {
        person: part.judge(f, "this face") if f else Opinion("inconclusive", reasons=(refusals[person],))
        for person, f in joined.items()
    }
    file = _judge_file(whole, judged, refusals)
    if settings.kinds is not None:
        named = {person: _kind(settings.kinds, persons[person], evidence) for person in judged}
        opinions = {
            person: replace(opinion, kind=named[person]) if opinion.label == "fake" else opinion
            for person, opinion in opinions.items()
        }
        if file.label == "fake":
            file = replace(file, kind=named[_leading(judged)])
    return Decision(
        file=file,
        persons=opinions,
        tracks=tracks,
        thresholds=whole.thresholds() if judged else None,
        interval_meaning=settings.interval_meaning if file.interval else None,
        prior=assumed,
        warnings=_warnings(settings, part_name, file_name, faces) if judged else (),
    )


class Scale:
    """A level's calibration, for one number of faces and one prior.

    Args:
        level: the calibration and thresholds.
        parts: the level whose real items say how the score of a single face is spread.
        faces: how many faces were judged in the file.
        prior: the share of fakes to assume.
    """

    def __init__(self, level: Level, parts: Level, *, faces: int, prior: float) -> None:
        self._level, self._faces, self._prior = level, faces, prior
        self._tail = parts.real_tail() if faces > 1 else None
        # The score at which the probability is one half.
        even = (float(logit(level.prior) - logit(prior)) - level.intercept) / level.slope
        self._fake = max(level.fake_threshold, even)
        self._real = min(level.real_threshold, even)

    def judge(self, fused: Fused, subject: str) -> Opinion:
        """Return the opinion on one face; `subject` names it in the reasons.

        The probability is the face's own; `fake` allows for the other faces of the file.
        """
        label = self._label(fused.score)
        probability = self._probability([fused.score])
        interval = self._interval([fused], probability)
        return Opinion(label, probability, interval, self._reasons(label, fused.score, subject))

    def judge_file(self, faces: Sequence[Fused], subject: str) -> Opinion:
        """Return the opinion on a file of which one of these faces, not known which, may be fake.

        The likelihood ratio of the file is then the mean of those of its faces. Where the label is
        `inconclusive` although this mean lies beyond a threshold, the probability stops short of it.
        """
        highest = max(face.score for face in faces)
        scores = [face.score for face in faces]
        probability = self._probability(scores)
        thresholds = self.thresholds()
        label = self._label(highest)
        if label == "fake" and probability < thresholds.fake:
            label = "inconclusive"
        if label == "inconclusive":
            middle = (thresholds.fake + thresholds.real) / 2
            low, high = min(thresholds.real + STEP, middle), max(thresholds.fake - STEP, middle)
            probability = float(np.clip(probability, low, high))
        interval = self._interval(faces, probability)
        return Opinion(label, probability, interval, self._reasons(label, highest, subject))

    def thresholds(self) -> Thresholds:
        """Return the thresholds as probabilities."""
        return Thresholds(
            fake=self._probability([self._fake]),
            real=self._probability([self._real]),
            false_alarm_rate=self._level.false_alarm_rate,
            miss_rate=self._missed_overall(),
        )

    def _label(self, score: float) -> Label:
        if self._corrected(score) >= self._fake:
            return "fake"
        return "real" if score <= self._real else "inconclusive"

    def _reasons(self, label: Label, score: float, subject: str) -> tuple[str, ...]:
        if label == "fake":
            return (f"Traces of manipulation were found in {subject}.", *self._alarm_sentences())
        if label == "real":
            return (f"No manipulation found in {subject}.", *self._missed_sentences())
        level = self._level
        if self._corrected(score) >= level.fake_threshold or score <= level.real_threshold:
            return (
                f"The score of {subject} passes a threshold, but at the assumed share of fakes of "
                f"{_percent(self._prior)} the probability lies on the other side of one half.",
            )
        if score >= level.fake_threshold:
            return (
                f"The score of {subject} would be called fake if the face were the only one; among "
                f"{self._faces} faces a real one scores so high more often.",
            )
        return (
            f"The score of {subject} lies between the thresholds for no manipulation found and for fake.",
            *self._alarm_sentences(),
        )

    def _probability(self, scores: Sequence[float]) -> float:
        """Return the probability that one of the faces with these scores is fake.

        It stays as far from 0 and 1 as the number of tune items allows to know: 1 / (N + 2).
        """
        log_odds = self._level.slope * np.array(scores) + self._level.intercept
        return float(np.clip(self._shifted(expit(_log_mean_exp(log_odds))), *self._bounds()))

    def _corrected(self, score: float) -> float:
        return score if self._tail is None else family_wise(self._tail, score, self._faces)

    def _shifted(self, probability: np.ndarray) -> np.ndarray:
        return shift_prior(probability, old=self._level.prior, new=self._prior)

    def _bounds(self) -> tuple[float, float]:
        items = min(self._level.reals, self._level.fakes)
        edge = 1 / (items + 2) if items else 0.0
        low, high = self._shifted(np.array([edge, 1 - edge]))
        return float(low), float(high)

    def _interval(self, faces: Sequence[Fused], middle: float) -> tuple[float, float] | None:
        """Return the 95 % range over bootstrap fits and over the frames that might have been drawn."""
        draws = np.array(self._level.draws)
        if draws.size == 0:
            return None
        # Normal quantiles in fixed shuffled orders: as good as random draws, and the same every time.
        normal = NormalDist()
        quantiles = [normal.inv_cdf((i + 0.5) / len(draws)) for i in range(len(draws))]
        generator = np.random.default_rng(0)
        scores = np.stack(
            [face.score + face.standard_error * generator.permutation(quantiles) for face in faces], axis=1
        )
        log_odds = _log_mean_exp(draws[:, :1] * scores + draws[:, 1:])
        values = np.clip(self._shifted(expit(log_odds)), *self._bounds())
        low, high = np.percentile(values, INTERVAL)
        return float(min(low, middle)), float(max(high, middle))

    def _missed_overall(self) -> float | None:
        missed = self._level.missed(self._real)
        total = sum(n for _, n in missed.values())
        return sum(share * n for share, n in missed.values()) / total if total else None

    def _alarm_sentences(self) -> tuple[str, ...]:
        level = self._level
        if level.false_alarms is None or level.false_alarm_interval is None:
            return ()
        low, high = level.false_alarm_interval
        return (
            f"Of {level.reals} real items set aside for tuning, {_percent(level.false_alarms / level.reals)} "
            f"reach the threshold for fake (95 % interval {_percent(low)} to {_percent(high)}).",
        )

    def _missed_sentences(self) -> tuple[str, ...]:
        missed = self._level.missed(self._real)
        if not missed:
            return ("How many fakes this answer misses was not measured.",)
        on = _FOLDS.get(self._level.missed_on, f"{self._level.missed_on} items")
        listed = "; ".join(f"{kind or 'fakes'} {_percent(s)} of {n}" for kind, (s, n) in missed.items())
        return (
            f"A fake face gets this answer too, measured on {on}: {listed}. "
            "Kinds that are not listed may be missed far more often.",
        )


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    """Return log(mean(exp(values))) over the last axis."""
    highest = values.max(axis=-1)
    return np.asarray(highest + np.log(np.exp(values - highest[..., None]).mean(axis=-1)))


def _judge_file(whole: Scale, judged: Mapping[int, Fused], refusals: Mapping[int, str]) -> Opinion:
    """Judge the file by its most suspicious person."""
    if not judged:
        return Opinion("inconclusive", reasons=tuple(dict.fromkeys(refusals.values())) or (NO_FACE,))
    leading = _leading(judged)
    count = len(judged)
    scores = list(judged.values())
    opinion = whole.judge_file(scores, "the face")
    if count > 1:
        real = opinion.label == "real"
        subject = f"any of the {count} faces" if real else f"person {leading}, the most suspicious of {count}"
        opinion = whole.judge_file(scores, subject)
    reasons = list(opinion.reasons)
    if count > 1:
        reasons.append(f"The probability allows for {count} faces having had a chance of a false alarm.")
    if refusals:
        reasons.append(
            f"{len(refusals)} further face{'s' * (len(refusals) > 1)} could not be judged: "
            + "; ".join(dict.fromkeys(reason.rstrip(".") for reason in refusals.values()))
            + "."
        )
    return Opinion(opinion.label, opinion.probability, opinion.interval, tuple(reasons))


def _leading(judged: Mapping[int, Fused]) -> int:
    """Return the most suspicious person."""
    return max(judged, key=lambda person: judged[person].score)


def _kind(
    kinds: KindSettings, tracks: Sequence[int], evidence: Mapping[int, Sequence[Evidence]]
) -> Kind | None:
    """Name the kind by the visual network's features, averaged over the frames of a person's tracks."""
    seen = [
        e
        for track in tracks
        for e in evidence.get(track, ())
        if e.analyser == "visual" and e.status == "ok" and e.embedding is not None
    ]
    if not seen:
        return None
    frames = [e.measurements[FRAMES].value if FRAMES in e.measurements else 1.0 for e in seen]
    return kinds.name(np.average([e.embedding for e in seen], axis=0, weights=frames))


def _refusals(
    persons: Mapping[int, Sequence[int]],
    joined: Mapping[int, Fused | None],
    evidence: Mapping[int, Sequence[Evidence]],
) -> dict[int, str]:
    """Return why persons could not be judged: the reason given for the first of their tracks."""
    return {
        person: next(
            (e.reason for t in tracks for e in evidence.get(t, ()) if e.reason),
            "The face was seen too briefly to be judged.",
        )
        for person, tracks in persons.items()
        if joined[person] is None
    }


def _warnings(settings: VerdictSettings, part: LevelName, file: LevelName, faces: int) -> tuple[str, ...]:
    if not settings.calibrated:
        text = (
            "the model has no calibration: probabilities are its own sigmoid, the threshold is 0.5, "
            "and its false alarms were not measured"
        )
        if faces > 1:
            text += f"; nothing corrects for the {faces} faces of this file"
        return (text,)
    borrowed = {n: settings.level_name(n) for n in (part, file) if settings.level_name(n) != n}
    plural = {"picture": "pictures", "track": "tracks", "file": "clips"}
    return tuple(
        f"no calibration on {plural[name]} is at hand: that of {plural[used]} serves, and its stated rates "
        f"were measured on {plural[used]}"
        for name, used in borrowed.items()
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
