"""F3-Net (Qian et al. 2020, 2007.09355): the picture cut into frequency bands, and local band statistics.

Two streams. FAD, frequency-aware decomposition (section 3.1): the cosine transform of the whole picture is
split by three fixed bands (the lowest sixteenth, up to an eighth, the rest), each widened by a learnt
filter bounded to -1..1, and each is turned back into a picture. LFS, local frequency statistics (section
3.2): in windows of 10 pixels every 2 the logarithm of the coefficients' magnitudes in six bands, again
fixed plus learnt. Both run through Xception and exchange what they see after the middle flow and at the
end (MixBlock, section 3.3).

Deviations: MixBlock is here dot-product attention over places, by which each stream adds what the other
sees where the two agree, from a factor that starts at 0; a fourth, unsplit copy of the picture joins FAD's
bands; LFS maps enter their stream after its stem's halving, since they have half the picture's size.
The learnt filters have one value for each coefficient of the stated input size.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from unmask.models.registry import Preprocessing, register
from unmask.models.separable import ENTRY, TOP, Block, Pooled, conv_norm, entry_flow, exit_flow, middle_flow

INPUT = 299
FAD_BANDS = ((0.0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1.0))
"""Shares of the way from the mean to the finest coefficient, by row plus column."""
LFS_WINDOW, LFS_STEP, LFS_BANDS = 10, 2, 6
SMALL = 1e-6
GREY = (0.299, 0.587, 0.114)


def dct_matrix(size: int) -> Tensor:
    """Return the orthonormal DCT-II matrix (size, size), row = frequency."""
    k = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / size * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def band_masks(size: int, bands: tuple[tuple[float, float], ...]) -> Tensor:
    """Return (len(bands), size, size) masks of coefficients by (row + column) / (2 size - 1).

    Each band holds its lower end and not its upper one, so that together they hold each coefficient once.
    """
    way = torch.arange(size)[:, None] + torch.arange(size)[None]
    share = way / (2 * size - 1)
    return torch.stack([((share >= low) & (share < high)).float() for low, high in bands])


class BandFilters(nn.Module):
    """Fixed bands plus learnt filters bounded to -1..1, which start at 0.

    Args:
        size: coefficients a side.
        bands: as shares, see `band_masks`.
    """

    fixed: Tensor

    def __init__(self, size: int, bands: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        self.register_buffer("fixed", band_masks(size, bands), persistent=False)
        self.learnt = nn.Parameter(torch.zeros(len(bands), size, size))

    def forward(self) -> Tensor:
        """Return the filters (bands, size, size)."""
        # (1 - exp(-x)) / (1 + exp(-x)), equation 2 of the paper
        return self.fixed + torch.tanh(self.learnt / 2)


class Decomposition(nn.Module):
    """FAD: pictures (N, 3, S, S) to bands (N, 12, S, S), three colours of each band and of the whole."""

    matrix: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("matrix", dct_matrix(size), persistent=False)
        self.filters = BandFilters(size, FAD_BANDS)

    def forward(self, x: Tensor) -> Tensor:
        """Split; pictures of another size are scaled to S first."""
        if x.shape[-2:] != (self.size, self.size):
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        coefficients = self.matrix @ x @ self.matrix.T
        bands = self.filters()[:, None] * coefficients[:, None]
        pictures = self.matrix.T @ bands @ self.matrix
        return torch.cat([pictures.flatten(1, 2), x], dim=1)


class LocalStatistics(nn.Module):
    """LFS: pictures (N, 3, H, W) to log band magnitudes (N, 6, H / 2, W / 2)."""

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        basis = dct_matrix(LFS_WINDOW)
        kernels = torch.einsum("iy,jx->ijyx", basis, basis).reshape(-1, 1, LFS_WINDOW, LFS_WINDOW)
        self.register_buffer("kernels", kernels, persistent=False)
        edges = [k / LFS_BANDS for k in range(LFS_BANDS + 1)]
        self.filters = BandFilters(LFS_WINDOW, tuple(pairwise(edges)))

    def forward(self, x: Tensor) -> Tensor:
        """Measure the grey picture in mirrored windows."""
        grey = (x * x.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
        before = (LFS_WINDOW - LFS_STEP) // 2
        padded = functional.pad(grey, (before, before, before, before), mode="reflect")
        magnitudes = functional.conv2d(padded, self.kernels, stride=LFS_STEP).abs()
        weights = self.filters().flatten(1)
        summed = torch.einsum("bk,nkhw->nbhw", weights, magnitudes)
        return torch.log10(summed.abs() + SMALL)


class Mix(nn.Module):
    """MixBlock: each stream adds what the other sees at the places that resemble its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, channels // 8)
        self.one_query = nn.Conv2d(channels, inner, 1)
        self.other_key = nn.Conv2d(channels, inner, 1)
        self.one_gain = nn.Parameter(torch.zeros(1))
        self.other_gain = nn.Parameter(torch.zeros(1))

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Map two (N, C, h, w) to two of the same shape."""
        query, key = self.one_query(one).flatten(2), self.other_key(other).flatten(2)
        likeness = query.transpose(1, 2) @ key / math.sqrt(query.shape[1])
        to_one = other.flatten(2) @ likeness.softmax(2).transpose(1, 2)
        to_other = one.flatten(2) @ likeness.softmax(1)
        return one + self.one_gain * to_one.view_as(one), other + self.other_gain * to_other.view_as(other)


class F3Net(Pooled):
    """See the module.

    Args:
        num_classes: outputs of the linear layer.
        size: side of the input that FAD's learnt filters are made for.
    """

    def __init__(self, num_classes: int, *, size: int = INPUT) -> None:
        super().__init__(num_features=2 * TOP[-1], num_classes=num_classes)
        self.decomposition = Decomposition(size)
        self.statistics = LocalStatistics()
        self.fad_entry = entry_flow(12)
        self.lfs_entry = nn.Sequential(
            conv_norm(LFS_BANDS, 64),
            Block((64, ENTRY[0], ENTRY[0]), shrink=True, first_relu=False),
            Block((ENTRY[0], ENTRY[1], ENTRY[1]), shrink=True),
            Block((ENTRY[1], ENTRY[2], ENTRY[2]), shrink=True),
        )
        self.fad_middle, self.lfs_middle = middle_flow(8), middle_flow(8)
        self.middle_mix = Mix(ENTRY[-1])
        self.fad_exit, self.lfs_exit = exit_flow(), exit_flow()
        self.exit_mix = Mix(TOP[-1])
        self.initialise()

    def forward_features(self, x: Tensor) -> Tensor:
        """Map normalised pictures (N, 3, H, W) to features (N, 4096, h, w)."""
        bands = self.decomposition(x)
        size = self.decomposition.size
        if x.shape[-2:] != (size, size):
            x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        fad = self.fad_middle(self.fad_entry(bands))
        lfs = self.lfs_middle(self.lfs_entry(self.statistics(x)))
        fad, lfs = self.middle_mix(fad, lfs)
        fad, lfs = self.exit_mix(self.fad_exit(fad), self.lfs_exit(lfs))
        return torch.cat([fad, lfs], dim=1)


@register(Preprocessing(INPUT, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
def f3net(num_classes: int = 1) -> F3Net:
    """F3-Net on two Xceptions, 299 pixels."""
    return F3Net(num_classes)
