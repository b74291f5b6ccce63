"""Asks whether real faces are called fake more often the darker their skin looks.

    unmask evaluate --test-data DATA --split val --output RUN
    python benchmarks/skin_tone.py RUN/scores.csv DATA

The look of the skin is the individual typology angle (Chardon, Cretois and Hourseau 1991), arctan((L* - 50)
/ b*) of the median colour of two patches of the cheeks: above 28 degrees light, 10 to 28 intermediate, below
10 dark. It tells the skin as it was photographed: shade and warm light lower it, flash raises it. Intervals
are Clopper-Pearson for shares and bootstrapped over groups for differences of the logit.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from unmask.data.index import FaceIndex
from unmask.data.manifest import merge, read_zip
from unmask.data.pairs import Pictures
from unmask.faces.detect import Detector
from unmask.training.archives import find_archives
from unmask.verdict.settings import clopper_pearson

CLASSES = (("light", 28.0, 91.0), ("intermediate", 10.0, 28.0), ("dark", -91.0, 10.0))


def typology_angle(pixels: np.ndarray, points: np.ndarray) -> float:
    """Return the angle in degrees of the cheeks in (H, W, 3) uint8 RGB, given the face's points (5, 2)."""
    eyes, mouth = points[:2], points[3:5]
    reach = max(1.0, 0.12 * float(np.linalg.norm(eyes[0] - eyes[1])))
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = []
    for eye, corner in zip(eyes, mouth, strict=True):
        x, y = 0.45 * eye + 0.55 * corner
        part = lab[max(0, int(y - reach)) : int(y + reach) + 1, max(0, int(x - reach)) : int(x + reach) + 1]
        if part.size:
            colours.append(np.median(part.reshape(-1, 3), axis=0))
    if not colours:
        return float("nan")
    light, _, blue = np.mean(colours, axis=0)
    return float(np.degrees(np.arctan2(light - 50, max(blue, 1e-3))))


def main(scores: Path, data: Path) -> None:
    """Print a table for each data set and for all."""
    items = {
        (item.data_set, Path(item.member).name): item
        for item in merge(map(read_zip, find_archives([data])))
        if item.split == "val" and item.label == "real"
    }
    rows = []
    with scores.open() as file:
        for row in csv.DictReader(file):
            item = items.get((row["data_set"], Path(row["item"]).name)) or items.get(
                (row["data_set"], Path(row["item"]).name + ".jpg")
            )
            if row["label"] == "real" and row["probability"] and item is not None:
                rows.append((row, item))
    faces = FaceIndex(Path("runs/faces")).build([item for _, item in rows], detector=Detector(threads=1))
    pictures = Pictures()
    measured = []
    for row, item in rows:
        face = faces.get(item.place)
        if face is None:
            continue
        angle = typology_angle(pictures.read(item), face.points)
        p = min(max(float(row["probability"]), 1e-4), 1 - 1e-4)
        if np.isfinite(angle):
            measured.append((row["data_set"], row["group"], angle, row["outcome"], np.log(p / (1 - p))))
    print(f"{len(measured)} real pictures with a measured face")
    for name in (*sorted({m[0] for m in measured}), "all"):
        chosen = [m for m in measured if name in (m[0], "all")]
        print(name)
        means = {}
        for title, low, high in CLASSES:
            part = [m for m in chosen if low <= m[2] < high]
            if not part:
                continue
            hits = sum(m[3] == "fake" for m in part)
            unsure = sum(m[3] == "inconclusive" for m in part)
            low_share, high_share = clopper_pearson(hits, len(part))
            means[title] = part
            print(
                f"  {title}: {len(part)} of {len({m[1] for m in part})} groups, called fake {hits}"
                f" ({100 * hits / len(part):.1f} %, {100 * low_share:.1f}-{100 * high_share:.1f}),"
                f" inconclusive {100 * unsure / len(part):.0f} %,"
                f" logit {np.mean([m[4] for m in part]):.2f}"
            )
        if {"light", "dark"} <= set(means):
            print("  logit, dark less light: {:.2f} ({:.2f} to {:.2f})".format(*difference(means)))


def difference(parts: dict[str, list[tuple]]) -> tuple[float, float, float]:
    """Return the mean logit of the dark less that of the light, and its interval over groups."""
    draw = np.random.default_rng(0)
    groups = sorted({m[1] for part in ("dark", "light") for m in parts[part]})
    by_group = {g: {p: [m[4] for m in parts[p] if m[1] == g] for p in ("dark", "light")} for g in groups}
    draws = []
    for _ in range(500):
        values: dict[str, list[float]] = {"dark": [], "light": []}
        for g in draw.integers(len(groups), size=len(groups)):
            for part, logits in by_group[groups[g]].items():
                values[part] += logits
        if values["dark"] and values["light"]:
            draws.append(np.mean(values["dark"]) - np.mean(values["light"]))
    whole = np.mean([m[4] for m in parts["dark"]]) - np.mean([m[4] for m in parts["light"]])
    return float(whole), *map(float, np.percentile(draws, (2.5, 97.5)))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
