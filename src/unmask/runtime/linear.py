"""A linear classifier on named features, stored as JSON with a card: what runs without any network.

The score is the logistic function of the weighted sum of standardised features, each cut off at `clip`
deviations, so that no single odd number decides.
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
    """The stored file: `names` of the F features, and F values each of what standardises and weighs them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, populate_by_name=True)

    schema_name: Literal["unmask.linear/1"] = Field(default="unmask.linear/1", alias="schema")
    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    clip: float = Field(gt=0)
    band: Band

    @model_validator(mode="after")
    def _lengths(self) -> LinearWeights:
        if {len(self.mean), len(self.deviation), len(self.weights)} != {len(self.names)}:
            raise ValueError("names, mean, deviation and weights differ in length")
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
        self._weights, self._bias, self._clip = np.array(stored.weights), stored.bias, stored.clip

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits (N,) of features (N, F), above 0 for fake."""
        standard = np.clip((features - self._mean) / self._deviation, -self._clip, self._clip)
        return np.asarray(standard @ self._weights + self._bias)
