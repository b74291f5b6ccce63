"""Xception's parts (Chollet 2017, 1610.02357) with any number of input channels, for two-stream networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from unmask.models.network import Network
from unmask.models.weights import without_prefix
from unmask.models.xception import ENTRY, EXIT, TOP, Block, SeparableConv


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
        Block((ENTRY[-1], *EXIT), shrink=True),
        SeparableConv(EXIT[-1], TOP[0]),
        nn.ReLU(inplace=True),
        SeparableConv(*TOP),
        nn.ReLU(inplace=True),
    )


class Pooled(Network):
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

    def parts(self) -> Sequence[nn.Module]:
        """Return what the subclass is made of, in order, without drop-out and linear layer."""
        own = ("dropout", "classifier")
        return [child for name, child in self.named_children() if name not in own]

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take off a prefix; of these networks no public format is known.

        Raises:
            ValueError: the weights are not of this project.
        """
        bare = without_prefix(weights, "classifier.weight")
        if bare is None:
            raise ValueError(f"the names are of no known format: {', '.join(list(weights)[:3])}, ...")
        return bare
