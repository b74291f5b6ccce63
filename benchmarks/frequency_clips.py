"""Asks whether frequency features of frames tell fake clips from real ones, on clips and on matched pairs.

Run by hand (see docs/experiments/frequency.md):

python benchmarks/frequency_clips.py measure CLIPS CACHE   a frame a second of the `open` clips; resumable
python benchmarks/frequency_clips.py judge CLIPS CACHE     the embedded classifier, and one learnt from clips
python benchmarks/frequency_clips.py judge CLIPS CACHE --network FILE    beside a visual network

Each frame is looked at as decoded, after JPEG 70 and 40, and at half size, by the code that looks at pictures
(`unmask.training.frequency`). The main face is the one seen largest. Learnt from clips: logistic regression
on the frames of other groups, C as the embedded classifier's, never tuned here; a clip's score is the mean
log-odds of its frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from biological import Clip, auc, auc_with_interval, clips_of, family_of, length_of

from unmask.data.index import IndexedFace
from unmask.data.shots import cut, look, treat
from unmask.evidence.frequency import MODEL
from unmask.faces.detect import Detector
from unmask.faces.landmarks import Landmarker
from unmask.faces.track import Tracker
from unmask.media.events import Cut, Frame
from unmask.media.reader import read
from unmask.pipeline import analyse
from unmask.runtime.linear import LinearClassifier
from unmask.signals.features import NAMES
from unmask.training.frequency import CONDITIONS, NOTHING, Looks, fit_linear

STRENGTH = 0.01
MOST = 20
"""Frames of a clip that are looked at."""
PERMUTATIONS = 5


@dataclass(frozen=True)
class Case:
    """One measured clip: `features` (N, conditions, F), NaN where the face was too small."""

    clip: Clip
    features: np.ndarray
    visual: float = np.nan

    @property
    def fake(self) -> int:
        """1 for a fake, 0 for a real clip."""
        return int(self.clip.label == "fake")

    @property
    def pair(self) -> str:
        """The name that both halves of a matched pair share, "" without one."""
        return "|".join(sorted([self.clip.file, self.clip.partner])) if self.clip.partner else ""

    def seen(self, condition: int) -> np.ndarray:
        """Return the features (n, F) of the frames that could be looked at under a condition."""
        values = self.features[:, condition]
        return values[~np.isnan(values[:, 0])]


def measure(folder: Path, cache: Path) -> None:
    """Look at a frame a second of every labelled `open` clip, both halves of a pair over the same seconds."""
    cache.mkdir(parents=True, exist_ok=True)
    tracker = Tracker(Detector(threads=1), Landmarker(threads=1))
    for clip in clips_of(folder, "open"):
        done = cache / f"{clip.file}.npz"
        if done.exists() or clip.label not in ("real", "fake"):
            continue
        end = None
        if clip.partner:
            end = min(length_of(folder / clip.file), length_of(folder / clip.partner))
        tracker.cut()
        rows = []
        for event in read(folder / clip.file, rate=1.0, end=end):
            if isinstance(event, Cut):
                tracker.cut()
            if not isinstance(event, Frame) or len(rows) == MOST:
                continue
            faces = tracker.update(event)
            if not faces:
                continue
            main = max(faces, key=lambda face: face.detection.box[2] * face.detection.box[3]).detection
            height, width = event.pixels.shape[:2]
            source = cut(event.pixels, IndexedFace(main.points, main.box, (width, height)))
            looks = [look(treat(source, treatment)) for treatment in CONDITIONS.values()]
            rows.append(np.stack([NOTHING if values is None else values for values in looks]))
        np.savez(done, features=np.array(rows).reshape(-1, len(CONDITIONS), len(NAMES)))
        print(clip.file, len(rows), flush=True)


def cases(folder: Path, cache: Path, network: Path | None) -> list[Case]:
    """Return the measured clips, with a visual network's logits where one is given."""
    result = []
    for clip in clips_of(folder, "open"):
        done = cache / f"{clip.file}.npz"
        if not done.exists():
            continue
        case = Case(clip, np.load(done)["features"])
        if network is not None:
            report = analyse(folder / clip.file, analysers=["visual"], model=network)
            main = max(report.faces, key=lambda person: sum(len(track.boxes) for track in person.tracks))
            found = main.evidence["visual"].measurements
            case = replace(case, visual=float(found["logit"].value) if "logit" in found else 0.0)
        result.append(case)
    return result


def embedded(known: Sequence[Case], condition: int) -> np.ndarray:
    """Return the mean logits (N,) of the embedded classifier; 0 where no face was large enough."""
    classifier = LinearClassifier(MODEL, NAMES)
    return np.array([_mean(classifier.logits(case.seen(condition))) for case in known])


def learnt(known: Sequence[Case], asked: Sequence[Case], labels: np.ndarray, *, families: bool) -> np.ndarray:
    """Return log-odds (N, conditions) of `asked` by classifiers that know no clip of its group.

    `labels` are those of `known`, 0 or 1; with `families` they know none of its family of manipulation.
    """
    scores = np.zeros((len(asked), len(CONDITIONS)))
    keys = [(c.clip.group, family_of(c.clip.origin) if families else "") for c in asked]
    for key in sorted(set(keys)):
        rest = [
            (case, label)
            for case, label in zip(known, labels, strict=True)
            if case.clip.group != key[0] and (not families or family_of(case.clip.origin) != key[1])
        ]
        rows = [
            (case.seen(c), label, n) for n, (case, label) in enumerate(rest) for c in range(len(CONDITIONS))
        ]
        counts = [len(values) for values, _, _ in rows]
        looks = Looks(
            np.concatenate([values for values, _, _ in rows]),
            np.repeat(["fake" if label else "" for _, label, _ in rows], counts),
            np.repeat([n for _, _, n in rows], counts),
            np.zeros(sum(counts), bool),
        )
        model = fit_linear(looks, strength=STRENGTH)
        for at, case in enumerate(asked):
            if keys[at] == key:
                for c in range(len(CONDITIONS)):
                    odds = model(case.seen(c)) if len(case.seen(c)) else np.zeros(0)
                    odds = np.clip(odds, 1e-9, 1 - 1e-9)
                    scores[at, c] = _mean(np.log(odds / (1 - odds)))
    return scores


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def judge(known: Sequence[Case], *, visual: bool) -> None:
    """Print how well clips and pairs are told apart under each condition."""
    pairs = [case for case in known if case.pair]
    names = list(CONDITIONS)
    print(f"| question | clips, groups | {' | '.join(names)} | pairs right | permuted labels |")
    print("|" + "---|" * (len(names) + 4))
    truth = np.array([case.fake for case in known])
    of_pairs = np.array([case.fake for case in pairs])
    questions = (
        ("embedded classifier, all", known, None, False),
        ("embedded classifier, pairs", pairs, None, False),
        ("learnt from clips, all", known, (known, truth), False),
        ("learnt from clips, pairs", pairs, (known, truth), False),
        ("learnt from clips, pairs, family left out too", pairs, (known, truth), True),
        ("learnt from pairs, pairs", pairs, (pairs, of_pairs), False),
    )
    for name, asked, source, families in questions:
        target = np.array([case.fake for case in asked])
        groups = [case.clip.group for case in asked]
        chance = "-"
        if source is None:
            scores = np.stack([embedded(asked, c) for c in range(len(names))], axis=1)
        else:
            scores = learnt(source[0], asked, source[1], families=families)
            drawn = [
                auc(target, learnt(source[0], asked, dealt(source[0], seed), families=families)[:, 0])
                for seed in range(PERMUTATIONS)
            ]
            chance = f"{np.mean(drawn):.2f} ({min(drawn):.2f} to {max(drawn):.2f})"
        cells = [said(auc_with_interval(target, scores[:, c], groups)) for c in range(len(names))]
        print(
            f"| {name} | {len(asked)}, {len(set(groups))} | {' | '.join(cells)} | "
            f"{ordered(asked, scores[:, 0])} | {chance} |",
            flush=True,
        )
        if visual:
            base = np.array([case.visual for case in asked])
            fused = [base / base.std() + scores[:, c] / scores[:, c].std() for c in range(len(names))]
            gains = [said(auc_with_interval(target, both, groups, base), sign=True) for both in fused]
            alone = said(auc_with_interval(target, base, groups))
            print(
                f"| the same, gain over the visual network ({alone}) | | {' | '.join(gains)} | | |",
                flush=True,
            )


def dealt(known: Sequence[Case], seed: int) -> np.ndarray:
    """Return labels dealt out anew: halves of a pair change places by a coin, all others are shuffled."""
    random = np.random.default_rng(seed)
    labels = np.array([case.fake for case in known])
    alone = np.flatnonzero([not case.pair for case in known])
    labels[alone] = random.permutation(labels[alone])
    for pair in sorted({case.pair for case in known if case.pair}):
        if random.random() < 0.5:
            both = np.flatnonzero([case.pair == pair for case in known])
            labels[both] = 1 - labels[both]
    return labels


def ordered(asked: Sequence[Case], scores: np.ndarray) -> str:
    """Return in how many pairs the fake scores above its real."""
    found = {case.clip.file: score for case, score in zip(asked, scores, strict=True)}
    fakes = [case for case in asked if case.pair and case.fake]
    if len(fakes) * 2 != len(asked):
        return "-"
    right = sum(found[case.clip.file] > found[case.clip.partner] for case in fakes)
    return f"{right} of {len(fakes)}"


def said(figure: tuple[float, float, float], *, sign: bool = False) -> str:
    """Write a figure with its interval."""
    one = "+.2f" if sign else ".2f"
    return f"{figure[0]:{one}} ({figure[1]:{one}} to {figure[2]:{one}})"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "judge"):
        sub = commands.add_parser(name)
        sub.add_argument("clips", type=Path)
        sub.add_argument("cache", type=Path)
    sub.add_argument("--network", type=Path, help="a visual network to stand beside")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.clips, given.cache)
    else:
        judge(cases(given.clips, given.cache, given.network), visual=given.network is not None)


if __name__ == "__main__":
    main()
