"""A linear classifier on named features, stored as JSON with a card: what runs without any network.

Features are standardised and cut off at `clip` deviations, so that no single odd number decides. Each kind
of fake has weights of its own: its weighted sum is the log-odds of that kind against real, and the odds of
all kinds add up (multinomial logistic regression).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unmask.runtime.card import Card, WeightError, load_card, verify


class Band(BaseModel):
    """The middle 95 % of real faces' radial profiles: frequencies in cycles per pixel, levels in dB."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    frequency: tuple[float, ...]
    low: tuple[float, ...]
    middle: tuple[float, ...]
    high: tuple[float, ...]
    faces: int


class LinearWeights(BaseModel):
    """The stored file: `names` of the F features, F values each of what standardises them, and for each of
    the K `kinds` of fakes F weights and a constant.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)

    schema_name: Literal["unmask.linear/2"] = Field(default="unmask.linear/2", alias="schema")
    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    kinds: tuple[str, ...] = Field(min_length=1)
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    clip: float = Field(gt=0)
    band: Band

    @model_validator(mode="after")
    def _lengths(self) -> LinearWeights:
        rows = (self.mean, self.deviation, *self.weights)
        if {len(row) for row in rows} != {len(self.names)}:
            raise ValueError("names, mean, deviation and weights differ in length")
        if not len(self.kinds) == len(self.weights) == len(self.bias):
            raise ValueError("kinds, weights and bias differ in number")
        if min(self.deviation, default=1.0) <= 0:
            raise ValueError("a deviation is not above 0")
        return self


class LinearClassifier:
    """A classifier checked against its card and the features of this version.

    Args:
        path: the .json file; its card lies beside it.
        names: of the features that will be given, in order.

    Raises:
        WeightError: file or card is missing or damaged, or was made for other features.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.card: Card = load_card(path)
        verify(self.card)
        try:
            stored = LinearWeights.model_validate_json(self.card.path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise WeightError(f"{path}: not a linear classifier of unmask ({first['msg']})") from None
        if stored.names != tuple(names):
            raise WeightError(f"{path}: made for other features than this version measures; train it again")
        self.band = stored.band
        self._mean, self._deviation = np.array(stored.mean), np.array(stored.deviation)
        self._weights, self._bias = np.array(stored.weights), np.array(stored.bias)
        self._clip = stored.clip

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits (N,) of features (N, F), above 0 for fake."""
        standard = np.clip((features - self._mean) / self._deviation, -self._clip, self._clip)
        return np.asarray(np.logaddexp.reduce(standard @ self._weights.T + self._bias, axis=1))
