"""The page and the table of `unmask biosignals`: plots of all raw signals, and the heart rate in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.report import words
from unmask.report.pages import render
from unmask.report.schema import Report

_WIDTH = 800.0
_HEIGHT = 130.0
_MOST_POINTS = 1500
PLOTS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "blink": (
        ("Closure of the eyes (0 open, 1 shut); blinks are shaded", ("closure",)),
        ("Eye aspect ratio", ("aspect ratio right", "aspect ratio left")),
    ),
    "pulse": (
        ("Pulse signal (POS, all regions)", ("POS",)),
        (
            "Green of the skin, grey levels",
            ("forehead green", "right cheek green", "left cheek green", "chin green"),
        ),
    ),
    "breathing": (("Slow rise and fall, each source in its own unit", ("head", "shoulders", "skin")),),
    "head_pose": (
        ("Head pose, degrees", ("yaw (degrees)", "pitch (degrees)", "roll (degrees)")),
        ("Pose of the inner face against the whole, degrees", ("inner face against whole (degrees)",)),
        ("Speed of turning, degrees a second", ("speed (degrees/s)",)),
    ),
    "consistency": (
        ("Trembling of the landmarks, eye distances", ("trembling (eye distances)",)),
        ("Gaze of the two eyes apart, eye widths", ("gaze of the eyes apart (eye widths)",)),
        ("Chin against neck, distance in a*b*", ("chin against neck (a*b*)",)),
    ),
}
"""The plots of each analyser over time: caption, and the columns drawn together."""
OWN_SCALE = {"breathing"}
"""Analysers whose columns have different units: each is drawn from its lowest to its highest value."""


@dataclass(frozen=True)
class Plot:
    """One plot in drawing units: curves (name, polylines), shaded stretches (x, width), and the ticks."""

    caption: str
    curves: tuple[tuple[str, tuple[str, ...]], ...]
    shades: tuple[tuple[str, str], ...]
    across: tuple[tuple[str, str], ...]
    up: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """What one analyser says about one track, with its plots."""

    title: str
    evidence: Evidence
    plots: tuple[Plot, ...]


def to_page(report: Report, found: Sequence[tuple[Evidence, Signals]]) -> str:
    """Write the page: heart rate first, then every track and analyser.

    Args:
        report: of the same analysis, for facts about the file and for what could not be measured.
        found: each track's evidence and raw signals.
    """
    return render(
        "biosignals.html.j2",
        report=report,
        words=words,
        name=words.printable(report.media.file_name),
        answers=heart_rates(report, found),
        sections=[_section(evidence, signals) for evidence, signals in found],
        missing=_missing(report, found),
    )


def heart_rates(report: Report, found: Sequence[tuple[Evidence, Signals]]) -> list[str]:
    """Answer "what is the heart rate in my video?" in a sentence for each face that was judged."""
    judged = [evidence for evidence, _ in found if evidence.analyser == "pulse"]
    if judged:
        several = len(judged) > 1
        return [f"Face {e.track}: {e.summary}" if several else e.summary for e in judged]
    reasons = dict.fromkeys(
        person.evidence["pulse"].summary for person in report.faces if "pulse" in person.evidence
    )
    return list(reasons) or ["No face was found, so there is no pulse to measure."]


def to_table(found: Sequence[tuple[Evidence, Signals]]) -> str:
    """Write all raw signals as CSV: a row for each track and frame, a column "analyser: signal" for each."""
    names: dict[str, None] = {}
    rows: dict[tuple[int, float], dict[str, float]] = {}
    for evidence, signals in found:
        for column, values in signals.columns.items():
            name = f"{evidence.analyser}: {column}"
            names[name] = None
            for time, value in zip(signals.times, values, strict=True):
                rows.setdefault((evidence.track or 0, float(time)), {})[name] = float(value)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["face", "time (s)", *names])
    for (track, time), row in sorted(rows.items()):
        cells = [row.get(name, np.nan) for name in names]
        writer.writerow([track, f"{time:.4f}", *("" if np.isnan(v) else f"{v:.6g}" for v in cells)])
    return text.getvalue()


def _section(evidence: Evidence, signals: Signals) -> Section:
    plots = []
    for caption, columns in PLOTS[evidence.analyser]:
        curves = {name: signals.columns[name] for name in columns if name in signals.columns}
        if evidence.analyser in OWN_SCALE:
            curves = {name: _unit(values) for name, values in curves.items()}
        plots.append(plot(caption, signals.times, curves, signals.marks))
    for caption, (x, y) in signals.spectra.items():
        if len(x) > 1:
            plots.append(plot(caption.capitalize(), x, {"": y}, (), clock="time" in caption))
    title = f"{evidence.analyser.replace('_', ' ').capitalize()}, face {evidence.track}"
    return Section(title, evidence, tuple(plots))


def plot(
    caption: str,
    x: np.ndarray,
    curves: Mapping[str, np.ndarray],
    marks: Sequence[tuple[float, float]],
    *,
    clock: bool = True,
) -> Plot:
    """Lay out curves (N,) over x (N,) with stretches of x shaded; `clock` writes the ticks of x as times."""
    x = np.asarray(x, np.float64)
    finite = np.concatenate([values[np.isfinite(values)] for values in curves.values()] or [np.empty(0)])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    left, span = float(x[0]), max(float(x[-1] - x[0]), 1e-9)
    step = max(1, len(x) // _MOST_POINTS)

    def place(value: float) -> float:
        return min(max((value - left) / span, 0.0), 1.0) * _WIDTH

    drawn = []
    for name, values in curves.items():
        up = (1 - (values - low) / (high - low)) * _HEIGHT
        across = (x - left) / span * _WIDTH
        lines: list[list[str]] = [[]]
        for a, b in zip(across[::step], up[::step], strict=True):
            if np.isfinite(b):
                lines[-1].append(f"{a:.1f},{b:.1f}")
            elif lines[-1]:
                lines.append([])
        drawn.append((name, tuple(" ".join(line) for line in lines if len(line) > 1)))
    ticks = [left + span * share / 4 for share in range(5)]
    return Plot(
        caption,
        tuple(drawn),
        tuple((f"{place(a):.1f}", f"{max(place(b) - place(a), 1.0):.1f}") for a, b in marks),
        tuple((f"{place(t):.1f}", words.clock(t) if clock else f"{t:.0f}") for t in ticks),
        tuple(
            (f"{_HEIGHT * (1 - s):.1f}", _tick(low + s * (high - low), high - low)) for s in (0.0, 0.5, 1.0)
        ),
    )


def _tick(value: float, span: float) -> str:
    """Write a value with as many decimals as a hundredth of the span needs."""
    decimals = max(0, 2 - int(np.floor(np.log10(span))))
    return f"{round(value, decimals) + 0.0:g}"


def _unit(values: np.ndarray) -> np.ndarray:
    """Return values carried onto 0..1."""
    span = float(np.ptp(values))
    return (values - values.min()) / span if span > 0 else np.full(len(values), 0.5)


def _missing(report: Report, found: Sequence[tuple[Evidence, Signals]]) -> list[tuple[str, str]]:
    """Return the analysers without signals for any face, each with the reason."""
    shown = {evidence.analyser for evidence, _ in found}
    rows = {
        (name.replace("_", " "), entry.summary): None
        for person in report.faces
        for name, entry in person.evidence.items()
        if name not in shown
    }
    return list(rows)
