"""The companion's answer: its regressions, what weighs how much, the parts made even."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from unmask.data.manifest import Item
from unmask.training.answer import (
    OWN_REALS,
    Answer,
    balance,
    evened,
    learn,
    levelled,
    mean_logits,
    regression,
    told_from,
)


def item(number, kind=""):
    return Item(
        path=None, member=f"{number}.png", data_set="a", name=str(number), label="fake" if kind else "real",
        manipulation=kind, group=str(number), split="tune",
    )  # fmt: skip


def random_answer(generator, kinds=3):
    return Answer(
        generator.normal(size=(6, 1 + kinds)).astype(np.float32),
        generator.normal(size=1 + kinds),
        0.7,
        1.3,
        -0.4,
    )


def test_the_log_odds_by_hand():
    answer = Answer(np.array([[1.0, 0, 2], [0, 1, -1]]), np.array([0.5, 0, 1]), 2.0, 3.0, -1.0)
    # Features (1, 2): the values are 1.5, 2 and 1.
    expected = 2 * 1.5 + 3 * np.log(np.exp(2) + np.exp(1)) - 1
    assert answer.logits(np.array([[1.0, 2]])) == pytest.approx([expected])
    assert answer.times(0.5).logits(np.array([[1.0, 2]])) == pytest.approx([expected / 2])


def test_a_kind_that_is_not_to_be_told_counts_as_a_fake_alone():
    generator = np.random.default_rng(4)
    items = [item(k) for k in range(60)] + [item(k, "x") for k in range(60, 90)]
    items += [item(k, "y") for k in range(90, 120)]
    x = generator.normal(size=(120, 3)).astype(np.float32)
    whole, without = learn(items, x, 0.1), learn(items, x, 0.1, ["x"])
    assert whole.coefficients.shape == (3, 3)
    assert without.coefficients == pytest.approx(whole.coefficients[:, [0, 2]])


def test_log_odds_of_several_looks_are_their_mean():
    generator = np.random.default_rng(1)
    answer = random_answer(generator)
    one, other = generator.normal(size=(2, 9, 6))
    assert mean_logits(answer, one, other) == pytest.approx((answer.logits(one) + answer.logits(other)) / 2)


def test_a_levelled_answer_has_mean_zero_and_deviation_one_and_ranks_as_before():
    generator = np.random.default_rng(2)
    answer = random_answer(generator)
    looks = generator.normal(size=(2, 40, 6))
    before, after = (mean_logits(a, *looks) for a in (answer, levelled(answer, *looks)))
    assert after.mean() == pytest.approx(0, abs=1e-6)
    assert after.std() == pytest.approx(1)
    assert (np.argsort(after) == np.argsort(before)).all()


def test_the_regression_stands_where_loss_and_size_balance():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 5)).astype(np.float32)
    labels = (x @ [1, -2, 0.5, 0, 0] + generator.normal(size=300) > 0).astype(int)
    weights = generator.uniform(0.5, 2, size=300)
    weights /= weights.sum()
    coefficients, constant = regression(x, labels, weights, 0.02)
    # The gradient of the weighted cross-entropy, and that of 0.02 / 2 times the squared size, cancel.
    error = weights * (1 / (1 + np.exp(-(x @ coefficients + constant))) - labels)
    assert x.T @ error == pytest.approx(-0.02 * coefficients, abs=1e-4)
    assert error.sum() == pytest.approx(0, abs=1e-4)


def test_both_labels_weigh_alike_and_large_kinds_no_more_than_their_root():
    items = [item(k) for k in range(4)] + [item(k, "x") for k in range(4, 20)] + [item(20, "y")]
    weights = balance(items)
    assert weights[:4].sum() == pytest.approx(0.5)
    assert weights[4:].sum() == pytest.approx(0.5)
    # 16 of one kind and 1 of the other: 4 to 1 in sum.
    assert weights[4:20].sum() == pytest.approx(4 * weights[20])


def test_a_kind_is_told_from_reals_mostly_its_own():
    own = [item(k) for k in range(4)] + [item(k, "x") for k in range(4, 6)] + [item(6, "y")]
    other = [replace(item(k), data_set="b") for k in range(7, 9)]
    weights = told_from(own + other, "x")
    assert weights.sum() == pytest.approx(1)
    assert weights[4:6].tolist() == [0.25, 0.25]
    assert weights[6] == 0  # another kind says nothing of this one
    assert weights[:4].sum() == pytest.approx(0.5 * OWN_REALS)
    assert weights[7:].sum() == pytest.approx(0.5 * (1 - OWN_REALS))


def test_each_kind_is_told_by_its_own_regression():
    generator = np.random.default_rng(4)
    items = [item(k) for k in range(300)] + [item(k, "x") for k in range(300, 450)]
    items += [item(k, "y") for k in range(450, 600)]
    x = generator.normal(size=(600, 3)).astype(np.float32)
    # One kind lies high on the first axis, the other low: no single direction tells both from the reals.
    x[300:450, 0] += 5
    x[450:, 0] -= 5
    answer = learn(items, x, 0.01)
    fake = np.arange(600) >= 300
    one, kinds = answer.parts(x)
    assert roc_auc_score(fake, one) < 0.7
    assert roc_auc_score(fake, kinds) > 0.99
    values = x @ answer.coefficients + answer.constants
    assert values[300:450, 1].mean() > values[450:, 1].mean() + 3


def test_both_parts_of_an_evened_answer_have_equal_say_and_half_of_the_features_are_above_zero():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(501, 6)).astype(np.float32)
    answer = Answer(generator.normal(size=(6, 4)).astype(np.float32) * [5, 1, 1, 1], np.array([3.0, 1, 1, 1]))
    given = evened(answer, x)
    one, kinds = given.parts(x)
    assert (given.one * one).std() == pytest.approx(1, rel=1e-4)
    assert (given.kinds * kinds).std() == pytest.approx(1, rel=1e-4)
    assert (given.logits(x) > 0).sum() == pytest.approx(250, abs=1)
