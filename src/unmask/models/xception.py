"""Xception (Chollet 2017, 1610.02357), the detector of FaceForensics++ (1901.08971).

Depth-wise separable convolutions throughout: each channel is filtered by itself, then a 1x1 convolution
mixes the channels. Twelve blocks of two or three of them have a shortcut; the map shrinks 32 times.
The widths are those of figure 5; the stem's two convolutions are not padded, as in the original code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from unmask.models.network import Network
from unmask.models.registry import PUBLISHED_MARGIN, Preprocessing, register
from unmask.models.weights import rename_modules, without_prefix

ENTRY = (128, 256, 728)
MIDDLE_BLOCKS = 8
EXIT = (728, 1024)
TOP = (1536, 2048)
DROPOUT = 0.5
"""Before the linear layer, as in the paper (section 4.3)."""


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


class Xception(Network):
    """See the module.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_features = TOP[-1]
        self.stem_conv = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(32)
        self.second_conv = nn.Conv2d(32, 64, 3, bias=False)
        self.second_norm = nn.BatchNorm2d(64)
        blocks = []
        inputs = 64
        for outputs in ENTRY:
            blocks.append(Block((inputs, outputs, outputs), shrink=True, first_relu=inputs != 64))
            inputs = outputs
        blocks += [Block((inputs,) * 4, shrink=False) for _ in range(MIDDLE_BLOCKS)]
        blocks.append(Block((inputs, *EXIT), shrink=True))
        self.blocks = nn.Sequential(*blocks)
        self.top = nn.ModuleList((SeparableConv(EXIT[-1], TOP[0]), SeparableConv(*TOP)))
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(self.num_features, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 2048, h, w): 10 x 10 of 299 x 299."""
        x = functional.relu(self.stem_norm(self.stem_conv(x)))
        x = functional.relu(self.second_norm(self.second_conv(x)))
        x = self.blocks(x)
        for conv in self.top:
            x = functional.relu(conv(x))
        return x

    def parts(self) -> Sequence[nn.Module]:
        """Return the stem (four parts), twelve blocks, and the two convolutions on top."""
        stem = (self.stem_conv, self.stem_norm, self.second_conv, self.second_norm)
        return [*stem, *self.blocks, *self.top]

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give weights named as by Cadene, timm (`legacy_xception`) or FaceForensics++ our names.

        1x1 convolutions stored as matrices, as in files from before PyTorch 0.4, get their two axes back.

        Raises:
            ValueError: the names are of no such kind, nor ours.
        """
        bare = without_prefix(weights, "stem_conv.weight")
        if bare is not None:
            return bare
        bare = without_prefix(weights, "conv1.weight")
        if bare is None or "block12.skip.weight" not in bare:
            raise ValueError(f"the names are of no known format: {', '.join(list(weights)[:3])}, ...")
        renamed = rename_modules(bare, self._public_names())
        return {
            k: v[:, :, None, None] if k.endswith("pointwise_conv.weight") and v.ndim == 2 else v
            for k, v in renamed.items()
            if not k.startswith("adjust_channel.")
        }

    def _public_names(self) -> dict[str, str]:
        names = {
            "conv1": "stem_conv",
            "bn1": "stem_norm",
            "conv2": "second_conv",
            "bn2": "second_norm",
            "fc": "classifier",
            "last_linear": "classifier",
            "last_linear.1": "classifier",  # FaceForensics++ with drop-out before it
        }
        for number in range(len(self.top)):
            names |= {
                f"conv{number + 3}.conv1": f"top.{number}.depthwise",
                f"conv{number + 3}.pointwise": f"top.{number}.pointwise_conv",
                f"bn{number + 3}": f"top.{number}.pointwise_norm",
            }
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            theirs, ours = f"block{index + 1}", f"blocks.{index}"
            names |= {f"{theirs}.skip": f"{ours}.skip_conv", f"{theirs}.skipbn": f"{ours}.skip_norm"}
            # There a block is a list: ReLU (not in the first block), convolution, normalisation, and again.
            for number in range(len(block.convs)):
                at = 3 * number + block.first_relu
                names |= {
                    f"{theirs}.rep.{at}.conv1": f"{ours}.convs.{number}.depthwise",
                    f"{theirs}.rep.{at}.pointwise": f"{ours}.convs.{number}.pointwise_conv",
                    f"{theirs}.rep.{at + 1}": f"{ours}.convs.{number}.pointwise_norm",
                }
        return names


@register(
    Preprocessing(299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), PUBLISHED_MARGIN),
    aliases=("xceptionnet", "legacy_xception"),
)
def xception(num_classes: int = 1) -> Xception:
    """Xception: 22.9 million parameters with 1000 classes."""
    return Xception(num_classes)
