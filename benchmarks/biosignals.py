"""Measures the analysers of biological signals on clips whose truth is known, through real H.264.

Run by hand (see docs/experiments/biosignals.md):

python benchmarks/biosignals.py traces FOLDER --seeds 1 2 3   film pulse clips, keep the colour traces
python benchmarks/biosignals.py pulse FOLDER --seeds 1 2 3    judge the traces
python benchmarks/biosignals.py methods FOLDER --seeds 1 2 3  each method alone, and another implementation
python benchmarks/biosignals.py whole FOLDER --seed 1         a clip through the whole pipeline
python benchmarks/biosignals.py pose FOLDER --portraits FILES  turned heads against their true angles
python benchmarks/biosignals.py breathing FOLDER              breathing clips, landmarks from the script
python benchmarks/biosignals.py real CLIPS LABELS             blinks of labelled real clips
python benchmarks/biosignals.py cost CLIP                     processor time against the face mesh's

`traces` takes the landmarks from the script instead of the mesh, which costs ten times as much; `whole` shows
what the mesh changes.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from biosignals_truth import FRAME, Actor, Encoder, Script, film, turn, turn_closed

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.pulse import doubts_about
from unmask.evidence.registry import Options, create
from unmask.faces.detect import Detector
from unmask.faces.face import HeadPose
from unmask.faces.landmarks import Landmarker
from unmask.faces.pose import NEUTRAL, RIGID, rotation_of
from unmask.faces.track import Tracker
from unmask.media.events import Frame, Media
from unmask.media.reader import read
from unmask.pipeline import analyse
from unmask.runtime.session import set_threads
from unmask.signals import pulse
from unmask.signals.filters import bandpass, resample, strongest_line
from unmask.signals.head_motion import angle_between, angles, fit_rotations

CRFS = (18, 23, 30)
AMPLITUDES = (0.005, 0.0, 0.01, 0.003)
RATE = 25
TRACE_RATE = 20
VIEW = (54, 20, 352)
"""Left, top and side of the square that the clips of `traces` show: the head alone, to save time."""
ANALYSERS = ("blink", "pulse", "breathing", "head_pose", "consistency")


def script_of(seed: int, amplitude: float) -> Script:
    """Return a 30-s script whose pulse, light and motion follow from the seed."""
    random = np.random.default_rng([seed, round(amplitude * 1e4)])
    return Script(
        seconds=30,
        rate=TRACE_RATE,
        seed=int(random.integers(1 << 30)),
        beats=float(random.uniform(50, 140)),
        amplitude=amplitude,
        breaths=0,
        motion=float(random.uniform(0.3, 1.2)),
    )


def traces(folder: Path, seeds: Sequence[int], amplitudes: Sequence[float]) -> None:
    """Film each script at each quality and write the mean colours of the regions."""
    actor = Actor()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for amplitude in amplitudes:
            script = script_of(seed, amplitude)
            outputs = [folder / f"pulse_{seed}_{amplitude:g}_crf{crf}.npz" for crf in CRFS]
            if all(path.exists() for path in outputs):
                continue
            begin = time.process_time()
            landmarks = encode(actor, script, [path.with_suffix(".mp4") for path in outputs], VIEW)
            box = actor.box - (*VIEW[:2], 0, 0)
            for path in outputs:
                clip = path.with_suffix(".mp4")
                np.savez(path, beats=script.beats, bits=bits_of(clip), **colours(clip, landmarks, box))
                clip.unlink()
            print(f"seed {seed}, {amplitude:g}: {time.process_time() - begin:.0f} s of CPU", flush=True)


def encode(
    actor: Actor, script: Script, paths: Sequence[Path], view: tuple[int, int, int] = (0, 0, FRAME)
) -> np.ndarray:
    """Write the part of a script that `view` shows at each quality; return the true landmarks (N, 478, 3)."""
    left, top, side = view
    encoders = [
        Encoder(path, rate=script.rate, crf=crf, side=side) for path, crf in zip(paths, CRFS, strict=True)
    ]
    truth = []
    for shot in film(actor, script):
        truth.append((shot.landmarks - (left, top, 0)).astype(np.float32))
        part = np.ascontiguousarray(shot.pixels[top : top + side, left : left + side])
        for encoder in encoders:
            encoder.write(part)
    for encoder in encoders:
        encoder.close()
    return np.stack(truth)


def colours(clip: Path, landmarks: np.ndarray, box: np.ndarray) -> dict[str, np.ndarray]:
    """Return times (N,) and the colours of regions and eyes (N, 5, 3) and surroundings (N, 3) of a clip."""
    times, regions, around = [], [], []
    for event in read(clip, rate=None, threads=1):
        if isinstance(event, Frame):
            times.append(event.time)
            regions.append(pulse.region_colours(event.pixels, landmarks[event.index]))
            around.append(pulse.surroundings_colour(event.pixels, box[None]))
    return {"times": np.array(times), "regions": np.stack(regions), "around": np.stack(around)}


def bits_of(clip: Path) -> float:
    """Return the bits that the file spends on a pixel of a frame."""
    media = next(read(clip))
    assert isinstance(media, Media)
    assert media.size
    assert media.frame_rate
    return (media.bit_rate or 0) / (media.size[0] * media.size[1] * float(media.frame_rate))


def judge_pulse(folder: Path, seeds: Sequence[int]) -> None:
    """Print, for every amplitude and quality, the clips answered and how wrong the answers are."""
    print(
        "| amplitude | crf | bits/pixel | clips | answered | MAE of answers, 1/min | worst | "
        "MAE if all answered |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for amplitude in sorted(AMPLITUDES, reverse=True):
        for crf in CRFS:
            files = [folder / f"pulse_{seed}_{amplitude:g}_crf{crf}.npz" for seed in seeds]
            rows = [judged(path) for path in files if path.exists()]
            if not rows:
                continue
            answered = np.array([row[0] for row in rows], bool)
            errors = np.array([row[1] for row in rows])
            bits = np.mean([row[2] for row in rows])
            hit = errors[answered]
            mean, worst = (f"{hit.mean():.2f}", f"{hit.max():.2f}") if len(hit) else ("", "")
            everything = f"{errors.mean():.2f}"
            if amplitude == 0:
                mean = worst = everything = "no pulse"
            print(
                f"| {100 * amplitude:g} % | {crf} | {bits:.3f} | {len(rows)} | {answered.sum()} | {mean} | "
                f"{worst} | {everything} |"
            )


def judged(path: Path) -> tuple[bool, float, float]:
    """Return whether a rate is reported, its error, and the bits a pixel of one trace."""
    with np.load(path) as data:
        found = pulse.analyse(data["times"], data["regions"][:, :4], data["around"])
        return not doubts_about(found), abs(found.rate - float(data["beats"])), float(data["bits"])


def whole(folder: Path, seed: int, seconds: float) -> None:
    """Film one script with pulse of 1 %, blinks and breathing, and run the whole pipeline on it."""
    random = np.random.default_rng([seed, 7])
    gaps = random.uniform(1.0, 5.0, 40).cumsum()
    lengths = random.uniform(0.15, 0.4, 40)
    blinks = tuple((float(t), float(n)) for t, n in zip(gaps, lengths, strict=True) if t < seconds - 0.5)
    script = Script(
        seconds=seconds,
        rate=RATE,
        seed=seed,
        blinks=blinks,
        beats=float(random.uniform(50, 140)),
        breaths=float(random.uniform(9, 24)),
    )
    print(
        f"seed {seed}: pulse {script.beats:.1f}, breaths {script.breaths:.1f}, {len(blinks)} blinks",
        flush=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"whole_{seed}_crf{crf}.mp4" for crf in CRFS]
    if not all(path.exists() for path in paths):
        encode(Actor(), script, paths)
    for path in paths:
        signals: list[tuple[Evidence, Signals]] = []
        begin = time.process_time()
        report = analyse(path, analysers=ANALYSERS, threads=1, on_signals=_into(signals))
        spent = time.process_time() - begin
        print(f"{path.name}: {spent:.0f} s of CPU; stages {report.timing and report.timing.stages}")
        evidence = report.faces[0].evidence
        for name in ("pulse", "breathing", "head_pose", "consistency"):
            print(f"  {name}: {evidence[name].status}: {evidence[name].summary}")
        marks = next((s.marks for e, s in signals if e.analyser == "blink"), ())
        print("  blink:", compare([(t - n / 4, t + n / 4) for t, n in blinks], marks))


def compare_methods(folder: Path, seeds: Sequence[int]) -> None:
    """Print how far the strongest line of each method is off, and of another implementation's POS and CHROM.

    The other one is `vitallens` (of PyPI), on the same mean colours; left out where it is not installed.
    """
    try:
        from vitallens.methods.chrom import CHROMRPPGMethod
        from vitallens.methods.pos import POSRPPGMethod

        others = {"POS": POSRPPGMethod().algorithm, "CHROM": CHROMRPPGMethod().algorithm}
    except ImportError:
        others = {}
        print("vitallens is not installed: own methods only")
    own = {"POS": pulse.pos, "CHROM": pulse.chrom, "GREEN": pulse.green, "ICA": pulse.ica}
    columns = [*own, "regions' POS", *(f"{name} of vitallens" for name in others)]
    print("| amplitude | crf | clips |", " | ".join([*columns, *(f"r of {name}" for name in others)]), "|")
    print("|---" * (3 + len(columns) + len(others)) + "|")
    for amplitude in sorted(filter(None, AMPLITUDES), reverse=True):
        for crf in CRFS:
            rows, alike = [], []
            for path in (folder / f"pulse_{seed}_{amplitude:g}_crf{crf}.npz" for seed in seeds):
                data = np.load(path)
                colours = resample(data["times"], data["regions"][:, :4], pulse.GRID)[1]
                mean = colours.mean(axis=1)
                waves = {name: method(mean) for name, method in own.items()}
                theirs = {name: -method(mean, pulse.GRID) for name, method in others.items()}
                lines = [_rate_of(wave[:, None]) for wave in waves.values()]
                lines.append(_rate_of(pulse.pos(colours)))
                lines += [_rate_of(wave[:, None]) for wave in theirs.values()]
                rows.append(np.abs(np.array(lines) - float(data["beats"])))
                alike.append([_correlation(waves[name], wave) for name, wave in theirs.items()])
            cells = [f"{v:.1f}" for v in np.mean(rows, axis=0)] + [f"{v:.3f}" for v in np.mean(alike, axis=0)]
            print(f"| {100 * amplitude:g} % | {crf} | {len(rows)} | {' | '.join(cells)} |")


def _rate_of(waves: np.ndarray) -> float:
    """Return the strongest line, in beats a minute, that signals (N, R) on the even grid share."""
    inside = bandpass(waves, pulse.GRID, *pulse.BAND)
    return 60 * strongest_line(*pulse.shared_spectrum(inside), *pulse.BAND).frequency


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two signals within the band, but for the first and last two seconds."""
    cut = slice(round(2 * pulse.GRID), -round(2 * pulse.GRID))
    both = bandpass(np.stack([a, b], axis=1), pulse.GRID, *pulse.BAND)[cut]
    return float(np.corrcoef(both.T)[0, 1])


def _into(found: list[tuple[Evidence, Signals]]) -> Callable[[Evidence, Signals], None]:
    """Return what takes the raw signals into a list."""
    return lambda evidence, signals: found.append((evidence, signals))


def compare(truth: Sequence[tuple[float, float]], found: Sequence[tuple[float, float]]) -> str:
    """Return hits, misses and false alarms, and how far middles and lengths of the hits are off, in words."""
    pairs = matches(truth, found)
    middles = [abs(sum(truth[i]) - sum(found[j])) / 2 for i, j in pairs]
    ends = [abs(truth[i][k] - found[j][k]) for i, j in pairs for k in (0, 1)]
    f1 = 2 * len(pairs) / max(1, len(truth) + len(found))
    text = f"{len(pairs)} of {len(truth)} found, {len(found) - len(pairs)} false, F1 {f1:.3f}"
    if pairs:
        text += f"; middle off by {1000 * np.mean(middles):.0f} ms (worst {1000 * max(middles):.0f}), "
        text += f"start and end by {1000 * np.mean(ends):.0f} ms (worst {1000 * max(ends):.0f})"
    return text


def matches(
    truth: Sequence[tuple[float, float]], found: Sequence[tuple[float, float]], *, reach: float = 0.1
) -> list[tuple[int, int]]:
    """Pair true with found stretches, each once, whose gap is at most `reach` seconds; nearest first."""
    options = sorted(
        (abs(sum(t) - sum(f)), i, j)
        for i, t in enumerate(truth)
        for j, f in enumerate(found)
        if f[0] - reach <= t[1] and t[0] - reach <= f[1]
    )
    pairs: list[tuple[int, int]] = []
    for _, i, j in options:
        if all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def breathing(folder: Path, seeds: Sequence[int]) -> None:
    """Film people who breathe, nearly still and swaying, and one in three who do not; print what is told.

    The whole pipeline runs on each clip of 30 s at 10 frames a second, crf 23; results are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    actor = Actor()
    found: dict[tuple[float, bool], list[dict]] = {}
    for seed in seeds:
        random = np.random.default_rng([seed, 11])
        motion, breathes = (0.1, 0.5)[seed % 2], seed % 3 > 0
        breaths = float(random.uniform(9, 24)) if breathes else 0.0
        beats = float(random.uniform(50, 140))
        kept = folder / f"breathing_{seed}.json"
        if not kept.exists():
            script = Script(seconds=30, rate=10, seed=seed, beats=beats, breaths=breaths, motion=motion)
            clip = kept.with_suffix(".mp4")
            encoder = Encoder(clip, rate=script.rate, crf=23)
            for shot in film(actor, script):
                encoder.write(shot.pixels)
            encoder.close()
            (face,) = analyse(clip, analysers=["breathing"], threads=1).faces
            told = face.evidence["breathing"]
            values = {name: item.value for name, item in told.measurements.items()}
            kept.write_text(json.dumps({"breaths": breaths, "status": told.status, **values}))
            clip.unlink()
        row = json.loads(kept.read_text())
        print(f"seed {seed}, motion {motion}: {row}", flush=True)
        found.setdefault((motion, breathes), []).append(row)
    for (motion, breathes), rows in sorted(found.items()):
        answered = [row for row in rows if row["status"] == "ok"]
        print(f"motion {motion}, {'breathing' if breathes else 'no breathing'}: {len(rows)} clips, ", end="")
        print(f"{len(answered)} answered")
        for name in ("rate", "rate by head", "rate by shoulders", "rate by skin") if breathes else ():
            off = [abs(row[name] - row["breaths"]) for row in rows if name in row]
            if off:
                print(f"  {name}: {len(off)} clips, off by {np.mean(off):.1f} a minute, worst {max(off):.1f}")


def pose(folder: Path, films: dict[str, Callable[[list[HeadPose]], Iterator[np.ndarray]]]) -> None:
    """Turn heads through H.264 and print by how much the pose is off, judged against the first frame."""
    set_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    detector, landmarker = Detector(threads=1), Landmarker(threads=1)
    print(
        "| head | turn | crf | pose | mean | worst | turned by, at the end |\n|---|---|---|---|---|---|---|"
    )
    for film_name, make in films.items():
        for name, poses in turns().items():
            frames = list(make(poses))
            cv2.imwrite(str(folder / f"{film_name} {name}.png"), np.hstack(frames[::3])[..., ::-1])
            true = np.stack([rotation_of(p) for p in poses])
            for crf in CRFS:
                clip = folder / "pose.mp4"
                encoder = Encoder(clip, rate=RATE, crf=crf)
                for pixels in frames:
                    encoder.write(pixels)
                encoder.close()
                meshes = _followed(read_frames(clip), Tracker(detector, landmarker))
                np.savez(folder / f"{film_name} {name} crf{crf}.npz", meshes=meshes)
                told = {
                    "as measured": fit_rotations(meshes[:, RIGID], NEUTRAL)[1],
                    "x and y alone": flat_rotations(meshes[:, RIGID, :2], NEUTRAL),
                }
                for way, rotations in told.items():
                    changed = rotations @ rotations[0].T
                    off = angle_between(changed, true @ true[0].T)
                    end = ", ".join(f"{angle:.0f}" for angle in angles(changed[-1:])[0])
                    errors = f"{off.mean():.1f} | {off.max():.1f}"
                    print(f"| {film_name} | {name} | {crf} | {way} | {errors} | {end} |", flush=True)


def films_of(portraits: Sequence[Path]) -> dict[str, Callable[[list[HeadPose]], Iterator[np.ndarray]]]:
    """Return what films turned heads: portraits as reliefs and closed to heads.

    Args:
        portraits: pictures of one frontal face each, besides the one that scikit-image brings along.
    """
    actor = Actor()
    films = {"relief": partial(turn, actor), "closed portrait": partial(turn_closed, actor)}
    for path in portraits:
        sitter = Actor(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        films[f"closed {path.stem}"] = partial(turn_closed, sitter)
    return films


def turns() -> dict[str, list[HeadPose]]:
    """Return the turns of the head, in ten steps each."""
    steps = np.linspace(0, 1, 10)
    return {
        "yaw to 45": [HeadPose(45 * s, 0, 0) for s in steps],
        "yaw to -45": [HeadPose(-45 * s, 0, 0) for s in steps],
        "pitch to 25": [HeadPose(0, 25 * s, 0) for s in steps],
        "pitch to -25": [HeadPose(0, -25 * s, 0) for s in steps],
        "roll to 30": [HeadPose(0, 0, 30 * s) for s in steps],
        "all at once": [HeadPose(30 * s, 15 * s, -20 * s) for s in steps],
    }


def flat_rotations(points: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Fit a solid model to x and y alone, under parallel rays: (N, 3, 3) rotations.

    Args:
        points: (N, K, 2) landmarks.
        model: (K, 3) the same on a neutral face.
    """
    source = model - model.mean(axis=0)
    target = points - points.mean(axis=1, keepdims=True)
    affine = np.swapaxes(np.linalg.pinv(source) @ target, 1, 2)
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)


def read_frames(clip: Path) -> list[Frame]:
    """Return all frames of a short clip."""
    return [event for event in read(clip, rate=None, threads=1) if isinstance(event, Frame)]


def _followed(frames: Sequence[Frame], tracker: Tracker) -> np.ndarray:
    """Return the landmarks (N, 478, 3) of the largest face of every frame, as a video's are found."""
    meshes = []
    for frame in frames:
        faces = [face for face in tracker.update(frame, landmarks=True) if face.landmarks is not None]
        largest = max(faces, key=lambda face: float(face.detection.box[3]))
        assert largest.landmarks is not None
        meshes.append(largest.landmarks.astype(np.float64))
    return np.stack(meshes)


def real(folder: Path, labels: Path) -> None:
    """Run the blink analyser on labelled clips and print each clip's and the common F1.

    What is found in a stretch labelled "unsure" counts neither way.
    """
    truth: dict[str, list[tuple[float, float]]] = {}
    unsure: dict[str, list[tuple[float, float]]] = {}
    with labels.open(newline="") as table:
        for row in csv.DictReader(table):
            truth.setdefault(row["clip"], [])
            if row["kind"] != "none":
                kind = truth if row["kind"] == "blink" else unsure
                kind.setdefault(row["clip"], []).append((float(row["start"]), float(row["end"])))
    hits = true = false = 0
    for name, stretches in truth.items():
        signals: list[tuple[Evidence, Signals]] = []
        report = analyse(folder / name, analysers=["blink"], threads=1, on_signals=_into(signals))
        marks = [mark for _, item in signals for mark in item.marks]
        matched = {j for _, j in matches(stretches, marks)}
        doubtful = {j for _, j in matches(unsure.get(name, []), marks)} | {
            j for j, m in enumerate(marks) if any(a <= sum(m) / 2 <= b for a, b in unsure.get(name, []))
        }
        marks = [m for j, m in enumerate(marks) if j in matched or j not in doubtful]
        pairs = matches(stretches, marks)
        hits, true, false = hits + len(pairs), true + len(stretches), false + len(marks) - len(pairs)
        status = {e.status for p in report.faces for e in p.evidence.values()}
        print(f"{name}: {', '.join(sorted(status))}; {compare(stretches, marks)}", flush=True)
        missed = [s for i, s in enumerate(stretches) if i not in {a for a, _ in pairs}]
        extra = [m for j, m in enumerate(marks) if j not in {b for _, b in pairs}]
        print(f"   missed {missed}, false {[(round(a, 2), round(b, 2)) for a, b in extra]}", flush=True)
    print(f"{hits} of {true} found, {false} false, F1 {2 * hits / (2 * hits + true - hits + false):.3f}")


def cost(clip: Path, count: int) -> None:
    """Print the processor time a frame of the face mesh and of each analyser, one thread, on one clip."""
    set_threads(1)
    landmarker = Landmarker(threads=1)
    tracker = Tracker(Detector(threads=1), landmarker)
    spent: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        begin = time.process_time()
        work()
        spent.setdefault(name, []).append(1000 * (time.process_time() - begin))

    analysers = create(ANALYSERS, Options(threads=1))
    size = np.empty(2)
    for event in read(clip, rate=None, threads=1):
        if isinstance(event, Media):
            for analyser in analysers:
                analyser.begin(event)
        if not isinstance(event, Frame):
            continue
        faces = tracker.update(event, landmarks=True)
        if len(faces) != 1 or faces[0].landmarks is None:
            continue
        size = faces[0].detection.box[2:]
        where, mesh = faces[0].detection, faces[0].landmarks
        timed("mesh", lambda w=where, e=event: landmarker.mesh(e.pixels, w))
        timed("blendshapes", lambda m=mesh: landmarker.blendshapes(m))
        for analyser in analysers:
            timed(analyser.name, lambda a=analyser, e=event, f=faces: a.observe(e, f))
        if len(spent["mesh"]) == count:
            break
    for analyser in analysers:
        timed(f"{analyser.name} at the end", analyser.conclude)
    frames = len(spent["mesh"])
    print(f"{frames} frames of {event.pixels.shape[1]} x {event.pixels.shape[0]}, face {size.round()} pixels")
    # The mean would count the seconds in which something else had the processor's caches; the rest is once.
    a_frame = {
        name: float(np.median(times)) if len(times) > 1 else times[0] / frames
        for name, times in spent.items()
    }
    for name, value in a_frame.items():
        print(f"  {name}: {value:.2f} ms a frame")
    three = sum(a_frame[name] + a_frame[f"{name} at the end"] for name in ("blink", "pulse", "head_pose"))
    mesh_only = a_frame["mesh"]
    print(f"blink, pulse and head_pose together: {three:.2f} ms, {100 * three / mesh_only:.0f} % of the mesh")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("traces", "pulse", "methods"):
        sub = commands.add_parser(name)
        sub.add_argument("folder", type=Path)
        sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    sub = commands.add_parser("whole")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("--seconds", type=float, default=30)
    sub = commands.add_parser("pose")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--portraits", type=Path, nargs="*", default=[])
    sub.add_argument("--only", nargs="+", help="the heads to film, by name")
    sub = commands.add_parser("real")
    sub.add_argument("folder", type=Path)
    sub.add_argument("labels", type=Path)
    sub = commands.add_parser("cost")
    sub.add_argument("clip", type=Path)
    sub.add_argument("--frames", type=int, default=250)
    sub = commands.add_parser("breathing")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 10)))
    arguments = parser.parse_args()
    if arguments.command == "traces":
        set_threads(1)
        traces(arguments.folder, arguments.seeds, AMPLITUDES)
    elif arguments.command == "pulse":
        judge_pulse(arguments.folder, arguments.seeds)
    elif arguments.command == "methods":
        compare_methods(arguments.folder, arguments.seeds)
    elif arguments.command == "whole":
        whole(arguments.folder, arguments.seed, arguments.seconds)
    elif arguments.command == "pose":
        films = films_of(arguments.portraits)
        pose(arguments.folder, {n: f for n, f in films.items() if n in (arguments.only or films)})
    elif arguments.command == "cost":
        cost(arguments.clip, arguments.frames)
    elif arguments.command == "breathing":
        breathing(arguments.folder, arguments.seeds)
    else:
        real(arguments.folder, arguments.labels)


if __name__ == "__main__":
    main()
