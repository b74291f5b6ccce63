"""Figures of merit: by hand, against scikit-learn, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as reference

from unmask.evaluation import metrics
from unmask.evaluation.metrics import Sample


def ones(sample: Sample) -> np.ndarray:
    return np.ones((1, len(sample)))


def rank(fake, probability) -> dict[str, float]:
    sample = Sample.of(fake, probability)
    return {name: float(v[0]) for name, v in metrics.ranking_figures(sample, ones(sample)).items()}


def decide(fake, probability, called) -> dict[str, float]:
    sample = Sample.of(fake, probability)
    found = metrics.decision_figures(sample, np.array(called), ones(sample))
    return {name: float(v[0]) for name, v in found.items()}


class TestByHand:
    def test_auc_counts_pairs_in_the_right_order_and_half_the_ties(self):
        # pairs (fake, real): .8>.6, .8>.4, .6=.6, .6>.4 -> 3.5 of 4
        assert rank([1, 1, 0, 0], [0.8, 0.6, 0.6, 0.4])["auc"] == pytest.approx(3.5 / 4)

    def test_average_precision_sums_precision_over_recall_steps(self):
        # falling: fake, real, fake -> 1/2 * 1/1 + 1/2 * 2/3
        assert rank([1, 0, 1], [0.9, 0.5, 0.1])["average_precision"] == pytest.approx(0.5 + 1 / 3)

    def test_equal_error_rate_where_one_of_four_is_wrong_on_each_side(self):
        fake = [1, 1, 1, 0, 1, 0, 0, 0]
        assert rank(fake, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])["eer"] == pytest.approx(0.25)

    def test_equal_error_rate_is_interpolated_within_a_tie(self):
        # everything tied: the ROC is the diagonal, which meets 1 - TPR = FPR at one half
        assert rank([1, 0, 0], [0.5, 0.5, 0.5])["eer"] == pytest.approx(0.5)

    def test_perfect_and_inverted_rankings(self):
        perfect = rank([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
        assert (perfect["auc"], perfect["eer"], perfect["average_precision"]) == (1, 0, 1)
        inverted = rank([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
        assert (inverted["auc"], inverted["eer"]) == (0, 1)

    def test_true_positives_at_a_false_alarm_rate(self):
        # 100 reals at 0.00 .. 0.99: 1 % allows exactly the highest of them; 3 of 4 fakes lie above 0.98
        fake = [0] * 100 + [1] * 4
        found = rank(fake, [i / 100 for i in range(100)] + [0.999, 0.995, 0.985, 0.5])
        assert found["tpr_at_1%_fpr"] == pytest.approx(0.75)
        assert "tpr_at_0.1%_fpr" not in found

    def test_rate_of_one_per_mille_needs_a_thousand_reals(self):
        fake = [0] * 1000 + [1] * 2
        found = rank(fake, [i / 2000 for i in range(1000)] + [0.49925, 0.1])
        # one real (0.4995) may lie above: the fake at 0.49925 is found, the other is not
        assert found["tpr_at_0.1%_fpr"] == pytest.approx(0.5)

    def test_decision_counts(self):
        # hits 2, misses 1, false alarms 1, rest 4
        fake = [1, 1, 1, 0, 0, 0, 0, 0]
        found = decide(fake, [0.5] * 8, [1, 1, 0, 1, 0, 0, 0, 0])
        assert found["accuracy"] == pytest.approx(6 / 8)
        assert found["recall"] == pytest.approx(2 / 3)
        assert found["precision"] == pytest.approx(2 / 3)
        assert found["f1"] == pytest.approx(2 / 3)
        assert found["false_positive_rate"] == pytest.approx(1 / 5)
        assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)

    def test_calibration_error_of_two_bins(self):
        # bin of .2: mean .2, share 0 of 2; bin of .9: mean .9, share 1 of 2 -> (2*.2 + 2*.4) / 4
        sample = Sample.of([0, 0, 1, 0], [0.2, 0.2, 0.9, 0.9])
        found = metrics.probability_figures(sample, ones(sample))
        assert found["expected_calibration_error"][0] == pytest.approx(0.3)
        assert metrics.calibration_bins(sample) == [(pytest.approx(0.2), 0, 2), (pytest.approx(0.9), 0.5, 2)]

    def test_probability_of_one_falls_into_the_last_bin(self):
        sample = Sample.of([1, 1], [1.0, 0.95])
        assert metrics.calibration_bins(sample) == [(pytest.approx(0.975), 1.0, 2)]


class TestMissingAnswers:
    def test_a_missing_fake_ranks_below_everything(self):
        # the other fake beats both reals: 2 of 4 pairs
        assert rank([1, 1, 0, 0], [0.9, None, 0.5, 0.0])["auc"] == pytest.approx(0.5)

    def test_a_missing_real_ranks_above_everything(self):
        assert rank([1, 1, 0, 0], [1.0, 1.0, None, 0.1])["auc"] == pytest.approx(0.5)

    def test_nothing_answered_scores_zero(self):
        assert rank([1, 1, 0], [None, None, None])["auc"] == 0

    def test_missing_items_are_wrong_in_every_decision(self):
        found = decide([1, 0], [None, None], [True, False])
        assert found["accuracy"] == 0
        assert found["recall"] == 0
        assert found["false_positive_rate"] == 1

    def test_missing_items_have_the_worst_probability(self):
        sample = Sample.of([1, 0, 1, 0], [None, None, 1.0, 0.0])
        found = metrics.probability_figures(sample, ones(sample))
        assert found["brier"][0] == pytest.approx(0.5)
        assert found["log_loss"][0] == pytest.approx(-math.log(1e-6) / 2, rel=1e-3)

    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4, max_size=30), st.data())
    @settings(max_examples=60, deadline=None)
    def test_abstaining_never_improves_a_figure(self, items, data):
        fake = [True, False, *(f for f, _ in items)]
        probability = [0.5, 0.5, *(p for _, p in items)]
        silent = data.draw(st.lists(st.booleans(), min_size=len(fake), max_size=len(fake)))
        abstained = [None if s else p for s, p in zip(silent, probability, strict=True)]
        before, after = rank(fake, probability), rank(fake, abstained)
        assert after["auc"] <= before["auc"] + 1e-12
        assert after["eer"] >= before["eer"] - 1e-12
        assert after["average_precision"] <= before["average_precision"] + 1e-12


scored = st.integers(2, 60).flatmap(
    lambda n: st.tuples(
        hnp.arrays(bool, n),
        # few distinct values, so that ties are common
        hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5001, 0.75, 0.9, 1.0])),
        hnp.arrays(float, n, elements=st.sampled_from([0.0, 1.0, 2.0, 3.0])),
    )
)


class TestAgainstScikitLearn:
    @given(scored)
    @settings(max_examples=80, deadline=None)
    def test_weighted_figures_with_ties(self, drawn):
        fake, probability, weight = drawn
        if weight[fake].sum() == 0 or weight[~fake].sum() == 0:
            return
        sample = Sample.of(fake, probability)
        rows = np.stack([weight, np.ones_like(weight)])
        ranked = metrics.ranking_figures(sample, rows)
        stated = metrics.probability_figures(sample, rows)
        decided = metrics.decision_figures(sample, probability >= 0.5, rows)
        for row, w in enumerate(rows):
            expect = {
                "auc": reference.roc_auc_score(fake, probability, sample_weight=w),
                "average_precision": reference.average_precision_score(fake, probability, sample_weight=w),
                "brier": reference.brier_score_loss(fake, probability, sample_weight=w),
                "log_loss": reference.log_loss(
                    fake, np.clip(probability, metrics.CLIP, 1 - metrics.CLIP), sample_weight=w
                ),
                "accuracy": reference.accuracy_score(fake, probability >= 0.5, sample_weight=w),
                "recall": reference.recall_score(fake, probability >= 0.5, sample_weight=w, zero_division=0),
                "f1": reference.f1_score(fake, probability >= 0.5, sample_weight=w, zero_division=0),
                "balanced_accuracy": reference.balanced_accuracy_score(
                    fake, probability >= 0.5, sample_weight=w
                ),
            }
            found = ranked | stated | decided
            for name, value in expect.items():
                assert found[name][row] == pytest.approx(value, abs=1e-9), name

    @given(scored)
    @settings(max_examples=40, deadline=None)
    def test_rates_come_from_its_roc_curve(self, drawn):
        fake, probability, _ = drawn
        if fake.all() or not fake.any():
            return
        fpr, tpr, _ = reference.roc_curve(fake, probability, drop_intermediate=False)
        sample = Sample.of(fake, probability)
        found = metrics.ranking_figures(sample, ones(sample))
        # where the straight ROC crosses the falling diagonal
        grid = np.linspace(0, 1, 20001)
        balance = np.interp(grid, np.linspace(0, 1, len(fpr)), fpr + tpr - 1)
        along = np.interp(0, balance, grid)
        assert found["eer"][0] == pytest.approx(np.interp(along, np.linspace(0, 1, len(fpr)), fpr), abs=1e-3)


class TestBootstrap:
    def test_interval_of_an_accuracy_is_the_binomial_one(self):
        n, hits = 400, 320
        called = np.array([True] * hits + [False] * (n - hits))
        sample = Sample.of(np.ones(n, bool), np.full(n, 0.5))
        found = metrics.with_intervals(
            sample, lambda s, w: metrics.decision_figures(s, called, w), draws=2000, seed=1
        )["accuracy"]
        low, high = stats.binom.ppf([0.025, 0.975], n, hits / n) / n
        assert found.value == 0.8
        assert found.low == pytest.approx(low, abs=0.008)
        assert found.high == pytest.approx(high, abs=0.008)

    def test_interval_of_an_auc_is_that_of_hanley_and_mcneil(self):
        generator = np.random.default_rng(5)
        n = 300
        scores = np.r_[generator.normal(1, 1, n), generator.normal(0, 1, n)]
        sample = Sample.of([True] * n + [False] * n, stats.norm.cdf(scores))
        found = metrics.with_intervals(sample, metrics.ranking_figures, draws=1500)["auc"]
        auc = found.value
        q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
        error = math.sqrt((auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / n**2)
        assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.15)

    def test_grouped_draws_are_wider_on_clustered_items(self):
        # 20 clusters of 20 items, all right or all wrong: the truth has 20 observations, not 400
        right = np.repeat(np.random.default_rng(2).random(20) < 0.7, 20)
        fake, clusters = np.ones(400, bool), np.repeat(np.arange(20), 20).astype(str)

        def width(sample: Sample) -> float:
            found = metrics.with_intervals(
                sample, lambda s, w: metrics.decision_figures(s, right, w), draws=1000
            )["accuracy"]
            return found.high - found.low

        single = width(Sample.of(fake, np.full(400, 0.5)))
        grouped = width(Sample.of(fake, np.full(400, 0.5), clusters))
        # the standard error grows by the square root of the cluster size
        assert grouped / single == pytest.approx(math.sqrt(20), rel=0.25)

    def test_items_of_a_group_are_drawn_together(self):
        group = np.array([0, 1, 1, 2, 2, 2])
        weights = metrics.group_weights(group, draws=50, generator=np.random.default_rng(0))
        assert np.array_equal(weights[:, 1], weights[:, 2])
        assert np.array_equal(weights[:, 3], weights[:, 5])
        assert np.all(weights[:, 0] + weights[:, 1] + weights[:, 3] == 3)

    def test_groups_numbered_with_gaps_are_drawn_equally(self):
        weights = metrics.group_weights(np.array([2, 7]), draws=400, generator=np.random.default_rng(0))
        assert np.all(weights.sum(axis=1) == 2)
        assert weights[:, 0].mean() == pytest.approx(1, abs=0.1)

    def test_same_seed_same_interval_whatever_the_piece_size(self, monkeypatch):
        sample = Sample.of([1, 0] * 20, np.linspace(0.1, 0.9, 40))
        first = metrics.with_intervals(sample, metrics.ranking_figures, draws=200)
        assert first == metrics.with_intervals(sample, metrics.ranking_figures, draws=200)
        monkeypatch.setattr(metrics, "CELLS", 40 * 7)
        assert first == metrics.with_intervals(sample, metrics.ranking_figures, draws=200)

    def test_a_single_class_has_no_ranking_figures(self):
        found = metrics.with_intervals(Sample.of([1, 1], [0.2, 0.3]), metrics.ranking_figures, draws=10)
        assert all(math.isnan(figure.value) for figure in found.values())

    def test_no_items_is_an_error(self):
        with pytest.raises(ValueError, match="no items"):
            metrics.with_intervals(Sample.of([], []), metrics.ranking_figures)


class TestClopperPearson:
    @pytest.mark.parametrize(("hits", "total"), [(0, 10), (1, 30), (7, 20), (50, 50), (3, 210)])
    def test_agrees_with_scipy(self, hits, total):
        exact = stats.binomtest(hits, total).proportion_ci(method="exact")
        found = metrics.clopper_pearson(hits, total)
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)

    def test_rule_of_three(self):
        # 0 of n: the upper bound solves (1 - p)^n = 0.025
        assert metrics.clopper_pearson(0, 100).high == pytest.approx(1 - 0.025 ** (1 / 100))

    def test_nothing_seen_is_anything(self):
        found = metrics.clopper_pearson(0, 0)
        assert math.isnan(found.value)
        assert (found.low, found.high) == (0, 1)

    def test_impossible_share(self):
        with pytest.raises(ValueError, match="5 of 4"):
            metrics.clopper_pearson(5, 4)


class TestThresholds:
    def test_youden_splits_where_the_difference_is_largest(self):
        # at 0.6: TPR 2/3, FPR 0; at 0.3: TPR 1, FPR 2/3
        sample = Sample.of([1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.3, 0.5, 0.4, 0.1])
        assert metrics.youden_threshold(sample) == 0.6

    def test_false_alarm_threshold_keeps_the_rate(self):
        sample = Sample.of([0] * 10 + [1], [i / 10 for i in range(10)] + [0.95])
        # one of ten reals may be called fake: 0.9 is, 0.8 is not
        assert metrics.false_alarm_threshold(sample, 0.1) == 0.9

    def test_false_alarm_threshold_above_every_score_when_reals_are_on_top(self):
        sample = Sample.of([0, 1], [0.9, 0.5])
        assert metrics.false_alarm_threshold(sample, 0.01) > 0.9

    def test_missing_items_take_no_part(self):
        sample = Sample.of([1, 0, 1, 0], [0.8, 0.2, None, None])
        assert metrics.youden_threshold(sample) == 0.8

    def test_one_class_is_an_error(self):
        with pytest.raises(ValueError, match="real and fake"):
            metrics.youden_threshold(Sample.of([1, 1], [0.2, 0.4]))


class TestSample:
    def test_probability_outside_the_unit_range_is_refused(self):
        with pytest.raises(ValueError, match=r"outside 0\.\.1"):
            Sample.of([1], [1.2])

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match="2 labels, 1 probabilities"):
            Sample.of([1, 0], [0.5])
