"""Measures the `temporal` analyser on clips manipulated for known stretches, and on matched pairs.

Run by hand:
    python benchmarks/temporal.py make CLIPS WORK      # clips from real `open` and `train` ones, analysed
    python benchmarks/temporal.py report WORK          # thresholds from some groups, figures on the others
    python benchmarks/temporal.py pairs CLIPS WORK     # hand-made features on labelled `open` clips
CLIPS is a folder with `labels.csv` (file, label, group, split); WORK, outside the repository, keeps results.
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import zlib
from pathlib import Path

import av
import cv2
from manipulate import KINDS, Clip, load, manipulate, write

from unmask.evidence.temporal import Follower, Temporal
from unmask.faces.detect import Detector
from unmask.pipeline import analyse


def rows(clips: Path, splits: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the labelled clips of the given splits."""
    with (clips / "labels.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] in splits]


def seconds(path: Path) -> float:
    """Return the duration that a clip states."""
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def make(clips: Path, work: Path) -> None:
    """Write the untouched and manipulated versions of the longest real clip of each group."""
    detector = Detector(threads=1)
    chosen: dict[str, str] = {}
    reals = [row for row in rows(clips, ("open", "train")) if row["label"] == "real"]
    for row in sorted(reals, key=lambda row: seconds(clips / row["file"])):
        chosen[row["group"]] = row["file"]
    truth: list[dict] = []
    donor: Clip | None = None
    # quiet portraits, scenes and screen recordings by turns; the first clip only serves as the first donor
    for group in sorted(chosen, key=lambda group: zlib.crc32(group.encode())):
        clip = load(clips / chosen[group], detector)
        if clip is None or clip.times[-1] < 5.0:
            print(f"{group}: left out (short, or no face throughout)", flush=True)
            continue
        if donor is not None:
            truth += versions(group, clip, donor, work)
            (work / "truth.json").write_text(json.dumps(truth, indent=1))
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


def recorded(path: Path, **options: object) -> dict[int, Follower]:
    """Analyse a file with the temporal analyser alone and return its followers by track."""
    kept: dict[int, Follower] = {}
    original = Temporal.conclude

    def conclude(self: Temporal) -> list:
        kept.update(self._tracks)
        return original(self)

    Temporal.conclude = conclude  # type: ignore[method-assign]
    try:
        analyse(path, analysers=["temporal"], threads=1, **options)  # type: ignore[arg-type]
    finally:
        Temporal.conclude = original  # type: ignore[method-assign]
    return kept


def measure(work: Path) -> None:
    """Analyse every clip of WORK that has not been analysed."""
    for item in json.loads((work / "truth.json").read_text()):
        store = work / f"{item['file']}.pickle"
        if not store.exists():
            kept = recorded(work / item["file"])
            store.write_bytes(pickle.dumps({t: (f.moments(), f.flows(), f.steps) for t, f in kept.items()}))
            print(item["file"], {t: len(f.moments()["time"]) for t, f in kept.items()}, flush=True)


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for part, folders in {"make": ["clips", "work"]}.items():
        one = parts.add_parser(part)
        for folder in folders:
            one.add_argument(folder, type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if given.part == "make":
        make(given.clips, given.work)


if __name__ == "__main__":
    main()
