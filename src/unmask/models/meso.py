"""Meso4 and MesoInception4 (Afchar et al. 2018, 1809.00888): very small detectors of face forgeries.

Four blocks of convolution, ReLU, batch normalisation and max pooling take 256 x 256 pixels to 8 x 8; two
dense layers follow. In MesoInception4 the first two convolutions are four parallel ones with dilations
1 to 3. The size of the picture is fixed by the first dense layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.network import Network
from unmask.models.registry import PUBLISHED_MARGIN, Preprocessing, register
from unmask.models.weights import rename_modules, without_prefix

SIDE = 256
MAP = 8
"""Side of the last map."""
HIDDEN = 16
SLOPE = 0.1
"""Of the leaky ReLU on the dense layer's output."""
DROPOUT = 0.5


class Inception(nn.Module):
    """Parallel convolutions: 1x1, and 1x1 followed by 3x3 with dilation 1, 2 and 3; each with a ReLU.

    Args:
        inputs: channels of the input.
        widths: output channels of the four branches.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.point = nn.ModuleList(nn.Conv2d(inputs, width, 1) for width in widths)
        self.spread = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
            for dilation, width in enumerate(widths[1:], start=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, sum of widths, H, W)."""
        branches = [functional.relu(conv(x)) for conv in self.point]
        spread = [functional.relu(conv(y)) for conv, y in zip(self.spread, branches[1:], strict=True)]
        return torch.cat([branches[0], *spread], dim=1)


class Block(nn.Module):
    """A convolution, ReLU, batch normalisation, and max pooling over `pool` x `pool` pixels."""

    def __init__(self, conv: nn.Module, channels: int, *, pool: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm2d(channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / pool, W / pool)."""
        return functional.max_pool2d(self.norm(functional.relu(self.conv(x))), self.pool)


class Meso(Network):
    """Both networks: they differ in the first two blocks.

    The pooled features are the 16 outputs of the first dense layer.

    Args:
        first, second: the convolutions of the first two blocks and their output channels.
        num_classes: outputs of the second dense layer.
    """

    def __init__(
        self, first: tuple[nn.Module, int], second: tuple[nn.Module, int], *, num_classes: int
    ) -> None:
        super().__init__()
        self.num_features = HIDDEN
        self.blocks = nn.Sequential(
            Block(*first, pool=2),
            Block(*second, pool=2),
            Block(nn.Conv2d(second[1], 16, 5, padding=2), 16, pool=2),
            Block(nn.Conv2d(16, 16, 5, padding=2), 16, pool=4),
        )
        self.flatten = nn.Sequential(nn.Flatten(), nn.Dropout(DROPOUT))
        self.hidden = nn.Linear(16 * MAP * MAP, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(HIDDEN, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, 256, 256) to features (N, 16, 8, 8).

        Raises:
            ValueError: the pictures are of another size.
        """
        if x.shape[2:] != (SIDE, SIDE):
            raise ValueError(f"Meso networks take {SIDE} x {SIDE} pixels, not {x.shape[3]} x {x.shape[2]}")
        return self.blocks(x)

    def pool(self, features: Tensor) -> Tensor:
        """Map features (N, 16, 8, 8) to pooled features (N, 16)."""
        return functional.leaky_relu(self.hidden(self.flatten(features)), SLOPE)

    def activation_map(self, features: Tensor) -> Tensor:
        """Return what each place adds to the logit of a network with one output, (N, 8, 8).

        The leaky ReLU is linear on either side of zero, so the logit is a sum over places here too: that
        of features times their gradients (HiResCAM: Draelos and Carin 2020, 2011.08891). The first
        layer's bias is spread evenly. The mean over the map plus the second layer's bias is the logit.
        """
        sums = self.hidden(self.flatten(features))
        slopes = torch.where(sums > 0, 1.0, SLOPE) * self.classifier.weight
        weights = (slopes @ self.hidden.weight).unflatten(1, features.shape[1:])
        places = (weights * features).sum(1) * (MAP * MAP)
        return places + (slopes @ self.hidden.bias)[:, None, None]

    def parts(self) -> Sequence[nn.Module]:
        """Return the four blocks and the first dense layer (two parts)."""
        return [*self.blocks, self.flatten, self.hidden]

    def rename(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give weights of Meso4 as in MesoNet-Pytorch and DeepfakeBench our names.

        That port has no biases, and one normalisation for each two blocks of equal width. Its
        MesoInception4 has no ReLU in the inception layers: another function, which is refused.

        Raises:
            ValueError: the names are of no such kind, nor ours.
        """
        bare = without_prefix(weights, "hidden.weight")
        if bare is not None:
            return bare
        bare = without_prefix(weights, "fc1.weight")
        if bare is None:
            raise ValueError(f"the names are of no known format: {', '.join(list(weights)[:3])}, ...")
        if any(name.startswith("Incption") for name in bare):
            raise ValueError(
                "MesoInception4 of MesoNet-Pytorch leaves out the paper's activations in the inception layers"
            )
        return self._from_port(bare)

    def _from_port(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = {"fc1": "hidden", "fc2": "classifier"}
        names |= {f"conv{index + 1}": f"blocks.{index}.conv" for index in range(4)}
        renamed = rename_modules(
            {name: value for name, value in weights.items() if not name.startswith("bn")}, names
        )
        for index in range(len(self.blocks)):
            renamed.setdefault(
                f"blocks.{index}.conv.bias", torch.zeros_like(self.state_dict()[f"blocks.{index}.norm.bias"])
            )
            shared = {"bn1" if index < 2 else "bn2": f"blocks.{index}.norm"}
            norm = {name: value for name, value in weights.items() if name.rpartition(".")[0] in shared}
            renamed |= rename_modules(norm, shared)
        return renamed


@register(Preprocessing(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), PUBLISHED_MARGIN))
def meso4(num_classes: int = 1) -> Meso:
    """Meso-4: 27,977 parameters with one output."""
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 5, padding=2)
    return Meso((first, 8), (second, 8), num_classes=num_classes)


@register(Preprocessing(SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), PUBLISHED_MARGIN))
def mesoinception4(num_classes: int = 1) -> Meso:
    """MesoInception-4: 28,615 parameters with one output."""
    first, second = Inception(3, (1, 4, 4, 2)), Inception(11, (2, 4, 4, 2))
    return Meso((first, 11), (second, 12), num_classes=num_classes)
