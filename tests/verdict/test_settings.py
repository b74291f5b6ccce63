"""`verdict.json`: thresholds at stated rates, the fit from tune items, and what pins it to a network."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.runtime.card import Card, WeightError
from unmask.verdict.settings import (
    LevelData,
    VerdictSettings,
    clopper_pearson,
    fit_verdict,
    load_settings,
    threshold_for_false_alarms,
    threshold_for_misses,
    uncalibrated,
)

SCORES = st.lists(st.integers(-20, 20).map(float), min_size=5, max_size=80).filter(lambda s: len(set(s)) > 4)


def test_the_fake_threshold_lets_the_stated_share_of_reals_pass():
    # of 0..99 two may reach it: midway between 97 and 98
    assert threshold_for_false_alarms(np.arange(100.0), 0.02) == 97.5


def test_ties_never_let_more_reals_pass_than_stated():
    reals = np.array([0.0] * 96 + [5.0] * 4)
    assert threshold_for_false_alarms(reals, 0.04) == 2.5
    with_more = np.append(reals, [1.0, 2.0, 3.0])
    assert (with_more >= threshold_for_false_alarms(with_more, 0.02)).sum() == 0


def test_with_too_few_reals_none_may_reach_the_threshold():
    assert threshold_for_false_alarms(np.arange(20.0), 0.01) > 19


def test_the_real_threshold_misses_the_stated_share_of_fakes():
    # of 0..9 two may stay at or below: midway between 1 and 2
    assert threshold_for_misses(np.arange(10.0), 0.2) == 1.5
    assert threshold_for_misses(np.arange(5.0), 0.01) < 0


@given(SCORES, st.floats(0.001, 0.5))
def test_stated_rates_are_never_exceeded(scores, rate):
    values = np.array(scores)
    assert (values >= threshold_for_false_alarms(values, rate)).mean() <= rate + 1e-9
    assert (values <= threshold_for_misses(values, rate)).mean() <= rate + 1e-9


def test_clopper_pearson_has_its_closed_forms_at_the_ends():
    # with no hit the upper limit solves (1 - p)**n = 0.025; with all hits the lower one p**n = 0.025
    assert clopper_pearson(0, 100) == pytest.approx((0.0, 1 - 0.025**0.01))
    assert clopper_pearson(100, 100) == pytest.approx((0.025**0.01, 1.0))
    # 3 of 10, from the published tables
    assert clopper_pearson(3, 10) == pytest.approx((0.0667, 0.6525), abs=1e-4)


def normal_level(count: int, *, seed: int, fake_mean: float = 3.0) -> LevelData:
    """Real items N(0, 1), fakes N(fake_mean, 1) of two kinds, four items a group."""
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(0, 1, count), generator.normal(fake_mean, 1, count)])
    return LevelData(
        scores=scores,
        labels=np.repeat([0, 1], count),
        groups=np.arange(2 * count) % (count // 2),
        kinds=np.array([""] * count + ["swap", "synthesis"] * (count // 2)),
    )


@pytest.fixture(scope="module")
def fitted() -> VerdictSettings:
    return fit_verdict(
        network_sha256="a" * 64,
        picture=normal_level(2000, seed=1),
        file=LevelData(**(vars(normal_level(200, seed=2)) | {"faces": np.tile([1, 2], 200)})),
        held_out={"picture": replace(normal_level(400, seed=3), fold="val")},
        draws=20,
    )


def test_the_fit_recovers_the_curve_and_the_rates(fitted):
    level = fitted.levels["picture"]
    # the log-odds of N(3, 1) against N(0, 1) are 3 x - 4.5
    assert level.slope == pytest.approx(3, abs=0.3)
    assert level.intercept == pytest.approx(-4.5, abs=0.5)
    assert level.false_alarms == 20
    assert level.fake_threshold == pytest.approx(2.326, abs=0.25)  # the 99th percentile of N(0, 1)
    assert level.real_threshold == pytest.approx(1.718, abs=0.15)  # the 10th percentile of N(3, 1)
    assert (level.reals, level.fakes, level.groups) == (2000, 2000, 1000)
    assert len(level.draws) == 20


def test_shares_missed_come_from_held_out_items(fitted):
    level = fitted.levels["picture"]
    assert level.missed_on == "val"
    missed = level.missed(3.0)  # half of N(3, 1)
    assert set(missed) == {"swap", "synthesis"}
    for share, count in missed.values():
        assert count == 200
        assert share == pytest.approx(0.5, abs=0.1)
    assert fitted.levels["file"].missed_on == "tune"


def test_a_missing_level_is_served_by_the_nearest(fitted):
    assert fitted.level_name("track") == "picture"
    assert fitted.level_name("file") == "file"


def test_the_file_comes_back_as_it_was_written(fitted, tmp_path):
    fitted.save(tmp_path / "verdict.json")
    assert load_settings(card(tmp_path), folder=tmp_path) == fitted
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def card(folder, sha256="a" * 64, **fields) -> Card:
    made = Card(name="n", file="n.onnx", architecture="n", sha256=sha256, licence="n", **fields)
    made._folder = folder
    return made


def test_settings_for_another_embedded_network_are_refused(fitted, tmp_path):
    fitted.save(tmp_path / "verdict.json")
    with pytest.raises(WeightError, match="made for another"):
        load_settings(card(tmp_path, sha256="b" * 64), folder=tmp_path)


def test_a_foreign_network_is_not_judged_by_the_embedded_settings(fitted, tmp_path):
    fitted.save(tmp_path / "verdict.json")
    foreign = card(tmp_path / "elsewhere", sha256="b" * 64)
    assert load_settings(foreign, folder=tmp_path) == uncalibrated()
    assert not uncalibrated().calibrated


def test_a_foreign_network_may_bring_its_calibration_on_its_card(fitted, tmp_path):
    calibration = json.loads(fitted.model_dump_json(by_alias=True))
    foreign = card(tmp_path, sha256="b" * 64, calibration=calibration)
    assert load_settings(foreign, folder=tmp_path / "weights") == fitted


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"levels": {}}', '{"levels": {"picture": {"slope": -1}}}', '{"schema": "x"}']
)
def test_damaged_settings_are_refused_in_one_line(content, tmp_path):
    (tmp_path / "verdict.json").write_text(content)
    with pytest.raises(WeightError, match="damaged verdict settings") as error:
        load_settings(card(tmp_path), folder=tmp_path)
    assert "\n" not in str(error.value)
