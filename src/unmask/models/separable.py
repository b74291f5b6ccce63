"""Xception's parts (Chollet 2017, 1610.02357) with any number of input channels, for two-stream networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

ENTRY = (128, 256, 728)
EXIT = 1024
TOP = (1536, 2048)


class SeparableConv(nn.Module):
    """A 3x3 filter for each channel, a 1x1 convolution over channels, batch normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        return self.pointwise_norm(self.pointwise_conv(self.depthwise(x)))


class Block(nn.Module):
    """Separable convolutions of the given widths, each after a ReLU, with a shortcut.

    Args:
        widths: channels of the input, then of each convolution's output.
        shrink: halve the map at the end (max pooling), and in the shortcut (a 1x1 convolution).
        first_relu: whether a ReLU comes before the first convolution.
    """

    def __init__(self, widths: Sequence[int], *, shrink: bool, first_relu: bool = True) -> None:
        super().__init__()
        self.first_relu = first_relu
        self.convs = nn.ModuleList(SeparableConv(a, b) for a, b in pairwise(widths))
        self.skip_conv: nn.Conv2d | None = None
        if shrink:
            self.skip_conv = nn.Conv2d(widths[0], widths[-1], 1, stride=2, bias=False)
            self.skip_norm = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, widths[-1], H / 2, W / 2), or to the same size."""
        y = x
        for index, conv in enumerate(self.convs):
            y = conv(functional.relu(y) if index or self.first_relu else y)
        if self.skip_conv is None:
            return x + y
        return functional.max_pool2d(y, 3, 2, 1) + self.skip_norm(self.skip_conv(x))


def conv_norm(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a padded convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def entry_flow(inputs: int) -> nn.Sequential:
    """Return stem and three blocks: (N, inputs, H, W) to (N, 728, H / 16, W / 16).

    Unlike the original the stem is padded, so that two streams of one picture keep the same size.
    """
    blocks = [
        Block((a, b, b), shrink=True, first_relu=index > 0)
        for index, (a, b) in enumerate(pairwise((64, *ENTRY)))
    ]
    return nn.Sequential(conv_norm(inputs, 32, stride=2), conv_norm(32, 64), *blocks)


def middle_flow(count: int) -> nn.Sequential:
    """Return `count` blocks of 728 channels with shortcuts (Xception has eight)."""
    return nn.Sequential(*(Block((ENTRY[-1],) * 4, shrink=False) for _ in range(count)))


def exit_flow() -> nn.Sequential:
    """Return the last block and the two convolutions on top: 728 to 2048 channels, half the size."""
    return nn.Sequential(
        Block((ENTRY[-1], ENTRY[-1], EXIT), shrink=True),
        SeparableConv(EXIT, TOP[0]),
        nn.ReLU(inplace=True),
        SeparableConv(*TOP),
        nn.ReLU(inplace=True),
    )


class Pooled(nn.Module):
    """A network whose features are averaged over places and weighed by a linear layer.

    Args:
        num_features: channels of `forward_features`.
        num_classes: outputs.
        dropout: share of the pooled features dropped in training.
    """

    def __init__(self, *, num_features: int, num_classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_features = num_features
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(num_features, num_classes)

    def initialise(self) -> None:
        """Draw the weights of all convolutions; fixed filters are buffers and stay."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, num_features, h, w)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to logits (N, num_classes)."""
        return self.classifier(self.dropout(self.forward_features(x).mean((2, 3))))
