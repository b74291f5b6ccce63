"""Recurrent detectors over the features of a clip's frames (Sabir et al. 2019, 1905.00582).

The input is a sequence: the deep features of each frame, beside them, where wanted, numbers that describe
the motion between frames. Sequences may differ in length; a mask says what is padding. Attention pools the
moments, so that it also tells which of them decided; the plain mean serves as the comparison.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unmask.models.efficientnet import SYMMETRIC
from unmask.models.registry import Preprocessing
from unmask.models.sequences import register

Cell = Literal["lstm", "gru"]
Pooling = Literal["attention", "mean"]
FEATURES = 1280
"""Features a frame of the EfficientNet family gives."""
MOTION_WIDTH = 64


class Judged(NamedTuple):
    """Logits (N, classes), and the share (N, T) that each moment had in them: 0 on padding, sum 1."""

    logits: Tensor
    weights: Tensor


class MaskedPooling(nn.Module):
    """Reduce (N, T, C) to (N, C) over the moments that count, by attention or as the mean.

    Attention scores each moment by a small network (Bahdanau et al. 2015, 1409.0473).
    """

    def __init__(self, channels: int, *, pooling: Pooling) -> None:
        super().__init__()
        if pooling not in ("attention", "mean"):
            raise ValueError(f"unknown pooling {pooling!r}; choose attention or mean")
        self.score: nn.Module | None = None
        if pooling == "attention":
            self.score = nn.Sequential(
                nn.Linear(channels, channels // 2), nn.Tanh(), nn.Linear(channels // 2, 1)
            )

    def forward(self, x: Tensor, mask: Tensor) -> Judged:
        """Pool (N, T, C) where the mask (N, T) is true; returns the pooled (N, C) and weights (N, T)."""
        scores = torch.zeros_like(x[..., 0]) if self.score is None else self.score(x)[..., 0]
        weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=1)
        return Judged((weights[..., None] * x).sum(dim=1), weights)


class RecurrentDetector(nn.Module):
    """An LSTM or GRU over frame features.

    Args:
        cell: "lstm" or "gru".
        features: numbers a moment.
        motion: how many of them, the last, are of the motion between frames. Eight beside 1,280 would not be
            heard: they are widened to `MOTION_WIDTH` first.
        hidden: state size, of each direction.
        layers: stacked cells.
        bidirectional: whether a second cell reads from the end.
        pooling: how moments are combined.
        dropout: share dropped of the input and before the linear layer.
        num_classes: outputs.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        features: int = FEATURES,
        motion: int = 0,
        hidden: int = 128,
        layers: int = 1,
        bidirectional: bool = True,
        pooling: Pooling = "attention",
        dropout: float = 0.2,
        num_classes: int = 1,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "gru"):
            raise ValueError(f"unknown cell {cell!r}; choose lstm or gru")
        deep = features - motion
        if not 0 <= motion <= features:
            raise ValueError(f"of {features} numbers {motion} cannot be of motion")
        self.deep = deep
        self.norm = nn.LayerNorm(deep)
        self.widen = nn.Sequential(nn.Linear(motion, MOTION_WIDTH), nn.Tanh()) if motion else None
        self.dropout = nn.Dropout(dropout)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.cell = kind(
            deep + (MOTION_WIDTH if motion else 0),
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        width = hidden * (2 if bidirectional else 1)
        self.pool = MaskedPooling(width, pooling=pooling)
        self.classifier = nn.Linear(width, num_classes)

    def judge(self, x: Tensor, mask: Tensor | None = None) -> Judged:
        """Map sequences (N, T, features) to logits and the weight of each moment.

        Args:
            x: the sequences, padded at their ends.
            mask: (N, T) bool, true where a moment is none of the padding; None: nothing is padded.

        Raises:
            ValueError: a sequence is all padding, or has padding before its end.
        """
        whole = whole_mask(x, mask)
        lengths = whole.sum(dim=1)
        read = self.dropout(self.norm(x[..., : self.deep]))
        if self.widen is not None:
            read = torch.cat([read, self.widen(x[..., self.deep :])], dim=2)
        packed = pack_padded_sequence(read, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=x.shape[1])
        pooled, weights = self.pool(states, whole)
        return Judged(self.classifier(self.dropout(pooled)), weights)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map sequences (N, T, features) to logits (N, num_classes); see `judge`."""
        return self.judge(x, mask).logits


def whole_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mask of sequences (N, T, ...), all true where None is given.

    Raises:
        ValueError: a sequence is all padding, or has padding before its end.
    """
    if mask is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if not mask[:, 0].all():
        raise ValueError("every sequence must begin with a moment that is no padding")
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError("padding may only stand at the end of a sequence")
    return mask


@register(Preprocessing(224, *SYMMETRIC), takes="features", motion=True)
def lstm(num_classes: int = 1, features: int = FEATURES, motion: int = 0) -> RecurrentDetector:
    """Bidirectional LSTM with attention over the features of an EfficientNet-Lite."""
    return RecurrentDetector("lstm", features=features, motion=motion, num_classes=num_classes)


@register(Preprocessing(224, *SYMMETRIC), takes="features", motion=True)
def gru(num_classes: int = 1, features: int = FEATURES, motion: int = 0) -> RecurrentDetector:
    """Bidirectional GRU with attention over the features of an EfficientNet-Lite."""
    return RecurrentDetector("gru", features=features, motion=motion, num_classes=num_classes)
