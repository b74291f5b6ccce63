"""The page is self-contained and escapes what it is given; the table has a row for each file."""

from __future__ import annotations

import base64
import csv
import io
from html.parser import HTMLParser

from unmask.report.csv import COLUMNS, to_csv
from unmask.report.html import by_track, to_html
from unmask.report.schema import Evidence, Person, Track


class Page(HTMLParser):
    """Collects tags, text and everything that would load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_says_what_the_report_says(report):
    text = " ".join(" ".join(Page(to_html(report)).words).split())
    for part in (
        "Manipulation found (face swap)",
        "93 % (82 to 97 %)",
        "Person 2",
        "ab" * 32,
        "beauty filters",
    ):
        assert part in text, part


def test_the_page_loads_nothing_and_runs_nothing(report):
    page = Page(to_html(report, {1: b"\xff\xd8jpeg"}))
    assert page.loads == ["data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8jpeg").decode()]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_a_file_name_is_text_and_not_markup(report):
    page = Page(to_html(report))
    assert "b" not in page.tags
    assert "suspicious <b>[red]&.mp4" in page.words


def test_a_curve_is_cut_where_the_person_is_not_seen():
    entry = Evidence(status="ok", summary="", timeline=((0.0, 0.1), (1.0, 0.2), (5.0, 0.3)))
    tracks = (
        Track.of(3, [(0.0, 0, 0, 1, 1), (1.5, 0, 0, 1, 1)]),
        Track.of(4, [(4.5, 0, 0, 1, 1), (6.0, 0, 0, 1, 1)]),
    )
    person = Person(person=1, label="real", tracks=tracks)
    assert by_track(person, entry) == [[(0.0, 0.1), (1.0, 0.2)], [(5.0, 0.3)]]


def test_the_table_has_a_row_for_each_file_also_for_a_failed_one(report):
    text = to_csv([("a, b.mp4", report), ("broken.mp4", "broken.mp4: is empty")])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(COLUMNS)
    assert rows[0]["file"] == "a, b.mp4"
    assert (rows[0]["label"], rows[0]["probability"], rows[0]["interval_high"]) == ("fake", "0.93", "0.97")
    assert (rows[0]["persons"], rows[0]["fake_persons"], rows[0]["width"]) == ("2", "1", "640")
    assert (rows[1]["label"], rows[1]["error"]) == ("", "broken.mp4: is empty")


def test_a_spreadsheet_does_not_take_a_file_name_for_a_formula(report):
    assert to_csv([("=cmd|x.mp4", report)]).splitlines()[1].startswith("'=cmd|x.mp4,")
