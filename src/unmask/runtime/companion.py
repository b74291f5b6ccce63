"""The companion of the visual network: a second look at a face by a network of quite another kind.

Contract of the ONNX file, which is stored compressed: input `pixels` (N, 3, S, S) float32, RGB 0..255;
outputs `logit` (N,), to be added to the visual network's, and `map` (N, h, w), whose mean plus a constant is
that logit. `unmask.training.companion` makes it.
"""

from __future__ import annotations

import functools
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from unmask.faces.align import Framing, crop
from unmask.runtime.card import WEIGHTS, Card, WeightError, load_card, verify
from unmask.runtime.network import INPUT
from unmask.runtime.session import open_session

if TYPE_CHECKING:
    import onnxruntime

OUTPUTS = ("logit", "map")


@dataclass(frozen=True)
class Opinion:
    """What the companion adds for N crops: `logits` (N,), `maps` (N, h, w), float32."""

    logits: np.ndarray
    maps: np.ndarray


class Companion:
    """An exported companion, checked against its card, and against the contract above when it is first asked.

    Args:
        path: its file; the card lies beside it.
        threads, device: as in `open_session`.

    Raises:
        WeightError: the file or card is missing or damaged.
    """

    def __init__(self, path: Path, *, threads: int = 0, device: str = "auto") -> None:
        self.card = load_card(path)
        verify(self.card)
        if self.card.crop is None:
            raise WeightError(f"{path}: the card of a companion must state crop")
        self._framing = Framing(self.card.crop.margin, self.card.crop.upright)
        self._threads, self._device = threads, device
        self._opening: Future[onnxruntime.InferenceSession] | None = None

    def open_ahead(self) -> None:
        """Begin to open the network in a thread of its own: unpacking it takes a third of a second.

        What goes wrong there is raised by the first `infer`.
        """
        if self._opening is None:
            opener = ThreadPoolExecutor(1, "companion")
            self._opening = opener.submit(self._open)
            opener.shutdown(wait=False)

    @functools.cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        """The network, opened when first asked where `open_ahead` did not begin: not every file needs it."""
        return self._open() if self._opening is None else self._opening.result()

    def _open(self) -> onnxruntime.InferenceSession:
        session = open_session(self.card.path, threads=self._threads, device=self._device)
        if missing := set(OUTPUTS) - {value.name for value in session.get_outputs()}:
            raise WeightError(f"{self.card.path}: not a companion (no {', '.join(sorted(missing))})")
        return session

    def crop(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Cut a face out of (H, W, 3) uint8 RGB by its five points (5, 2), framed as the card says."""
        assert self.card.crop is not None
        return crop(pixels, points, size=self.card.crop.size, framing=self._framing)

    def infer(self, crops: np.ndarray) -> Opinion:
        """Run (N, S, S, 3) uint8 RGB crops, N >= 1, each by itself.

        The ranges of the embedded companion's 8-bit arithmetic are those of all that it is given at once:
        together, what is said of one face would depend on the others (by .28 of a logit, root mean square,
        on 131 faces of clips, two at once), and they would be hardly faster (36 ms for 39).

        Raises:
            WeightError: the network does not keep the contract.
        """
        pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
        told = [self._session.run(list(OUTPUTS), {INPUT: one[None]}) for one in pixels]
        return Opinion(*(np.concatenate(values) for values in zip(*told, strict=True)))


def companion_of(card: Card, *, threads: int = 0, device: str = "auto") -> Companion | None:
    """Open the companion that a visual network's card names, or None.

    It is looked for beside the card, then among the embedded weights; its sha256 must be the one that the
    card's `depends` states (checked with the card).

    Raises:
        WeightError: as `Companion`.
    """
    if card.companion is None:
        return None
    beside = card.path.with_name(card.companion)
    path = beside if beside.exists() else WEIGHTS / card.companion
    return Companion(path, threads=threads, device=device)


def add_maps(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return maps (N, h, w) of the sum of two logits, of one crop at the first one's cells.

    Each of the other's maps (N, k, l) keeps its mean, and with it the sum its meaning.
    """
    height, width = own.shape[1:]
    laid = np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in other])
    laid += (other.mean((1, 2)) - laid.mean((1, 2)))[:, None, None]
    return own + laid
