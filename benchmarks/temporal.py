"""Measures the `temporal` analyser on clips manipulated for known stretches, and on untouched ones.

Run by hand:
    python benchmarks/temporal.py make CLIPS WORK      # clips from real `open` and `train` ones, analysed
    python benchmarks/temporal.py report WORK          # thresholds from some groups, figures on the others
    python benchmarks/temporal.py report WORK --product          # those of the product, on all groups
`make --split frozen` takes the clips that nothing was chosen on.
CLIPS is a folder with `labels.csv` (file, label, group, split); WORK, outside the repository, keeps results.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import av
import cv2
import numpy as np
from manipulate import KINDS, Clip, load, manipulate, write

from unmask.evidence.registry import ANALYSERS, Registration
from unmask.evidence.temporal import THRESHOLDS, Follower, Temporal, level_of, wide_crop
from unmask.evidence.visual import refusal
from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.media.events import Frame
from unmask.pipeline import analyse
from unmask.signals import incoherence
from unmask.signals.change import overlap
from unmask.signals.flicker import flicker_over_time
from unmask.signals.incoherence import Step, Thresholds, excess, findings


def rows(clips: Path, splits: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the labelled clips of the given splits."""
    with (clips / "labels.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] in splits]


def seconds(path: Path) -> float:
    """Return the duration that a clip states."""
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def make(clips: Path, work: Path, splits: tuple[str, ...]) -> None:
    """Write the untouched and manipulated versions of the longest real clip of each group."""
    detector = Detector(threads=1)
    chosen: dict[str, str] = {}
    reals = [row for row in rows(clips, splits) if row["label"] == "real"]
    for row in sorted(reals, key=lambda row: seconds(clips / row["file"])):
        chosen[row["group"]] = row["file"]
    known = work / "truth.json"
    truth: list[dict] = json.loads(known.read_text()) if known.exists() else []
    done = {item["group"] for item in truth}
    if truth:
        measure(work)
    donor: Clip | None = None
    # quiet portraits, scenes and screen recordings by turns; the first clip only serves as the first donor
    for group in sorted(chosen, key=lambda group: zlib.crc32(group.encode())):
        clip = load(clips / chosen[group], detector)
        if clip is None or clip.times[-1] < 5.0:
            print(f"{group}: left out (short, or no face throughout)", flush=True)
            continue
        if donor is not None and group not in done:
            truth += versions(group, clip, donor, work)
            known.write_text(json.dumps(truth, indent=1))
            print(f"{group}: {len(clip.frames)} frames at {float(clip.rate):.2f}", flush=True)
            measure(work)
        donor = clip


def versions(group: str, clip: Clip, donor: Clip, work: Path) -> list[dict]:
    """Write one clip untouched and manipulated in each way; return what is true of each."""
    write(work / f"{group}_untouched.mp4", clip.frames, clip.rate)
    truth = [{"file": f"{group}_untouched.mp4", "group": group, "kind": "untouched", "stretch": None}]
    for kind in KINDS:
        frames, span = manipulate(kind, group, clip, donor)
        write(work / f"{group}_{kind}.mp4", frames, clip.rate)
        truth.append({"file": f"{group}_{kind}.mp4", "group": group, "kind": kind, "stretch": span})
    return truth


class Recorder(Temporal):
    """The analyser, keeping the small pictures that it sees, so that thresholds can be chosen afterwards."""

    kept: ClassVar[dict[int, list[tuple[float, np.ndarray]]]] = {}

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Keep the wide crop of each face."""
        for face in faces:
            if frame.time is not None and refusal(face) is None:
                crop = wide_crop(frame.pixels, face.detection.points)
                self.kept.setdefault(face.track, []).append((frame.time, crop))


def recorded(path: Path, *, end: float | None = None) -> dict[int, list[tuple[float, np.ndarray]]]:
    """Return the wide crops of a file by track, as the analyser sees them."""
    Recorder.kept = {}
    usual = ANALYSERS["temporal"]
    ANALYSERS["temporal"] = Registration(f"{__name__}:Recorder")
    try:
        analyse(path, analysers=["temporal"], threads=1, end=end)
    finally:
        ANALYSERS["temporal"] = usual
    return Recorder.kept


def measure(work: Path) -> None:
    """Analyse every clip of WORK that has not been analysed."""
    for item in json.loads((work / "truth.json").read_text()):
        store = work / f"{item['file']}.crops"
        if not store.exists():
            kept = recorded(work / item["file"])
            store.write_bytes(pickle.dumps(kept))
            print(item["file"], {track: len(seen) for track, seen in kept.items()}, flush=True)


class Quick(Follower):
    """A follower without optical flow, which takes no part in finding stretches."""

    def _compare(self, look: object) -> None:
        """Leave it out."""


@dataclass(frozen=True)
class Case:
    """One clip: what is true, and what was measured of its longest track."""

    group: str
    kind: str
    stretch: tuple[float, float] | None
    moments: dict[str, np.ndarray]
    steps: list[Step]

    def judged(self, limits: Thresholds) -> tuple[float, list[tuple[float, float]]]:
        """Return the strongest finding or excess, and the stretches found."""
        names = ("strange", "step", "brightness", "surroundings")
        measured = excess(
            self.moments["time"], thresholds=limits, **{name: self.moments[name] for name in names}
        )
        found = findings(self.moments["time"], measured, self.steps, limits)
        level = level_of(self.moments["time"], measured, found)
        return float(level.max()), [(f.start, f.end) for f in found]


def cases(work: Path) -> list[Case]:
    """Let followers see what was recorded."""
    result = []
    for item in json.loads((work / "truth.json").read_text()):
        store = work / f"{item['file']}.crops"
        if not store.exists():
            continue
        kept = pickle.loads(store.read_bytes())
        follower = Quick()
        for time, crop in max(kept.values(), key=len):
            follower.see(time, crop)
        stretch = None if item["stretch"] is None else tuple(item["stretch"])
        moments = follower.moments()
        result.append(Case(item["group"], item["kind"], stretch, moments, follower.steps(moments)))
    return result


_spectra: dict[tuple[bytes, bytes], tuple[np.ndarray, np.ndarray]] = {}


def remembered_flicker(times: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do as `flicker_over_time`, once for the same series: the grid asks for it many times."""
    key = (times.tobytes(), values.tobytes())
    if key not in _spectra:
        _spectra[key] = flicker_over_time(times, values)
    return _spectra[key]


GRID = {
    "step": (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0),
    "strange": (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0),
    "flicker": (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0),
}


def utility(known: list[Case], limits: Thresholds) -> float:
    """Return the mean overlap with the truth; untouched clips, where nothing is to be found, weigh half."""
    values: dict[str, list[float]] = {}
    for case in known:
        _, found = case.judged(limits)
        values.setdefault(case.kind, []).append(overlap(found, [case.stretch] if case.stretch else []))
    manipulated = np.mean([np.mean(v) for kind, v in values.items() if kind != "untouched"])
    return float(manipulated + np.mean(values["untouched"])) / 2


def choose(known: list[Case]) -> Thresholds:
    """Choose each threshold in turn; among equally good ones the middle."""
    limits = Thresholds()
    for name, values in GRID.items():
        scores = [utility(known, replace(limits, **{name: value})) for value in values]
        best = [v for v, s in zip(values, scores, strict=True) if s >= max(scores) - 1e-9]
        limits = replace(limits, **{name: best[len(best) // 2]})
    return limits


def interval(values: dict[str, list], statistic: Callable[[list], float]) -> tuple[float, float, float]:
    """Return a statistic of values by group and its 95 % bootstrap interval over the groups."""
    rng = np.random.default_rng(0)
    groups = list(values)
    draws = []
    for _ in range(1000):
        drawn = [value for g in rng.integers(len(groups), size=len(groups)) for value in values[groups[g]]]
        draws.append(statistic(drawn))
    whole = statistic([value for group in groups for value in values[group]])
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    return whole, float(low), float(high)


def area(pairs: list[tuple[int, float]]) -> float:
    """Return the AUC of (label, score) pairs; NaN where a class is missing."""
    from sklearn.metrics import roc_auc_score

    labels = [label for label, _ in pairs]
    return float(roc_auc_score(labels, [s for _, s in pairs])) if 0 < sum(labels) < len(labels) else np.nan


def mean(values: list) -> float:
    """Return the mean."""
    return float(np.mean(values))


def written(values: tuple[float, float, float]) -> str:
    """Write a figure with its interval."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(*values)


def report(work: Path, *, product: bool) -> None:
    """Choose thresholds on one half of the groups and judge the other, both ways; or use the product's."""
    incoherence.flicker_over_time = remembered_flicker  # type: ignore[assignment]
    known = cases(work)
    groups = sorted({case.group for case in known}, key=lambda group: zlib.crc32(group.encode()))
    judged: list[tuple[Case, float, float]] = []
    for fold in (0, 1):
        others = set(groups[1 - fold :: 2])
        limits = THRESHOLDS if product else choose([case for case in known if case.group in others])
        print("thresholds of the product" if product else f"thresholds from {len(others)} groups: {limits}")
        for case in known:
            if case.group not in others:
                strength, found = case.judged(limits)
                true = [case.stretch] if case.stretch else []
                judged.append((case, strength, overlap(found, true)))
    if not product:
        print(f"thresholds from all {len(groups)} groups: {choose(known)}")
    clean = {g: [o for c, _, o in judged if c.group == g and c.kind == "untouched"] for g in groups}
    print("untouched clips without a stretch:", written(interval(clean, mean)))
    for kind in (*KINDS, "all"):
        chosen = [one for one in judged if one[0].kind in (KINDS if kind == "all" else (kind,))]
        beside = [one for one in judged if one[0].kind == "untouched"]
        ious = {g: [o for c, _, o in chosen if c.group == g] for g in groups}
        pairs = {
            g: [(int(c.kind != "untouched"), s) for c, s, _ in (*beside, *chosen) if c.group == g]
            for g in groups
        }
        print(
            f"{kind}: {len(chosen)} clips, overlap {written(interval(ious, mean))},",
            f"0.7 or more in {mean([o >= 0.7 for _, _, o in chosen]):.2f},",
            f"AUC {written(interval(pairs, area))}",
        )
    for case, strength, share in judged:
        print(f"  {case.group} {case.kind} strength {strength:.2f} overlap {share:.2f}")


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for part, folders in {"make": ["clips", "work"], "report": ["work"]}.items():
        one = parts.add_parser(part)
        for folder in folders:
            one.add_argument(folder, type=Path)
        if part == "make":
            one.add_argument("--split", nargs="+", default=["open", "train"])
        else:
            one.add_argument("--product", action="store_true")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if given.part == "make":
        make(given.clips, given.work, tuple(given.split))
    elif given.part == "report":
        report(given.work, product=given.product)


if __name__ == "__main__":
    main()
