"""Fitting the classifier that names kinds, on features whose classes are known."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from unmask.evaluation.kinds import PRECISION, fit, with_certainty


def clouds(rng, count, *, apart):
    """Three classes of `count` points in twenty dimensions, each moved along its own axis.

    Every dimension is there forty times: with so few numbers the penalty would leave no certainty.
    """
    kinds = np.repeat(["swap", "synthesis", "edit"], count)
    features = rng.normal(0, 1, (3 * count, 20))
    features[np.arange(3 * count), np.repeat([0, 1, 2], count)] += apart
    return np.tile(features * 5 + 100, 40), list(kinds)


def test_classes_that_lie_apart_are_all_named_rightly():
    rng = np.random.default_rng(0)
    features, kinds = clouds(rng, 200, apart=12)
    settings = with_certainty(fit(features, kinds), *clouds(rng, 100, apart=12))
    assert settings.named >= 290
    assert settings.precision >= 0.99
    others, truth = clouds(rng, 50, apart=12)
    assert [settings.name(row) for row in others] == truth


def test_where_classes_meet_few_are_named_and_those_rightly():
    rng = np.random.default_rng(1)
    settings = with_certainty(fit(*clouds(rng, 400, apart=2)), *clouds(rng, 400, apart=2))
    assert min(settings.certainties) >= 0.9
    others, truth = clouds(rng, 1000, apart=2)
    named = [
        (kind, right)
        for row, right in zip(others, truth, strict=True)
        if (kind := settings.name(row)) != "unknown"
    ]
    assert 100 < len(named) < 2900
    assert np.mean([kind == right for kind, right in named]) > PRECISION - 0.03


def test_what_cannot_be_told_apart_is_never_named():
    rng = np.random.default_rng(2)
    settings = with_certainty(fit(*clouds(rng, 200, apart=0)), *clouds(rng, 200, apart=0))
    assert settings.named == 0  # a lucky handful is not enough
    assert settings.certainties == (None, None, None)


def test_a_kind_that_cannot_be_told_does_not_silence_the_others():
    rng = np.random.default_rng(4)
    features, kinds = clouds(rng, 300, apart=6)
    shown, truth = clouds(rng, 150, apart=6)
    edits = np.array(truth) == "edit"
    # On tune, half of the edits look like a swap, and half of the swaps like an edit: neither is reliable.
    shown[edits] = np.concatenate([shown[:75], shown[edits][75:]])
    shown[:75] = clouds(rng, 75, apart=6)[0][150:]
    settings = with_certainty(fit(features, kinds), shown, truth)
    certainties = dict(zip(settings.classes, settings.certainties, strict=True))
    assert certainties["edit"] is None
    assert certainties["swap"] is None
    assert certainties["synthesis"] == 0.9
    assert settings.named == pytest.approx(150, abs=12)


def test_two_classes_give_two_rows():
    rng = np.random.default_rng(3)
    features, kinds = clouds(rng, 100, apart=6)
    settings = fit(features[:200], kinds[:200])
    assert len(settings.weights) == 2
    assert (
        np.mean([settings.name(row) == kind for row, kind in zip(features[:200], kinds, strict=False)]) > 0.97
    )
