"""R(2+1)D (Tran et al. 2018, 1711.11248): each 3-D convolution split into one over space and one over time.

Between the two stand as many channels as keep the number of parameters of the full 3-D convolution (section
3.5). The published 18-layer weights count these by the block's input for both of its convolutions, which is
followed here: 31,505,325 parameters with 400 classes.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from unmask.models.inflation import inflate
from unmask.models.registry import Preprocessing
from unmask.models.sequences import register

KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
CHANNELS = (64, 128, 256, 512)
STEM_BETWEEN = 45


def channels_between(inputs: int, outputs: int) -> int:
    """Return the channels between space and time: t d^2 in out / (d^2 in + t out) for t = d = 3."""
    return (27 * inputs * outputs) // (9 * inputs + 3 * outputs)


class Factored(nn.Sequential):
    """A 3 x 3 convolution over space, normalised, then one over three moments; without the last norm."""

    def __init__(self, inputs: int, outputs: int, between: int, *, stride: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
            nn.BatchNorm3d(between),
            nn.ReLU(inplace=True),
            nn.Conv3d(between, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
        )


class Block(nn.Module):
    """Two factored convolutions with a way round them."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        between = channels_between(inputs, outputs)
        self.first = Factored(inputs, outputs, between, stride=stride)
        self.first_norm = nn.BatchNorm3d(outputs)
        self.second = Factored(outputs, outputs, between, stride=1)
        self.second_norm = nn.BatchNorm3d(outputs)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to (N, outputs, T / stride, H / stride, W / stride)."""
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class R2Plus1D(nn.Module):
    """The 18-layer network: a stem and four stages of two blocks."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, STEM_BETWEEN, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(STEM_BETWEEN),
            nn.ReLU(inplace=True),
            nn.Conv3d(STEM_BETWEEN, CHANNELS[0], (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(CHANNELS[0]),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = CHANNELS[0]
        for stage, outputs in enumerate(CHANNELS):
            blocks += [
                Block(inputs, outputs, stride=1 if stage == 0 else 2),
                Block(outputs, outputs, stride=1),
            ]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.num_features = CHANNELS[-1]
        self.classifier = nn.Linear(self.num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised clips (N, 3, T, H, W) to features (N, 512, T / 8, H / 16, W / 16)."""
        return self.blocks(self.stem(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised clips (N, 3, T, H, W) to logits (N, num_classes)."""
        return self.classifier(self.forward_features(x).mean((2, 3, 4)))


def start_over_time_as_identity(model: R2Plus1D) -> None:
    """Make every convolution over time that keeps its channels pass its input through at first.

    Then space alone speaks at the start, as in a picture network (`inflation`, "centre").
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv3d) or module.kernel_size != (3, 1, 1):
            continue
        outputs, inputs = module.out_channels, module.in_channels
        eye = module.weight.new_zeros(outputs, inputs, 1, 1)
        nn.init.dirac_(cast(Tensor, eye))
        module.weight.data = inflate(eye, 3, how="centre")


@register(Preprocessing(112, *KINETICS), takes="clip")
def r2plus1d_18(num_classes: int = 1) -> R2Plus1D:
    """R(2+1)D with 18 layers: 31.5 million parameters with 400 classes."""
    return R2Plus1D(num_classes=num_classes)
