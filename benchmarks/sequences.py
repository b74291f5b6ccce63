"""Measures networks that look along time, and ways to combine frames, on clips that nobody trained on.

Run by hand; each part goes on where it was stopped, and everything is kept under WORK by the sha256 of the
frame network, so that another network is measured by giving `run` again:
    python benchmarks/sequences.py films DATASETS WORK     # tune stills, filmed and cut, for learned pooling
    unmask prepare clips CLIPS --split open --frames 240 --output WORK/open
    python benchmarks/sequences.py run WORK                # features, networks, tables
DATASETS are the folders of zips that the frame network was trained on (their *tune* fold is cut anew).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unmask.data.cut import Settings
from unmask.data.manifest import cut_tune, merge, read_zip, thin
from unmask.data.motion import film
from unmask.data.pairs import Pictures
from unmask.data.prepare import prepare
from unmask.data.registry import load
from unmask.data.sequences import FaceSequence, FrameFeatures, read_sequences
from unmask.data.store import archives_at
from unmask.evaluation.metrics import Sample, group_weights, ranking_figures
from unmask.models.sequences import architecture
from unmask.runtime.card import load_card
from unmask.runtime.network import VisualNetwork
from unmask.signals.logistic import expit
from unmask.training.archives import find_archives
from unmask.training.sequences import FRAME_NETWORK, run
from unmask.verdict.aggregate import AGGREGATIONS

TUNE_SHARE = 0.06
RECIPE = {
    "splits": ["open"], "folds": 5, "length": 12, "steps": 60, "batch_size": 16, "evaluate_every": 60,
    "learning_rate": 1e-3, "threads": 1,
}  # fmt: skip
HEADS = ("lstm", "gru", "temporal_transformer")
PERMUTED = "temporal_transformer"
"""The network that is also trained on shuffled labels."""
SELF_BLENDS = 6
SMALL_VIDEO = {"size": 64, "length": 8, "steps": 60, "batch_size": 8, "learning_rate": 1e-3}
"""All of the 3-D networks that two shared cores allow."""
VIDEO: dict[str, dict] = {"x3d_s": {}, "r2plus1d_18": {"steps": 30, "batch_size": 6}}
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LIVE = "DeepFaceLive"
DRAWS = 2000


@dataclass(frozen=True)
class Scored:
    """Clips with a score each: `fake` (n,) bool, `score` (n,), `group` and `clip` (n,) names."""

    fake: np.ndarray
    score: np.ndarray
    group: np.ndarray
    clip: np.ndarray

    def take(self, chosen: np.ndarray) -> Scored:
        """Return the clips that a mask names."""
        return Scored(self.fake[chosen], self.score[chosen], self.group[chosen], self.clip[chosen])

    @property
    def live(self) -> Scored:
        """The DeepFaceLive pairs alone."""
        return self.take(np.char.startswith(self.clip, "dfl_"))

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUC for (draws, n) weights of the clips."""
        sample = Sample.of(self.fake, expit(self.score), self.group)
        return ranking_figures(sample, weights)["auc"]

    def pairs_in_order(self) -> str:
        """Return in how many real-fake pairs of one footage the fake scores higher."""
        score = dict(zip(self.clip, self.score, strict=True))
        reals = [c for c in self.clip if c.endswith("_real") and c.removesuffix("real") + "fake" in score]
        right = sum(score[c.removesuffix("real") + "fake"] > score[c] for c in reals)
        return f"{right} of {len(reals)}"


def weights_of(scored: Scored) -> np.ndarray:
    """Draw groups with replacement, the same for all scores of the same clips; the first row is all ones."""
    index = np.unique(scored.group, return_inverse=True)[1]
    drawn = group_weights(index, draws=DRAWS, generator=np.random.default_rng(0))
    return np.concatenate([np.ones((1, len(index))), drawn])


def figure(values: np.ndarray) -> str:
    """Write the first value with the 95 % interval of the others."""
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return f"{values[0]:.2f} ({low:.2f}, {high:.2f})"


def table_row(name: str, scored: Scored, beside: Scored | None = None) -> str:
    """Return one row: AUC of all clips and of the pairs, and by how much it exceeds another score's."""
    cells = [name]
    parts = ((scored, beside), (scored.live, beside.live if beside else None))
    for own, other in parts:
        weights = weights_of(own)
        aucs = own.auc(weights)
        cells += [figure(aucs), figure(aucs - other.auc(weights)) if other else ""]
    return "| " + " | ".join([*cells, scored.pairs_in_order()]) + " |"


HEADER = (
    "| score | all clips: AUC | less the frames' mean | DeepFaceLive: AUC | less the frames' mean | pairs in "
    "order |\n|---|---|---|---|---|---|"
)


def films(datasets: Sequence[Path], work: Path, *, each: int) -> None:
    """Film *tune* stills, at most `each` of a data set and manipulation, and cut them into a store."""
    items = cut_tune(merge(map(read_zip, find_archives(datasets))), share=TUNE_SHARE)
    tune = thin([item for item in items if item.split == "tune"], each, seed=0)
    folder = work / "film_files"
    folder.mkdir(parents=True, exist_ok=True)
    pictures, lines = Pictures(), []
    for number, item in enumerate(tune):
        path = folder / f"{number:04d}.mp4"
        if not path.exists():
            part = path.with_suffix(".part.mp4")
            film(pictures.read(item), part, np.random.default_rng((0, number)))
            part.rename(path)
        group = f"{item.data_set}:{item.group}".replace(",", " ")
        lines.append(",".join((path.name, item.label, group, item.manipulation.replace(",", " "), "tune")))
    (folder / "list.csv").write_text("\n".join(["path,label,group,manipulation,split", *lines]) + "\n")
    prepare(load("list", folder / "list.csv"), work / "films", Settings(frames=20))
    print(f"{len(tune)} films")


def held_out(path: Path, column: str) -> Scored:
    """Read a run's answers to clips whose group was held out."""
    with (path / "held_out.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["clip"])
    return Scored(
        np.array([row["label"] == "fake" for row in rows]),
        np.array([float(row[column]) for row in rows]),
        np.array([row["group"] for row in rows]),
        np.array([row["clip"] for row in rows]),
    )


def answers(work: Path, folder: Path, settings: dict) -> Scored:
    """Return a run's answers to held-out clips; it is trained unless it has been."""
    if not (folder / "best.safetensors").exists():
        run(RECIPE | settings, [work / "open"], folder, report=lambda line: None)
    return held_out(folder, "logit")


def sequences_at(store: Path) -> list[FaceSequence]:
    """Return a store's sequences."""
    return sorted((s for path in archives_at(store) for s in read_sequences(path)), key=lambda s: s.clip)


def combined(
    sequences: Sequence[FaceSequence], frames: FrameFeatures, combine: Callable[[np.ndarray], float]
) -> Scored:
    """Return the clips' scores by a way to combine the frames' logits."""
    return Scored(
        np.array([s.fake for s in sequences]),
        np.array([combine(frames.of(s).frame_logits) for s in sequences]),
        np.array([s.group for s in sequences]),
        np.array([s.clip for s in sequences]),
    )


def quantiles(logits: np.ndarray) -> np.ndarray:
    """Return what learned pooling looks at."""
    return np.quantile(logits, QUANTILES)


def learned_pooling(
    sequences: Sequence[FaceSequence], frames: FrameFeatures
) -> Callable[[np.ndarray], float]:
    """Fit a logistic regression on quantiles of the frame logits of filmed stills."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(
        np.stack([quantiles(frames.of(s).frame_logits) for s in sequences]), [s.fake for s in sequences]
    )
    steps = dict(zip(QUANTILES, model[-1].coef_[0] / model[0].scale_, strict=True))
    print("learned pooling:", ", ".join(f"{q:.0%} {c:+.2f}" for q, c in steps.items()))
    return lambda logits: float(model.decision_function(quantiles(logits)[None])[0])


def compare_pooling(work: Path, frames: FrameFeatures) -> None:
    """Compare ways to combine the logits of frames, on `open` clips and on the films."""
    clips = sequences_at(work / "open")
    ways: dict[str, Callable[[np.ndarray], float]] = dict(AGGREGATIONS)
    if (work / "films").exists():
        filmed = sequences_at(work / "films")
        ways["learned"] = learned_pooling(filmed, frames)
        for name, way in ways.items():
            scored = combined(filmed, frames, way)
            print(f"{len(filmed)} films, {name}: {figure(scored.auc(weights_of(scored)))}", flush=True)
    beside = combined(clips, frames, ways["mean"])
    print(HEADER)
    for name, way in ways.items():
        scored = combined(clips, frames, way)
        print(table_row(name, scored, None if name == "mean" else beside), flush=True)


def compare_networks(work: Path, place: Path, *, permutations: int, video: bool) -> None:
    """Train every network on folds of the clips and print how it answers those held out."""
    runs: dict[str, dict] = {name: {"model": name} for name in HEADS}
    for name in HEADS:
        runs[f"{name}, self-blends"] = {"model": name, "self_blends": SELF_BLENDS}
        if architecture(name).motion:
            runs[f"{name}, motion"] = {"model": name, "motion": True}
            runs[f"{name}, motion, self-blends"] = runs[f"{name}, motion"] | {"self_blends": SELF_BLENDS}
    if video:
        for name, shorter in VIDEO.items():
            runs[f"{name}, small"] = {"model": name, "self_blends": 1, **SMALL_VIDEO, **shorter}
    beside = None
    print(HEADER)
    for name, settings in runs.items():
        folder = place / name.replace(", ", "-")
        scored = answers(work, folder, settings)
        if beside is None:
            beside = held_out(folder, "frames_logit")
            print(table_row("mean of the frames", beside))
        print(table_row(name, scored, beside), flush=True)
    aucs = []
    for seed in range(1, permutations + 1):
        settings = {"model": PERMUTED, "permute_labels": True, "seed": seed}
        scored = answers(work, place / f"{PERMUTED}-permuted-{seed}", settings)
        aucs.append(float(scored.auc(np.ones((1, len(scored.fake))))[0]))
    if aucs:
        print(f"{PERMUTED}, labels shuffled {len(aucs)} times: AUC", ", ".join(f"{auc:.2f}" for auc in aucs))


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    filming = parts.add_parser("films")
    filming.add_argument("datasets", type=Path, nargs="+")
    filming.add_argument("work", type=Path)
    filming.add_argument("--each", type=int, default=20, help="films of a data set and manipulation")
    running = parts.add_parser("run")
    running.add_argument("work", type=Path)
    running.add_argument("--network", type=Path, default=FRAME_NETWORK)
    running.add_argument("--permutations", type=int, default=5)
    running.add_argument("--video", action="store_true", help="train the 3-D networks too, on small clips")
    given = parser.parse_args()
    if given.part == "films":
        films(given.datasets, given.work, each=given.each)
        return
    sha256 = load_card(given.network).sha256
    print(f"frame network {sha256}")
    place = given.work / sha256[:12]
    RECIPE["frame_network"] = str(given.network)
    compare_pooling(given.work, FrameFeatures(VisualNetwork(given.network, threads=1), place / "features"))
    compare_networks(given.work, place, permutations=given.permutations, video=given.video)


if __name__ == "__main__":
    main()
