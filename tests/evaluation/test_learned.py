"""A way to combine frames learned on films, against scikit-learn and films whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unmask.evaluation.learned import combine_held_out, fit_learned


def films(count: int, *, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Films of 20 frames: in the fakes the highest quarter lies higher and the lowest as much lower."""
    rng = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 1
    frames = []
    for is_fake in fake:
        logits = np.sort(rng.normal(0, 1, 20)) + rng.normal(0, 2)
        if is_fake:
            logits[:5] -= 2
            logits[-5:] += 2
        frames.append(rng.permutation(logits))
    return frames, fake


def test_it_says_what_scikit_learn_says():
    frames, fake = films(60, seed=0)
    statistics = [np.quantile(logits, (0.125, 0.375, 0.625, 0.875)) for logits in frames]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    model.fit(statistics, fake)
    learned = fit_learned(frames, fake)
    ours = [learned(logits) for logits in frames]
    np.testing.assert_allclose(ours, model.decision_function(statistics), atol=1e-9)


def test_it_learns_what_no_mean_shows_and_holds_on_new_films():
    learned = fit_learned(*films(200, seed=1))
    frames, fake = films(200, seed=2)
    assert roc_auc_score(fake, [logits.mean() for logits in frames]) < 0.6
    assert roc_auc_score(fake, [learned(logits) for logits in frames]) > 0.99


def test_a_film_is_judged_by_films_of_other_groups():
    """Labels dealt at random: what is learned of a film itself would rank it right, of others by chance."""
    rng = np.random.default_rng(0)
    people = 40
    faces = rng.normal(0, 1, (people, 12))
    frames = [faces[person] + rng.normal(0, 0.01, 12) for person in range(people) for _ in range(4)]
    fake = np.repeat(rng.permutation(people) % 2 == 1, 4)
    groups = [str(person) for person in range(people) for _ in range(4)]
    combined = combine_held_out(frames, fake, groups)
    assert combined is not None
    learned = fit_learned(frames, fake)
    in_sample = roc_auc_score(fake, [learned(logits) for logits in frames])
    assert roc_auc_score(fake, combined) < in_sample - 0.05


def test_too_few_groups_to_hold_any_out():
    frames, fake = films(8, seed=0)
    assert combine_held_out(frames, fake, [str(n) for n in range(8)]) is None


def test_films_of_one_class_teach_nothing():
    frames, _ = films(8, seed=0)
    with pytest.raises(ValueError, match="real and fake films"):
        fit_learned(frames, [True] * 8)
