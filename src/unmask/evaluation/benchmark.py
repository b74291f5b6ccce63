"""Several detectors on several data sets: how well each does at home, and how much of it carries over.

The generalisation gap of a detector is its mean AUC on held-out items of the data sets that it was trained
on, minus its mean AUC on data sets that it never saw (as in DeepfakeBench, Yan et al. 2023, 2307.01426,
within- against cross-domain).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unmask.evaluation.metrics import measure
from unmask.evaluation.results import sample_of
from unmask.evaluation.run import Plan, Progress, evaluate, network
from unmask.evaluation.scoring import Score
from unmask.runtime.card import WEIGHTS, load_card

SCHEMA = "unmask.benchmark/1"
EMBEDDED = "embedded"


@dataclass(frozen=True)
class Cell:
    """One detector on one data set: its AUC with the 95 % interval, and whether it trained on that set."""

    data_set: str
    split: str
    real: int
    fake: int
    auc: float
    interval: tuple[float, float]
    seen: bool


@dataclass(frozen=True)
class Row:
    """One detector: its name, what it was trained on, and its cells."""

    detector: str
    trained_on: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def within(self) -> float | None:
        """Mean AUC on the data sets that it was trained on; None where none was measured."""
        return _mean([cell.auc for cell in self.cells if cell.seen])

    @property
    def across(self) -> float | None:
        """Mean AUC on the data sets that it never saw; None where none was measured."""
        return _mean([cell.auc for cell in self.cells if not cell.seen])

    @property
    def gap(self) -> float | None:
        """The generalisation gap; None where one side was not measured."""
        return None if self.within is None or self.across is None else self.within - self.across


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
            result = evaluate(replace(plan, checkpoint=path), on_progress=step)
        cells = tuple(_cells(result.scores, trained, draws=plan.draws))
        if not cells:
            raise ValueError("no data set of the test data holds both reals and fakes")
        rows.append(Row(name, tuple(sorted(trained)), cells))
    return rows


def _trained_on(path: Path | None) -> set[str]:
    card = load_card(path or WEIGHTS / "visual.onnx")
    return {str(row["data_set"]) for row in card.training_data if isinstance(row, dict) and "data_set" in row}


def _cells(scores: Sequence[Score], trained: set[str], *, draws: int) -> list[Cell]:
    parts: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        parts.setdefault((score.item.data_set, score.item.split), []).append(score)
    cells = []
    for (data_set, split), part in parts.items():
        sample = sample_of(part)
        fakes = int(sample.fake.sum())
        if not 0 < fakes < len(sample):
            continue
        auc = measure(sample, {}, draws=draws)[0]["auc"]
        cells.append(
            Cell(
                data_set,
                split,
                len(sample) - fakes,
                fakes,
                auc.value,
                (auc.low, auc.high),
                data_set in trained,
            )
        )
    return cells


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def to_json(rows: Sequence[Row], *, command: str) -> dict[str, Any]:
    """Return the benchmark as JSON-ready values."""
    return {
        "schema": SCHEMA,
        "command": command,
        "detectors": [
            asdict(row) | {"within": row.within, "across": row.across, "gap": row.gap} for row in rows
        ],
    }


def to_markdown(rows: Sequence[Row]) -> str:
    """Return the benchmark as a table: a line a detector, a column a data set."""
    columns = list(dict.fromkeys((c.data_set, c.split) for row in rows for c in row.cells))
    titles = [f"{data_set} {split}".strip() for data_set, split in columns]
    lines = [
        "| detector | " + " | ".join(titles) + " | within | across | gap |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for row in rows:
        by_place = {(cell.data_set, cell.split): cell for cell in row.cells}
        texts = [_cell_text(by_place.get(place)) for place in columns]
        means = ["" if v is None else f"{v:.3f}" for v in (row.within, row.across, row.gap)]
        lines.append(f"| {row.detector} | " + " | ".join([*texts, *means]) + " |")
    return "\n".join(lines) + "\n\nAUC with 95 % interval; * trained on other items of this data set.\n"


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.auc:.3f} ({cell.interval[0]:.3f}-{cell.interval[1]:.3f}){'*' if cell.seen else ''}"
