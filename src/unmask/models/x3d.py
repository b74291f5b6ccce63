"""X3D (Feichtenhofer 2020, 2004.04730): a light video network grown from a small picture network.

The form of X3D-S and X3D-M, which differ in the input alone: a stem that filters over space and then, channel
by channel, over time; four stages of bottlenecks, 2.25 times as wide inside, whose 3 x 3 x 3 filters work
channel by channel, every second with squeeze-and-excitation; and a head of two linear layers.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from unmask.models.efficientnet import round_channels
from unmask.models.registry import Preprocessing
from unmask.models.sequences import register

# Table 1 of the paper for X3D-M: channels and blocks of the stages
STAGES = ((24, 3), (48, 5), (96, 11), (192, 7))
WIDER = 2.25
SQUEEZE = 1 / 16
HIDDEN = 2048
VIDEO = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))


def _conv_norm(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 1, bias=False), nn.BatchNorm3d(outputs))


class SqueezeExcitation3d(nn.Module):
    """Weigh channels by what the whole clip shows (Hu et al. 2018, 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels * SQUEEZE)
        self.reduce = nn.Conv3d(channels, squeezed, 1)
        self.expand = nn.Conv3d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to the same shape."""
        weights = self.expand(functional.relu(self.reduce(x.mean((2, 3, 4), keepdim=True))))
        return x * weights.sigmoid()


class Bottleneck(nn.Module):
    """Widen, filter each channel over space and time, narrow; added to the input."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, excited: bool) -> None:
        super().__init__()
        inner = int(outputs * WIDER)
        self.widen = _conv_norm(inputs, inner)
        self.filter = nn.Sequential(
            nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False),
            nn.BatchNorm3d(inner),
        )
        self.excitation = SqueezeExcitation3d(inner) if excited else nn.Identity()
        self.narrow = _conv_norm(inner, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm3d(outputs)) if inputs != outputs else conv

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to (N, outputs, T, H / stride, W / stride)."""
        y = functional.relu(self.widen(x))
        y = functional.silu(self.excitation(self.filter(y)))
        return functional.relu(self.narrow(y) + self.shortcut(x))


class X3D(nn.Module):
    """The whole network; time is kept up to the pooling."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        first = STAGES[0][0]
        self.stem = nn.Sequential(
            nn.Conv3d(3, first, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            nn.Conv3d(first, first, (5, 1, 1), 1, (2, 0, 0), groups=first, bias=False),
            nn.BatchNorm3d(first),
            nn.ReLU(inplace=True),
        )
        blocks: list[nn.Module] = []
        inputs = first
        for outputs, count in STAGES:
            for index in range(count):
                blocks.append(
                    Bottleneck(inputs, outputs, stride=2 if index == 0 else 1, excited=index % 2 == 0)
                )
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.widen = _conv_norm(inputs, int(inputs * WIDER))
        self.hidden = nn.Linear(int(inputs * WIDER), HIDDEN, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(HIDDEN, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised clips (N, 3, T, H, W) to features (N, 432, T, H / 32, W / 32)."""
        return functional.relu(self.widen(self.blocks(self.stem(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised clips (N, 3, T, H, W) to logits (N, num_classes)."""
        pooled = self.forward_features(x).mean((2, 3, 4))
        return self.classifier(self.dropout(functional.relu(self.hidden(pooled))))


@register(Preprocessing(160, *VIDEO), takes="clip")
def x3d_s(num_classes: int = 1) -> X3D:
    """X3D-S: 3.8 million parameters with 400 classes, for 13 frames of 160 pixels."""
    return X3D(num_classes=num_classes)
