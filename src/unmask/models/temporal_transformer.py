"""A head that looks along time only, over the features of single frames (in the spirit of 2108.06693).

FTCN (Zheng et al. 2021) takes space out of the kernels so that a network cannot fall back on the artefacts of
single pictures, and lets a transformer relate the moments. Here the frame network is frozen and gives one
vector a frame; convolutions over time and a transformer follow. What is constant over the clip is taken out
of the features first: only change can be judged.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.efficientnet import SYMMETRIC
from unmask.models.recurrent import FEATURES, Judged, MaskedPooling, whole_mask
from unmask.models.registry import Preprocessing
from unmask.models.sequences import register


def positions(length: int, channels: int) -> Tensor:
    """Return the sinusoids (length, channels) of Vaswani et al. 2017 (1706.03762), section 3.5."""
    place = torch.arange(length, dtype=torch.float32)[:, None]
    speed = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10_000.0) / channels))
    table = torch.zeros(length, channels)
    table[:, 0::2], table[:, 1::2] = torch.sin(place * speed), torch.cos(place * speed)
    return table


class TemporalBlock(nn.Module):
    """A convolution over five moments with a way round it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv1d(channels, channels, 5, padding=2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (N, T, C) to the same shape; padding (N, T) false counts as zeros."""
        y = self.norm(x) * mask[..., None]
        return x + functional.gelu(self.conv(y.transpose(1, 2)).transpose(1, 2))


class TemporalTransformer(nn.Module):
    """Temporal convolutions, then a transformer, then pooling over the moments.

    Args:
        features: numbers a moment.
        channels: width inside; even, a multiple of `heads`.
        layers: of the transformer.
        heads: of its attention.
        dropout: share dropped.
        change_only: whether the mean over the clip is taken off the features.
        num_classes: outputs.
    """

    def __init__(
        self,
        *,
        features: int = FEATURES,
        channels: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.2,
        change_only: bool = True,
        num_classes: int = 1,
    ) -> None:
        super().__init__()
        self.change_only = change_only
        self.channels = channels
        self.norm = nn.LayerNorm(features)
        self.reduce = nn.Linear(features, channels)
        self.blocks = nn.ModuleList(TemporalBlock(channels) for _ in range(2))
        layer = nn.TransformerEncoderLayer(
            channels, heads, 2 * channels, dropout, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.pool = MaskedPooling(channels, pooling="attention")
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)

    def judge(self, x: Tensor, mask: Tensor | None = None) -> Judged:
        """Map sequences (N, T, features) to logits and the weight of each moment.

        `mask` (N, T) is true where a moment is none of the padding, which stands at the end.

        Raises:
            ValueError: a sequence is all padding, or has padding before its end.
        """
        whole = whole_mask(x, mask)
        y = self.norm(x)
        if self.change_only:
            share = whole[..., None] / whole.sum(dim=1)[:, None, None]
            y = y - (y * share).sum(dim=1, keepdim=True)
        y = self.reduce(y)
        for block in self.blocks:
            y = block(y, whole)
        y = y + positions(y.shape[1], self.channels).to(y)
        pooled, weights = self.pool(self.transformer(y, src_key_padding_mask=~whole), whole)
        return Judged(self.classifier(self.dropout(pooled)), weights)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map sequences (N, T, features) to logits (N, num_classes); see `judge`."""
        return self.judge(x, mask).logits


@register(Preprocessing(224, *SYMMETRIC), takes="features")
def temporal_transformer(num_classes: int = 1, features: int = FEATURES) -> TemporalTransformer:
    """Temporal convolutions and a transformer over the features of an EfficientNet-Lite."""
    return TemporalTransformer(features=features, num_classes=num_classes)
