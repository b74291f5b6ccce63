"""A small network on cosine coefficients, after Frank et al. 2020 (2003.08685).

There the log-scaled, standardised coefficients of the whole picture go through four convolutions. Here
they are those of 8 x 8 blocks, one map for each of the 64 frequencies of luma and both colour differences:
the input may have any size, a trace counts wherever in the face it lies, and JPEG's own grid is met where
the crop keeps it. The standardisation is the batch normalisation at the front. Four convolutions with
shortcuts in place of pooling keep every block's place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.f3net import dct_matrix
from unmask.models.registry import Preprocessing, register
from unmask.models.separable import Pooled, conv_norm

BLOCK = 8
WIDTH = 128
SMALL = 0.1
"""Added to magnitudes (grey levels) before the logarithm: less than the rounding of pixels leaves."""
GREY_LEVELS = 127.5
YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
"""The colours that JPEG stores (BT.601)."""


class BlockCoefficients(nn.Module):
    """Normalised pictures (N, 3, H, W) to log magnitudes (N, 192, H / 8, W / 8) of block coefficients.

    Channel 64 c + 8 row + column is that frequency of luma (c = 0), blue or red difference. What is left of
    a size that is no multiple of 8 is not looked at.
    """

    kernels: Tensor
    colours: Tensor

    def __init__(self) -> None:
        super().__init__()
        basis = dct_matrix(BLOCK)
        kernels = torch.einsum("iy,jx->ijyx", basis, basis).reshape(-1, 1, BLOCK, BLOCK)
        self.register_buffer("kernels", kernels, persistent=False)
        self.register_buffer("colours", torch.tensor(YCBCR), persistent=False)

    def coefficients(self, x: Tensor) -> Tensor:
        """Return the coefficients (N, 192, H / 8, W / 8) themselves, in grey levels of 0..255 less 127.5."""
        planes = torch.einsum("dc,nchw->ndhw", self.colours, x * GREY_LEVELS)
        found = functional.conv2d(planes.flatten(0, 1)[:, None], self.kernels, stride=BLOCK)
        return found.unflatten(0, (x.shape[0], 3)).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms of the magnitudes."""
        return torch.log(self.coefficients(x).abs() + SMALL)


class DctCnn(Pooled):
    """See the module.

    Args:
        num_classes: outputs of the linear layer.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_features=WIDTH, num_classes=num_classes, dropout=0.3)
        self.front = BlockCoefficients()
        self.standardise = nn.BatchNorm2d(3 * BLOCK * BLOCK, affine=False)
        self.mix = conv_norm(3 * BLOCK * BLOCK, WIDTH, kernel=1)
        self.convs = nn.ModuleList(conv_norm(WIDTH, WIDTH) for _ in range(3))
        self.initialise()

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 128, H / 8, W / 8)."""
        x = self.mix(self.standardise(self.front(x)))
        for conv in self.convs:
            x = x + conv(x)
        return x


@register(Preprocessing(256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
def dct_cnn(num_classes: int = 1) -> DctCnn:
    """Four convolutions on the 192 block coefficients, 0.5 million parameters."""
    return DctCnn(num_classes)
