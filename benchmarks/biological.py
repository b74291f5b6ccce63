"""Asks whether the biological measurements of a clip tell fakes from reals, on clips and on matched pairs.

Run by hand (see docs/experiments/biosignals.md):

python benchmarks/biological.py measure CLIPS CACHE   every frame of the `open` clips; resumable
python benchmarks/biological.py blend CLIPS CACHE     self-blended pairs from the real ones, measured alike
python benchmarks/biological.py judge CACHE           the classifier, on held-out groups and matched pairs
python benchmarks/biological.py frozen CLIPS CACHE    at the end, once: measures `frozen` and judges it
python benchmarks/biological.py pulse CACHE           how far pulse rates of the real clips agree
python benchmarks/biological.py pose CACHE            whether the mesh's depth agrees with its x and y
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from biosignals import flat_rotations
from manipulate import write
from scipy.stats import rankdata

from unmask.data.selfblend_video import self_blend_clip
from unmask.evidence import registry
from unmask.evidence.base import Evidence, Needs
from unmask.evidence.pulse import METHODS, NEAR, doubts_about
from unmask.faces.face import Face
from unmask.faces.pose import NEUTRAL, RIGID
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.media.reader import read
from unmask.pipeline import analyse
from unmask.runtime.card import Card
from unmask.signals import pulse
from unmask.signals.filters import longest_step
from unmask.signals.head_motion import angle_between, angles, fit_rotations, mean_rotation
from unmask.signals.logistic import expit

ANALYSERS = ("blink", "pulse", "breathing", "head_pose", "consistency")
"""The analysers whose measurements are the classifier's input."""
STRENGTH = 0.05
"""Inverse strength of the classifier's regularisation, set before anything was compared and never tuned."""
DRAWS = 1000
PERMUTATIONS = 100
MADE_SECONDS = 4.0
MADE_SIDE = 320
"""Side in pixels of the self-blended clips."""
PULSE_SECONDS = 5.0
HALVES_SECONDS = 12.0
WIDE_YAW = 25.0
"""Degrees of yaw from which a clip can say whether depth and place agree."""


@dataclass(frozen=True)
class Clip:
    """One labelled clip: `partner` is the other half of its matched pair, "" where it has none."""

    file: str
    label: str
    origin: str
    group: str
    partner: str


class Recorder:
    """An analyser that keeps what the others are given: landmarks, blendshapes, boxes, mean colours."""

    name = "recorder"
    needs = Needs(frames="every", landmarks=True)
    cards: tuple[Card, ...] = ()
    latest: Recorder

    def __init__(self, options: registry.Options) -> None:
        self.rows: dict[str, list[np.ndarray]] = {}
        self.media: Media | None = None
        self.found: list[Evidence] = []
        Recorder.latest = self

    def begin(self, media: Media) -> None:
        """Start a file."""
        self.media = media

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Keep every face that has landmarks."""
        boxes = np.array([face.detection.box for face in faces]).reshape(-1, 4)
        around = pulse.surroundings_colour(frame.pixels, boxes)
        for face in faces:
            if face.landmarks is None or face.blendshapes is None:
                continue
            values = {
                "track": np.array(face.track),
                "time": np.array(face.time),
                "box": face.detection.box,
                "points": face.detection.points,
                "landmarks": face.landmarks.astype(np.float32),
                "blendshapes": face.blendshapes,
                "colours": pulse.region_colours(frame.pixels, face.landmarks),
                "around": around,
            }
            for name, value in values.items():
                self.rows.setdefault(name, []).append(value)

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """Pay no attention."""

    def conclude(self) -> list[Evidence]:
        """Give no evidence."""
        return []


def clips_of(folder: Path, split: str) -> list[Clip]:
    """Return the clips of a split, matched pairs first; nothing of the others is read."""
    with (folder / "labels.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == split]
    names = {row["file"] for row in rows}
    clips = []
    for row in rows:
        swapped = {"fake": "_real.mp4", "real": "_fake.mp4"}.get(row["label"], "")
        stem = row["file"].removesuffix(".mp4").removesuffix("_real").removesuffix("_fake")
        partner = stem + swapped if swapped and stem + swapped in names else ""
        clips.append(Clip(row["file"], row["label"], row["origin"], row["group"], partner))
    return sorted(clips, key=lambda clip: (not clip.partner, clip.file))


def length_of(path: Path) -> float:
    """Return the seconds that a clip states to last."""
    media = next(read(path))
    assert isinstance(media, Media)
    return float(media.duration or 0.0)


def measure(folder: Path, cache: Path, split: str = "open") -> None:
    """Analyse every clip of a split at every frame, both halves of a pair over the same seconds."""
    registry.ANALYSERS[Recorder.name] = registry.Registration(f"{__name__}:Recorder")
    sys.modules.setdefault("biological", sys.modules[__name__])
    cache.mkdir(parents=True, exist_ok=True)
    for clip in clips_of(folder, split):
        done = cache / f"{clip.file}.json"
        if done.exists():
            continue
        end = None
        if clip.partner:
            end = min(length_of(folder / clip.file), length_of(folder / clip.partner))
        begin = time.process_time()
        facts, rows = examine(folder / clip.file, end)
        np.savez_compressed(cache / f"{clip.file}.npz", **rows)
        facts |= {**clip.__dict__, "end": end, "cpu": time.process_time() - begin}
        done.with_suffix(".part").write_text(json.dumps(facts, indent=1))
        done.with_suffix(".part").rename(done)
        print(f"{clip.file}: {facts['cpu']:.0f} s of CPU", flush=True)


def examine(path: Path, end: float | None) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the facts of one clip (JSON) and what the recorder kept, by name."""
    report = analyse(path, analysers=["visual", *ANALYSERS, Recorder.name], end=end, threads=1)
    rows = {name: np.stack(values) for name, values in Recorder.latest.rows.items()}
    media = Recorder.latest.media
    assert media is not None
    faces = [
        {
            "person": face.person,
            "tracks": [track.track for track in face.tracks],
            "evidence": {
                name: {
                    "status": item.status,
                    "reason": item.reason,
                    "score": item.score,
                    "measurements": _plain(item.measurements),
                }
                for name, item in face.evidence.items()
            },
        }
        for face in report.faces
    ]
    facts = {
        "faces": faces,
        "probability": report.verdict.probability,
        "verdict": report.verdict.label,
        "duration": media.duration,
        "rate": float(media.frame_rate or 0),
        "size": media.size,
        "bit_rate": media.bit_rate,
        "frames": report.media.frames_analysed,
        "weights": {w.name: w.sha256 for w in report.tool.weights},
    }
    return facts, rows


def _plain(measurements: Mapping) -> dict[str, float]:
    return {name: float(item.value) for name, item in measurements.items()}


def blend(folder: Path, cache: Path) -> None:
    """Make a self-blended clip and its untouched partner of one real clip a group, and measure both.

    Both go through the same maps, masks and encoder (see `unmask.data.selfblend_video`).
    """
    registry.ANALYSERS[Recorder.name] = registry.Registration(f"{__name__}:Recorder")
    made = cache / "made"
    made.mkdir(exist_ok=True)
    chosen: dict[str, Case] = {}
    for case in cases(cache):
        if case.label == "real" and len(case.rows["time"]) >= 2 * 25:
            chosen.setdefault(case.group, case)
    for group, case in sorted(chosen.items()):
        if (made / f"{group}_blended.mp4.json").exists():
            continue
        begin = time.process_time()
        frames, landmarks, rate = cut_out(folder / case.file, case.rows)
        both = self_blend_clip(frames, landmarks, np.random.default_rng(zlib.crc32(group.encode())))
        for name, label, pictures in (("untouched", "real", both.real), ("blended", "fake", both.fake)):
            clip = made / f"{group}_{name}.mp4"
            write(clip, list(pictures), rate)
            facts, rows = examine(clip, None)
            np.savez_compressed(made / f"{clip.name}.npz", **rows)
            facts |= {
                "file": clip.name,
                "label": label,
                "origin": "self-blended",
                "group": group,
                "partner": f"{group}_{'blended' if label == 'real' else 'untouched'}.mp4",
            }
            (made / f"{clip.name}.json").write_text(json.dumps(facts, indent=1))
        print(f"{group}: {len(frames)} frames, {time.process_time() - begin:.0f} s of CPU", flush=True)


def cut_out(path: Path, rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, Fraction]:
    """Return a still square round one face: (T, S, S, 3) frames, (T, 478, 2) landmarks, frames a second."""
    times = rows["time"][: rows["time"].searchsorted(rows["time"][0] + MADE_SECONDS)]
    places = rows["landmarks"][: len(times), :, :2].astype(np.float64)
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    side = 1.5 * float((high - low).max())
    scale = min(1.0, MADE_SIDE / side)
    size = int(side * scale) // 2 * 2
    shift = (size - 1) / 2 - scale * (low + high) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    frames, kept = [], []
    rate = Fraction(25)
    for event in read(path, rate=None, end=float(times[-1]) + 0.01, threads=1):
        if isinstance(event, Media) and event.frame_rate:
            rate = event.frame_rate
        if not isinstance(event, Frame) or event.time is None:
            continue
        near = int(np.abs(times - event.time).argmin())
        if abs(times[near] - event.time) < 1e-3:
            flags, border = cv2.INTER_AREA, cv2.BORDER_REPLICATE
            frames.append(cv2.warpAffine(event.pixels, matrix, (size, size), flags=flags, borderMode=border))
            kept.append(near)
    return np.stack(frames), places[kept] * scale + shift, rate


@dataclass(frozen=True)
class Case:
    """One measured clip: the labels, the measurements of its main face, and the visual detector's logit.

    `rows` is what the recorder kept of that face, `pair` the name that both halves of a matched pair share.
    """

    file: str
    label: str
    family: str
    group: str
    pair: str
    values: np.ndarray
    visual: float
    rows: Mapping[str, np.ndarray]
    duration: float


def cases(folder: Path) -> list[Case]:
    """Return the measured clips of a folder by name."""
    return [case_of(path) for path in sorted(folder.glob("*.mp4.json"))]


def case_of(path: Path) -> Case:
    """Return one measured clip; its main face is the person seen in most frames."""
    facts = json.loads(path.read_text())
    with np.load(path.with_suffix(".npz")) as data:
        rows = {name: data[name] for name in data.files}
    sights = [np.isin(rows["track"], face["tracks"]) for face in facts["faces"]]
    main = int(np.argmax([seen.sum() for seen in sights]))
    rows = {name: values[sights[main]] for name, values in rows.items()}
    evidence = facts["faces"][main]["evidence"]
    measured = {
        (analyser, name): value
        for analyser in ANALYSERS
        for name, value in evidence.get(analyser, {}).get("measurements", {}).items()
    } | pulse_values(rows)
    values = [shape(measured.get((analyser, name), np.nan)) for analyser, name, shape in MEASUREMENTS]
    pair = "|".join(sorted([facts["file"], facts["partner"]])) if facts["partner"] else ""
    return Case(
        facts["file"],
        facts["label"],
        family_of(facts["origin"]),
        facts["group"],
        pair,
        np.array(values, np.float64),
        float(evidence["visual"]["measurements"].get("logit", np.nan)),
        rows,
        float(facts["duration"] or 0),
    )


def family_of(origin: str) -> str:
    """Return the family of manipulation, or of what it was made from, that an origin belongs to."""
    known = ("DeepFaceLive", "FaceForensics++", "HyperLips", "UADFV", "self-blended")
    return next((name for name in known if origin.startswith(name)), origin.split(",")[0])


def pulse_values(rows: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Return what the colours say of a pulse, also where the analyser refuses (short, small, compressed)."""
    found = pulse_of(rows)
    if found is None:
        return {}
    control = found.control_coherence
    eyes = pulse.coherence_with(rows["time"], rows["colours"][:, 4], found.signal, found.rate)
    return {
        ("pulse", "signal to noise"): found.snr,
        ("pulse", "agreement of the regions"): found.coherence,
        ("pulse", "coherence with the surroundings"): np.nan if control is None else control,
        ("pulse", "coherence with the eyes"): eyes,
    }


def pulse_of(rows: Mapping[str, np.ndarray]) -> pulse.Pulse | None:
    """Look for a pulse in the colours of one face; None where a region is never seen, or it is too short."""
    try:
        return pulse.analyse(rows["time"], rows["colours"][:, :4], rows["around"])
    except ValueError:
        return None


def _log(value: float) -> float:
    return float(np.log(max(value, 1e-4)))


def _same(value: float) -> float:
    return value


MEASUREMENTS: tuple[tuple[str, str, Callable[[float], float]], ...] = (
    ("blink", "blinks per minute", np.sqrt),
    ("blink", "probability of such a count", _log),
    ("blink", "noise", _log),
    ("blink", "median duration", _log),
    ("blink", "median amplitude", _same),
    ("blink", "median synchrony", _same),
    ("pulse", "signal to noise", _same),
    ("pulse", "agreement of the regions", _same),
    ("pulse", "coherence with the surroundings", _same),
    ("pulse", "coherence with the eyes", _same),
    ("head_pose", "median difference of inner face", _log),
    ("head_pose", "highest difference of inner face", _log),
    ("head_pose", "median speed", _log),
    ("head_pose", "highest speed", _log),
    ("head_pose", "misfit", _log),
    ("consistency", "trembling", _log),
    ("consistency", "proportions vary by", _log),
    ("consistency", "gaze of the eyes apart", _log),
    ("consistency", "reflections apart", _log),
    ("consistency", "appearance away from its mean", _log),
    ("consistency", "chin against neck", _log),
)
"""The classifier's input, fixed before any of it was compared with a label: analyser, measurement, scale.

Breathing needs 15 s, which no matched pair lasts; counts that grow with the length are left out.
"""


@dataclass(frozen=True)
class Linear:
    """A linear classifier of measurements (N, D): gaps get the median, scales the spread of training."""

    middle: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    """(D + 1,), the constant last."""

    @classmethod
    def fit(cls, values: np.ndarray, target: np.ndarray) -> Linear:
        """Fit by logistic regression with both classes of equal weight and a quadratic penalty (Newton)."""
        seen = np.where(np.isfinite(values).any(axis=0), values, 0.0)
        middle = np.nanmedian(seen, axis=0)
        whole = np.where(np.isfinite(values), values, middle)
        centre, spread = whole.mean(axis=0), np.maximum(whole.std(axis=0), 1e-9)
        x = np.column_stack([(whole - centre) / spread, np.ones(len(whole))])
        share = np.where(target == 1, 0.5 / max(target.sum(), 1), 0.5 / max((1 - target).sum(), 1))
        share = share * len(target)
        penalty = np.diag([1 / STRENGTH] * values.shape[1] + [1e-6])
        weights = np.zeros(x.shape[1])
        for _ in range(8):
            told = expit(x @ weights)
            slope = x.T @ (share * (told - target)) + penalty @ weights
            bend = (x * (share * told * (1 - told))[:, None]).T @ x + penalty
            weights = weights - np.linalg.solve(bend, slope)
        return cls(middle, centre, spread, weights)

    def log_odds(self, values: np.ndarray) -> np.ndarray:
        """Return the log-odds (N,) of being fake."""
        whole = np.where(np.isfinite(values), values, self.middle)
        return np.asarray((whole - self.centre) / self.spread @ self.weights[:-1] + self.weights[-1])


def held_out(
    train: Sequence[Case], test: Sequence[Case], labels: Mapping[str, int], *, other_family: bool = False
) -> np.ndarray:
    """Return the log-odds of `test`, each from a classifier that knows no clip of its group.

    With `other_family` it knows no clip of its family of manipulation either.
    """
    scores = np.zeros(len(test))
    for key in {(case.group, case.family if other_family else "") for case in test}:
        known = [c for c in train if c.group != key[0] and (not other_family or c.family != key[1])]
        asked = [i for i, c in enumerate(test) if (c.group, c.family if other_family else "") == key]
        target = np.array([labels[c.file] for c in known])
        model = Linear.fit(np.stack([c.values for c in known]), target)
        scores[asked] = model.log_odds(np.stack([test[i].values for i in asked]))
    return scores


def auc(target: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the curve: how often a fake scores above a real, ties counting half."""
    fakes = target.sum()
    return float((rankdata(scores)[target == 1].sum() / fakes - (fakes + 1) / 2) / (len(target) - fakes))


def auc_with_interval(
    target: np.ndarray, scores: np.ndarray, groups: Sequence[str], base: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Return the AUC (less that of `base`) and its 95 % bootstrap interval over groups."""

    def figure(at: np.ndarray) -> float:
        value = auc(target[at], scores[at])
        return float(value - (0 if base is None else auc(target[at], base[at])))

    names = sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    random = np.random.default_rng(0)
    drawn = []
    while len(drawn) < DRAWS:
        at = np.concatenate([members[k] for k in random.integers(0, len(names), len(names))])
        if 0 < target[at].sum() < len(at):
            drawn.append(figure(at))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return figure(np.arange(len(target))), float(low), float(high)


SETTINGS = (
    # what is learned from, what is asked, whether the family of manipulation is left out too
    ("all open clips", ("open",), "open", False),
    ("all open clips, with self-blends", ("open", "made"), "open", False),
    ("matched pairs", ("open",), "pairs", False),
    ("matched pairs, with self-blends", ("open", "made"), "pairs", False),
    ("matched pairs, family left out too", ("open",), "pairs", True),
    ("matched pairs, family left out too, with self-blends", ("open", "made"), "pairs", True),
    ("matched pairs from matched pairs and self-blends", ("pairs", "made"), "pairs", False),
    (
        "matched pairs from matched pairs and self-blends, family left out too",
        ("pairs", "made"),
        "pairs",
        True,
    ),
    ("self-blends from open clips", ("open",), "made", True),
    ("self-blends from self-blends", ("made",), "made", False),
)
"""The questions put to the classifier; persons and sources are left out in each."""


def judge(cache: Path) -> None:
    """Print whether the measurements tell fakes from reals, and whether they add to the visual detector."""
    sets = {"open": [case for case in cases(cache) if case.label != "unknown"], "made": cases(cache / "made")}
    sets["pairs"] = [case for case in sets["open"] if case.pair]
    for name, members in sets.items():
        print(f"{name}: {len(members)} clips, {len({c.group for c in members})} groups")
    print("| question | clips, groups | biological | visual | gain | pairs right | permuted labels |")
    print("|---|---|---|---|---|---|---|")
    for name, learned, asked, other in SETTINGS:
        train = [case for part in learned for case in sets[part]]
        print(f"| {name} | {row(train, sets[asked], other)} |", flush=True)
    for name in ("pairs", "made"):
        print(f"\n{name}, one measurement at a time")
        print_differences(
            sets[name], [f"{analyser}, {measurement}" for analyser, measurement, _ in MEASUREMENTS]
        )


def judge_frozen(folder: Path, cache: Path) -> None:
    """Measure the `frozen` clips and print how the classifier of all `open` clips does on them."""
    shown = cache / "frozen"
    measure(folder, shown, "frozen")
    known = [case for case in cases(cache) if case.label != "unknown"]
    made = cases(cache / "made")
    asked = [case for case in cases(shown) if case.label != "unknown"]
    print("| question | clips, groups | biological | visual | gain | pairs right | permuted labels |")
    print("|---|---|---|---|---|---|---|")
    for name, test in (("all", asked), ("matched pairs", [case for case in asked if case.pair])):
        print(f"| frozen, {name} | {row(known, test, False)} |", flush=True)
        print(f"| frozen, {name}, with self-blends | {row([*known, *made], test, False)} |", flush=True)


def row(train: Sequence[Case], test: Sequence[Case], other: bool) -> str:
    """Return the figures of one question, between bars."""
    truth = {case.file: int(case.label == "fake") for case in (*train, *test)}
    target = np.array([truth[case.file] for case in test])
    groups = [case.group for case in test]
    scores = held_out(train, test, truth, other_family=other)
    visual = np.nan_to_num([case.visual for case in test])
    fused = scores / scores.std() + visual / visual.std()
    right = "-"
    if all(case.pair for case in test):
        higher = [
            scores[i] > scores[j]
            for i, a in enumerate(test)
            for j, b in enumerate(test)
            if a.pair == b.pair and truth[a.file] > truth[b.file]
        ]
        right = f"{sum(higher)} of {len(higher)}"
    random = np.random.default_rng(1)
    chance = []
    for _ in range(PERMUTATIONS):
        mixed = permuted([*train, *test], truth, random)
        told = held_out(train, test, mixed, other_family=other)
        chance.append(auc(np.array([mixed[case.file] for case in test]), told))
    figure = auc_with_interval(target, scores, groups)
    share = (1 + sum(value >= figure[0] for value in chance)) / (1 + len(chance))
    cells = (
        f"{len(test)}, {len(set(groups))}",
        _said(figure),
        _said(auc_with_interval(target, visual, groups)),
        _said(auc_with_interval(target, fused, groups, visual)),
        right,
        f"{np.mean(chance):.2f}, 95 % below {np.percentile(chance, 95):.2f}, p {share:.2f}",
    )
    return " | ".join(cells)


def _said(figure: tuple[float, float, float]) -> str:
    return f"{figure[0]:.2f} ({figure[1]:.2f} to {figure[2]:.2f})"


def permuted(
    everything: Sequence[Case], truth: Mapping[str, int], random: np.random.Generator
) -> dict[str, int]:
    """Return labels drawn anew: halves of a pair change places by a coin, all others are shuffled."""
    mixed = dict(truth)
    names = sorted({case.file for case in everything if not case.pair})
    mixed |= dict(zip(names, random.permutation([truth[name] for name in names]), strict=True))
    for pair in sorted({case.pair for case in everything if case.pair}):
        if random.random() < 0.5:
            mixed |= {name: 1 - truth[name] for name in pair.split("|")}
    return mixed


def print_differences(pairs: Sequence[Case], names: Sequence[str]) -> None:
    """Print, for each measurement by its name, how fakes differ from their reals, and how probable by chance.

    The exact test turns the sign of each group's mean difference (Fisher's randomisation test); the last
    column is Holm's correction for the number of measurements.
    """
    halves: dict[str, dict[str, Case]] = {}
    for case in pairs:
        halves.setdefault(case.pair, {})[case.label] = case
    rows = []
    for at, name in enumerate(names):
        by_group: dict[str, list[float]] = {}
        for both in halves.values():
            gap = both["fake"].values[at] - both["real"].values[at]
            if np.isfinite(gap):
                by_group.setdefault(both["real"].group, []).append(float(gap))
        means = np.array([np.mean(gaps) for gaps in by_group.values()])
        if len(means) < 3:
            continue
        signs = sign_matrix(len(means))
        chance = float((np.abs(signs @ means) >= abs(means.sum()) - 1e-12).mean())
        higher = sum(gap > 0 for gaps in by_group.values() for gap in gaps)
        count = sum(len(gaps) for gaps in by_group.values())
        rows.append((chance, name, float(means.mean()), higher, count, len(means)))
    print("| measurement | mean difference | fake higher | groups | p | p, corrected |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for place, (chance, name, mean, higher, count, groups) in enumerate(sorted(rows)):
        worst = max(worst, min(1.0, chance * (len(rows) - place)))
        print(f"| {name} | {mean:+.3f} | {higher} of {count} | {groups} | {chance:.3f} | {worst:.2f} |")


def sign_matrix(count: int) -> np.ndarray:
    """Return all ways to give signs to `count` numbers, or 4,096 drawn ones where there are more."""
    if count <= 12:
        return np.array(list(product((-1, 1), repeat=count)))
    return np.random.default_rng(2).choice([-1, 1], (4096, count))


def agree(cache: Path) -> None:
    """Print how far the pulse rates of real clips agree between regions, methods and halves."""
    print(
        "| clip | s | face, px | POS | regions near POS | CHROM, GREEN, ICA | halves | SNR, dB | in step | "
        "surroundings | reported |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    reals = [case for case in cases(cache) if case.label == "real"]
    counts = []
    for case in reals:
        times = case.rows["time"]
        seconds = float(times[-1] - times[0])
        size = float(np.median(case.rows["box"][:, 2:].max(axis=1)))
        found = pulse_of(case.rows)
        if found is None or seconds < PULSE_SECONDS or longest_step(times) > 0.5:
            print(f"| {case.file} | {seconds:.1f} | {size:.0f} | not measured |")
            continue
        near = sum(abs(rate - found.rate) <= NEAR for rate in found.region_rates.values())
        methods = [found.method_rates[name] for name in ("CHROM", "GREEN", "ICA")]
        halves = found.half_rates if seconds >= HALVES_SECONDS else None
        doubts = doubts_about(found)
        control = np.nan if found.control_coherence is None else found.control_coherence
        half_text = f"{halves[0]:.0f}, {halves[1]:.0f}" if halves else "too short"
        reported = f"no, {len(doubts)} doubts" if doubts else "yes"
        counts.append(
            (
                near / len(found.region_rates),
                float(abs(methods[0] - found.rate) <= NEAR),
                np.nan if halves is None else float(abs(halves[0] - halves[1]) <= NEAR),
            )
        )
        print(
            f"| {case.file} | {seconds:.1f} | {size:.0f} | {found.rate:.0f} | {near} of 4 | "
            f"{', '.join(f'{rate:.0f}' for rate in methods)} | {half_text} | {found.snr:.1f} | "
            f"{found.coherence:.2f} | {control:.2f} | {reported} |"
        )
    regions, methods_agree, halves_agree = np.array(counts).T
    print(
        f"{len(counts)} clips: {regions.mean():.2f} of the regions within {NEAR:g} beats of POS over all, "
        f"{'/'.join(METHODS)} agree in {methods_agree.sum():.0f}, halves in {np.nansum(halves_agree):.0f} of "
        f"{np.isfinite(halves_agree).sum()}; of rates drawn evenly from 42 to 180, {chance_near():.2f} would"
    )


def chance_near() -> float:
    """Return how often two rates drawn evenly from the band lie within `NEAR`."""
    low, high = (60 * edge for edge in pulse.BAND)
    share = NEAR / (high - low)
    return 2 * share - share**2


def poses(cache: Path) -> None:
    """Print, clip by clip, how far yaw from x, y and z follows yaw from x and y alone."""
    print("| clip | range of yaw | gain of z against x, y | apart, degrees | apart at the widest yaw |")
    print("|---|---|---|---|---|")
    for case in cases(cache):
        points = case.rows["landmarks"][:, RIGID].astype(np.float64)
        solid = fit_rotations(points, NEUTRAL)[1]
        flat = flat_rotations(points[..., :2], NEUTRAL)
        middle = mean_rotation(solid)
        turned = [angles(r @ mean_rotation(r).T)[:, 0] for r in (solid, flat)]
        spread = float(np.ptp(turned[1]))
        if spread < WIDE_YAW:
            continue
        gain = float((turned[0] * turned[1]).sum() / (turned[1] ** 2).sum())
        apart = angle_between(solid @ middle.T, flat @ mean_rotation(flat).T)
        far = np.abs(turned[1]) > 0.8 * np.abs(turned[1]).max()
        print(f"| {case.file} | {spread:.0f} | {gain:.2f} | {apart.mean():.1f} | {apart[far].mean():.1f} |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("measure", "blend", "frozen"):
        sub = commands.add_parser(name)
        sub.add_argument("folder", type=Path)
        sub.add_argument("cache", type=Path)
    for name in ("judge", "pulse", "pose"):
        commands.add_parser(name).add_argument("cache", type=Path)
    arguments = parser.parse_args()
    of_clips = {"measure": measure, "blend": blend, "frozen": judge_frozen}
    if arguments.command in of_clips:
        of_clips[arguments.command](arguments.folder, arguments.cache)
    else:
        {"judge": judge, "pulse": agree, "pose": poses}[arguments.command](arguments.cache)


if __name__ == "__main__":
    main()
