"""Reports as a table, one row a file, for spreadsheets and scripts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from unmask.report.schema import Report

COLUMNS = (
    "file",
    "sha256",
    "label",
    "probability",
    "interval_low",
    "interval_high",
    "kind",
    "persons",
    "fake_persons",
    "duration_s",
    "width",
    "height",
    "frames_analysed",
    "reasons",
    "warnings",
    "error",
)


def to_csv(rows: Iterable[tuple[str, Report | str]]) -> str:
    """Write a header and a row for each (path as given, report or error message)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for path, outcome in rows:
        writer.writerow({"file": plain(path)} | _values(outcome))
    return text.getvalue()


def _values(outcome: Report | str) -> dict[str, object]:
    if isinstance(outcome, str):
        return {"error": plain(outcome)}
    verdict, media = outcome.verdict, outcome.media
    low, high = verdict.interval or ("", "")
    width, height = media.size or ("", "")
    return {
        "sha256": media.sha256,
        "label": verdict.label,
        "probability": "" if verdict.probability is None else verdict.probability,
        "interval_low": low,
        "interval_high": high,
        "kind": verdict.kind or "",
        "persons": len(outcome.faces),
        "fake_persons": sum(person.label == "fake" for person in outcome.faces),
        "duration_s": "" if media.duration is None else media.duration,
        "width": width,
        "height": height,
        "frames_analysed": media.frames_analysed,
        "reasons": plain(" ".join(verdict.reasons)),
        "warnings": plain(" ".join(outcome.warnings)),
    }


def plain(text: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula: such a cell starts with an apostrophe."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
