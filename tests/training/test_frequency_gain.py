"""Choosing a weight for a second score, on scores whose best weight theory gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from unmask.training.frequency_gain import Judged, as_tables, choose, log_loss, report
from unmask.verdict.settings import Level

WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0)


def judged(count=6000, *, frequency, seed=0):
    """The visual logit is exact: the log-likelihood ratio of two unit normals, two apart.

    `frequency` makes the second logits from a generator and which are fake.
    """
    random = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 0
    visual = 2 * (random.normal(size=count) + 2 * fake - 1)
    return Judged(
        kind=np.where(fake, np.where(np.arange(count) % 4, "swap", "synthesis"), ""),
        task=np.full(count, "one"),
        source=np.where(fake, "", np.where(np.arange(count) % 4 == 1, "here", "there")),
        name=np.arange(count).astype(str),
        group=np.arange(count),
        visual=visual,
        frequency=frequency(random, fake),
    )


def exact(random, fake):
    return 2 * (random.normal(size=len(fake)) + 2 * fake - 1)


def test_noise_gets_no_weight():
    noise = judged(frequency=lambda random, fake: 5 * random.normal(size=len(fake)))
    chosen, losses = choose({"stored": noise}, WEIGHTS, false_alarm_rate=0.01)
    assert chosen.weight == 0
    assert sorted(losses, key=lambda weight: losses[weight])[0] == 0


@pytest.mark.parametrize(("boast", "best"), [(1, 1.0), (5, 0.2)])
def test_an_independent_score_gets_the_weight_that_makes_its_logit_exact(boast, best):
    # Independent log-likelihood ratios add up; one that boasts five times its evidence counts a fifth.
    both = judged(frequency=lambda random, fake: boast * exact(random, fake))
    chosen, _ = choose({"stored": both}, WEIGHTS, false_alarm_rate=0.01)
    assert chosen.weight == best


def test_the_weight_is_one_for_all_conditions():
    # As stored the second score is worth a weight of 1, after treatment it misleads: 1 is not taken.
    stored = judged(frequency=exact)
    broken = judged(frequency=lambda random, fake: -exact(random, fake), seed=1)
    chosen, _ = choose({"stored": stored, "treated": broken}, WEIGHTS, false_alarm_rate=0.01)
    assert chosen.weight < 0.5


def test_log_loss_is_that_of_scikit_learn():
    from sklearn import metrics

    both = judged(200, frequency=exact)
    chosen, losses = choose({"stored": both}, WEIGHTS, false_alarm_rate=0.05)
    expected = metrics.log_loss(both.fake, chosen.probability(both.visual, both.frequency))
    assert log_loss(chosen, both) == pytest.approx(expected)
    assert losses[chosen.weight] == pytest.approx(expected)


def test_the_report_counts_alarms_by_source_and_finds_the_gain():
    shared = judged(2000, frequency=exact)
    val = judged(2000, frequency=exact, seed=1)
    # In the product 3 of 1,000 reals reach the threshold though 1 % may; the fitted ones use it to the full.
    threshold = float(np.sort(shared.visual[~shared.fake])[-3])
    level = Level(slope=1, intercept=0, fake_threshold=threshold, real_threshold=-1, false_alarm_rate=0.01)
    found = report({"stored": shared}, {"stored": val}, level, weight=1.0, draws=50)
    assert found["chosen"] == 0.5  # the highest that is tried; the best would be 1
    rows = {(row["fold"], row["part"]): row for row in found["called_fake"]}
    for source in ("here", "there"):
        mine = (val.source == source) & ~val.fake
        row = rows["val", f"{source} (real)"]
        assert (row["n"], row["called"][0]) == (500, int((val.visual[mine] >= threshold).sum()))
    assert rows["shared", "all reals"]["called"] == [3, 10, 10]
    assert rows["val", "all fakes"]["called"][2] > rows["val", "all fakes"]["called"][1]
    (everything,) = (row for row in found["fused"] if row["part"] == "all sources")
    assert everything["auc_difference"]["low"] > 0
    assert everything["loss_difference"]["high"] < 0
    assert found["changed"]
    for row in found["changed"]:
        assert set(row["called"]) == {"fake", "not fake"}
    assert any("all sources" in line for line in as_tables(found))


def test_parts_set_each_kind_against_the_reals_of_its_task():
    one = judged(8, frequency=exact)
    tasks = np.array(["one"] * 4 + ["two"] * 4)
    parts = dict(replace(one, task=tasks, kind=np.array(["a", "", "b", "", "c", "", "c", ""])).parts())
    assert {name: (part.fake.sum(), (~part.fake).sum()) for name, part in parts.items()} == {
        "all sources": (4, 4),
        "one, a": (1, 2),
        "one, b": (1, 2),
        "two, c": (2, 2),
    }
