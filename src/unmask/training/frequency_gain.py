"""Measures what the frequency classifier adds to a visual network, and chooses its weight in the verdict.

Run by hand, after the classifier was trained with the same `--network-data`:
`python -m unmask.training.frequency_gain --dataset ZIPS --network-data ZIPS --faces runs/faces
--output runs/frequency [--network FILE] [--classifier FILE]`. An exported frequency network can take the
classifier's place, trained on a part of the network's data with the same *tune* fold.
The weight is chosen on the fold that neither learnt from; *val* is reported on. All sources count together,
so that false alarms on real pictures of any origin count. What was seen is kept in the output folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unmask.data.shots import place
from unmask.evaluation.gain import Fusion, Gain, change, fit_fusion, fused, gain
from unmask.evaluation.metrics import CLIP, Interval
from unmask.evidence.frequency import MIN_SIDE, MODEL
from unmask.runtime.card import VISUAL
from unmask.runtime.linear import LinearClassifier
from unmask.runtime.network import VisualNetwork
from unmask.signals.features import NAMES, features
from unmask.training.frequency import CONDITIONS, NOTHING, SHARED, TASKS, Laboratory, Shot, Task, groups
from unmask.verdict.settings import Level, load_settings

STORED = "stored"
MOST = 220
"""Items of each data set, kind and fold, as far as there are so many, unless told otherwise."""
WEIGHTS_TRIED = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
"""Weights of frequency among which the shared fold chooses; the visual network's is 1."""
ALL = "all sources"
FALSE_ALARM_RATE = 0.01
"""Where the network has no calibration that states one."""
FEWEST = 20
"""Fakes and reals of a part, below which nothing is fitted on it."""
DRAWS = 1000
GAIN_TASKS = (
    *(task for task in TASKS if task.as_reals),
    Task("composites", ("composites",), ("hand-made composite",)),
    Task("other real pictures", ("wild_reals", "portraits", "utkface"), ()),
)


@dataclass(frozen=True, eq=False)
class Judged:
    """N pictures judged by both, an array of length N for each field.

    `kind`: manipulations, "" for reals; `source`: where reals come from; `visual` and `frequency`: logits,
    the latter NaN where the face is too small.
    """

    kind: np.ndarray
    task: np.ndarray
    source: np.ndarray
    name: np.ndarray
    group: np.ndarray
    visual: np.ndarray
    frequency: np.ndarray

    @property
    def fake(self) -> np.ndarray:
        """(N,) bool."""
        return self.kind != ""

    def take(self, chosen: np.ndarray) -> Judged:
        """Return those that an (N,) mask names."""
        return Judged(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def parts(self) -> Iterator[tuple[str, Judged]]:
        """Yield all together, then each kind of fakes of each task with the reals of that task."""
        yield ALL, self
        for task in dict.fromkeys(self.task):
            here = self.take(self.task == task)
            for kind in sorted(set(here.kind) - {""}):
                yield _title(task, kind), here.take((here.kind == kind) | ~here.fake)


def _title(task: str, kind: str) -> str:
    return kind if task == kind else f"{task}, {kind}"


class Both:
    """Judges pictures of a laboratory by the visual network and by the frequency classifier."""

    def __init__(
        self,
        laboratory: Laboratory,
        network: VisualNetwork,
        classifier: LinearClassifier | VisualNetwork,
        *,
        tasks: Sequence[Task] = GAIN_TASKS,
        most: int = MOST,
    ) -> None:
        self._laboratory, self._network, self._classifier = laboratory, network, classifier
        self._tasks, self._most = tasks, most

    def judge(self, fold: str, condition: str) -> Judged:
        """Judge the pictures of a fold under one condition."""
        judged = []
        for task in self._tasks:
            wanted = replace(task, most_tune=self._most, most_val=self._most)
            shots = self._laboratory.judged(self._laboratory.chosen(wanted), condition, fold)
            if shots:
                judged.append(
                    (
                        wanted,
                        shots,
                        self._laboratory.logits(wanted, shots, self._network),
                        self._frequency(wanted, shots),
                    )
                )
        every = [shot for _, shots, _, _ in judged for shot in shots]
        return Judged(
            kind=np.array([shot.item.manipulation for shot in every]),
            task=np.array([task.name for task, shots, _, _ in judged for _ in shots]),
            source=np.array([_source(task, shot) for task, shots, _, _ in judged for shot in shots]),
            name=np.array([shot.item.name for shot in every]),
            group=groups(every),
            visual=np.concatenate([visual for _, _, visual, _ in judged]),
            frequency=np.concatenate([frequency for _, _, _, frequency in judged]),
        )

    def _frequency(self, task: Task, shots: Sequence[Shot]) -> np.ndarray:
        """Return logits (N,), NaN where the analyser refuses the face as too small."""
        classifier = self._classifier
        if isinstance(classifier, VisualNetwork):
            return self._laboratory.logits(task, shots, classifier)

        def measure() -> np.ndarray:
            seen = []
            for source in self._laboratory.sources(task, shots):
                found = place(source)
                if found is None or found.side < MIN_SIDE:
                    seen.append(NOTHING)
                else:
                    seen.append(features(source.pixels, found))
            return np.stack(seen)

        values = self._laboratory.kept(task, shots, f"frequency from {MIN_SIDE} px", measure)
        logits, seen = np.full(len(values), np.nan), ~np.isnan(values[:, 0])
        logits[seen] = classifier.logits(values[seen])
        return logits


def _source(task: Task, shot: Shot) -> str:
    scaled = "" if task.equal_face is None else f", {task.equal_face:.0f}-px faces"
    return f"{shot.item.source}{scaled}"


def choose(
    shared: Mapping[str, Judged], weights: Sequence[float], *, false_alarm_rate: float
) -> tuple[Fusion, dict[float, float]]:
    """Return the fusion with the least log loss, averaged over conditions, and each weight's log loss.

    Calibration and threshold are fitted on the pictures as stored, as the product's are.
    """
    stored = shared[STORED]
    tried = {
        weight: fit_fusion(
            stored.fake, stored.visual, stored.frequency, weight=weight, false_alarm_rate=false_alarm_rate
        )
        for weight in weights
    }
    losses = {
        weight: float(np.mean([log_loss(fusion, judged) for judged in shared.values()]))
        for weight, fusion in tried.items()
    }
    return tried[min(losses, key=lambda weight: losses[weight])], losses


def log_loss(fusion: Fusion, judged: Judged) -> float:
    """Return the mean log loss of a fusion's probabilities."""
    probability = np.clip(fusion.probability(judged.visual, judged.frequency), CLIP, 1 - CLIP)
    return float(-np.log(np.where(judged.fake, probability, 1 - probability)).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge both folds, choose the weight on the one, report on the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, nargs="+", required=True, help="zips or folders of zips")
    parser.add_argument(
        "--network-data",
        type=Path,
        nargs="+",
        required=True,
        help="all that the network was trained on",
    )
    parser.add_argument("--faces", type=Path, required=True, help="folder of the face index")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--network", type=Path, default=VISUAL)
    parser.add_argument("--classifier", type=Path, default=MODEL, help="a classifier (.json) or network")
    parser.add_argument("--tasks", nargs="*", help="parts of task names; all without")
    parser.add_argument("--most", type=int, default=MOST, help="items of each data set, kind and fold")
    parser.add_argument("--weight", type=float, help="report on this weight instead of the one chosen")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    laboratory = Laboratory.open(given.dataset, given.faces, given.output, network_data=given.network_data)
    network, classifier = VisualNetwork(given.network, threads=1), _classifier(given.classifier)
    tasks = [
        t for t in GAIN_TASKS if not given.tasks or any(p.lower() in t.name.lower() for p in given.tasks)
    ]
    both = Both(laboratory, network, classifier, tasks=tasks, most=given.most)
    shared, val = ({name: both.judge(fold, name) for name in CONDITIONS} for fold in (SHARED, "val"))
    level = load_settings(network.card).level("picture")
    sys.stdout.write(f"network {network.card.sha256}\nclassifier {classifier.card.sha256}\n")
    result = report(shared, val, level, weight=given.weight)
    (given.output / "gain.json").write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write("\n".join(as_tables(result)) + "\n")


def _classifier(path: Path) -> LinearClassifier | VisualNetwork:
    return LinearClassifier(path, NAMES) if path.suffix == ".json" else VisualNetwork(path, threads=1)


def report(
    shared: Mapping[str, Judged],
    val: Mapping[str, Judged],
    level: Level,
    *,
    weight: float | None = None,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Return everything that is measured.

    `level` holds the product's thresholds on the visual network alone. Before and after are compared at
    thresholds fitted alike: that many reals of the shared fold reach them, as stored, as may reach the
    product's.
    """
    stored = shared[STORED]
    alarms = FALSE_ALARM_RATE if level.false_alarm_rate is None else level.false_alarm_rate
    chosen, losses = choose(shared, WEIGHTS_TRIED, false_alarm_rate=alarms)
    alone, after = (
        fit_fusion(stored.fake, stored.visual, stored.frequency, weight=w, false_alarm_rate=alarms)
        for w in (0.0, chosen.weight if weight is None else weight)
    )
    product = replace(alone, threshold=level.fake_threshold)
    return {
        "chosen": chosen.weight,
        "reported": after.weight,
        "log_loss_by_weight": losses,
        "thresholds": [product.threshold, alone.threshold, after.threshold],
        "missing": {
            fold: {name: float(np.isnan(judged.frequency).mean()) for name, judged in by_condition.items()}
            for fold, by_condition in (("shared", shared), ("val", val))
        },
        "out_of_fold": list(_out_of_fold({"shared": shared, "val": val}, draws)),
        "fused": [
            {"condition": name, "part": part, "fakes": int(of.fake.sum()), "reals": int((~of.fake).sum())}
            | asdict(_changed(of, alone, after, draws))
            for name, judged in val.items()
            for part, of in judged.parts()
        ],
        "called_fake": list(_called_fake({"shared": shared, "val": val}, (product, alone, after))),
        "changed": _changed_verdicts(stored, alone, after, level),
    }


def _out_of_fold(folds: Mapping[str, Mapping[str, Judged]], draws: int) -> Iterator[dict[str, Any]]:
    for fold, by_condition in folds.items():
        for condition, judged in by_condition.items():
            for part, of in judged.parts():
                seen = of.take(~np.isnan(of.frequency))
                if min(seen.fake.sum(), (~seen.fake).sum()) < FEWEST:
                    continue
                found = gain(of.fake, of.visual, of.frequency, of.group, draws=draws)
                counts = {"fakes": int(of.fake.sum()), "reals": int((~of.fake).sum())}
                yield {"fold": fold, "condition": condition, "part": part} | counts | asdict(found)


def _changed(judged: Judged, alone: Fusion, after: Fusion, draws: int) -> Gain:
    before, then = (fusion.probability(judged.visual, judged.frequency) for fusion in (alone, after))
    return change(judged.fake, before, then, judged.group, draws=draws)


def _called_fake(
    folds: Mapping[str, Mapping[str, Judged]], fusions: Sequence[Fusion]
) -> Iterator[dict[str, Any]]:
    """Yield how many pictures of each source of reals and of each kind each fusion calls fake."""
    for fold, by_condition in folds.items():
        for condition, judged in by_condition.items():
            called = [f.calls_fake(judged.visual, judged.frequency) for f in fusions]
            titles = [
                f"{_title(task, kind)} (fake)" if kind else f"{source} (real)"
                for task, kind, source in zip(judged.task, judged.kind, judged.source, strict=True)
            ]
            of_part = {title: np.array(titles) == title for title in dict.fromkeys(titles)}
            everything = {"all fakes": judged.fake, "all reals": ~judged.fake}
            for part, mask in (everything | of_part).items():
                counts = {"n": int(mask.sum()), "called": [int(each[mask].sum()) for each in called]}
                yield {"fold": fold, "condition": condition, "part": part} | counts


def _changed_verdicts(judged: Judged, alone: Fusion, after: Fusion, level: Level) -> list[dict[str, Any]]:
    """Return the pictures that cross the threshold for fake, in either direction."""
    before, then = (fusion.calls_fake(judged.visual, judged.frequency) for fusion in (alone, after))
    return [
        {
            "task": str(judged.task[i]),
            "name": str(judged.name[i]),
            "label": "fake" if judged.fake[i] else "real",
            "called": ["fake" if called[i] else "not fake" for called in (before, then)],
            "real_before": bool(judged.visual[i] <= level.real_threshold),
            "visual": round(float(judged.visual[i]), 2),
            "frequency": round(float(judged.frequency[i]), 2),
            "fused": round(float(fused(judged.visual, judged.frequency, after.weight)[i]), 2),
        }
        for i in np.flatnonzero(before != then)
    ]


def as_tables(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield a result as lines of Markdown."""
    yield f"chosen weight {result['chosen']:g}; reported on {result['reported']:g}"
    yield "log loss on the shared fold by weight: " + ", ".join(
        f"{weight:g} {loss:.4f}" for weight, loss in result["log_loss_by_weight"].items()
    )
    yield "thresholds for fake: {:.3f} in the product; {:.3f} alone and {:.3f} fused, fitted alike".format(
        *result["thresholds"]
    )
    yield f"faces too small for frequency: {json.dumps(result['missing'])}"
    yield "\nout of fold:\n"
    yield from _gains(result["out_of_fold"])
    yield f"\nval, weight {result['reported']:g}:\n"
    yield from _gains([{"fold": "val"} | row for row in result["fused"]])
    yield f"\ncalled fake at those three thresholds, under the conditions {', '.join(CONDITIONS)}:\n"
    yield from _counts(result["called_fake"])
    yield "\nverdicts that change on the shared fold, as stored:\n"
    for row in result["changed"]:
        yield (
            "{label} {name} ({task}): {called[0]} -> {called[1]}; visual {visual}, frequency {frequency}, "
            "fused {fused}".format(**row)
        )


def _gains(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        differences = [_interval(Interval(**row[name])) for name in ("auc_difference", "loss_difference")]
        yield (
            f"| {row['fold']} | {row['condition']} | {row['part']} | {row['fakes']} + {row['reals']} "
            f"| {row['auc']:.3f} | {differences[0]} | {row['log_loss']:.3f} | {differences[1]} |"
        )


def _counts(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each fold and part, with one cell for each condition."""
    lines: dict[tuple[str, str, int], list[str]] = {}
    for row in rows:
        line = lines.setdefault((row["fold"], row["part"], row["n"]), [])
        line.append(", ".join(map(str, row["called"])))
    for (fold, part, n), cells in lines.items():
        yield f"| {fold} | {part} | {n} | {' | '.join(cells)} |"


def _interval(found: Interval) -> str:
    return f"{found.value:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


if __name__ == "__main__":
    main()
