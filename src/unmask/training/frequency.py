"""Trains and measures the classifier on frequency features, and exports it.

Run by hand:
`python -m unmask.training.frequency --dataset ZIPS --faces runs/faces --output runs/frequency [--export]`.
Each task is one question (StyleGAN2 against portraits, ...). It learns on *train*, chooses the model on
*tune* and is reported on *val*, as stored and after JPEG 70 and 40 and halving; with the false alarms on
real sources that it never saw, and what permuted labels give. Features are kept in the output folder.
With `--network-data`, the *tune* fold of a visual network is held out too: neither learns from it, so what
the one adds to the other can be measured there (`training.frequency_gain`).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unmask.data.index import FaceIndex, IndexedFace
from unmask.data.manifest import Item, check_leaks, cut_tune, merge, read_zip
from unmask.data.pairs import Pictures
from unmask.data.shots import Cut, Treatment, cut, look, resize, save, treat
from unmask.evaluation.metrics import Sample, ranking_figures, with_intervals
from unmask.faces.align import native_side
from unmask.faces.detect import Detector
from unmask.runtime.card import Card, Metric, write_card
from unmask.runtime.linear import Band, LinearWeights
from unmask.runtime.network import VisualNetwork
from unmask.signals.features import NAMES, RINGS
from unmask.signals.logistic import expit
from unmask.training.archives import find_archives, training_items

CONDITIONS: Mapping[str, Treatment] = {
    "stored": Treatment(),
    "JPEG 70": Treatment(last=(70,)),
    "JPEG 40": Treatment(last=(40,)),
    "half size": Treatment(scale=0.5),
}
FALSE_ALARMS = 0.05
"""Share of the *tune* reals above the threshold by which false alarms elsewhere are counted."""
TUNE_SHARE = 0.2
SHARED = "shared"
"""The split of what the visual network's training sets aside as its *tune* fold."""
NETWORK_TUNE_SHARE, NETWORK_TUNE_SEED = 0.06, 0
"""How the configurations of the visual networks (`tune_share`, `tune_seed`) cut that fold."""
PORTRAIT_FACE = 160.0
CLIP = 5.0
"""Standardised features are cut off here: one odd number must not decide."""

STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Values of scikit-learn's C among which *tune* chooses."""

NOTHING = np.full(len(NAMES), np.nan, np.float32)
"""The features of a face that is too small."""

Faces = Mapping[tuple[Path, str], IndexedFace | None]


@dataclass(frozen=True)
class Shot:
    """One look at one item: `number` seeds its random treatment, `condition` is a name of `CONDITIONS`."""

    item: Item
    number: int
    condition: str | None = None


@dataclass(frozen=True, eq=False)
class Task:
    """Pictures that are looked at together: which data sets, how often each item, what equalises them.

    Each kind of fake in `kinds` is set against all reals of the task. `looks` counts the looks at a
    training item by its manipulation ("" for reals; 1 where nothing is said): the first at the picture as
    stored, the others after a random treatment. `most` limits the training items of each data set and kind,
    `most_tune` (also of the shared fold) and `most_val` those of the other folds. `equal_face` scales all
    faces alike and saves them alike; with `as_reals` every fake is first given the size and compression of a
    real one. `matched` pairs fakes and reals by native size.
    """

    name: str
    data_sets: tuple[str, ...]
    kinds: tuple[str, ...]
    looks: Mapping[str, int] = field(default_factory=dict)
    most: int = 200
    most_tune: int = 200
    most_val: int = 60
    equal_face: float | None = None
    as_reals: bool = True
    matched: bool = False


TASKS = (
    Task(
        "StyleGAN2 against portraits",
        ("portraits", "stylegan2_faces"),
        ("StyleGAN family",),
        looks={"": 3, "StyleGAN family": 12},
        equal_face=PORTRAIT_FACE,
    ),
    Task(
        "StyleGAN2 against portraits, face size alone",
        ("portraits", "stylegan2_faces"),
        ("StyleGAN family",),
        looks={"": 3, "StyleGAN family": 12},
        equal_face=PORTRAIT_FACE,
        as_reals=False,
    ),
    Task(
        "OpenForensics",
        ("openforensics_faces",),
        ("OpenForensics",),
        matched=True,
        looks={"": 2, "OpenForensics": 2},
    ),
    Task(
        "synthetic faces",
        ("synthetic_faces",),
        ("StyleGAN family", "Stable Diffusion 2.1", "inswapper_128"),
        looks={"": 2, "StyleGAN family": 2, "Stable Diffusion 2.1": 4, "inswapper_128": 4},
        most=2000,
        most_tune=300,
        most_val=300,
    ),
    Task("DFDC", ("dfdc_faces",), ("DFDC",), looks={"": 2, "DFDC": 2}, most_tune=60),
)
ELSEWHERE = Task(
    "other real pictures",
    ("wild_reals", "composites", "openforensics_faces", "dfdc_faces"),
    (),
    looks={"": 2},
    most_tune=60,
)
"""Reals that only the exported classifier learns from."""
EXPORTED = ("StyleGAN family", "Stable Diffusion 2.1")
"""The kinds of fakes that the exported classifier learns: wholly generated faces."""
MADE_ALIKE = ("karan-monga+AI-Generated-Face-Detection-Evaluation", "gebaltso+SDFD")
"""Zips of further pictures of `synthetic_faces`, which are first given the size and JPEG quality of those in
that data set: 150 pictures that are in both come out the same to the bit."""
ALIKE_SIDE, ALIKE_QUALITY = 256, 88

MOST_PAIRS = {"train": 300, "tune": 100, SHARED: 100, "val": 150}
"""Pairs of a matched fold that are kept."""
LEFT_OUT = ("wild_reals", "portraits", "synthetic_faces", "openforensics_faces", "dfdc_faces", "composites")
"""Sources of real pictures for false alarms."""
LEFT_OUT_MOST = 60


def exported_tasks() -> tuple[Task, ...]:
    """Return the tasks that hold fakes of the `EXPORTED` kinds, made alike in full."""
    return tuple(task for task in TASKS if set(task.kinds) & set(EXPORTED) and task.as_reals)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, look, learn, measure, and export where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, nargs="+", required=True, help="zips or folders of zips")
    parser.add_argument("--faces", type=Path, required=True, help="folder of the face index")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tasks", nargs="*", help="parts of task names; all without")
    parser.add_argument("--most", type=int, help="items of each data set, kind and fold")
    parser.add_argument(
        "--network-data",
        type=Path,
        nargs="*",
        default=[],
        help="what a visual network was trained on, all of it: its tune fold is held out too",
    )
    parser.add_argument("--export", type=Path, help="write the classifier of all tasks here (.json)")
    parser.add_argument(
        "--network",
        type=Path,
        help="judge the pictures by this exported network; --network-data must then say what it learnt from",
    )
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    laboratory = Laboratory.open(given.dataset, given.faces, given.output, network_data=given.network_data)
    if given.export is not None:
        laboratory.export(given.export)
        return
    if given.network is not None and not given.network_data:
        parser.error("--network needs --network-data")
    network = None if given.network is None else VisualNetwork(given.network, threads=1)
    for task in TASKS:
        if given.tasks and not any(part.lower() in task.name.lower() for part in given.tasks):
            continue
        chosen = task if given.most is None else replace(task, most=given.most)
        results = laboratory.run(chosen) if network is None else laboratory.judge(chosen, network)
        for result in results:
            path = given.output / f"{_slug(result['task'] + ' ' + result['learnt'])}.json"
            path.write_text(json.dumps(result, indent=1) + "\n")
            sys.stdout.write(as_table(result) + "\n")
            sys.stdout.flush()


class Laboratory:
    """Items and their faces, and the folder in which looks are kept."""

    def __init__(self, items: Sequence[Item], faces: Faces, output: Path) -> None:
        self.items = [item for item in items if faces.get((item.path, item.member)) is not None]
        self.faces, self.output, self.pictures = faces, output, Pictures()
        self._portraits: list[tuple[float, int]] = []

    @classmethod
    def open(
        cls, datasets: Sequence[Path], faces: Path, output: Path, *, network_data: Sequence[Path] = ()
    ) -> Laboratory:
        """Read the manifests, cut *tune* from *train*, and read the face index, completing it where needed.

        What the training of a visual network on `network_data` sets aside as its own *tune* fold becomes
        the split `SHARED`, before anything else is cut.
        """
        archives = find_archives(datasets)
        items = hold_out(merge(read_zip(path) for path in archives), network_data)
        items = cut_tune(items, share=TUNE_SHARE)
        check_leaks(items)
        return cls(items, FaceIndex(faces).build(items, detector=Detector(threads=1)), output)

    def run(self, task: Task) -> Iterator[dict[str, Any]]:
        """Answer a task, for each kind of fake: AUC by condition, false alarms elsewhere, permuted labels."""
        chosen = self.chosen(task)
        train, tune = (self.looks(task, self.shots(task, chosen, fold), fold) for fold in ("train", "tune"))
        val = {name: self.looks(task, self.judged(chosen, name), f"val {name}") for name in CONDITIONS}
        elsewhere = {
            source: self.looks(task, self.reals_of(source), source).seen()
            for source in LEFT_OUT
            if source not in task.data_sets
        }
        for kind, learnt in itertools.product(task.kinds, LEARNT):
            of_kind = {name: looks.of(kind) for name, looks in val.items()}
            seen, tried = (LEARNT[learnt](looks.of(kind)) for looks in (train, tune))
            model, chosen_model, tune_auc = choose_model(seen, tried)
            threshold = float(np.quantile(model(tried.reals().features), 1 - FALSE_ALARMS))

            def alarms(looks: Looks, model: Model = model, limit: float = threshold) -> dict[str, Any]:
                return {"n": len(looks.fake), "share": float((model(looks.features) >= limit).mean())}

            yield {
                "task": task.name if len(task.kinds) == 1 else f"{task.name}, {kind}",
                "learnt": learnt,
                "model": chosen_model,
                "train": [int(seen.fake.sum()), int((~seen.fake).sum())],
                "tune": [int(tried.fake.sum()), int((~tried.fake).sum())],
                "tune_auc": tune_auc,
                "val": {name: figures(model, looks) for name, looks in of_kind.items()},
                "false_alarms": {
                    "val of this task": alarms(val["stored"].reals()),
                    **{source: alarms(looks) for source, looks in elsewhere.items()},
                },
                "permuted": permuted(seen, of_kind["stored"]),
            }

    def judge(self, task: Task, network: VisualNetwork) -> Iterator[dict[str, Any]]:
        """Ask a trained network instead: it learns nothing here, and its *tune* reals set the threshold."""
        chosen = self.chosen(task)
        fold = [shot for shot in self.judged(chosen, "stored", SHARED) if shot.item.label == "real"]
        if not fold:
            raise ValueError(f"{task.name}: the network's tune fold holds no real picture of this task")
        limit = float(np.quantile(self.logits(task, fold, network), 1 - FALSE_ALARMS))
        val = {name: self.judged(chosen, name) for name in CONDITIONS}
        seen = {name: self._by(network, task, shots) for name, shots in val.items()}
        elsewhere = {s: shots for s in LEFT_OUT if s not in task.data_sets and (shots := self.reals_of(s))}
        own = [shot for shot in val["stored"] if shot.item.label == "real"]

        def alarms(shots: Sequence[Shot]) -> dict[str, Any]:
            return {"n": len(shots), "share": float((self.logits(task, shots, network) >= limit).mean())}

        for kind in task.kinds:
            of_kind = {name: looks.of(kind) for name, looks in seen.items()}
            yield {
                "task": task.name if len(task.kinds) == 1 else f"{task.name}, {kind}",
                "learnt": f"by the network {network.card.name}",
                "model": network.card.sha256[:12],
                "train": [],
                "tune": [0, len(fold)],
                "tune_auc": {},
                "val": {name: figures(_only, looks) for name, looks in of_kind.items()},
                "false_alarms": {
                    "val of this task": alarms(own),
                    **{source: alarms(shots) for source, shots in elsewhere.items()},
                },
                "permuted": [],
            }

    def _by(self, network: VisualNetwork, task: Task, shots: Sequence[Shot]) -> Looks:
        values = expit(self.logits(task, shots, network))[:, None]
        kinds = np.array([shot.item.manipulation for shot in shots])
        return Looks(values, kinds, groups(shots), np.zeros(len(shots), bool))

    def logits(self, task: Task, shots: Sequence[Shot], network: VisualNetwork) -> np.ndarray:
        """Return a visual network's logits (N,) of shots, each judged as it is and mirrored."""

        def measure() -> np.ndarray:
            logits = []
            for source in self.sources(task, shots):
                pixels = network.crop(source.pixels, source.points)
                logits.append(network.infer(np.stack([pixels, pixels[:, ::-1]])).logits.mean())
            return np.array(logits, np.float64)

        return self.kept(task, shots, f"visual {network.card.sha256[:10]}", measure)

    def export(self, path: Path) -> None:
        """Fit one classifier on the looks of all tasks, measure it, and write it with its card.

        The fakes are those of `EXPORTED`. Every kind in every task counts alike and has weights of its own.
        C is the one with the best mean AUC over tasks and exported kinds on *tune*.
        """
        tasks = exported_tasks()
        chosen = {task: self.chosen(task) for task in (*tasks, ELSEWHERE)}
        folds = {
            fold: {
                task: self.looks(task, self.shots(task, items, fold), fold).generated()
                for task, items in chosen.items()
            }
            for fold in ("train", "tune")
        }
        train = Looks.joined([looks.seen().named(task.name) for task, looks in folds["train"].items()])
        weight = np.concatenate([looks.seen().weights() for looks in folds["train"].values()])
        models = {c: fit_linear(train, strength=c, weight=weight) for c in STRENGTHS}
        reached = {
            c: float(np.mean([auc(model, tune.of(k)) for tune in folds["tune"].values() for k in tune.kinds]))
            for c, model in models.items()
        }
        best = max(reached, key=lambda c: reached[c])
        sys.stdout.write(f"mean AUC on tune by C: {reached}\n")
        reals = Looks.joined([looks.reals() for looks in folds["tune"].values()])
        metrics = []
        for task, condition in itertools.product(tasks, CONDITIONS):
            val = self.looks(task, self.judged(chosen[task], condition), f"val {condition}").generated()
            for kind in val.kinds:
                metrics.append(_metric(task, kind, condition, figures(models[best], val.of(kind))))
        write(models[best], train, path, metrics)
        threshold = float(np.quantile(models[best](reals.features), 1 - FALSE_ALARMS))
        for source in LEFT_OUT:
            values = models[best](self.looks(ELSEWHERE, self.reals_of(source), source).seen().features)
            share = float((values >= threshold).mean())
            sys.stdout.write(f"{source}: {share:.2f} of {len(values)} real pictures of val called fake\n")

    def chosen(self, task: Task) -> list[Item]:
        """Return the items of a task, thinned, and matched in size where it asks for that."""
        most = {"train": task.most, "tune": task.most_tune, SHARED: task.most_tune, "val": task.most_val}
        counts: dict[tuple[str, ...], int] = {}
        kept = []
        for item in sorted(self.items, key=lambda i: zlib.crc32(f"{i.data_set}/{i.name}".encode())):
            if item.data_set not in task.data_sets or item.manipulation not in ("", *task.kinds):
                continue
            key = (item.data_set, item.manipulation, item.split)
            counts[key] = counts.get(key, 0) + 1
            if task.matched or counts[key] <= most[item.split]:
                kept.append(item)
        return self._matched(kept) if task.matched else kept

    def _matched(self, items: Sequence[Item]) -> list[Item]:
        """Keep of each fold pairs of a fake and a real whose faces differ by less than 3 % in width."""
        kept: list[Item] = []
        for fold in MOST_PAIRS:
            reals = [item for item in items if item.split == fold and item.label == "real"]
            widths = np.array([self._width(item) for item in reals])
            free = np.ones(len(reals), bool)
            for fake in (item for item in items if item.split == fold and item.label == "fake"):
                if (~free).sum() == MOST_PAIRS[fold]:
                    break
                off = np.where(free, np.abs(widths / self._width(fake) - 1), np.inf)
                best = int(off.argmin())
                if off[best] < 0.03:
                    free[best] = False
                    kept += [fake, reals[best]]
        return kept

    def _width(self, item: Item) -> float:
        face = self.faces[(item.path, item.member)]
        assert face is not None
        return native_side(face.points)

    def shots(self, task: Task, chosen: Sequence[Item], fold: str) -> list[Shot]:
        """Return the looks of *train* or *tune*: each item as stored, then randomly treated."""
        return [
            Shot(item, number, None if number else "stored")
            for item in chosen
            if item.split == fold
            for number in range(task.looks.get(item.manipulation, 1))
        ]

    def judged(self, chosen: Sequence[Item], condition: str, fold: str = "val") -> list[Shot]:
        """Return one look at each item of a fold under one condition."""
        return [Shot(item, 0, condition) for item in chosen if item.split == fold]

    def reals_of(self, source: str) -> list[Shot]:
        """Return looks at some real *val* pictures of a source, as stored."""
        reals = [i for i in self.items if i.data_set == source and i.label == "real" and i.split == "val"]
        return [Shot(item, 0, "stored") for item in reals[:LEFT_OUT_MOST]]

    def looks(self, task: Task, shots: Sequence[Shot], name: str) -> Looks:
        """Return the features of shots."""
        values = self.kept(task, shots, name, lambda: np.stack(list(self._look(task, shots))))
        kinds = np.array([shot.item.manipulation for shot in shots])
        return Looks(values, kinds, groups(shots), np.array([shot.condition is None for shot in shots]))

    def kept(
        self, task: Task, shots: Sequence[Shot], name: str, measure: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return what was measured of shots, from the output folder where that was done before."""
        key = json.dumps(
            [
                task.equal_face,
                task.as_reals,
                [(s.item.data_set, s.item.name, s.number, s.condition) for s in shots],
            ]
        )
        number = hashlib.sha256(key.encode()).hexdigest()[:10]
        path = self.output / f"looks-{_slug(f'{task.name} {name}')}-{number}.npz"
        if path.exists():
            return np.asarray(np.load(path)["features"])
        values = measure()
        np.savez(path, features=values)
        return values

    def sources(self, task: Task, shots: Sequence[Shot]) -> Iterator[Cut]:
        """Yield the face of each shot with its surroundings, treated."""
        last, source = None, None
        for count, shot in enumerate(shots):
            if shot.item is not last:
                last, source = shot.item, self._cut(shot.item)
            assert source is not None
            yield self._treated(task, source, shot)
            if count % 1000 == 999:
                sys.stderr.write(f"{task.name}: {count + 1} of {len(shots)}\n")

    def _look(self, task: Task, shots: Sequence[Shot]) -> Iterator[np.ndarray]:
        for source in self.sources(task, shots):
            values = look(source)
            yield NOTHING if values is None else values

    def _cut(self, item: Item) -> Cut:
        face = self.faces[(item.path, item.member)]
        assert face is not None
        pixels = self.pictures.read(item)
        if item.path.stem in MADE_ALIKE:
            factor = ALIKE_SIDE / max(face.size)
            whole = save(resize(Cut(pixels, face.points, 0.0), factor), ALIKE_QUALITY)
            pixels, (height, width) = whole.pixels, whole.pixels.shape[:2]
            face = IndexedFace(whole.points, face.box * factor, (width, height))
        return cut(pixels, face)

    def _treated(self, task: Task, source: Cut, shot: Shot) -> Cut:
        seed = zlib.crc32(f"{shot.item.data_set}/{shot.item.name}/{shot.number}".encode())
        random = np.random.default_rng(seed)
        if task.equal_face is not None:
            if task.as_reals and shot.item.data_set == "stylegan2_faces":
                face, quality = self._portrait(random)
                source = save(resize(source, face / source.box), quality)
            source = resize(source, task.equal_face / source.box)
            if shot.condition is not None:
                source = save(source, int(random.integers(80, 96)))
        if shot.condition is not None:
            return treat(source, CONDITIONS[shot.condition])
        return treat(source, random_treatment(random))

    def _portrait(self, random: np.random.Generator) -> tuple[float, int]:
        """Draw the face size of a training portrait, and the quality that it is stored with."""
        if not self._portraits:
            for item in self.items:
                face = self.faces[(item.path, item.member)]
                if item.data_set == "portraits" and item.split == "train" and face is not None:
                    quality = 80 if max(face.size) > 500 else 75
                    self._portraits.append((float(max(face.box[2:])), quality))
        return self._portraits[int(random.integers(len(self._portraits)))]


def hold_out(items: Sequence[Item], network_data: Sequence[Path]) -> list[Item]:
    """Mark as `SHARED` the groups that a visual network's training on these zips sets aside as *tune*."""
    if not network_data:
        return list(items)
    of_network = training_items(
        find_archives(network_data), tune_share=NETWORK_TUNE_SHARE, seed=NETWORK_TUNE_SEED
    )
    held = {(item.data_set, item.group) for item in of_network if item.split == "tune"}
    return [
        replace(item, split=SHARED) if item.split == "train" and (item.data_set, item.group) in held else item
        for item in items
    ]


def groups(shots: Sequence[Shot]) -> np.ndarray:
    """Return numbers (N,) of the groups that shots belong to."""
    return np.unique([f"{s.item.data_set}/{s.item.group}" for s in shots], return_inverse=True)[1]


def random_treatment(random: np.random.Generator) -> Treatment:
    """Draw a treatment for training: a third unscaled, a quarter not compressed again."""
    scale = 1.0 if random.random() < 1 / 3 else float(random.uniform(0.5, 1.0))
    last = () if random.random() < 0.25 else (int(random.integers(35, 96)),)
    return Treatment(scale=scale, last=last)


@dataclass(frozen=True)
class Looks:
    """What was seen.

    `features` (N, F), NaN where the face was too small; `kind` (N,): manipulations, "" for reals; `group`
    (N,); `treated` (N,) bool: not as stored.
    """

    features: np.ndarray
    kind: np.ndarray
    group: np.ndarray
    treated: np.ndarray

    @property
    def fake(self) -> np.ndarray:
        """(N,) bool."""
        return self.kind != ""

    @property
    def missing(self) -> np.ndarray:
        """(N,) bool: the face was too small."""
        return np.isnan(self.features[:, 0])

    def take(self, chosen: np.ndarray) -> Looks:
        """Return those that an (N,) mask names."""
        return Looks(self.features[chosen], self.kind[chosen], self.group[chosen], self.treated[chosen])

    def of(self, kind: str) -> Looks:
        """Return the reals and the fakes of one kind."""
        return self.take((self.kind == kind) | ~self.fake)

    @property
    def kinds(self) -> list[str]:
        """The manipulations of the fakes."""
        return sorted(set(self.kind) - {""})

    def named(self, task: str) -> Looks:
        """Return the same with the task's name before each kind, so that each has weights of its own."""
        kinds = [f"{task}, {kind}" if kind else "" for kind in self.kind]
        return replace(self, kind=np.array(kinds))

    def generated(self) -> Looks:
        """Return the reals and the fakes of the `EXPORTED` kinds."""
        return self.take(np.isin(self.kind, ("", *EXPORTED)))

    def as_stored(self) -> Looks:
        """Return the looks that could be looked at and were not treated."""
        return self.take(~self.missing & ~self.treated)

    def seen(self) -> Looks:
        """Return those that could be looked at."""
        return self.take(~self.missing)

    def weights(self) -> np.ndarray:
        """Return weights (N,) that sum to 1 for each kind, and for the reals to as much as all fakes."""
        kinds, index, count = np.unique(self.kind, return_inverse=True, return_counts=True)
        return np.asarray((np.where(kinds == "", max((kinds != "").sum(), 1), 1) / count)[index])

    @classmethod
    def joined(cls, parts: Sequence[Looks]) -> Looks:
        """Join looks of different pictures."""
        starts = np.cumsum([0, *(part.group.max() + 1 for part in parts)])
        return cls(
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.group + start for part, start in zip(parts, starts[:-1], strict=True)]),
            np.concatenate([part.treated for part in parts]),
        )

    def reals(self) -> Looks:
        """Return the reals that could be looked at."""
        return self.take(~self.fake & ~self.missing)


LEARNT: Mapping[str, Callable[[Looks], Looks]] = {"as stored": Looks.as_stored, "all looks": Looks.seen}
"""From which looks a model learns and is chosen: a linear one cannot be best on all at once."""

Model = Callable[[np.ndarray], np.ndarray]
"""Gives a score (N,), 0..1, of features (N, F)."""


@dataclass(frozen=True)
class Linear:
    """A linear model on standardised features (F,) cut off at `CLIP`: weights (K, F) and constants (K,) of
    the log-odds of each kind against real.
    """

    mean: np.ndarray
    deviation: np.ndarray
    kinds: tuple[str, ...]
    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return scores; a missing row scores by the constants alone."""
        standard = np.nan_to_num(np.clip((features - self.mean) / self.deviation, -CLIP, CLIP))
        standard = standard.astype(np.float64)
        log_odds = np.logaddexp.reduce(standard @ self.weights.T + self.bias, axis=1)
        return expit(np.clip(log_odds, -30, 30))


def fit_linear(looks: Looks, *, strength: float, weight: np.ndarray | None = None) -> Linear:
    """Fit logistic regression, multinomial over the kinds; `strength` is scikit-learn's C.

    `weight` (N,) says how much each look counts, by default as in `Looks.weights`; it is scaled so that
    reals and fakes count alike and the mean is 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, deviation = looks.features.mean(axis=0), looks.features.std(axis=0) + 1e-3
    standard = np.clip((looks.features - mean) / deviation, -CLIP, CLIP)
    weight = looks.weights() if weight is None else weight
    side = np.where(looks.fake, weight[looks.fake].sum(), weight[~looks.fake].sum())
    model = LogisticRegression(C=strength, max_iter=300)
    with warnings.catch_warnings():
        # Weak penalties are stopped early, which is one more choice of strength.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(standard, looks.kind, sample_weight=weight / side * (len(weight) / 2))
    weights, bias = model.coef_, model.intercept_
    if len(bias) > 1:  # the first class is "": real
        weights, bias = weights[1:] - weights[0], bias[1:] - bias[0]
    return Linear(mean, deviation, tuple(looks.kinds), weights, bias)


def choose_model(train: Looks, tune: Looks) -> tuple[Model, str, dict[str, float]]:
    """Fit a linear model on *train* for each strength and take the one with the best AUC on *tune*.

    All looks of *train* must have been possible.
    """
    models = {f"C {strength:g}": fit_linear(train, strength=strength) for strength in STRENGTHS}
    reached = {name: auc(model, tune) for name, model in models.items()}
    best = max(reached, key=lambda name: reached[name])
    return models[best], best, reached


def _only(features: np.ndarray) -> np.ndarray:
    """Return the one feature of each look."""
    return np.asarray(features[:, 0])


def _sample(model: Model, looks: Looks) -> Sample:
    scores = np.where(looks.missing, np.nan, model(looks.features))
    return Sample.of(looks.fake, scores, looks.group)


def auc(model: Model, looks: Looks) -> float:
    """Return the AUC; looks that were not possible count as mistakes."""
    sample = _sample(model, looks)
    return float(ranking_figures(sample, np.ones((1, len(sample))))["auc"][0])


def figures(model: Model, looks: Looks) -> dict[str, Any]:
    """Return the AUC with its 95 % interval over groups, the items, and those too small (as mistakes)."""
    found = with_intervals(_sample(model, looks), ranking_figures, draws=1000)["auc"]
    return {
        "auc": found.value,
        "interval": [found.low, found.high],
        "fakes": int(looks.fake.sum()),
        "reals": int((~looks.fake).sum()),
        "missing": int(looks.missing.sum()),
    }


def permuted(train: Looks, val: Looks, *, times: int = 3) -> list[float]:
    """Return the *val* AUC of linear models that learnt labels dealt out anew over groups."""
    reached = []
    for seed in range(times):
        random = np.random.default_rng(seed)
        _, first, place = np.unique(train.group, return_index=True, return_inverse=True)
        dealt = replace(train, kind=random.permutation(train.kind[first])[place])
        reached.append(auc(fit_linear(dealt, strength=1e-2), val))
    return reached


def _metric(task: Task, kind: str, condition: str, found: Mapping[str, Any]) -> Metric:
    low, high = found["interval"]
    return Metric(
        data_set=task.name,
        manipulation=kind,
        metric=f"auc ({condition})",
        value=round(found["auc"], 4),
        interval=(round(low, 4), round(high, 4)),
        n=found["fakes"] + found["reals"],
        command="python -m unmask.training.frequency --export",
    )


def write(model: Linear, train: Looks, path: Path, metrics: Sequence[Metric]) -> None:
    """Write a classifier with the band of the training reals' profiles, and its card."""
    profiles = train.reals().features[:, :RINGS]
    low, middle, high = np.percentile(profiles, [2.5, 50, 97.5], axis=0).round(3)
    stored = LinearWeights(
        names=NAMES,
        mean=_numbers(model.mean),
        deviation=_numbers(model.deviation),
        kinds=model.kinds,
        weights=tuple(map(_numbers, model.weights)),
        bias=_numbers(model.bias),
        clip=CLIP,
        band=Band(
            frequency=_numbers((np.arange(RINGS) + 0.5) * 0.5 / RINGS),
            low=_numbers(low),
            middle=_numbers(middle),
            high=_numbers(high),
            faces=len(profiles),
        ),
    )
    part = path.with_suffix(".part")
    part.write_text(stored.model_dump_json(by_alias=True, indent=1) + "\n")
    part.replace(path)
    card = Card(
        name=path.stem,
        file=path.name,
        architecture="logistic regression on block coefficients and triples of neighbouring steps",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence="Apache-2.0",
        outputs=["logit"],
        training_data=[
            f"{task.name} ({', '.join(task.data_sets)})" for task in (*exported_tasks(), ELSEWHERE)
        ],
        metrics=list(metrics),
    )
    write_card(card, path.parent)


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def as_table(result: Mapping[str, Any]) -> str:
    """Write a result as lines of Markdown."""
    reached = ", ".join(f"{name} {value:.3f}" for name, value in result["tune_auc"].items())
    title = f"{result['task']}, learnt {result['learnt']}: {result['model']}"
    lines = [title + (f" (AUC on tune: {reached}); trained on {result['train']}" if reached else "")]
    for name, found in result["val"].items():
        low, high = found["interval"]
        lines.append(
            f"| {name} | {found['auc']:.3f} ({low:.3f} to {high:.3f}) | {found['fakes']} + {found['reals']}"
            f" | {found['missing']} |"
        )
    shares = (
        f"{source} {found['share']:.2f} of {found['n']}" for source, found in result["false_alarms"].items()
    )
    lines.append("false alarms: " + "; ".join(shares))
    if result["permuted"]:
        lines.append("permuted labels: " + ", ".join(f"{value:.2f}" for value in result["permuted"]))
    return "\n".join(lines)


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())


if __name__ == "__main__":
    main()
