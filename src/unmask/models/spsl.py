"""SPSL, spatial-phase shallow learning (Liu et al. 2021, 2103.01856): the picture and its phase spectrum.

Up-sampling shows more in the phase than in the amplitude of the spectrum. The phase alone is turned back
into a picture (section 3.2), which joins the colours as a fourth channel, and the network is made shallow,
so that it looks at texture rather than at the whole face (section 3.3).

Structure here: stem, the three entry blocks, the exit block and the two top convolutions of Xception; the
middle flow is left out. Deviations: the phase is that of the grey picture; the transform is taken over the
crop as it comes; the stem is padded.

`spsl_lite0` joins the phase to the colours in EfficientNet-Lite0 in place of Xception: it starts from
ImageNet weights and trains on an ordinary computer, but it is not made shallow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unmask.models.efficientnet import SYMMETRIC, Lite0Behind
from unmask.models.registry import Preprocessing, register
from unmask.models.separable import TOP, Pooled, entry_flow, exit_flow

SCALE = 1.0
"""The phase picture is brought to this deviation, about that of the colours."""
EPSILON = 1e-8


def phase_picture(grey: Tensor) -> Tensor:
    """Return the inverse transform of a (..., H, W) picture's phase alone, real, deviation `SCALE`.

    All frequencies get the amplitude 1: edges and repeating steps stay, brightness and contrast go. A
    frequency without power keeps none.
    """
    transform = torch.fft.rfft2(grey)
    power = transform.real**2 + transform.imag**2
    # Written with square roots of sums: the angle itself has no gradient at 0.
    unit = transform * torch.rsqrt(power + EPSILON)
    height, width = grey.shape[-2:]
    return torch.fft.irfft2(unit, s=(height, width)) * (SCALE * (height * width) ** 0.5)


class Spsl(Pooled):
    """See the module.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_features=TOP[-1], num_classes=num_classes)
        self.entry = entry_flow(4)
        self.exit = exit_flow()
        self.initialise()

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 2048, H / 32, W / 32)."""
        phase = phase_picture(x.mean(1, keepdim=True))
        return self.exit(self.entry(torch.cat([x, phase], dim=1)))


@register(Preprocessing(299, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
def spsl(num_classes: int = 1) -> Spsl:
    """SPSL on a shallow Xception."""
    return Spsl(num_classes)


class PhaseLite0(Lite0Behind):
    """EfficientNet-Lite0 on colours and phase picture, 4 channels.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, channels=4)

    def front(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to (N, 4, H, W)."""
        return torch.cat([x, phase_picture(x.mean(1, keepdim=True))], dim=1)

    def stem(self, weights: Tensor) -> Tensor:
        """Keep the colours' filters and give the phase their mean."""
        return torch.cat([weights, weights.mean(1, keepdim=True)], dim=1)


@register(Preprocessing(224, *SYMMETRIC))
def spsl_lite0(num_classes: int = 1) -> PhaseLite0:
    """SPSL's input on EfficientNet-Lite0."""
    return PhaseLite0(num_classes)
