"""Two streams, colours and SRM noise (Luo et al. 2021, 2103.12376): high frequencies that generalise.

The noise stream sees the picture through three fixed high-pass filters of the spatial rich model
(section 3.2), and adds the same filters of the colour stream's first maps (multi-scale high-frequency
features). The noise tells the colour stream where to look (residual-guided spatial attention, section
3.3), and higher up both exchange what they see (dual cross-modality attention, section 3.4). At the end
they are joined.

Deviations: the filters are taken of each colour and summed over none (nine channels); the multi-scale
filters apply to the maps after the stem only; the dual attention is that of `f3net.Mix`; the joined maps
go through one 1x1 convolution before they are averaged.

`srm_lite0` is the noise stream alone, on EfficientNet-Lite0 in place of Xception: it starts from ImageNet
weights and trains on an ordinary computer, and it sees nothing but residuals.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.efficientnet import SYMMETRIC, Lite0Behind
from unmask.models.f3net import Mix
from unmask.models.registry import Preprocessing, register
from unmask.models.separable import ENTRY, TOP, Pooled, conv_norm, entry_flow, exit_flow, middle_flow
from unmask.signals.residual import SRM_THREE

LIMIT = 3.0
"""Residuals are cut off at so many grey levels, as the rich model does: edges would drown the noise."""
GREY_LEVELS = 127.5
"""Grey levels for one unit of the normalised input (mean 0.5, deviation 0.5)."""


class NoiseFilters(nn.Module):
    """The three SRM filters of each of C channels: (N, C, H, W) to (N, 3 C, H, W), cut off.

    Args:
        channels: C.
        scale: the input is multiplied by it first, to grey levels.
    """

    kernels: Tensor

    def __init__(self, channels: int, *, scale: float) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        kernels = torch.from_numpy(SRM_THREE)[:, None].repeat(channels, 1, 1, 1)
        self.register_buffer("kernels", kernels, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter with mirrored edges."""
        padded = functional.pad(x * self.scale, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(padded, self.kernels, groups=self.channels).clamp(-LIMIT, LIMIT)


class NoiseGuidance(nn.Module):
    """Weigh places (0..1, none lost) by what the strongest and the mean noise features show there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, colour: Tensor, noise: Tensor) -> Tensor:
        """Map colour (N, C, H, W), guided by noise of the same size, to the same shape."""
        summary = torch.cat([noise.mean(1, keepdim=True), noise.amax(1, keepdim=True)], dim=1)
        return colour + colour * self.conv(summary).sigmoid()


class TwoStream(Pooled):
    """See the module.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_features=TOP[-1], num_classes=num_classes)
        self.picture_noise = NoiseFilters(3, scale=GREY_LEVELS)
        self.map_noise = NoiseFilters(64, scale=1.0)
        self.map_mix = conv_norm(3 * 64, 64, kernel=1)
        colour, noise = entry_flow(3), entry_flow(9)
        self.colour_stem, self.colour_blocks = colour[:2], colour[2:]
        self.noise_stem, self.noise_blocks = noise[:2], noise[2:]
        self.guidance = NoiseGuidance()
        self.colour_middle, self.noise_middle = middle_flow(8), middle_flow(8)
        self.entry_mix, self.middle_mix = Mix(ENTRY[-1]), Mix(ENTRY[-1])
        self.colour_exit, self.noise_exit = exit_flow(), exit_flow()
        self.join = conv_norm(2 * TOP[-1], TOP[-1], kernel=1)
        self.initialise()

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 2048, H / 32, W / 32)."""
        colour = self.colour_stem(x)
        noise = self.noise_stem(self.picture_noise(x)) + self.map_mix(self.map_noise(colour))
        colour = self.colour_blocks(self.guidance(colour, noise))
        colour, noise = self.entry_mix(colour, self.noise_blocks(noise))
        colour, noise = self.middle_mix(self.colour_middle(colour), self.noise_middle(noise))
        return self.join(torch.cat([self.colour_exit(colour), self.noise_exit(noise)], dim=1))


@register(Preprocessing(299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
def srm_two_stream(num_classes: int = 1) -> TwoStream:
    """Two Xceptions on colours and SRM residuals."""
    return TwoStream(num_classes)


class NoiseLite0(Lite0Behind):
    """EfficientNet-Lite0 on the residuals of the three colours, 9 channels brought to -1..1.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, channels=9)
        self.noise = NoiseFilters(3, scale=GREY_LEVELS)

    def front(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to residuals (N, 9, H, W)."""
        noise: Tensor = self.noise(x) / LIMIT
        return noise

    def stem(self, weights: Tensor) -> Tensor:
        """Share each colour's filters out among its three residuals."""
        return weights.repeat_interleave(3, dim=1) / 3


@register(Preprocessing(224, *SYMMETRIC))
def srm_lite0(num_classes: int = 1) -> NoiseLite0:
    """EfficientNet-Lite0 on SRM residuals alone."""
    return NoiseLite0(num_classes)
