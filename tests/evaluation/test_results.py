"""From scores to figures per data set, manipulation and source."""

from __future__ import annotations

import csv
import io
import json

import pytest
from evaluation_making import score

from unmask.evaluation import page, results
from unmask.verdict.aggregate import Learned


def test_each_manipulation_is_measured_against_all_reals_of_its_data_set():
    scores = [
        score("r1", 0.1, fake=False),
        score("r2", 0.5, fake=False),
        score("a", 0.9, fake=True, manipulation="swap"),
        score("b", 0.3, fake=True, manipulation="synthesis"),
        score("far", 0.99, fake=False, data_set="other"),
    ]
    first, second = results.evaluate(scores, draws=100)
    kinds = first["manipulations"]
    assert kinds["swap"]["figures"]["auc"]["value"] == 1
    assert kinds["synthesis"]["figures"]["auc"]["value"] == 0.5
    assert first["figures"]["auc"]["value"] == 0.75
    assert second["figures"] == {}
    assert second["real_sources"]["photos"]["fake"]["count"] == 1


def test_product_decision_is_the_verdict_and_even_decision_is_one_half():
    scores = [
        score("r1", 0.6, fake=False),  # called real by the product (below 0.8), fake at one half
        score("r2", 0.1, fake=False),
        score("f1", 0.9, fake=True),
        score("f2", 0.7, fake=True),
    ]
    (result,) = results.evaluate(scores, draws=100)
    assert result["decisions"]["product"]["accuracy"]["value"] == 0.75
    assert result["decisions"]["product"]["recall"]["value"] == 0.5
    assert result["decisions"]["even"]["recall"]["value"] == 1
    assert result["decisions"]["even"]["false_positive_rate"]["value"] == 0.5


def test_items_without_an_answer_are_counted_and_cost():
    scores = [
        score("r1", 0.1, fake=False),
        score("r2", None, fake=False),
        score("f1", 0.9, fake=True),
        score("f2", 0.9, fake=True),
    ]
    (result,) = results.evaluate(scores, draws=100)
    assert result["faces_found"] == {
        "none": 1,
        "one": 3,
        "several": 0,
        "without_answer": 1,
        "reasons": {"no face found": 1},
    }
    assert result["figures"]["auc"]["value"] == 0.5
    assert result["real_sources"]["photos"]["inconclusive"]["count"] == 1
    assert result["real_sources"]["photos"]["fake"]["count"] == 0


def test_reals_of_the_fakes_own_groups_are_compared_apart():
    own = [score(f"own{i}", 0.5, fake=False, group=f"g{i}") for i in range(5)]
    others = [score(f"other{i}", 0.0, fake=False, group=f"h{i}") for i in range(5)]
    fakes = [score(f"fake{i}", 0.5, fake=True, group=f"g{i}") for i in range(5)]
    (result,) = results.evaluate(own + others + fakes, draws=100)
    swap = result["manipulations"]["swap"]
    assert swap["figures"]["auc"]["value"] == 0.75
    assert swap["own_reals"]["real"] == 5
    assert swap["own_reals"]["figures"]["auc"]["value"] == 0.5


def test_shares_per_real_source():
    scores = [score(f"a{i}", 0.9 if i == 0 else 0.1, fake=False, source="one") for i in range(10)]
    scores += [score("b", 0.1, fake=False, source="two")]
    (result,) = results.evaluate(scores, draws=100)
    one = result["real_sources"]["one"]
    assert (one["n"], one["fake"]["count"], one["fake"]["value"]) == (10, 1, 0.1)
    # scipy: binomtest(1, 10).proportion_ci(method="exact")
    assert one["fake"]["interval"] == pytest.approx([0.00253, 0.44502], abs=1e-5)


def test_data_sets_of_reals_alone_are_counted_together():
    scores = [score("a", 0.9, fake=False, data_set="lfw"), score("b", 0.1, fake=False, data_set="portraits")]
    scores += [score("c", 0.9, fake=False, data_set="dfdc"), score("d", 0.9, fake=True, data_set="dfdc")]
    found = results.real_only(scores)
    assert found is not None
    assert found["data_sets"] == ["lfw", "portraits"]
    assert (found["n"], found["fake"]["count"]) == (2, 1)
    assert results.real_only(scores[2:]) is None


class TestFaceSize:
    def test_pairs_of_equal_width(self):
        reals = [score(f"r{w}", 0.1, fake=False, width=w) for w in (50, 100, 101, 200)]
        fakes = [score(f"f{w}", 0.9, fake=True, width=w) for w in (99, 103, 150, 202)]
        kept = results.match_face_size(reals + fakes)
        assert sorted(s.item.name for s in kept) == ["f103", "f202", "f99", "r100", "r101", "r200"]

    def test_items_without_a_face_stay(self):
        scores = [
            score("r", 0.1, fake=False, width=50),
            score("lost", None, fake=True, width=None),
            score("f", 0.9, fake=True, width=90),
        ]
        assert [s.item.name for s in results.match_face_size(scores)] == ["lost"]

    def test_data_sets_are_not_mixed(self):
        scores = [score("r", 0.1, fake=False, data_set="a"), score("f", 0.9, fake=True, data_set="b")]
        assert results.match_face_size(scores) == []


def test_thresholds_come_from_the_tune_scores_given():
    tune = [score(f"r{i}", i / 10, fake=False) for i in range(10)] + [score("f", 0.85, fake=True)]
    thresholds = results.Thresholds.of(tune, false_alarm_rate=0.2)
    assert (thresholds.youden, thresholds.reals, thresholds.fakes) == (0.85, 10, 1)
    assert thresholds.false_alarm == pytest.approx(0.8)  # 0.8 and 0.9: two of ten
    (result,) = results.evaluate(
        [score("r", 0.82, fake=False), score("f", 0.9, fake=True)], thresholds=thresholds, draws=100
    )
    assert result["decisions"]["youden"]["accuracy"]["value"] == 1
    assert result["decisions"]["false_alarm_rate"]["accuracy"]["value"] == 0.5


def test_csv_has_a_line_an_item():
    text = results.to_csv([score("a, b", 0.25, fake=True), score("c", None, fake=False, width=None)])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[0]["item"] == "a, b"
    assert (rows[0]["label"], rows[0]["probability"]) == ("fake", "0.25")
    assert (rows[1]["probability"], rows[1]["face_width"], rows[1]["reason"]) == ("", "", "no face found")


def test_result_is_valid_json_without_nan():
    (result,) = results.evaluate([score("r", 0.1, fake=False), score("f", 0.9, fake=True)], draws=100)
    json.dumps(result, allow_nan=False)


class TestWorst:
    def test_false_alarms_and_misses_worst_first(self):
        scores = [
            score("mild", 0.6, fake=False),
            score("bad", 0.95, fake=False),
            score("fine", 0.1, fake=False),
            score("lost", None, fake=True, width=None),
            score("missed", 0.05, fake=True),
            score("found", 0.9, fake=True),
        ]
        assert [s.item.name for s in page.worst(scores, fake=False)] == ["bad", "mild"]
        assert [s.item.name for s in page.worst(scores, fake=True)] == ["lost", "missed"]

    def test_no_mistakes_no_sheet(self):
        assert page.mistake_sheets([score("found", 0.9, fake=True)]) == {}


class TestWords:
    def test_value(self):
        assert page.value({"value": 0.91234, "interval": [0.9, 0.925]}) == "0.912 (0.900-0.925)"
        assert page.value(None) == "-"
        assert page.value({"value": None, "interval": [None, None]}) == "-"

    def test_share(self):
        part = {"count": 4, "value": 0.019, "interval": [0.007, 0.041]}
        assert page.share(part) == "1.9 % (0.7-4.1), 4"


def test_ways_to_combine_frames_are_compared_on_clips():
    from dataclasses import replace

    def clip(name, frames, *, fake):
        return replace(score(name, sum(frames) / len(frames), fake=fake), kind="video", frames=frames)

    scores = [
        clip("calm", (0.3, 0.3, 0.3, 0.3), fake=False),
        clip("one bad frame", (0.1, 0.1, 0.1, 0.98), fake=False),
        clip("swap", (0.6, 0.6, 0.6, 0.6), fake=True),
        score("photo", 0.99, fake=False),  # no clip: takes no part
    ]
    (result,) = results.evaluate(scores, draws=50)
    found = {name: figure["value"] for name, figure in result["aggregations"].items()}
    # The mean of logits of "one bad frame" is (3 * -2.197 + 3.892) / 4 = -0.675, of "swap" 0.405; its most
    # suspicious frame is above the swap's.
    assert found == {"mean": 1.0, "median": 1.0, "confident": 1.0, "top": 0.5}

    # Learned: the highest quarter alone. 7/8 of the way through the four logits of "one bad frame" is
    # -2.197 + 0.625 * 6.089 = 1.61, above the swap's 0.405 and the calm clip's -0.85.
    highest = Learned((0.0, 0.0, 0.0, 1.0), 0.0)
    (result,) = results.evaluate(scores, learned=highest, draws=50)
    assert list(result["aggregations"]) == ["mean", "median", "confident", "top", "learned"]
    assert result["aggregations"]["learned"]["value"] == 0.5


def test_the_kinds_named_are_counted_among_fakes_called_fake():
    from dataclasses import replace

    scores = [
        score("r", 0.1, fake=False),
        replace(score("a", 0.9, fake=True), named="swap"),
        replace(score("b", 0.95, fake=True), named="swap"),
        replace(score("c", 0.97, fake=True), named="unknown"),
        score("d", 0.2, fake=True),
    ]
    (result,) = results.evaluate(scores, draws=50)
    assert result["manipulations"]["swap"]["named"] == {"swap": 2, "unknown": 1}
    assert result["aggregations"] == {}
