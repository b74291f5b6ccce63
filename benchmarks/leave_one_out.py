"""Measures how recipes do on a kind of fake that they never saw, nor its source's real pictures.

Run by hand; goes on where it was stopped:
    python benchmarks/leave_one_out.py run WORK --dataset FOLDERS --clips STORE --recipe configs/a.json ...
    python benchmarks/leave_one_out.py report WORK
FOLDERS hold the data set zips to train on; STORE is what `unmask prepare list` cut of `open` clips (their
split is `open`), of which the groups that trained are left out. WORK, outside the repository, keeps every
run. Each run is short (`--steps` batches, `--size` pixels) and alike for all recipes, so that recipes are
compared, not finished detectors.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unmask.data.index import FaceIndex
from unmask.data.manifest import Item, cut_tune, merge, read_zip, thin
from unmask.evaluation.metrics import Sample, clopper_pearson, ranking_figures, with_intervals
from unmask.faces.detect import Detector
from unmask.models.registry import architecture
from unmask.signals.logistic import expit
from unmask.training import checkpoint
from unmask.training.archives import find_archives
from unmask.training.config import TrainingConfig
from unmask.training.loop import predict
from unmask.training.run import run as train

LIVE = "DeepFaceLive"
AND = " + "
KINDS = (
    "DFDC",
    "OpenForensics",
    AND.join(("StyleGAN family", "Stable Diffusion 2.1", "inswapper_128")),
    "hand-made composite",
    LIVE,
)
"""What is left out at a time. Three kinds have their reals in one data set: without those, the fakes of the
two kinds that stay would be all that is seen of that source, and the source be learned for a fake."""
NOTHING = "nothing"
"""Stands for the run that leaves nothing out."""
WITHOUT = " without "
FALSE_ALARMS = 0.05
"""Share of the *tune* reals above the threshold by which false alarms are counted."""
TUNE_REALS = 300
"""Real *tune* pictures of each data set that the threshold rests on."""
CLIPS = "clips: "
"""Begins the names of sources that are clips, of which a mean over frames is judged."""


@dataclass(frozen=True)
class Judged:
    """Items or clips: source, kind ("" of reals), group, and logit (NaN: no face found, an error)."""

    source: np.ndarray
    kind: np.ndarray
    group: np.ndarray
    logit: np.ndarray

    def take(self, chosen: np.ndarray) -> Judged:
        """Return those that a mask names."""
        return Judged(self.source[chosen], self.kind[chosen], self.group[chosen], self.logit[chosen])

    def save(self, path: Path) -> None:
        """Keep them in a file that needs no pickle to be read."""
        np.savez(path, source=self.source, kind=self.kind, group=self.group, logit=self.logit)

    @classmethod
    def load(cls, path: Path) -> Judged:
        """Read what `save` kept."""
        with np.load(path) as stored:
            return cls(*(stored[name] for name in ("source", "kind", "group", "logit")))


def settings(recipe: Path, kind: str, steps: int, size: int, threads: int) -> dict[str, Any]:
    """Return a recipe made short, without one kind."""
    chosen = json.loads(recipe.read_text())
    for name in ("minutes", "epochs", "initial", "frozen_parts"):
        chosen.pop(name, None)
    return chosen | {
        "steps": steps,
        "phases": [{"until": 1.0, "size": size}],
        "leave_out": [] if kind == NOTHING else kind.split(AND),
        "evaluate_every": steps,
        "threads": threads,
    }


def judge(path: Path, items: Sequence[Item], faces: Any) -> Judged:
    """Answer pictures one by one, and the frames of clips by their mean. No face found: NaN."""
    network, header = checkpoint.load(path)
    preprocessing = architecture(header.architecture).preprocessing
    config = TrainingConfig.model_validate(header.configuration)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found, logits = predict(
        network,
        items,
        faces,
        size=config.size,
        framing=config.framing,
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    answer = dict(zip((item.place for item in found), logits, strict=True))
    together: dict[tuple[str, str, str, str], list[float]] = {}
    for item in items:
        clip = item.split == "open"
        source = f"{CLIPS}{item.data_set}" if clip else item.data_set
        one = item.name.rpartition("_")[0] if clip else item.name
        logit = float(answer.get(item.place, np.nan))
        together.setdefault((source, item.manipulation, item.group, one), []).append(logit)
    sources, kinds, groups, _ = (np.array(column) for column in zip(*together, strict=True))
    return Judged(sources, kinds, groups, np.array([_mean(v) for v in together.values()]))


def _mean(logits: Sequence[float]) -> float:
    known = [logit for logit in logits if not np.isnan(logit)]
    return float(np.mean(known)) if known else np.nan


def run(
    work: Path,
    datasets: Sequence[Path],
    clips: Path,
    recipes: Sequence[Path],
    kinds: Sequence[str],
    **how: int,
) -> None:
    """Train and judge every recipe without every kind."""
    archives = find_archives(datasets)
    stored = cut_tune(merge(map(read_zip, archives)), share=0.06)
    trained = {item.group for item in stored if item.manipulation == LIVE}
    shown = [
        item for archive in find_archives([clips]) for item in read_zip(archive) if item.group not in trained
    ]
    tune = thin([i for i in stored if i.split == "tune" and not i.fake], TUNE_REALS, seed=0)
    val = [item for item in stored if item.split == "val"]
    faces = FaceIndex(work / "faces").build([*tune, *val, *shown], detector=Detector(threads=how["threads"]))
    for recipe in recipes:
        for kind in kinds:
            folder = work / f"{recipe.stem}{WITHOUT}{kind}"
            if (folder / "val.npz").exists():
                continue
            started = time.monotonic()
            chosen = settings(recipe, kind, **how)
            if kind == LIVE:
                used = [path for path in archives if not _is_live(path)]
                chosen["leave_out"] = []
                chosen["kinds"] = {k: v for k, v in chosen["kinds"].items() if k != LIVE}
            else:
                used = archives
            train(chosen, used, folder, report=lambda line: print(line, flush=True))
            best = folder / "last.safetensors"
            judge(best, tune, faces).save(folder / "tune.npz")
            judge(best, [*val, *shown], faces).save(folder / "val.npz")
            print(f"{recipe.stem} without {kind}: {(time.monotonic() - started) / 60:.1f} min", flush=True)


def _is_live(archive: Path) -> bool:
    return any(item.manipulation == LIVE for item in read_zip(archive))


def auc(judged: Judged, kind: str, *, own: bool) -> str:
    """Return the AUC of a kind against its own reals or against all others, with its interval.

    A fake picture's own reals are those of its source, a fake clip's the real clips of its group: the clips
    of one list come from many places, and those of a group show the same footage before it was changed.
    """
    fakes = judged.kind == kind
    clip = np.char.startswith(judged.source, CLIPS)
    if kind == LIVE:
        fakes &= clip
    place = judged.group if kind == LIVE else judged.source
    near = np.isin(place, place[fakes])
    alike = clip == clip[fakes][0]
    reals = (judged.kind == "") & alike & (near if own else ~near)
    if not reals.any():
        return "-"
    chosen = judged.take(fakes | reals)
    sample = Sample.of(chosen.kind != "", expit(chosen.logit), chosen.group)
    figure = with_intervals(sample, lambda s, w: {"auc": ranking_figures(s, w)["auc"]})["auc"]
    return f"{figure.value:.3f} ({figure.low:.3f}-{figure.high:.3f}) {fakes.sum()}/{reals.sum()}"


def report(work: Path) -> None:
    """Print AUC of what was left out, beside that of the run that saw all; and false alarms by source."""
    finished = {path.parent.name: path.parent for path in sorted(work.glob("*/val.npz"))}
    for recipe in sorted({name.partition(WITHOUT)[0] for name in finished}):
        runs = {
            kind: finished[f"{recipe}{WITHOUT}{kind}"]
            for kind in (NOTHING, *KINDS)
            if f"{recipe}{WITHOUT}{kind}" in finished
        }
        whole = Judged.load(runs[NOTHING] / "val.npz") if NOTHING in runs else None
        print(f"\n{recipe}\n\n| left out | AUC, own reals | AUC, other reals | AUC where it was seen |")
        print("|---|---|---|---|")
        for left_out in KINDS:
            for kind in left_out.split(AND) if left_out in runs else ():
                judged = Judged.load(runs[left_out] / "val.npz")
                seen = auc(whole, kind, own=True) if whole else ""
                print(f"| {kind} | {auc(judged, kind, own=True)} | {auc(judged, kind, own=False)} | {seen} |")
        sources: list[str] = []
        rows = []
        for kind, folder in runs.items():
            judged, tune = Judged.load(folder / "val.npz"), Judged.load(folder / "tune.npz")
            trained = _trained_sources(judged, kind)
            threshold = np.nanquantile(tune.logit[np.isin(tune.source, sorted(trained))], 1 - FALSE_ALARMS)
            reals = judged.kind == ""
            sources = sources or sorted(set(judged.source[reals]))
            cells = [kind]
            for source in sources:
                chosen = judged.logit[reals & (judged.source == source)]
                share = clopper_pearson(int((~(chosen <= threshold)).sum()), len(chosen))
                text = f"{share.value:.0%} ({share.low:.0%}-{share.high:.0%})"
                cells.append(text if source in trained else f"**{text}**")
            rows.append("| " + " | ".join(cells) + " |")
        print(f"\n| left out | {' | '.join(sources)} |\n|{'---|' * (len(sources) + 1)}", *rows, sep="\n")


def _trained_sources(judged: Judged, left_out: str) -> set[str]:
    """Return the sources of pictures whose reals trained in a run that left out a kind."""
    lost = set(judged.source[np.isin(judged.kind, left_out.split(AND))])
    return {s for s in set(judged.source) if not s.startswith(CLIPS)} - lost


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("run")
    first.add_argument("work", type=Path)
    first.add_argument("--dataset", "-d", type=Path, nargs="+", required=True)
    first.add_argument("--clips", type=Path, required=True)
    first.add_argument("--recipe", type=Path, nargs="+", required=True)
    first.add_argument("--kinds", nargs="+", default=[NOTHING, *KINDS])
    first.add_argument("--steps", type=int, default=1200)
    first.add_argument("--size", type=int, default=128)
    first.add_argument("--threads", type=int, default=2)
    second = commands.add_parser("report")
    second.add_argument("work", type=Path)
    given = parser.parse_args()
    if given.command == "report":
        report(given.work)
    else:
        run(
            given.work, given.dataset, given.clips, given.recipe, given.kinds,
            steps=given.steps, size=given.size, threads=given.threads,
        )  # fmt: skip


if __name__ == "__main__":
    main()
