"""A report as a readable summary on the terminal: with or without colour, from 60 columns, piped or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unmask.report.schema import Evidence, Label, Person, Report, Thresholds, Verdict
from unmask.report.words import (
    HEADLINES,
    KINDS,
    between,
    caveat_lines,
    clock,
    evidence_rows,
    media_line,
    percent,
    printable,
    probability_line,
    seen,
    settings_line,
)

STYLES: dict[Label, str] = {"fake": "red", "real": "green", "inconclusive": "yellow"}
_LARGEST_WIDTH = 100
_MOST_PEOPLE = 12


@dataclass(frozen=True)
class _Glyphs:
    """The characters to draw with; `blocks` rises from empty to full."""

    blocks: str
    full: str
    empty: str
    mark: str
    bullet: str
    axis: str
    tick: str


_UNICODE = _Glyphs(" ▁▂▃▄▅▆▇█", "█", "░", "▲", "•", "─", "┴")
_ASCII = _Glyphs(" .:-=+*#@", "#", ".", "^", "*", "-", "+")


def print_summary(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print the whole summary; `verbose` adds evidence without weight, measurements and settings."""
    width = min(console.width, _LARGEST_WIDTH)
    glyphs = _UNICODE if console.encoding.lower().startswith("utf") else _ASCII
    console.print(Group(*_sections(report, width, glyphs, verbose=verbose)), width=width)


def print_line(report: Report, console: Console) -> None:
    """Print one line a file, for long lists: label, probability, name, the first reason."""
    verdict = report.verdict
    line = Text(f"{verdict.label:<13}", style=f"bold {STYLES[verdict.label]}")
    probability = "" if verdict.probability is None else percent(verdict.probability)
    line.append(f"{probability:>6}  ", style="default not bold")
    line.append(printable(report.media.file_name), style="default bold")
    if verdict.reasons:
        line.append(f"  {verdict.reasons[0]}", style="dim not bold")
    console.print(line, overflow="ellipsis", no_wrap=True, soft_wrap=not console.is_terminal)


def _sections(report: Report, width: int, glyphs: _Glyphs, *, verbose: bool) -> list[RenderableType]:
    parts: list[RenderableType] = [_verdict_panel(report, width, glyphs)]
    if report.verdict.reasons:
        parts.append(_list("Why", report.verdict.reasons, glyphs))
    if report.faces:
        parts.append(_people(report))
    parts += _timelines(report, width, glyphs)
    if verbose:
        parts.append(_evidence(report))
        parts.append(_list("Settings", [settings_line(report)], glyphs))
    if report.warnings:
        parts.append(_list("Warnings", report.warnings, glyphs, style="yellow"))
    parts.append(_foot(report))
    return parts


def _verdict_panel(report: Report, width: int, glyphs: _Glyphs) -> Panel:
    verdict = report.verdict
    style = STYLES[verdict.label]
    head = Text.assemble(
        (f" {verdict.label.upper()} ", f"bold reverse {style}"),
        "  ",
        (HEADLINES[verdict.label], f"bold {style}"),
    )
    if verdict.kind:
        head.append(f" ({KINDS[verdict.kind]})")
    lines: list[RenderableType] = [head, Text("")]
    if verdict.probability is not None:
        lines += _bar(verdict, width - 6, glyphs)
    lines.append(Text(probability_line(verdict)))
    lines += [Text(line, style="dim") for line in caveat_lines(verdict)]
    return Panel(
        Group(*lines),
        title=Text(printable(report.media.file_name), style="bold", overflow="ellipsis", no_wrap=True),
        title_align="left",
        subtitle=Text(media_line(report.media), style="dim", overflow="ellipsis", no_wrap=True),
        subtitle_align="left",
        border_style=style,
        padding=(1, 2),
        width=width,
    )


def _bar(verdict: Verdict, width: int, glyphs: _Glyphs) -> list[Text]:
    """Draw the probability as a bar from real (left) to fake (right), the thresholds marked below it."""
    probability = verdict.probability or 0.0
    cells = width - 12
    filled = round(probability * cells)
    bar = Text("real ", style="dim")
    bar.append(glyphs.full * filled, style=f"not dim {STYLES[verdict.label]}")
    bar.append(glyphs.empty * (cells - filled), style="dim")
    bar.append(" fake", style="dim")
    if verdict.thresholds is None:
        return [bar, Text("")]
    return [bar, _threshold_marks(verdict.thresholds, cells, glyphs)]


def _threshold_marks(limits: Thresholds, cells: int, glyphs: _Glyphs) -> Text:
    """Draw a mark under each threshold and a caption under each mark, or both captions in one line."""
    marks = [" "] * (cells + 1)
    captions = ""
    for value, words in ((limits.real, "real up to"), (limits.fake, "fake from")):
        marks[round(value * cells)] = glyphs.mark
        caption = f"{words} {percent(value)}"
        centred = min(max(0, round(value * cells) - len(caption) // 2), cells + 5 - len(caption))
        captions = captions.ljust(max(centred, len(captions) + 3 if captions else 0)) + caption
    return Text(f"{'':5}{''.join(marks).rstrip()}\n{'':5}{captions}\n", style="dim")


def _list(title: str, items: Sequence[str], glyphs: _Glyphs, *, style: str = "") -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for item in items:
        table.add_row(Text(f"  {glyphs.bullet}", style=style), Text(printable(item), style=style))
    return Group(Text(""), Text(title, style="bold"), table)


def _people(report: Report) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("  person", "verdict", "probability", "seen"):
        table.add_column(heading)
    for index, person in enumerate(report.faces[:_MOST_PEOPLE]):
        probability = percent(person.probability)
        if person.interval:
            probability += f" ({between(person.interval, to='-').removesuffix(' %')})"
        table.add_row(
            f"  {person.person}",
            Text(person.label, style=STYLES[person.label]),
            probability,
            seen(report, index),
        )
    more = len(report.faces) - _MOST_PEOPLE
    rest = [Text(f"  and {more} more (see the JSON report)", style="dim")] if more > 0 else []
    return Group(Text(""), Text("People", style="bold"), table, *rest)


def _evidence(report: Report) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("  of", "analyser", "status", "score", "weight", "summary"):
        table.add_column(heading)
    for owner, name, entry in evidence_rows(report):
        score = "" if entry.score is None else f"{entry.score:.3f}"
        measured = "".join(
            f"\n{key} {m.value:.4g} {m.unit}".rstrip() for key, m in entry.measurements.items()
        )
        text = Text(printable(entry.reason or entry.summary))
        text.append(measured, style="dim")
        table.add_row(f"  {owner}", name, entry.status, score, f"{entry.weight:.2f}", text)
    return Group(Text(""), Text("Evidence", style="bold"), table)


def _timelines(report: Report, width: int, glyphs: _Glyphs) -> list[RenderableType]:
    """One curve for each person and analyser with weight in the verdict, on a common time axis."""
    curves = [
        (person, name, entry)
        for person in report.faces[:_MOST_PEOPLE]
        for name, entry in person.evidence.items()
        if entry.weight > 0 and len(entry.timeline) > 1
    ]
    if not curves:
        return []
    end = max(entry.timeline[-1][0] for _, _, entry in curves)
    start = min(entry.timeline[0][0] for _, _, entry in curves)
    rows = 4 if len(curves) == 1 else 2
    parts: list[RenderableType] = [Text("")]
    analysers = sorted({name for _, name, _ in curves})
    parts.append(Text(f"Timeline, score of {', '.join(analysers)} (0 real, 1 fake)", style="bold"))
    for person, name, entry in curves:
        caption = f"person {person.person}" if len(report.faces) > 1 else ""
        if len(analysers) > 1:
            caption = f"{caption} {name}".strip()
        if caption:
            parts.append(Text(f"  {caption}", style="dim"))
        parts += _curve(person, entry, start, end, width - 8, rows, glyphs)
    parts.append(_axis(start, end, width - 8, glyphs))
    return parts


def column_scores(entry: Evidence, person: Person, start: float, end: float, columns: int) -> np.ndarray:
    """Score in each of `columns` equal stretches of time, NaN where the person is not seen.

    A stretch takes the highest of the scores in it, or, between two samples, the nearest sample's.
    """
    times = np.array([t for t, _ in entry.timeline])
    scores = np.array([s for _, s in entry.timeline])
    span = max(end - start, 1e-9)
    edges = start + span * np.arange(columns + 1) / columns
    centres = (edges[:-1] + edges[1:]) / 2
    values = scores[np.abs(times[None, :] - centres[:, None]).argmin(axis=1)]
    column = np.clip(((times - start) / span * columns).astype(int), 0, columns - 1)
    sampled = np.full(columns, -np.inf)
    np.maximum.at(sampled, column, scores)
    values = np.where(np.isfinite(sampled), sampled, values)
    seen_there = np.isfinite(sampled)
    for track in person.tracks:
        if track.start is not None and track.end is not None:
            seen_there |= (edges[1:] > track.start) & (edges[:-1] <= track.end)
    return np.where(seen_there, values, np.nan)


def _curve(
    person: Person, entry: Evidence, start: float, end: float, columns: int, rows: int, glyphs: _Glyphs
) -> list[Text]:
    values = column_scores(entry, person, start, end, columns)
    lines = []
    for row in reversed(range(rows)):
        margin = "1" if row == rows - 1 else "0" if row == 0 else " "
        line = Text(f"  {margin} ", style="dim")
        bars = ""
        for value in values:
            if np.isnan(value):
                bars += " "
                continue
            level = value * rows - row
            index = int(np.clip(np.ceil(level * 8), 1 if row == 0 else 0, 8))
            bars += glyphs.blocks[index]
        line.append(bars, style=f"not dim {STYLES[person.label]}")
        lines.append(line)
    return lines


def _axis(start: float, end: float, columns: int, glyphs: _Glyphs) -> Text:
    """Draw the time axis: a line with five ticks, the times below it."""
    positions = [round(i * (columns - 1) / 4) for i in range(5)]
    line = [glyphs.axis] * columns
    labels = [" "] * (columns + 8)
    for i, position in enumerate(positions):
        line[position] = glyphs.tick
        text = clock(start + (end - start) * i / 4)
        first = max(0, min(position - len(text) // 2, columns + 4 - len(text)))
        labels[first : first + len(text)] = text
    return Text(f"    {''.join(line)}\n    {''.join(labels).rstrip()}", style="dim")


def _foot(report: Report) -> RenderableType:
    lines = [report.verdict.scope]
    if report.timing:
        lines.append(
            f"Analysed in {report.timing.seconds:.1f} s by {report.tool.name} {report.tool.version}."
        )
    return Text("\n" + "\n".join(lines), style="dim")
