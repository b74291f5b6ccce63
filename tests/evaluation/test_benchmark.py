"""The table of detectors and data sets, on hand-made cells."""

import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
from evaluation_making import score
from sklearn.metrics import roc_auc_score

from unmask.evaluation import results
from unmask.evaluation.benchmark import Cell, Row, _cells, to_json, to_markdown
from unmask.evaluation.run import Result
from unmask.evaluation.variants import Variant


def cell(data_set: str, auc: float, *, seen: bool, low: float = 0.0, high: float = 0.0, **more) -> Cell:
    """A cell whose drawn AUCs are spread evenly from `low` below to `high` above its own."""
    drawn = np.r_[auc, np.linspace(auc - low, auc + high, 1001)]
    return Cell(
        data_set, "val", 10, 10, auc, (auc - 0.1, min(1.0, auc + 0.1)), seen=seen, drawn=drawn, **more
    )


def test_the_gap_is_the_mean_at_home_minus_the_mean_abroad():
    row = Row(
        "a",
        ("one",),
        (cell("one", 0.9, seen=True), cell("two", 0.6, seen=False), cell("three", 0.7, seen=False)),
    )
    assert row.within.value == pytest.approx(0.9)
    assert row.across.value == pytest.approx(0.65)
    assert row.gap.value == pytest.approx(0.25)


def test_the_intervals_are_those_of_the_drawn_means_and_of_their_difference():
    """The middle 95 % of .8 to 1.0 is .805 to .995, that of .6 to .7 (.5 to .7 and .7) .6025 to .6975."""
    row = Row(
        "a",
        ("one",),
        (
            cell("one", 0.9, seen=True, low=0.1, high=0.1),
            cell("two", 0.6, seen=False, low=0.1, high=0.1),
            cell("three", 0.7, seen=False),
        ),
    )
    assert (row.within.low, row.within.high) == pytest.approx((0.805, 0.995))
    assert (row.across.low, row.across.high) == pytest.approx((0.6025, 0.6975))
    # drawn together the difference rises from .8 - .6 to 1.0 - .7
    assert (row.gap.low, row.gap.high) == pytest.approx((0.2025, 0.2975))
    stored = to_json([row], command="")["detectors"][0]
    assert stored["gap"] == pytest.approx(0.25)
    assert stored["gap_interval"] == pytest.approx((0.2025, 0.2975))
    json.dumps(stored)


def test_without_a_foreign_data_set_there_is_no_gap():
    row = Row("a", ("one",), (cell("one", 0.9, seen=True),))
    assert row.across is None
    assert row.gap is None
    assert to_json([row], command="")["detectors"][0]["gap_interval"] is None


def test_the_table_has_a_line_a_detector_and_marks_what_was_seen():
    rows = [
        Row("a", ("one",), (cell("one", 0.9, seen=True),)),
        Row("b", ("two",), (cell("one", 0.6, seen=False), cell("two", 0.8, seen=True))),
    ]
    lines = to_markdown(rows).splitlines()
    assert lines[0] == "| detector | one val | two val | within | across | gap |"
    assert lines[2] == "| a | 0.900 (0.800-1.000)* |  | 0.900 (0.900-0.900) |  |  |"
    assert lines[3].endswith("| 0.800 (0.800-0.800) | 0.600 (0.600-0.600) | 0.200 (0.200-0.200) |")
    assert len(lines) == 6  # no clips, no table of ways to combine their frames


def test_the_ways_to_combine_frames_stand_in_a_table_of_their_own():
    ways = {
        "mean": {"value": 0.7, "interval": [0.6, 0.8]},
        "learned": {"value": 0.75, "interval": [0.6, 0.9]},
    }
    rows = [
        Row("a", (), (cell("clips", 0.7, seen=False, aggregations=ways), cell("pictures", 0.9, seen=False)))
    ]
    lines = to_markdown(rows).splitlines()
    assert lines[-3] == "| frames of a clip combined by | mean | learned |"
    assert lines[-1] == "| a, clips val | 0.700 (0.600-0.800) | 0.750 (0.600-0.900) |"


def made_cells(draws: int) -> list[Cell]:
    """Two data sets with the same probabilities, one real and one fake a group."""
    rng = np.random.default_rng(5)
    scores = []
    for group, (real, fake) in enumerate(zip(rng.uniform(0, 0.8, 40), rng.uniform(0.2, 1, 40), strict=True)):
        for data_set in ("one", "two"):
            scores.append(score(f"r{group}", real, fake=False, group=str(group), data_set=data_set))
            scores.append(score(f"f{group}", fake, fake=True, group=str(group), data_set=data_set))
    run = {"results": results.evaluate(scores, draws=100)}
    return _cells(Result(run, scores, Variant()), {"one"}, draws=draws)


def test_cells_hold_the_auc_of_all_items_and_of_draws_made_apart():
    """Two equal data sets have AUCs of one spread; drawn apart, their mean has it over the root of two."""
    one, two = made_cells(2000)
    rng = np.random.default_rng(5)
    real, fake = rng.uniform(0, 0.8, 40), rng.uniform(0.2, 1, 40)
    expected = roc_auc_score([0] * 40 + [1] * 40, np.r_[real, fake])
    assert one.drawn[0] == two.drawn[0] == pytest.approx(expected)
    assert one.interval == two.interval
    assert (one.seen, two.seen) == (True, False)
    spread = (one.drawn[1:].std() + two.drawn[1:].std()) / 2
    assert ((one.drawn + two.drawn) / 2)[1:].std() == pytest.approx(spread / np.sqrt(2), rel=0.08)
