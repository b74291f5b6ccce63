"""SPSL, spatial-phase shallow learning (Liu et al. 2021, 2103.01856): the picture and its phase spectrum.

Up-sampling shows more in the phase than in the amplitude of the spectrum. The phase alone is turned back
into a picture (section 3.2), which joins the colours as a fourth channel, and the network is made shallow,
so that it looks at texture rather than at the whole face (section 3.3).

Structure here: stem, the three entry blocks, the exit block and the two top convolutions of Xception; the
middle flow is left out. Deviations: the phase is that of the grey picture; the transform is taken over the
crop as it comes; the stem is padded.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
