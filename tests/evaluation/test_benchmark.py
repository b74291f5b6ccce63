"""The table of detectors and data sets, on hand-made cells."""

import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
from unmask.evaluation.benchmark import Cell, Row, to_markdown


def cell(data_set: str, auc: float, *, seen: bool) -> Cell:
    return Cell(data_set, "val", 10, 10, auc, (auc - 0.1, min(1.0, auc + 0.1)), seen)


def test_the_gap_is_the_mean_at_home_minus_the_mean_abroad():
    row = Row(
        "a",
        ("one",),
        (cell("one", 0.9, seen=True), cell("two", 0.6, seen=False), cell("three", 0.7, seen=False)),
    )
    assert row.within == pytest.approx(0.9)
    assert row.across == pytest.approx(0.65)
    assert row.gap == pytest.approx(0.25)


def test_without_a_foreign_data_set_there_is_no_gap():
    row = Row("a", ("one",), (cell("one", 0.9, seen=True),))
    assert row.across is None
    assert row.gap is None


def test_the_table_has_a_line_a_detector_and_marks_what_was_seen():
    rows = [
        Row("a", ("one",), (cell("one", 0.9, seen=True),)),
        Row("b", ("two",), (cell("one", 0.6, seen=False), cell("two", 0.8, seen=True))),
    ]
    lines = to_markdown(rows).splitlines()
    assert lines[0] == "| detector | one val | two val | within | across | gap |"
    assert lines[2] == "| a | 0.900 (0.800-1.000)* |  | 0.900 |  |  |"
    assert lines[3].endswith("| 0.800 | 0.600 | 0.200 |")
