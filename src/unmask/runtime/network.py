"""The visual network: aligned crops in, logits, class-activation maps and embeddings out.

Contract of the ONNX file: input `pixels` (N, 3, S, S) float32, RGB 0..255 (the graph normalises);
outputs `logit` (N,), above 0 means fake; `map` (N, h, w), the class-activation map, whose mean plus the
bias of the linear layer is the logit; `embedding` (N, D).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmask.faces.align import PLAIN, Framing, crop
from unmask.runtime.card import Card, WeightError, load_card, verify
from unmask.runtime.session import open_session

INPUT = "pixels"
OUTPUTS = ("logit", "map", "embedding")


@dataclass(frozen=True)
class Answer:
    """What the network says about N crops: `logits` (N,), `maps` (N, h, w), `embeddings` (N, D), float32."""

    logits: np.ndarray
    maps: np.ndarray
    embeddings: np.ndarray


class VisualNetwork:
    """An exported visual network, checked against its card and the contract above.

    Args:
        path: the .onnx file; its card lies beside it.
        threads, device: as in `open_session`.

    Raises:
        WeightError: the file or card is missing or damaged, or the network does not keep the contract.
    """

    def __init__(self, path: Path, *, threads: int = 0, device: str = "auto") -> None:
        self.card = load_card(path)
        verify(self.card)
        self._session = open_session(self.card.path, threads=threads, device=device)
        self.size = self._check(self.card)
        cut = self.card.crop
        self.framing = Framing(cut.margin, cut.upright) if cut else PLAIN

    def crop(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Cut a face out of (H, W, 3) uint8 RGB by its five points (5, 2), framed as the card says."""
        return crop(pixels, points, size=self.size, framing=self.framing)

    def infer(self, crops: np.ndarray) -> Answer:
        """Run (N, S, S, 3) uint8 RGB crops, N >= 1."""
        pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
        return Answer(*self._session.run(list(OUTPUTS), {INPUT: pixels}))

    def _check(self, card: Card) -> int:
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        outputs = {value.name for value in self._session.get_outputs()}
        missing = [name for name in OUTPUTS if name not in outputs]
        if set(inputs) != {INPUT} or missing:
            raise WeightError(
                f"{card.path}: not a visual network of unmask (wanted: {INPUT} to {', '.join(OUTPUTS)}; "
                f"found: {', '.join(inputs)} to {', '.join(sorted(outputs))})"
            )
        sides = {side for side in inputs[INPUT][2:] if isinstance(side, int)}
        if card.crop is None or card.input_size is None:
            raise WeightError(f"{card.path}: the card of a visual network must state input_size and crop")
        if card.crop.size != card.input_size or sides - {card.input_size}:
            raise WeightError(
                f"{card.path}: crop size {card.crop.size}, input size {card.input_size} on the card and "
                f"{sorted(sides)} in the network differ"
            )
        return card.input_size
