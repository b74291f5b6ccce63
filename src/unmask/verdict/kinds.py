"""Names the kind of a manipulation that was found, or says that it is unknown.

A linear classifier reads the visual network's deep features, averaged over the frames of a face. It was
fitted on *train* fakes alone (real pictures teach it nothing: a kind is named only where the verdict is
fake), and a kind is named only above its certainty, at which *tune* fakes were named rightly often enough. It
knows the kinds that it was fitted on; how often it is wrongly certain of another is stated in the model card.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["swap", "synthesis", "reenactment_or_lip_sync", "edit", "unknown"]
UNKNOWN: Kind = "unknown"


class KindSettings(BaseModel):
    """A multinomial linear classifier of features (D,).

    `weights` is (classes, D) and `offsets` (classes,). `certainties` (classes,) are the probabilities below
    which a kind is not named, None where it never is; `precision` the share of the *tune* fakes so named that
    were of the kind, of `named` that were named among `fakes`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    classes: tuple[Kind, ...]
    weights: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]
    certainties: tuple[Annotated[float, Field(ge=0, le=1)] | None, ...]
    precision: float | None = Field(default=None, ge=0, le=1)
    named: int = 0
    fakes: int = 0

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> KindSettings:
        counts = {len(p) for p in (self.classes, self.weights, self.offsets, self.certainties)}
        if len(counts) != 1 or min(counts) < 2:
            raise ValueError(
                "classes, weights, offsets and certainties differ in number, or are fewer than two"
            )
        if len({len(row) for row in self.weights}) != 1:
            raise ValueError("the rows of weights differ in length")
        return self

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the (N, classes) probabilities of (N, D) features.

        Raises:
            ValueError: the features have another length than the weights.
        """
        weights = np.array(self.weights)
        if features.shape[-1] != weights.shape[1]:
            raise ValueError(f"{features.shape[-1]} features, but the classifier takes {weights.shape[1]}")
        scores = features @ weights.T + np.array(self.offsets)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    def name(self, features: np.ndarray) -> Kind:
        """Name the kind of one fake by its (D,) features, or `UNKNOWN`."""
        probabilities = self.probabilities(features[None])[0]
        best = int(probabilities.argmax())
        certainty = self.certainties[best]
        return UNKNOWN if certainty is None or probabilities[best] < certainty else self.classes[best]
