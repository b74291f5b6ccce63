"""Asks whether the temporal measurements of a clip tell fakes from reals, on clips and on matched pairs.

Run by hand (see docs/experiments/temporal.md):

python benchmarks/temporal_clips.py measure CLIPS CACHE   every frame of the `open` clips; resumable
python benchmarks/temporal_clips.py judge CACHE           the classifier, on held-out groups and matched pairs
python benchmarks/temporal_clips.py judge CACHE --clips CLIPS --network FILE    beside another visual network
python benchmarks/temporal_clips.py frozen CLIPS CACHE    at the end, once: measures `frozen` and judges it

The classifier and the questions are those of `biological.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from biological import Case, clips_of, family_of, length_of, print_differences, row

from unmask.pipeline import analyse
from unmask.report.schema import Person


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-4)))


def _same(value: float) -> float:
    return value


MEASUREMENTS: dict[str, Callable[[float], float]] = {
    "largest step": _log,
    "strangest frame": _log,
    "flicker": _log,
    "wander of light": _log,
    "light agrees with surroundings": _same,
    "detail against surroundings": _same,
    "warping error": _log,
    "warping error against surroundings": _same,
    "round trip error": _log,
    "slip against surroundings": _log,
    "growth against surroundings": _log,
    "mouth speed": _log,
    "mouth jerkiness": _log,
    "mouth at rest": _same,
    "eyes speed": _log,
    "eyes jerkiness": _log,
    "eyes at rest": _same,
}
"""The classifier's input and its scale, fixed before any of it was compared with a label.

Left out: what grows with the length, and the frequency of a flicker that need not be there.
"""
QUESTIONS = (
    # what is learned from, what is asked, whether the family of manipulation is left out too
    ("all open clips", "open", "open", False),
    ("matched pairs", "open", "pairs", False),
    ("matched pairs, family left out too", "open", "pairs", True),
    ("matched pairs from matched pairs", "pairs", "pairs", False),
)


def measure(folder: Path, cache: Path, split: str = "open") -> None:
    """Analyse every clip of a split at every frame, both halves of a pair over the same seconds."""
    cache.mkdir(parents=True, exist_ok=True)
    for clip in clips_of(folder, split):
        done = cache / f"{clip.file}.json"
        if done.exists() or clip.label not in ("real", "fake"):
            continue
        end = None
        if clip.partner:
            end = min(length_of(folder / clip.file), length_of(folder / clip.partner))
        report = analyse(folder / clip.file, analysers=["visual", "temporal"], end=end, threads=1)
        main = max(report.faces, key=_seen)
        facts = {
            "file": clip.file,
            "label": clip.label,
            "family": family_of(clip.origin),
            "group": clip.group,
            "pair": "|".join(sorted([clip.file, clip.partner])) if clip.partner else "",
            "weights": {w.name: w.sha256 for w in report.tool.weights},
        }
        for name in ("visual", "temporal"):
            found = main.evidence[name]
            facts[name] = {n: float(m.value) for n, m in found.measurements.items()} | {"score": found.score}
        done.with_suffix(".part").write_text(json.dumps(facts, indent=1))
        done.with_suffix(".part").rename(done)
        print(clip.file, flush=True)


def _seen(person: Person) -> int:
    return sum(len(track.boxes) for track in person.tracks)


def case_of(path: Path) -> Case:
    """Return one measured clip."""
    facts = json.loads(path.read_text())
    values = [scale(facts["temporal"].get(name, np.nan)) for name, scale in MEASUREMENTS.items()]
    return Case(
        facts["file"],
        facts["label"],
        facts["family"],
        facts["group"],
        facts["pair"],
        np.array(values, np.float64),
        float(facts["visual"].get("logit", np.nan)),
        {},
        0.0,
    )


def cases(folder: Path) -> list[Case]:
    """Return the measured clips of a folder by name."""
    return [case_of(path) for path in sorted(folder.glob("*.json"))]


def judge_frozen(folder: Path, cache: Path) -> None:
    """Measure the `frozen` clips and print how classifiers of `open` clips do on them."""
    measure(folder, cache / "frozen", "frozen")
    known, asked = cases(cache), cases(cache / "frozen")
    pairs = [case for case in known if case.pair]
    print("| question | clips, groups | temporal | visual | gain | pairs right | permuted labels |")
    print("|---|---|---|---|---|---|---|")
    for name, test in (("all", asked), ("matched pairs", [case for case in asked if case.pair])):
        print(f"| frozen, {name} | {row(known, test, False)} |", flush=True)
        print(f"| frozen, {name}, learned from matched pairs | {row(pairs, test, False)} |", flush=True)


def judged_by(known: Sequence[Case], folder: Path, network: Path) -> list[Case]:
    """Return the cases with the logits of another visual network, from 32 frames of each clip."""
    result = []
    for case in known:
        end = None
        if case.pair:
            end = min(length_of(folder / name) for name in case.pair.split("|"))
        report = analyse(folder / case.file, analysers=["visual"], model=network, end=end)
        found = max(report.faces, key=_seen).evidence["visual"].measurements
        result.append(replace(case, visual=float(found["logit"].value) if "logit" in found else np.nan))
    return result


def judge(everything: Sequence[Case]) -> None:
    """Print whether the measurements tell fakes from reals, and whether they add to the visual detector."""
    sets: dict[str, Sequence[Case]] = {
        "open": everything,
        "pairs": [case for case in everything if case.pair],
    }
    print("| question | clips, groups | temporal | visual | gain | pairs right | permuted labels |")
    print("|---|---|---|---|---|---|---|")
    for name, learned, asked, other in QUESTIONS:
        print(f"| {name} | {row(sets[learned], sets[asked], other)} |", flush=True)
    print("\nmatched pairs, one measurement at a time")
    print_differences(sets["pairs"], list(MEASUREMENTS))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "frozen"):
        sub = commands.add_parser(name)
        sub.add_argument("clips", type=Path)
        sub.add_argument("cache", type=Path)
    sub = commands.add_parser("judge")
    sub.add_argument("cache", type=Path)
    sub.add_argument("--clips", type=Path, help="with --network: where the clips lie")
    sub.add_argument("--network", type=Path, help="a network (.onnx) in the embedded one's place")
    given = parser.parse_args()
    if given.command == "measure":
        measure(given.clips, given.cache)
    elif given.command == "frozen":
        judge_frozen(given.clips, given.cache)
    else:
        known = cases(given.cache)
        judge(judged_by(known, given.clips, given.network) if given.network else known)


if __name__ == "__main__":
    main()
