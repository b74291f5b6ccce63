"""The summary on the terminal says what the report says, in any width, with or without colour."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console

from unmask.report.schema import Evidence, MediaFacts, Person, Report, Tool, Track, Verdict
from unmask.report.terminal import column_scores, print_line, print_summary


def shown(report, *, width=80, colour=False, encoding="utf-8", verbose=False, line=False) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(
        file=file,
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        highlight=False,
    )
    if line:
        print_line(report, console)
    else:
        print_summary(report, console, verbose=verbose)
    return file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_the_summary_holds_verdict_interval_reasons_people_warnings_scope_and_time(report):
    text = " ".join(shown(report).split())
    for part in (
        "FAKE",
        "Manipulation found (face swap)",
        "93 % (82 to 97 %), at a prior of 50 %",
        "real up to 30 % fake from 80 %",
        "the face shows traces of a swap in 18 of 20 frames",
        "Damaged from 3.0 to 3.4 s",
        "Not judged: scenes without a face, cartoons, beauty filters",
        "Analysed in 4.2 s by unmask 0.1.0",
        "640 x 360",
        "29.97 frames/s",
    ):
        assert part in text, part
    assert re.search(r"1 fake 93 % \(83-98\) 0:00.0 to 0:09.5", text)
    assert re.search(r"2 real 12 % \(2-17\) 0:05.0 to 0:09.5", text)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(report, width):
    assert max(map(len, shown(report, width=width, verbose=True).splitlines())) <= width


def test_without_colour_there_is_no_escape_sequence_and_with_colour_the_words_are_the_same(report):
    plain, coloured = shown(report), shown(report, colour=True)
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()] == [
        line.rstrip() for line in plain.splitlines()
    ]


def test_a_terminal_that_knows_only_ascii_gets_ascii(report):
    assert shown(report, encoding="ascii", verbose=True).isascii()


def test_a_file_name_is_neither_markup_nor_an_escape_sequence(report):
    odd = report.model_copy(
        update={"media": report.media.model_copy(update={"file_name": "[bold]\x1b[2Ja.mp4"})}
    )
    for text in (shown(odd), shown(odd, line=True)):
        assert "[bold]?[2Ja.mp4" in text


def test_real_says_no_manipulation_found_and_how_many_fakes_are_missed(report):
    real = report.model_copy(
        update={
            "verdict": report.verdict.model_copy(update={"label": "real", "probability": 0.1, "kind": None})
        }
    )
    text = " ".join(shown(real).split())
    assert "No manipulation found" in text
    assert "25.0 % of the fakes that it was tested on get this answer, too" in text


def test_nothing_judged_gives_no_probability():
    empty = Report(
        media=MediaFacts(file_name="a.jpg", sha256="0", kind="picture"),
        verdict=Verdict(label="inconclusive", reasons=("No face was found.",)),
        tool=Tool(version="0"),
    )
    text = shown(empty)
    assert "INCONCLUSIVE" in text
    assert "No face was found." in text
    assert "%" not in text


def test_one_line_per_file_for_lists(report):
    assert shown(report, line=True).startswith("fake           93 %  suspicious <b>[red]&.mp4")
    assert shown(report, line=True).count("\n") == 1


def test_a_column_takes_the_highest_score_in_it_and_is_empty_where_the_person_is_not_seen():
    entry = Evidence(status="ok", summary="", timeline=((0.0, 0.1), (0.4, 0.8), (1.0, 0.3), (3.0, 0.6)))
    tracks = (
        Track.of(0, [(0.0, 0, 0, 1, 1), (1.9, 0, 0, 1, 1)]),
        Track.of(1, [(3.0, 0, 0, 1, 1), (4.0, 0, 0, 1, 1)]),
    )
    person = Person(person=1, label="real", tracks=tracks)
    values = column_scores(entry, person, 0.0, 4.0, 4)
    assert values[:2].tolist() == [0.8, 0.3]
    assert math.isnan(values[2])
    assert values[3] == 0.6
