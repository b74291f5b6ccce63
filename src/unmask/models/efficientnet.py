"""EfficientNet (Tan & Le 2019, 1905.11946) and its Lite variants for devices without fast exponentials.

The network is a stem, sixteen or more inverted-residual blocks with depth-wise convolutions (MBConv),
and a head. B1 to B7 scale B0's widths and depths; the Lite variants leave out squeeze-and-excitation,
use ReLU6 in place of swish, and keep stem and head at B0's width whatever the scale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.registry import Preprocessing, register

# Table 1 of the paper: (repeats, kernel, stride of the first block, expansion, output channels)
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SYMMETRIC = ((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255))
"""The Lite variants' training code maps 0..255 to -1..1 as (x - 127) / 128."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM)


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, never more than 10 % down."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SqueezeExcitation(nn.Module):
    """Weigh channels by what the whole picture shows (Hu et al. 2018, 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        weights = x.mean((2, 3), keepdim=True)
        weights = self.expand(functional.silu(self.reduce(weights)))
        return x * weights.sigmoid()


class InvertedResidual(nn.Module):
    """MBConv: widen by 1x1, filter each channel, (weigh,) narrow by 1x1; added to the input where it fits."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int, lite: bool
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.lite = lite
        self.residual = stride == 1 and inputs == outputs
        self.expand_conv: nn.Conv2d | None = None
        if expansion != 1:
            self.expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self.expand_norm = _norm(wide)
        self.depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.depthwise_norm = _norm(wide)
        self.excitation = None if lite else SqueezeExcitation(wide, max(1, inputs // 4))
        self.project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self.project_norm = _norm(outputs)

    def _activate(self, x: Tensor) -> Tensor:
        return functional.relu6(x, inplace=True) if self.lite else functional.silu(x, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, outputs, H / stride, W / stride)."""
        y = x
        if self.expand_conv is not None:
            y = self._activate(self.expand_norm(self.expand_conv(y)))
        y = self._activate(self.depthwise_norm(self.depthwise_conv(y)))
        if self.excitation is not None:
            y = self.excitation(y)
        y = self.project_norm(self.project_conv(y))
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """The whole family.

    Args:
        width: factor on the channels of every stage.
        depth: factor on the repeats of every stage.
        dropout: share of the pooled features dropped in training.
        lite: the Lite variant.
        num_classes: outputs of the linear layer.
    """

    def __init__(self, *, width: float, depth: float, dropout: float, lite: bool, num_classes: int) -> None:
        super().__init__()
        self.lite = lite
        stem = 32 if lite else round_channels(32 * width)
        self.num_features = 1280 if lite else round_channels(1280 * width)
        self.stem_conv = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.stem_norm = _norm(stem)
        blocks: list[nn.Module] = []
        inputs = stem
        for index, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            outputs = round_channels(channels * width)
            fixed_depth = lite and index in (0, len(STAGES) - 1)
            count = repeats if fixed_depth else math.ceil(repeats * depth)
            for block in range(count):
                blocks.append(
                    InvertedResidual(
                        inputs,
                        outputs,
                        kernel=kernel,
                        stride=stride if block == 0 else 1,
                        expansion=expansion,
                        lite=lite,
                    )
                )
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head_conv = nn.Conv2d(inputs, self.num_features, 1, bias=False)
        self.head_norm = _norm(self.num_features)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.num_features, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] ** 2 * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def _activate(self, x: Tensor) -> Tensor:
        return functional.relu6(x, inplace=True) if self.lite else functional.silu(x, inplace=True)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, num_features, H / 32, W / 32)."""
        x = self._activate(self.stem_norm(self.stem_conv(x)))
        x = self.blocks(x)
        return self._activate(self.head_norm(self.head_conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to logits (N, num_classes)."""
        return self.classifier(self.dropout(self.forward_features(x).mean((2, 3))))


_PUBLIC_NAMES = (
    (r"^_conv_stem\.", "stem_conv."),
    (r"^_bn0\.", "stem_norm."),
    (r"^_conv_head\.", "head_conv."),
    (r"^_bn1\.", "head_norm."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand_conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand_norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise_conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise_norm."),
    (r"^_blocks\.(\d+)\._se_reduce\.", r"blocks.\1.excitation.reduce."),
    (r"^_blocks\.(\d+)\._se_expand\.", r"blocks.\1.excitation.expand."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project_conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project_norm."),
)


def from_public_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of the widely used PyTorch port (`_conv_stem`, `_blocks.0._bn1`, ...) to ours."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in _PUBLIC_NAMES:
            name, count = re.subn(pattern, replacement, name)
            if count:
                break
        renamed[name] = value
    return renamed


def load_pretrained(model: EfficientNet, weights: Mapping[str, Tensor]) -> None:
    """Load ImageNet weights; the linear layer is taken only where its shape fits.

    Raises:
        ValueError: weights other than the linear layer's are missing, left over or of another shape.
    """
    renamed = from_public_names(weights)
    own = model.state_dict()
    if renamed.get("classifier.weight", torch.empty(0)).shape != own["classifier.weight"].shape:
        renamed = {k: v for k, v in renamed.items() if not k.startswith("classifier.")}
        renamed |= {k: v for k, v in own.items() if k.startswith("classifier.")}
    wrong = [k for k in own if k not in renamed or renamed[k].shape != own[k].shape]
    left = [k for k in renamed if k not in own]
    if wrong or left:
        raise ValueError(f"weights do not match: missing or misshapen {wrong[:5]}, left over {left[:5]}")
    model.load_state_dict(renamed)


@register(Preprocessing(224, *SYMMETRIC))
def efficientnet_lite0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite0: 4.7 million parameters with 1000 classes."""
    return EfficientNet(width=1.0, depth=1.0, dropout=0.2, lite=True, num_classes=num_classes)


@register(Preprocessing(240, *SYMMETRIC))
def efficientnet_lite1(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite1: 5.4 million parameters with 1000 classes."""
    return EfficientNet(width=1.0, depth=1.1, dropout=0.2, lite=True, num_classes=num_classes)


@register(Preprocessing(260, *SYMMETRIC))
def efficientnet_lite2(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite2: 6.1 million parameters with 1000 classes."""
    return EfficientNet(width=1.1, depth=1.2, dropout=0.3, lite=True, num_classes=num_classes)


@register(Preprocessing(224, *IMAGENET))
def efficientnet_b0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B0: 5.3 million parameters with 1000 classes."""
    return EfficientNet(width=1.0, depth=1.0, dropout=0.2, lite=False, num_classes=num_classes)
