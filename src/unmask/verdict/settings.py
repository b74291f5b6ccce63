"""The file `verdict.json`: how the scores of one visual network become probabilities and labels.

It is made by `fit_verdict` from *tune* items, for one network file (pinned by sha256), and holds a
calibration for each level: pictures, tracks, and files (clips).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unmask.runtime.card import WEIGHTS, Card, WeightError
from unmask.signals.logistic import logit
from unmask.verdict.calibration import Platt, Tail, bootstrap_platt, family_wise, fit_platt, fit_tail
from unmask.verdict.kinds import KindSettings

VERDICT_FILE = "verdict.json"
SCHEMA = "unmask.verdict/1"
PRIOR = 0.5
"""The share of fakes that probabilities assume unless the user sets another (validation sets: a half)."""

LevelName = Literal["picture", "track", "file"]
FALLBACK: dict[LevelName, tuple[LevelName, ...]] = {
    "picture": ("picture",),
    "track": ("track", "picture"),
    "file": ("file", "track", "picture"),
}
INTERVAL_MEANING = (
    "95 % of the probabilities obtained when the tune groups behind the calibration are drawn again and "
    "the analysed frames are drawn again (frames less than a second apart count as one). It does not cover "
    "kinds of manipulation or recording that the tune data do not hold."
)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class TailPoints(_Model):
    """A `Tail` as stored: scores rising, logits of the share of real items falling."""

    scores: tuple[float, ...]
    logits: tuple[float, ...]


class Level(_Model):
    """The calibration of one level.

    Probability = sigmoid(slope * score + intercept) at the share of fakes `prior`. `draws` are
    (slope, intercept) of bootstrap fits over groups. A score, corrected for the number of faces, at or
    above `fake_threshold` is fake; one that is at or below `real_threshold` without the correction is
    real. `false_alarms` of `reals` real tune items reach the fake threshold, with
    its Clopper-Pearson 95 % interval. `fake_scores` holds, by kind of manipulation, the sorted scores of
    the fakes of the fold `missed_on`, from which the share of fakes missed is read.
    """

    slope: float = Field(gt=0)
    intercept: float
    prior: float = Field(default=PRIOR, gt=0, lt=1)
    draws: tuple[tuple[float, float], ...] = ()
    fake_threshold: float
    real_threshold: float
    reals: int = 0
    fakes: int = 0
    groups: int = 0
    false_alarm_rate: float | None = None
    false_alarms: int | None = None
    false_alarm_interval: tuple[float, float] | None = None
    tail: TailPoints | None = None
    fake_scores: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    missed_on: str = "tune"

    @property
    def platt(self) -> Platt:
        """The calibration curve."""
        return Platt(self.slope, self.intercept, self.prior)

    def real_tail(self) -> Tail | None:
        """Return how real items score, or None where it was not measured."""
        if self.tail is None:
            return None
        return Tail(np.array(self.tail.scores), np.array(self.tail.logits))

    def missed(self, score: float) -> dict[str, tuple[float, int]]:
        """Return, by kind, the share of fakes that score at or below `score`, and the number of fakes."""
        return {
            kind: (float(np.searchsorted(scores, score, side="right")) / len(scores), len(scores))
            for kind, scores in self.fake_scores.items()
        }


UNCALIBRATED = Level(slope=1.0, intercept=0.0, fake_threshold=0.0, real_threshold=0.0)
"""The network's own sigmoid, threshold 0.5: for networks without a calibration."""


class VerdictSettings(_Model):
    """Everything by which evidence becomes a verdict.

    `network_sha256` pins the visual network. `aggregation` names how the frames of a track are combined.
    `weights` are the weights of the analysers in the fusion: absent means observation only. `kinds` names the
    kind of a fake from the visual network's features; None: it was not fitted, and no kind is named.
    """

    schema_name: Literal["unmask.verdict/1"] = Field(default="unmask.verdict/1", alias="schema")
    network_sha256: str | None = None
    aggregation: str = "mean"
    weights: dict[str, float] = Field(default_factory=lambda: {"visual": 1.0})
    interval_meaning: str = INTERVAL_MEANING
    levels: dict[LevelName, Level]
    kinds: KindSettings | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities rest on a calibration."""
        return any(level.reals for level in self.levels.values())

    def level_name(self, name: LevelName) -> LevelName:
        """Return the level whose calibration serves `name`: its own, or the nearest one that there is."""
        return next(candidate for candidate in FALLBACK[name] if candidate in self.levels)

    def level(self, name: LevelName) -> Level:
        """Return the calibration that serves `name`."""
        return self.levels[self.level_name(name)]

    def save(self, path: Path) -> None:
        """Write the file (to a temporary name, then renamed)."""
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def uncalibrated() -> VerdictSettings:
    """Return the settings for a network without a calibration."""
    return VerdictSettings(levels={"picture": UNCALIBRATED})


def load_settings(card: Card, *, folder: Path = WEIGHTS) -> VerdictSettings:
    """Return the settings made for the visual network of `card`.

    `verdict.json` of `folder` serves the network that it is pinned to; another network is served by
    the `calibration` on its own card, and without one by the uncalibrated settings.

    Raises:
        WeightError: the settings are damaged, or the embedded network is not the one they are made for.
    """
    path = folder / VERDICT_FILE
    embedded = card.path.parent == folder
    if path.is_file():
        settings = _parse(path.read_bytes(), path)
        if settings.network_sha256 == card.sha256:
            return settings
        if embedded:
            raise WeightError(f"{path}: made for another {card.file}; fit the verdict again")
    if card.calibration is not None:
        return _parse(card.calibration, card.path)
    return uncalibrated()


def _parse(content: bytes | dict, path: Path) -> VerdictSettings:
    try:
        if isinstance(content, bytes):
            settings = VerdictSettings.model_validate_json(content)
        else:
            settings = VerdictSettings.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise WeightError(f"{path}: damaged verdict settings ({where}: {first['msg']})") from None
    if "picture" not in settings.levels:
        raise WeightError(f"{path}: damaged verdict settings (no calibration for pictures)")
    return settings


@dataclass(frozen=True)
class LevelData:
    """The items of one level, N of each.

    `scores`: combined logits (above 0 means fake), of an item with several faces the highest.
    `labels`: 1 fake, 0 real. `groups`: what must not be torn apart (person or source). `kinds`: the
    manipulation in plain words ("" for real items). `faces`: the number of faces or persons judged.
    `fold`: where the items come from: "tune", "val" (held-out pictures) or "open" (held-out clips).
    """

    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    kinds: np.ndarray
    faces: np.ndarray | None = None
    fold: str = "tune"


def fit_verdict(
    *,
    network_sha256: str,
    picture: LevelData,
    track: LevelData | None = None,
    file: LevelData | None = None,
    aggregation: str = "mean",
    false_alarm_rate: float = 0.01,
    miss_rate: float = 0.1,
    held_out: Mapping[LevelName, LevelData] | None = None,
    kinds: KindSettings | None = None,
    draws: int = 200,
    seed: int = 0,
) -> VerdictSettings:
    """Make the verdict settings from *tune* items.

    Args:
        network_sha256: of the network file that gave the scores.
        picture: pictures, one score each.
        track: tracks of clips (one face followed); without it pictures' calibration serves.
        file: clips; scores are the highest over persons, `faces` the number of persons.
        aggregation: how frame logits were combined for tracks and clips (a name of `AGGREGATIONS`).
        false_alarm_rate: the share of real items that may reach the fake threshold.
        miss_rate: the share of fakes that may fall to the real threshold or below.
        held_out: items never chosen on (*val*, *open*), from which the shares of fakes missed are stated;
            where a level is not given, its tune items serve, and the report says so.
        kinds: the classifier that names the kind of a fake.
        draws: bootstrap fits over groups, for the interval.
        seed: of the bootstrap.

    Raises:
        ValueError: the items of a level do not allow a fit.
    """
    given: dict[LevelName, LevelData | None] = {"picture": picture, "track": track, "file": file}
    levels: dict[LevelName, Level] = {}
    for name, data in given.items():
        if data is None:
            continue
        if name == "file":
            parts = levels.get("track") or levels["picture"]
        else:
            parts = None
        levels[name] = _fit_level(
            data,
            parts=parts,
            shown=(held_out or {}).get(name),
            false_alarm_rate=false_alarm_rate,
            miss_rate=miss_rate,
            draws=draws,
            seed=seed,
        )
    return VerdictSettings(network_sha256=network_sha256, aggregation=aggregation, levels=levels, kinds=kinds)


def _fit_level(
    data: LevelData,
    *,
    parts: Level | None,
    shown: LevelData | None,
    false_alarm_rate: float,
    miss_rate: float,
    draws: int,
    seed: int,
) -> Level:
    labels = np.asarray(data.labels)
    tail = parts.real_tail() if parts is not None else fit_tail(_singles(data))
    assert tail is not None  # every fitted level has one
    scores = _corrected(data, tail)
    platt = fit_platt(scores, labels, prior=PRIOR)
    real = scores[labels == 0]
    fake_threshold = threshold_for_false_alarms(real, false_alarm_rate)
    alarms = int((real >= fake_threshold).sum())
    raw = np.asarray(data.scores, np.float64)
    fits = bootstrap_platt(scores, labels, data.groups, draws=draws, seed=seed, prior=PRIOR)
    return Level(
        slope=platt.slope,
        intercept=platt.intercept,
        prior=platt.prior,
        draws=tuple((round(fit.slope, 5), round(fit.intercept, 5)) for fit in fits),
        fake_threshold=fake_threshold,
        real_threshold=min(threshold_for_misses(raw[labels == 1], miss_rate), fake_threshold),
        reals=len(real),
        fakes=int((labels == 1).sum()),
        groups=len(np.unique(data.groups)),
        false_alarm_rate=false_alarm_rate,
        false_alarms=alarms,
        false_alarm_interval=clopper_pearson(alarms, len(real)),
        tail=TailPoints(
            scores=tuple(map(float, tail.scores.round(5))), logits=tuple(map(float, tail.logits.round(5)))
        ),
        fake_scores=_by_kind(data if shown is None else shown),
        missed_on=(data if shown is None else shown).fold,
    )


def _singles(data: LevelData) -> np.ndarray:
    """Return the scores of real items with one face."""
    alone = np.asarray(data.labels) == 0
    if data.faces is not None:
        alone &= np.asarray(data.faces) == 1
    return np.asarray(data.scores, np.float64)[alone]


def _corrected(data: LevelData, tail: Tail) -> np.ndarray:
    scores = np.asarray(data.scores, np.float64)
    if data.faces is None:
        return scores
    return np.array([family_wise(tail, s, int(k)) for s, k in zip(scores, data.faces, strict=True)])


def _by_kind(data: LevelData) -> dict[str, tuple[float, ...]]:
    scores = np.asarray(data.scores, np.float64)
    fake, kinds = np.asarray(data.labels) == 1, np.asarray(data.kinds)
    return {
        str(kind): tuple(map(float, np.sort(scores[fake & (kinds == kind)]).round(3)))
        for kind in np.unique(kinds[fake])
    }


def threshold_for_false_alarms(real_scores: np.ndarray, rate: float) -> float:
    """Return the lowest threshold that at most a share `rate` of the (N,) real scores reaches.

    It lies midway between two scores. Where fewer than 1 / rate items are given, none may reach it, and
    it is put where the tail of the scores, continued, has the wanted share.
    """
    ordered = np.sort(np.asarray(real_scores, np.float64))[::-1]
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    below = ordered[allowed]
    above = ordered[ordered > below]
    if above.size:
        return float((below + above[-1]) / 2)
    beyond = np.nextafter(below, np.inf)
    return float(max(beyond, fit_tail(ordered).score(float(logit(rate)))))


def threshold_for_misses(fake_scores: np.ndarray, rate: float) -> float:
    """Return the highest threshold that at most a share `rate` of the (N,) fake scores stays at or below."""
    ordered = np.sort(np.asarray(fake_scores, np.float64))
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    above = ordered[allowed]
    below = ordered[ordered < above]
    return float((below[-1] + above) / 2) if below.size else float(np.nextafter(above, -np.inf))


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, `hits` of `n` (Clopper & Pearson 1934)."""
    from scipy.special import betaincinv

    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, 0.025))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 0.975))
    return low, high
