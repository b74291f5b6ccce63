"""Naming the kind of a manipulation."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from test_decide import PICTURES
from test_fusion import evidence

from unmask.verdict.decide import decide
from unmask.verdict.kinds import KindSettings

# Two features: the first speaks for a swap, the second for a synthesis.
KINDS = KindSettings(
    classes=("swap", "synthesis"), weights=((1.0, 0.0), (0.0, 1.0)), offsets=(0, 0), certainties=(0.8, 0.9)
)


def test_probabilities_are_those_of_a_softmax():
    first, second = KINDS.probabilities(np.array([[2.0, 0.0], [0.0, 0.0]]))
    assert first == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))])
    assert second == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("features", "kind"),
    [((2, 0), "swap"), ((0, 3), "synthesis"), ((1, 0), "unknown"), ((0, 2), "unknown")],
)
def test_below_its_certainty_a_kind_is_unknown(features, kind):
    assert KINDS.name(np.array(features, float)) == kind  # sigmoid(1, 2, 3) is .73, .88, .95


def test_a_kind_without_certainty_is_never_named():
    never = KINDS.model_copy(update={"certainties": (None, 0.9)})
    assert never.name(np.array([20.0, 0.0])) == "unknown"
    assert never.name(np.array([0.0, 20.0])) == "synthesis"


def test_other_features_than_it_was_fitted_on_are_refused():
    with pytest.raises(ValueError, match="3 features"):
        KINDS.name(np.zeros(3))


def test_rows_must_fit():
    with pytest.raises(ValidationError, match="differ in length"):
        KindSettings(
            classes=("swap", "edit"), weights=((1.0,), (1.0, 2.0)), offsets=(0, 0), certainties=(0, 0)
        )


def decided(*faces):
    """Judge a picture of faces given as (logit, features)."""
    from dataclasses import replace

    found = {
        n: [replace(evidence(logit=x, frames=1, track=n), embedding=np.array(features, float))]
        for n, (x, features) in enumerate(faces)
    }
    settings = PICTURES.model_copy(update={"kinds": KINDS})
    return decide({n: [n] for n in found}, found, kind="picture", settings=settings)


def test_a_kind_is_named_for_fakes_alone_and_the_file_takes_the_leading_face():
    decision = decided((9.0, (0, 5)), (-9.0, (5, 0)))
    assert decision.persons[0].kind == "synthesis"
    assert decision.persons[1].kind is None
    assert decision.file.label == "fake"
    assert decision.file.kind == "synthesis"
    assert decided((-9.0, (5, 0))).file.kind is None


def test_tracks_count_by_their_frames():
    from dataclasses import replace

    # Features (4, 0) over 1 frame and (0, 4) over 9 have the mean (0.4, 3.6): a synthesis.
    found = {
        0: [replace(evidence(logit=9, frames=1, track=0), embedding=np.array([4.0, 0.0]))],
        1: [replace(evidence(logit=9, frames=9, track=1), embedding=np.array([0.0, 4.0]))],
    }
    settings = PICTURES.model_copy(update={"kinds": KINDS})
    assert decide({0: [0, 1]}, found, kind="picture", settings=settings).file.kind == "synthesis"
