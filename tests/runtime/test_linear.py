"""The stored linear classifier: its arithmetic, and what it refuses."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from unmask.runtime.card import Card, WeightError, write_card
from unmask.runtime.linear import LinearClassifier

BAND = {"frequency": [0.1], "low": [0], "middle": [1], "high": [2], "faces": 3}
STORED = {
    "schema": "unmask.linear/2",
    "names": ["a", "b"],
    "mean": [1, 10],
    "deviation": [2, 5],
    "kinds": ["swap"],
    "weights": [[3, -1]],
    "bias": [0.5],
    "clip": 2,
    "band": BAND,
}


def saved(folder, **changes):
    path = folder / "c.json"
    path.write_text(json.dumps(STORED | changes))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_card(Card(name="c", file="c.json", architecture="x", sha256=digest, licence="x"), folder)
    return path


def test_the_logit_is_the_weighted_sum_of_standardised_features_cut_off(tmp_path):
    model = LinearClassifier(saved(tmp_path), ["a", "b"])
    # (3 - 1) / 2 = 1, (5 - 10) / 5 = -1: 3 + 1 + 0.5; then 1000 is cut off at 2: 6 + 1 + 0.5
    assert model.logits(np.array([[3.0, 5.0], [1000.0, 5.0]])) == pytest.approx([4.5, 7.5])
    assert model.band.high == (2,)


def test_the_odds_of_all_kinds_add_up(tmp_path):
    two = saved(tmp_path, kinds=["swap", "synthesis"], weights=[[3, -1], [0, 0]], bias=[0.5, -1])
    found = LinearClassifier(two, ["a", "b"]).logits(np.array([[3.0, 5.0]]))
    assert found == pytest.approx([np.log(np.exp(4.5) + np.exp(-1))])


def test_other_features_are_refused(tmp_path):
    with pytest.raises(WeightError, match="other features"):
        LinearClassifier(saved(tmp_path), ["b", "a"])


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [[1]]},
        {"weights": [[1, 2], [3, 4]]},
        {"deviation": [0, 1]},
        {"schema": "x"},
        {"bias": None},
        {"clip": -1},
        {"band": {}},
        {"kinds": [], "weights": [], "bias": []},
    ],
)
def test_damaged_files_are_refused(tmp_path, changes):
    with pytest.raises(WeightError, match="not a linear classifier"):
        LinearClassifier(saved(tmp_path, **changes), ["a", "b"])


def test_a_file_that_is_not_its_cards_is_refused(tmp_path):
    path = saved(tmp_path)
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(WeightError, match="sha256"):
        LinearClassifier(path, ["a", "b"])
