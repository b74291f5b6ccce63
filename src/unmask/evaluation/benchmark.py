"""Several detectors on several data sets: how well each does at home, and how much of it carries over.

The generalisation gap of a detector is its mean AUC on held-out items of the data sets that it was trained
on, minus its mean AUC on data sets that it never saw (as in DeepfakeBench, Yan et al. 2023, 2307.01426,
within- against cross-domain).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unmask.evaluation.metrics import Figures, Interval, Sample, bootstrap, interval, ranking_figures
from unmask.evaluation.page import value
from unmask.evaluation.results import sample_of
from unmask.evaluation.run import Plan, Progress, Result, evaluate, network
from unmask.evaluation.scoring import Score
from unmask.runtime.card import VISUAL, load_card

SCHEMA = "unmask.benchmark/1"
EMBEDDED = "embedded"


@dataclass(frozen=True, eq=False)
class Cell:
    """One detector on one data set: its AUC with the 95 % interval, and whether it trained on that set.

    `drawn` (1 + draws,) is the AUC of all items and of bootstrap draws of their groups, made apart from those
    of every other cell. `aggregations` are the figures of the ways to combine the frames of clips, by name;
    none where the data set holds no clips.
    """

    data_set: str
    split: str
    real: int
    fake: int
    auc: float
    interval: tuple[float, float]
    seen: bool
    drawn: np.ndarray
    aggregations: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Row:
    """One detector: its name, what it was trained on, and its cells.

    The intervals of the means are of bootstrap draws of the groups in all of their data sets at once. They do
    not say how the detector would do on other data sets than these.
    """

    detector: str
    trained_on: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def within(self) -> Interval | None:
        """Mean AUC on the data sets that it was trained on; None where none was measured."""
        return _interval(self._mean(seen=True))

    @property
    def across(self) -> Interval | None:
        """Mean AUC on the data sets that it never saw; None where none was measured."""
        return _interval(self._mean(seen=False))

    @property
    def gap(self) -> Interval | None:
        """The generalisation gap; None where one side was not measured."""
        within, across = self._mean(seen=True), self._mean(seen=False)
        return None if within is None or across is None else interval(within - across)

    def _mean(self, *, seen: bool) -> np.ndarray | None:
        drawn = [cell.drawn for cell in self.cells if cell.seen == seen]
        return np.mean(drawn, axis=0) if drawn else None


def _interval(drawn: np.ndarray | None) -> Interval | None:
    return None if drawn is None else interval(drawn)


def benchmark(
    checkpoints: Sequence[Path | None],
    plan: Plan,
    *,
    on_progress: Progress | None = None,
) -> list[Row]:
    """Carry out a plan with each detector (None: the embedded one) in place of the plan's.

    Raises:
        TestDataError: test data cannot be read.
        WeightError: a network cannot be used.
        ValueError: no data set holds both reals and fakes.
    """
    rows = []
    for checkpoint in checkpoints:
        name = EMBEDDED if checkpoint is None else checkpoint.name

        def step(stage: str, done: int, total: int, name: str = name) -> None:
            if on_progress is not None:
                on_progress(name, done, total)

        with network(checkpoint) as path:
            trained = _trained_on(path)
            result = evaluate(replace(plan, checkpoint=path, tune_thresholds=False), on_progress=step)
        cells = tuple(_cells(result, trained, draws=plan.draws))
        if not cells:
            raise ValueError("no data set of the test data holds both reals and fakes")
        rows.append(Row(name, tuple(sorted(trained)), cells))
    return rows


def _trained_on(path: Path | None) -> set[str]:
    card = load_card(path or VISUAL)
    return {str(row["data_set"]) for row in card.training_data if isinstance(row, dict) and "data_set" in row}


def _cells(result: Result, trained: set[str], *, draws: int) -> list[Cell]:
    parts: dict[tuple[str, str], list[Score]] = {}
    for score in result.scores:
        parts.setdefault((score.item.data_set, score.item.split), []).append(score)
    aggregations = {
        (part["data_set"], part["split"]): part["aggregations"] for part in result.json["results"]
    }
    cells = []
    for number, ((data_set, split), part) in enumerate(parts.items(), start=1):
        sample = sample_of(part)
        fakes = int(sample.fake.sum())
        if not 0 < fakes < len(sample):
            continue
        auc = interval(_aucs(sample, draws=draws, seed=0))  # as `unmask evaluate` draws
        cells.append(
            Cell(
                data_set,
                split,
                len(sample) - fakes,
                fakes,
                auc.value,
                (auc.low, auc.high),
                data_set in trained,
                drawn=_aucs(sample, draws=draws, seed=number),
                aggregations=aggregations[data_set, split],
            )
        )
    return cells


def _aucs(sample: Sample, *, draws: int, seed: int) -> np.ndarray:
    def auc(part: Sample, weights: np.ndarray) -> Figures:
        return {"auc": ranking_figures(part, weights)["auc"]}

    return bootstrap(sample, auc, draws=draws, seed=seed)["auc"]


def to_json(rows: Sequence[Row], *, command: str) -> dict[str, Any]:
    """Return the benchmark as JSON-ready values."""
    return {"schema": SCHEMA, "command": command, "detectors": [_row_json(row) for row in rows]}


def _row_json(row: Row) -> dict[str, Any]:
    cells = [{name: v for name, v in vars(cell).items() if name != "drawn"} for cell in row.cells]
    result: dict[str, Any] = {"detector": row.detector, "trained_on": row.trained_on, "cells": cells}
    for name in ("within", "across", "gap"):
        figure: Interval | None = getattr(row, name)
        result[name] = None if figure is None else figure.value
        result[f"{name}_interval"] = None if figure is None else (figure.low, figure.high)
    return result


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table, a line a detector, a column a data set; then one of the ways to combine frames."""
    columns = list(dict.fromkeys((c.data_set, c.split) for row in rows for c in row.cells))
    titles = [f"{data_set} {split}".strip() for data_set, split in columns]
    lines = [
        "| detector | " + " | ".join(titles) + " | within | across | gap |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for row in rows:
        by_place = {(cell.data_set, cell.split): cell for cell in row.cells}
        texts = [_cell_text(by_place.get(place)) for place in columns]
        means = [_interval_text(figure) for figure in (row.within, row.across, row.gap)]
        lines.append(f"| {row.detector} | " + " | ".join([*texts, *means]) + " |")
    lines += ["", "AUC with 95 % interval; * trained on other items of this data set."]
    return "\n".join([*lines, *_aggregation_lines(rows)]) + "\n"


def _aggregation_lines(rows: Sequence[Row]) -> list[str]:
    """Return the table of ways to combine the frames of clips; nothing where no data set holds clips."""
    clips = [(row, cell) for row in rows for cell in row.cells if cell.aggregations]
    ways = list(dict.fromkeys(way for _, cell in clips for way in cell.aggregations))
    if not clips:
        return []
    lines = [
        "",
        "| frames of a clip combined by | " + " | ".join(ways) + " |",
        "|---" * (len(ways) + 1) + "|",
    ]
    for row, cell in clips:
        title = f"{row.detector}, {cell.data_set} {cell.split}".strip()
        lines.append(f"| {title} | " + " | ".join(value(cell.aggregations.get(way)) for way in ways) + " |")
    return lines


def _interval_text(figure: Interval | None) -> str:
    return "" if figure is None else f"{figure.value:.3f} ({figure.low:.3f}-{figure.high:.3f})"


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.auc:.3f} ({cell.interval[0]:.3f}-{cell.interval[1]:.3f}){'*' if cell.seen else ''}"
