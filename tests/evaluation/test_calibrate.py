"""How the frames of a clip are combined is chosen by films: the mean unless another way is surely better."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from sklearn.metrics import roc_auc_score  # noqa: E402

from unmask.data.manifest import Item  # noqa: E402
from unmask.evaluation.calibrate import Judged, choose_aggregation, compare_aggregations  # noqa: E402
from unmask.verdict.aggregate import AGGREGATIONS  # noqa: E402


def film(number: int, logits: np.ndarray, *, fake: bool) -> Judged:
    item = Item(
        name=f"f{number}",
        path=Path("made.zip"),
        member=f"{number}.png",
        label="fake" if fake else "real",
        group=f"g{number}",
        manipulation="swap" if fake else "",
        split="tune",
        data_set="made",
    )
    return Judged(item, logits)


def films(rng: np.random.Generator, *, bad_frames: float) -> list[Judged]:
    """Eighty films of 20 frames; in fakes a quarter of the frames stands out, or all frames lie higher."""
    made = []
    for number in range(80):
        fake = number % 2 == 1
        logits = rng.normal(0, 1, 20) + rng.normal(0, 1)
        if fake:
            logits += 1.0
            logits[:5] += bad_frames
        made.append(film(number, logits, fake=fake))
    return made


def test_the_mean_stays_where_another_way_is_better_by_chance_alone():
    rng = np.random.default_rng(0)
    ahead = []
    for _ in range(10):
        aucs = compare_aggregations(films(rng, bad_frames=0.0))
        ahead.append(max(AGGREGATIONS, key=lambda name: aucs[name][0]) != "mean")
        assert choose_aggregation(aucs) == "mean"
    assert any(ahead)


def test_the_most_suspicious_frames_are_taken_where_they_tell_more():
    made = films(np.random.default_rng(0), bad_frames=6.0)
    aucs = compare_aggregations(made)
    assert choose_aggregation(aucs) == "top"
    labels = [j.item.label == "fake" for j in made]
    assert list(aucs) == ["mean", "median", "confident", "top", "learned"]
    expected = roc_auc_score(labels, [np.sort(j.logits)[-5:].mean() for j in made])
    assert aucs["top"][0] == pytest.approx(expected)


def test_the_learned_way_is_never_taken_for_verdict_json_cannot_hold_it():
    draws = np.full(101, 0.6)
    aucs = dict.fromkeys(("mean", "median", "confident", "top"), draws) | {"learned": draws + 0.3}
    assert choose_aggregation(aucs) == "mean"
