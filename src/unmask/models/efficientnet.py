"""EfficientNet (Tan & Le 2019, 1905.11946) and its Lite variants for devices without fast exponentials.

The network is a stem, sixteen or more inverted-residual blocks with depth-wise convolutions (MBConv),
and a head. B1 to B7 scale B0's widths and depths; the Lite variants leave out squeeze-and-excitation,
use ReLU6 in place of swish, and keep stem and head at B0's width whatever the scale.

The same network exists in two kinds, which pad and normalise differently, and weights of one kind give
slightly wrong answers in the other (good enough to start training from). They are named as in timm:
`efficientnet_*` pads evenly; `tf_efficientnet_*` pads as TensorFlow does, for weights ported from there,
which all of EfficientNet-PyTorch and of the Lite packages are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.network import Network
from unmask.models.registry import Preprocessing, register
from unmask.models.weights import load_named, rename_modules, without_prefix

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
TENSORFLOW_EPSILON = 1e-3
EPSILON = 1e-5
NORM_MOMENTUM = 0.01
DROP_PATH = 0.2
"""Share of training pictures for which the last block is skipped; it grows from 0 with depth (section 5)."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SYMMETRIC = ((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255))
"""The Lite variants' training code maps 0..255 to -1..1 as (x - 127) / 128."""


# Public names of the modules of a block, and ours.
PORT_BLOCK = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_norm",
    "_depthwise_conv": "depthwise_conv",
    "_bn1": "depthwise_norm",
    "_se_reduce": "excitation.reduce",
    "_se_expand": "excitation.expand",
    "_project_conv": "project_conv",
    "_bn2": "project_norm",
}
TIMM_BLOCK = {
    "conv_pw": "expand_conv",
    "bn1": "expand_norm",
    "conv_dw": "depthwise_conv",
    "bn2": "depthwise_norm",
    "se.conv_reduce": "excitation.reduce",
    "se.conv_expand": "excitation.expand",
    "conv_pwl": "project_conv",
    "bn3": "project_norm",
}
TIMM_FIRST_BLOCK = {
    "conv_dw": "depthwise_conv",
    "bn1": "depthwise_norm",
    "se.conv_reduce": "excitation.reduce",
    "se.conv_expand": "excitation.expand",
    "conv_pw": "project_conv",
    "bn2": "project_norm",
}
"""Blocks of the first stage, which do not widen, are of another class there."""


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: to ceil(size / stride), the odd pixel right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        pads = []
        for axis in (1, 0):
            size, stride, kernel = x.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
            total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(x, pads))


def _conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, tensorflow: bool
) -> nn.Conv2d:
    if tensorflow:
        return SamePadConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def _norm(channels: int, epsilon: float) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=NORM_MOMENTUM)


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
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        lite: bool,
        tensorflow: bool,
        epsilon: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.lite = lite
        self.drop_path = drop_path
        self.residual = stride == 1 and inputs == outputs
        self.expand_conv: nn.Conv2d | None = None
        if expansion != 1:
            self.expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self.expand_norm = _norm(wide, epsilon)
        self.depthwise_conv = _conv(wide, wide, kernel, stride=stride, groups=wide, tensorflow=tensorflow)
        self.depthwise_norm = _norm(wide, epsilon)
        self.excitation = None if lite else SqueezeExcitation(wide, max(1, inputs // 4))
        self.project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self.project_norm = _norm(outputs, epsilon)

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
        return x + self._thin(y) if self.residual else y

    def _thin(self, y: Tensor) -> Tensor:
        """Stochastic depth (1603.09382): leave the block out for some pictures, weigh the others up."""
        if not self.training or self.drop_path == 0:
            return y
        kept = torch.rand(len(y), 1, 1, 1, device=y.device) >= self.drop_path
        return y * kept / (1 - self.drop_path)


class EfficientNet(Network):
    """The whole family.

    Args:
        width: factor on the channels of every stage.
        depth: factor on the repeats of every stage.
        dropout: share of the pooled features dropped in training.
        lite: the Lite variant.
        tensorflow: padded as TensorFlow does.
        epsilon: of the batch normalisation.
        drop_path: see `DROP_PATH`.
        num_classes: outputs of the linear layer.
        channels: of the input.
    """

    def __init__(
        self,
        *,
        width: float,
        depth: float,
        dropout: float,
        lite: bool,
        tensorflow: bool,
        epsilon: float,
        drop_path: float,
        num_classes: int,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.lite = lite
        stem = 32 if lite else round_channels(32 * width)
        self.num_features = 1280 if lite else round_channels(1280 * width)
        self.stem_conv = _conv(channels, stem, 3, stride=2, tensorflow=tensorflow)
        self.stem_norm = _norm(stem, epsilon)
        fixed = (0, len(STAGES) - 1) if lite else ()
        repeats = [s[0] if index in fixed else math.ceil(s[0] * depth) for index, s in enumerate(STAGES)]
        self._places = [(stage, number) for stage, count in enumerate(repeats) for number in range(count)]
        blocks: list[nn.Module] = []
        inputs = stem
        for stage, number in self._places:
            _, kernel, stride, expansion, basic = STAGES[stage]
            outputs = round_channels(basic * width)
            blocks.append(
                InvertedResidual(
                    inputs,
                    outputs,
                    kernel=kernel,
                    stride=stride if number == 0 else 1,
                    expansion=expansion,
                    lite=lite,
                    tensorflow=tensorflow,
                    epsilon=epsilon,
                    drop_path=drop_path * len(blocks) / len(self._places),
                )
            )
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head_conv = nn.Conv2d(inputs, self.num_features, 1, bias=False)
        self.head_norm = _norm(self.num_features, epsilon)
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
        """Map normalised pictures (N, channels, H, W) to features (N, num_features, H / 32, W / 32)."""
        x = self._activate(self.stem_norm(self.stem_conv(x)))
        x = self.blocks(x)
        return self._activate(self.head_norm(self.head_conv(x)))

    def parts(self) -> Sequence[nn.Module]:
        """Return stem (two parts), blocks, and head (two parts)."""
        return [self.stem_conv, self.stem_norm, *self.blocks, self.head_conv, self.head_norm]

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give weights named as in timm, or as in EfficientNet-PyTorch and the Lite packages, our names.

        Raises:
            ValueError: the names are of neither kind, nor ours.
        """
        formats = {
            "_conv_stem.weight": self._port_names,
            "conv_stem.weight": self._timm_names,
            "stem_conv.weight": dict[str, str],
        }
        for landmark, names in formats.items():
            bare = without_prefix(weights, landmark)
            if bare is not None:
                return rename_modules(bare, names())
        raise ValueError(f"the names are of no known format: {', '.join(list(weights)[:3])}, ...")

    def _port_names(self) -> dict[str, str]:
        names = {
            "_conv_stem": "stem_conv",
            "_bn0": "stem_norm",
            "_conv_head": "head_conv",
            "_bn1": "head_norm",
            "_fc": "classifier",
        }
        for index in range(len(self._places)):
            names |= {
                f"_blocks.{index}.{theirs}": f"blocks.{index}.{ours}" for theirs, ours in PORT_BLOCK.items()
            }
        return names

    def _timm_names(self) -> dict[str, str]:
        names = {"conv_stem": "stem_conv", "bn1": "stem_norm", "conv_head": "head_conv", "bn2": "head_norm"}
        for index, (stage, number) in enumerate(self._places):
            block = TIMM_FIRST_BLOCK if stage == 0 else TIMM_BLOCK
            names |= {
                f"blocks.{stage}.{number}.{theirs}": f"blocks.{index}.{ours}"
                for theirs, ours in block.items()
            }
        return names


def load_pretrained(model: EfficientNet, weights: Mapping[str, Tensor]) -> None:
    """Load ImageNet weights; the linear layer is taken only where its shape fits.

    Raises:
        ValueError: weights other than the linear layer's are missing, left over or of another shape.
    """
    load_named(model, weights)


def _lite(width: float, depth: float, dropout: float, num_classes: int, *, tensorflow: bool) -> EfficientNet:
    return EfficientNet(
        width=width,
        depth=depth,
        dropout=dropout,
        lite=True,
        tensorflow=tensorflow,
        epsilon=TENSORFLOW_EPSILON,
        drop_path=0.0,
        num_classes=num_classes,
    )


def _scaled(
    width: float, depth: float, dropout: float, num_classes: int, *, tensorflow: bool = False
) -> EfficientNet:
    return EfficientNet(
        width=width,
        depth=depth,
        dropout=dropout,
        lite=False,
        tensorflow=tensorflow,
        epsilon=TENSORFLOW_EPSILON if tensorflow else EPSILON,
        drop_path=DROP_PATH,
        num_classes=num_classes,
    )


class Lite0Behind(EfficientNet, ABC):
    """EfficientNet-Lite0 behind a fixed front end that makes other channels of the three colours.

    Weights of the plain network load into it: `stem` says what becomes of its first filters. They load so
    only once; its own weights have the right shape already.
    """

    def __init__(self, num_classes: int, *, channels: int) -> None:
        super().__init__(
            width=1.0,
            depth=1.0,
            dropout=0.2,
            lite=True,
            tensorflow=False,
            epsilon=TENSORFLOW_EPSILON,
            drop_path=0.0,
            num_classes=num_classes,
            channels=channels,
        )

    @abstractmethod
    def front(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to (N, channels, H, W)."""

    @abstractmethod
    def stem(self, weights: Tensor) -> Tensor:
        """Map the first filters (32, 3, 3, 3) of the plain network to (32, channels, 3, 3)."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 1280, H / 32, W / 32)."""
        return super().forward_features(self.front(x))

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename as the plain network does, and widen its first filters."""
        renamed = super().rename(weights)
        name = "stem_conv.weight"
        if name in renamed and renamed[name].shape[1] == 3:
            renamed[name] = self.stem(renamed[name])
        return renamed


@register(Preprocessing(224, *SYMMETRIC))
def efficientnet_lite0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite0: 4.7 million parameters with 1000 classes."""
    return _lite(1.0, 1.0, 0.2, num_classes, tensorflow=False)


@register(Preprocessing(240, *SYMMETRIC))
def efficientnet_lite1(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite1: 5.4 million parameters with 1000 classes."""
    return _lite(1.0, 1.1, 0.2, num_classes, tensorflow=False)


@register(Preprocessing(260, *SYMMETRIC))
def efficientnet_lite2(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite2: 6.1 million parameters with 1000 classes."""
    return _lite(1.1, 1.2, 0.3, num_classes, tensorflow=False)


@register(Preprocessing(224, *SYMMETRIC))
def tf_efficientnet_lite0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite0, padded as TensorFlow does."""
    return _lite(1.0, 1.0, 0.2, num_classes, tensorflow=True)


@register(Preprocessing(240, *SYMMETRIC))
def tf_efficientnet_lite1(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite1, padded as TensorFlow does."""
    return _lite(1.0, 1.1, 0.2, num_classes, tensorflow=True)


@register(Preprocessing(260, *SYMMETRIC))
def tf_efficientnet_lite2(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-Lite2, padded as TensorFlow does."""
    return _lite(1.1, 1.2, 0.3, num_classes, tensorflow=True)


@register(Preprocessing(224, *IMAGENET))
def efficientnet_b0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B0: 5.3 million parameters with 1000 classes."""
    return _scaled(1.0, 1.0, 0.2, num_classes)


@register(Preprocessing(240, *IMAGENET))
def efficientnet_b1(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B1: 7.8 million parameters with 1000 classes."""
    return _scaled(1.0, 1.1, 0.2, num_classes)


@register(Preprocessing(260, *IMAGENET))
def efficientnet_b2(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B2: 9.1 million parameters with 1000 classes."""
    return _scaled(1.1, 1.2, 0.3, num_classes)


@register(Preprocessing(300, *IMAGENET))
def efficientnet_b3(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B3: 12.2 million parameters with 1000 classes."""
    return _scaled(1.2, 1.4, 0.3, num_classes)


@register(Preprocessing(380, *IMAGENET))
def efficientnet_b4(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B4: 19.3 million parameters with 1000 classes."""
    return _scaled(1.4, 1.8, 0.4, num_classes)


@register(Preprocessing(456, *IMAGENET))
def efficientnet_b5(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B5: 30.4 million parameters with 1000 classes."""
    return _scaled(1.6, 2.2, 0.4, num_classes)


@register(Preprocessing(528, *IMAGENET))
def efficientnet_b6(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B6: 43.0 million parameters with 1000 classes."""
    return _scaled(1.8, 2.6, 0.5, num_classes)


@register(Preprocessing(600, *IMAGENET))
def efficientnet_b7(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B7: 66.3 million parameters with 1000 classes."""
    return _scaled(2.0, 3.1, 0.5, num_classes)


@register(Preprocessing(224, *IMAGENET))
def tf_efficientnet_b0(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B0, padded and normalised as in TensorFlow."""
    return _scaled(1.0, 1.0, 0.2, num_classes, tensorflow=True)


@register(Preprocessing(240, *IMAGENET))
def tf_efficientnet_b1(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B1, padded and normalised as in TensorFlow."""
    return _scaled(1.0, 1.1, 0.2, num_classes, tensorflow=True)


@register(Preprocessing(260, *IMAGENET))
def tf_efficientnet_b2(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B2, padded and normalised as in TensorFlow."""
    return _scaled(1.1, 1.2, 0.3, num_classes, tensorflow=True)


@register(Preprocessing(300, *IMAGENET))
def tf_efficientnet_b3(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B3, padded and normalised as in TensorFlow."""
    return _scaled(1.2, 1.4, 0.3, num_classes, tensorflow=True)


@register(Preprocessing(380, *IMAGENET))
def tf_efficientnet_b4(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B4, padded and normalised as in TensorFlow."""
    return _scaled(1.4, 1.8, 0.4, num_classes, tensorflow=True)


@register(Preprocessing(456, *IMAGENET))
def tf_efficientnet_b5(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B5, padded and normalised as in TensorFlow."""
    return _scaled(1.6, 2.2, 0.4, num_classes, tensorflow=True)


@register(Preprocessing(528, *IMAGENET))
def tf_efficientnet_b6(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B6, padded and normalised as in TensorFlow."""
    return _scaled(1.8, 2.6, 0.5, num_classes, tensorflow=True)


@register(Preprocessing(600, *IMAGENET))
def tf_efficientnet_b7(num_classes: int = 1) -> EfficientNet:
    """EfficientNet-B7, padded and normalised as in TensorFlow."""
    return _scaled(2.0, 3.1, 0.5, num_classes, tensorflow=True)
