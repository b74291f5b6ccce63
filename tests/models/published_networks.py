"""Networks with the modules and names of the public ports, plainly written: the oracle of loading.

Written by hand from the published definitions: timm (`efficientnet.py`, `xception.py`), EfficientNet-PyTorch
of lukemelas, Xception of Cadene as FaceForensics++ uses it, and MesoNet-Pytorch of HongguLiu.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

# (repeats, kernel, stride, expansion, channels) of each stage, then channels of stem and head
B0 = ([(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
       (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)], 32, 1280)  # fmt: skip
B3 = ([(2, 3, 1, 1, 24), (3, 3, 2, 6, 32), (3, 5, 2, 6, 48), (5, 3, 2, 6, 96), (5, 5, 1, 6, 136),
       (6, 5, 2, 6, 232), (2, 3, 1, 6, 384)], 40, 1536)  # fmt: skip


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every weight and average of a network a value of its own, and return it in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.dtype.is_floating_point:
            fan = value[0].numel() if value.ndim > 1 else 1
            spread = (2 / fan) ** 0.5 if value.ndim > 1 else 0.2
            centre = 1.0 if value.ndim == 1 and name.endswith("weight") else 0.0
            value.copy_(torch.randn(value.shape, generator=generator) * spread + centre)
    return model.eval()


class TimmExcitation(nn.Module):
    def __init__(self, wide: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(wide, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, wide, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv_expand(functional.silu(self.conv_reduce(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class TimmFirstBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.se = TimmExcitation(inputs, inputs // 4)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv_pw(self.se(functional.silu(self.bn1(self.conv_dw(x))))))
        return x + y if x.shape == y.shape else y


class TimmBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv_pw = nn.Conv2d(inputs, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv_dw = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.se = TimmExcitation(wide, inputs // 4)
        self.conv_pwl = nn.Conv2d(wide, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.bn1(self.conv_pw(x)))
        y = self.se(functional.silu(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if x.shape == y.shape else y


class TimmEfficientNet(nn.Module):
    def __init__(self, scale: tuple, classes: int) -> None:
        super().__init__()
        stages, stem, head = scale
        self.conv_stem = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.blocks = nn.Sequential()
        inputs = stem
        for repeats, kernel, stride, expansion, outputs in stages:
            stage = nn.Sequential()
            for number in range(repeats):
                step = stride if number == 0 else 1
                if expansion == 1:
                    stage.append(TimmFirstBlock(inputs, outputs, kernel, step))
                else:
                    stage.append(TimmBlock(inputs, outputs, kernel, step, expansion))
                inputs = outputs
            self.blocks.append(stage)
        self.conv_head = nn.Conv2d(inputs, head, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(head)
        self.classifier = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(functional.silu(self.bn1(self.conv_stem(x))))
        return self.classifier(functional.silu(self.bn2(self.conv_head(x))).mean((2, 3)))


def port_conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """A convolution that pads even sizes as TensorFlow does, by a layer without weights."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    before = (kernel - stride) // 2
    after = kernel - stride - before
    conv.register_forward_pre_hook(lambda _, x: (functional.pad(x[0], (before, after, before, after)),))
    return conv


def port_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class PortBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = port_norm(wide)
        self._depthwise_conv = port_conv(wide, wide, kernel, stride, wide)
        self._bn1 = port_norm(wide)
        self._se_reduce = nn.Conv2d(wide, inputs // 4, 1)
        self._se_expand = nn.Conv2d(inputs // 4, wide, 1)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = port_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = functional.silu(self._bn1(self._depthwise_conv(y)))
        gate = self._se_expand(functional.silu(self._se_reduce(functional.adaptive_avg_pool2d(y, 1))))
        y = self._bn2(self._project_conv(torch.sigmoid(gate) * y))
        return y + x if x.shape == y.shape else y


class PortEfficientNet(nn.Module):
    def __init__(self, scale: tuple, classes: int) -> None:
        super().__init__()
        stages, stem, head = scale
        self._conv_stem = port_conv(3, stem, 3, 2)
        self._bn0 = port_norm(stem)
        self._blocks = nn.ModuleList()
        inputs = stem
        for repeats, kernel, stride, expansion, outputs in stages:
            for number in range(repeats):
                self._blocks.append(
                    PortBlock(inputs, outputs, kernel, stride if number == 0 else 1, expansion)
                )
                inputs = outputs
        self._conv_head = nn.Conv2d(inputs, head, 1, bias=False)
        self._bn1 = port_norm(head)
        self._fc = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return self._fc(functional.silu(self._bn1(self._conv_head(x))).mean((2, 3)))


class CadeneSeparable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.conv1(x))


class CadeneBlock(nn.Module):
    def __init__(self, widths: list[int], *, relu_first: bool, shrink: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.ReLU(), CadeneSeparable(inputs, outputs), nn.BatchNorm2d(outputs)]
        layers = layers if relu_first else layers[1:]
        self.rep = nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if shrink else []))
        if shrink:
            self.skip = nn.Conv2d(widths[0], widths[-1], 1, 2, bias=False)
            self.skipbn = nn.BatchNorm2d(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.rep(x) + (self.skipbn(self.skip(x)) if hasattr(self, "skip") else x)


class CadeneXception(nn.Module):
    """`head` is the linear layer's name: `last_linear`, or `fc` in timm and in the first files."""

    def __init__(self, classes: int, head: str = "last_linear") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, 0, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.block1 = CadeneBlock([64, 128, 128], relu_first=False, shrink=True)
        self.block2 = CadeneBlock([128, 256, 256], relu_first=True, shrink=True)
        self.block3 = CadeneBlock([256, 728, 728], relu_first=True, shrink=True)
        for number in range(4, 12):
            self.add_module(f"block{number}", CadeneBlock([728] * 4, relu_first=True, shrink=False))
        self.block12 = CadeneBlock([728, 728, 1024], relu_first=True, shrink=True)
        self.conv3 = CadeneSeparable(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.conv4 = CadeneSeparable(1536, 2048)
        self.bn4 = nn.BatchNorm2d(2048)
        self.add_module(head, nn.Linear(2048, classes))
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        for number in range(1, 13):
            x = getattr(self, f"block{number}")(x)
        x = functional.relu(self.bn3(self.conv3(x)))
        x = functional.relu(self.bn4(self.conv4(x)))
        return getattr(self, self.head)(x.mean((2, 3)))


class PortMeso4(nn.Module):
    """No biases, and one normalisation for each two convolutions of the same width."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 5, padding=2, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(8, 16, 5, padding=2, bias=False)
        self.conv4 = nn.Conv2d(16, 16, 5, padding=2, bias=False)
        self.fc1 = nn.Linear(16 * 8 * 8, 16)
        self.fc2 = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.bn1(functional.relu(self.conv1(x))), 2)
        x = functional.max_pool2d(self.bn1(functional.relu(self.conv2(x))), 2)
        x = functional.max_pool2d(self.bn2(functional.relu(self.conv3(x))), 2)
        x = functional.max_pool2d(self.bn2(functional.relu(self.conv4(x))), 4)
        return self.fc2(functional.leaky_relu(self.fc1(x.flatten(1)), 0.1))
