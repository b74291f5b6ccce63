"""Measures finding, following and joining faces on a folder of labelled clips.

Run by hand: `python benchmarks/faces.py CLIPS_FOLDER [--split open]`. The folder holds `labels.csv` with
file, group and split. Each clip is followed at 10 Hz; its first and last third are then compared as if they
were tracks of their own: those of one clip are one person, those of clips of different groups are not.
(Some groups may share a driver, which would count as a false join here.)
"""

from __future__ import annotations

import argparse
import csv
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unmask.faces.detect import Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import Landmarker
from unmask.faces.persons import THRESHOLD, Persons
from unmask.faces.track import Tracker
from unmask.media.events import Cut, Frame, Media
from unmask.media.reader import read

Piece = tuple[str, str, np.ndarray]
"""A clip, its group, and the likeness of a third of it."""
RATE = 10.0
SECONDS = 10.0


def largest(faces: list[Face]) -> list[Face]:
    """Return the largest face, as a list of one or none."""
    return sorted(faces, key=lambda face: -face.quality.size)[:1]


def follow(
    path: Path, detector: Detector, landmarker: Landmarker
) -> tuple[int, int, int, list[np.ndarray | None]]:
    """Return ticks, ticks with a face, tracks, and the likeness of the first and last third."""
    tracker, thirds = Tracker(detector, landmarker), [Persons(threads=1), Persons(threads=1)]
    ticks = hits = 0
    tracks: set[int] = set()
    length = SECONDS
    for event in read(path, rate=RATE, end=SECONDS):
        if isinstance(event, Media):
            length = min(SECONDS, event.duration or SECONDS)
        elif isinstance(event, Cut):
            tracker.cut()
        elif isinstance(event, Frame):
            faces = tracker.update(event)
            ticks, hits = ticks + 1, hits + bool(faces)
            tracks |= {face.track for face in faces}
            part = 3 * (event.time or 0.0) / length
            if part < 1 or part >= 2:
                # One name for all, so that a third counts as one track.
                one = [Face(0, f.frame_index, f.time, f.detection, f.quality) for f in largest(faces)]
                thirds[int(part >= 2)].observe(event, one)
    return ticks, hits, len(tracks), [third.likeness(0) for third in thirds]


def main() -> None:
    """Follow every clip of a split and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="open")
    arguments = parser.parse_args()
    with (arguments.folder / "labels.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == arguments.split]
    detector, landmarker = Detector(), Landmarker()
    pieces: list[Piece] = []
    all_ticks = all_hits = 0
    for row in rows:
        ticks, hits, tracks, likenesses = follow(arguments.folder / row["file"], detector, landmarker)
        all_ticks, all_hits = all_ticks + ticks, all_hits + hits
        pieces += [(row["file"], row["group"], value) for value in likenesses if value is not None]
        print(f"{row['file']:40s} {hits}/{ticks} frames with a face, {tracks} tracks", flush=True)
    print(f"a face in {all_hits} of {all_ticks} frames of {len(rows)} clips")
    report(pieces)


def half(group: str) -> int:
    """Return the half, 0 or 1, that a group falls in."""
    return zlib.crc32(group.encode()) % 2


def report(pieces: list[Piece]) -> None:
    """Print the shares of missed and false joins among pieces of clips, of all groups and of each half."""
    pairs = [(a, b) for i, a in enumerate(pieces) for b in pieces[i + 1 :]]
    for name, halves in (("all groups", (0, 1)), ("half 0", (0,)), ("half 1", (1,))):
        inside = [(a, b) for a, b in pairs if half(a[1]) in halves and half(b[1]) in halves]
        same = np.array([a[2] @ b[2] for a, b in inside if a[0] == b[0]])
        different = np.array([a[2] @ b[2] for a, b in inside if a[1] != b[1]])
        groups = len({a[1] for a, b in inside} | {b[1] for a, b in inside})
        print(
            f"{name}, {groups}: at {THRESHOLD} missed joins {(same < THRESHOLD).sum()} of {len(same)}, false"
        )
        print(f"  {(different >= THRESHOLD).sum()} of {len(different)}; lowest of one clip {same.min():.2f},")
        low, high = interval(inside, lambda a, b: a[1] != b[1], lambda cosine: cosine >= THRESHOLD)
        print(f"  resampling the groups: false {low:.2%} to {high:.2%}, ", end="")
        low, high = interval(inside, lambda a, b: a[0] == b[0], lambda cosine: cosine < THRESHOLD)
        print(f"missed {low:.1%} to {high:.1%}")
        print(f"  different: 99.9 % below {np.quantile(different, 0.999):.3f}, highest {different.max():.2f}")


def interval(
    pairs: list[tuple[Piece, Piece]],
    counted: Callable[[Piece, Piece], bool],
    wrong: Callable[[float], bool],
) -> tuple[float, float]:
    """Return the 95 % interval of the share of wrong pairs among the counted ones, resampling groups."""
    chosen = [(a[1], b[1], wrong(float(a[2] @ b[2]))) for a, b in pairs if counted(a, b)]
    names = sorted({name for a, b, _ in chosen for name in (a, b)})
    first, second = (np.array([names.index(pair[i]) for pair in chosen]) for i in (0, 1))
    errors = np.array([pair[2] for pair in chosen])
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(1000):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weight = np.where(first == second, times[first], times[first] * times[second])
        if weight.any():
            shares.append(np.average(errors, weights=weight))
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)


if __name__ == "__main__":
    main()
