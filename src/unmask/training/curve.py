"""Draws the course of a run: loss and tune figures over the steps."""

from __future__ import annotations

import csv
from pathlib import Path


def draw_curve(log: Path, output: Path) -> None:
    """Draw `log.csv` of a run as a PNG; a run that was never evaluated has no curve.

    The first three columns are step, loss and speed; each other is the AUC of one kind on *tune*.
    """
    if not log.exists():
        return
    from matplotlib.figure import Figure

    with log.open(newline="") as file:
        names, *rows = list(csv.reader(file))
    steps = [int(row[0]) for row in rows]
    figure = Figure(figsize=(8, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(steps, [float(row[1]) for row in rows], marker="o")
    left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    for column, name in enumerate(names[3:], start=3):
        right.plot(steps, [float(row[column]) for row in rows], marker="o", label=name)
    right.set(xlabel="step", ylabel="AUC on tune", ylim=(0.4, 1.0))
    if len(names) > 3:
        right.legend(fontsize="small", loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(output, dpi=120)
