"""One evaluation from plan to written result: read, score, measure, draw."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unmask.data.manifest import Item, thin
from unmask.evaluation import metrics, page, results
from unmask.evaluation.items import TUNE, TUNE_SHARE, TestDataError, read_test_data, without_trained
from unmask.evaluation.scoring import Analyse, Run, Score, score_items
from unmask.evaluation.variants import Variant
from unmask.runtime.card import VISUAL, Card, WeightError, is_exported, load_card
from unmask.verdict.aggregate import Learned

AS_IS = Variant()
Step = Callable[[int, int], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured, on what, and how. `checkpoint` None means the embedded network.

    `tune_films`: so many *tune* pictures of each data set and manipulation, at most, are filmed, and how to
    combine the frames of clips is learned on these films. Without `tune_thresholds` the *tune* data serve
    this alone. `threads` are those of all `processes` together (`evaluation.spread`), 0 takes all.
    """

    test_data: tuple[Path, ...]
    checkpoint: Path | None = None
    split: str | None = None
    tune_data: tuple[Path, ...] = ()
    tune_share: float = TUNE_SHARE
    tune_seed: int = 0
    tune_films: int = 0
    tune_thresholds: bool = True
    false_alarm_rate: float = 0.01
    match_face_size: bool = False
    variant: Variant = AS_IS
    limit: int | None = None
    frames: int | None = None
    threads: int = 0
    processes: int = 1
    device: str = "auto"
    draws: int = metrics.DRAWS
    command: str = ""


@dataclass(frozen=True)
class Result:
    """A finished evaluation: its JSON, the scores behind it, and how the media were changed."""

    json: dict[str, Any]
    scores: list[Score]
    variant: Variant

    def write(self, folder: Path) -> None:
        """Write evaluation.json, scores.csv, index.html and the two sheets of worst mistakes."""
        folder.mkdir(parents=True, exist_ok=True)
        sheets = page.mistake_sheets(self.scores, variant=self.variant)
        _write(folder / "evaluation.json", json.dumps(self.json, indent=1, ensure_ascii=False) + "\n")
        _write(folder / "scores.csv", results.to_csv(self.scores))
        _write(folder / "index.html", page.render(self.json, self.scores, sheets))
        for name, png in sheets.items():
            _write(folder / f"{name}.png", png)


def _write(path: Path, content: str | bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def evaluate(plan: Plan, *, on_progress: Progress | None = None) -> Result:
    """Carry out a plan.

    Raises:
        TestDataError: test or tune data cannot be read.
        WeightError: the network cannot be used.
        ValueError: a part of the plan applies to no item, or tune data lack a class.
    """
    found = read_test_data(plan.test_data, split=plan.split)
    tune = (
        read_test_data(plan.tune_data, split=TUNE, tune_share=plan.tune_share, seed=plan.tune_seed)
        if plan.tune_data
        else []
    )

    def stage(name: str) -> Callable[[int, int], None] | None:
        return None if on_progress is None else lambda done, total: on_progress(name, done, total)

    with network(plan.checkpoint) as path:
        card = load_card(VISUAL if path is None else path)
        allowed, trained = without_trained(found, card)
        if not allowed:
            raise TestDataError(f"{plan.test_data[0]}: the network was trained on every group there")
        items = _limited(allowed, plan.limit)
        plan.variant.check(items)
        analyse = analyser(path, frames=plan.frames, device=plan.device)
        score = partial(score_items, analyse=analyse, threads=plan.threads, processes=plan.processes)
        chosen = score(tune if plan.tune_thresholds else [], on_progress=stage("tune"))
        learned = _learn(plan, tune, items, path, on_progress=stage("films"))
        run = score(items, variant=plan.variant, on_progress=stage("test"))
    thresholds = (
        results.Thresholds.of(chosen.scores, false_alarm_rate=plan.false_alarm_rate)
        if chosen.scores
        else None
    )
    scores = results.match_face_size(run.scores) if plan.match_face_size else run.scores
    return Result(_summary(plan, run, scores, card, thresholds, learned, trained), scores, plan.variant)


@dataclass(frozen=True)
class LearnedOnFilms:
    """A way to combine frames, and of how many *tune* films it was learned."""

    way: Learned
    real: int
    fake: int


def _learn(
    plan: Plan, tune: Sequence[Item], items: Sequence[Item], model: Path | None, *, on_progress: Step | None
) -> LearnedOnFilms | None:
    """Film *tune* pictures and learn how to combine the frames of clips; None without films in the plan.

    Raises:
        ValueError: there is nothing to learn from, nothing to combine, or the laboratory is not installed.
    """
    if not plan.tune_films:
        return None
    if not plan.tune_data:
        raise ValueError("films are made of tune pictures: name their zips with --tune-data")
    if all(item.is_picture for item in items):
        raise ValueError("frames are combined in clips, and there is none in the test data")
    try:
        from unmask.evaluation.calibrate import Judge
        from unmask.evaluation.learned import fit_learned
    except ModuleNotFoundError as error:
        raise ValueError(
            f'--tune-films needs {error.name}: install the laboratory with pip install "unmask[train]"'
        ) from None
    films = Judge(VISUAL if model is None else model, plan.threads, plan.processes).films(
        thin([item for item in tune if item.is_picture], plan.tune_films, seed=plan.tune_seed),
        seed=plan.tune_seed,
        on_progress=on_progress,
    )
    fake = [film.item.fake for film in films]
    way = fit_learned([film.logits for film in films], fake)
    return LearnedOnFilms(way, real=len(fake) - sum(fake), fake=sum(fake))


def _limited(items: Sequence[Item], limit: int | None) -> list[Item]:
    """Take at most `limit` random items of each data set, the same ones each time."""
    if limit is None:
        return list(items)
    kept = []
    for data_set in dict.fromkeys(item.data_set for item in items):
        own = [item for item in items if item.data_set == data_set]
        kept += random.Random(0).sample(own, min(limit, len(own)))
    return kept


@contextmanager
def network(checkpoint: Path | None) -> Iterator[Path | None]:
    """Give the exported file of a checkpoint, made in a temporary folder where it is not exported yet."""
    if checkpoint is None or is_exported(checkpoint):
        yield checkpoint
        return
    from unmask.training.checkpoint import CheckpointError
    from unmask.training.export import export

    with tempfile.TemporaryDirectory(prefix="unmask-") as folder:
        try:
            exported = export(checkpoint, Path(folder) / f"{checkpoint.stem}.onnx")
        except (CheckpointError, RuntimeError) as error:
            raise WeightError(str(error)) from None
        yield exported


def analyser(model: Path | None, *, frames: int | None, device: str) -> Analyse:
    """Return the product's own analysis of one file, with the given network."""
    from unmask.pipeline import analyse

    settings: dict[str, Any] = {"model": model, "device": device}
    if frames is not None:
        settings["frames"] = frames
    return partial(analyse, **settings)


def _aggregation(run: Run) -> str:
    """Return by what name the product combined the frames of clips; the mean where nothing was analysed."""
    return run.tool.get("settings", {}).get("aggregation", "mean")


def _summary(
    plan: Plan,
    run: Run,
    scores: list[Score],
    card: Card,
    thresholds: results.Thresholds | None,
    learned: LearnedOnFilms | None,
    trained: list[str],
) -> dict[str, Any]:
    return {
        "schema": results.SCHEMA,
        "command": plan.command,
        "checkpoint": {
            "name": "embedded" if plan.checkpoint is None else plan.checkpoint.name,
            "sha256": card.sha256,
        },
        "left_out_as_trained_on": trained,
        "test_data": [path.name for path in plan.test_data],
        "split": plan.split,
        "limit": plan.limit,
        "variant": str(plan.variant),
        "matched_face_size": plan.match_face_size,
        "draws": plan.draws,
        "tool": run.tool,
        "product_thresholds": run.thresholds,
        "tune_thresholds": None if thresholds is None else asdict(thresholds),
        "learned_aggregation": None if learned is None else asdict(learned),
        "results": results.evaluate(
            scores,
            thresholds=thresholds,
            aggregation=_aggregation(run),
            learned=None if learned is None else learned.way,
            draws=plan.draws,
        ),
        "real_only": results.real_only(scores),
    }
