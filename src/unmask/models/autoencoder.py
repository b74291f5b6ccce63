"""A small autoencoder of faces: the renderer of self-swaps (`unmask.data.selfswap`), no detector.

Every face swap of the autoencoder family (the first "deepfakes", DeepFaceLab) passes a small aligned face
through a bottleneck of about a thousand numbers and draws it anew with up-sampling convolutions. Texture
that the bottleneck cannot hold is lost, and the up-sampling leaves its own. This network does that and no
more: it is trained on real faces to give them back.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

WIDTHS = (32, 64, 96, 128)
CODE = 16
"""Channels of the bottleneck; a 128-pixel face is held in 8 x 8 x 16 numbers."""
STRIDE = 2 ** len(WIDTHS)


class FaceAutoencoder(nn.Module):
    """(N, 3, H, W) faces in 0..1 to the same, drawn anew; H and W are multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        down: list[nn.Module] = []
        for inputs, outputs in pairwise((3, *WIDTHS)):
            down += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.1)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(WIDTHS[-1], CODE, 1))
        up: list[nn.Module] = [nn.Conv2d(CODE, WIDTHS[-1], 3, 1, 1), nn.LeakyReLU(0.1)]
        for inputs, outputs in pairwise((*reversed(WIDTHS), 3)):
            up += [nn.Conv2d(inputs, 4 * outputs, 3, 1, 1), nn.PixelShuffle(2), nn.LeakyReLU(0.1)]
        self.decoder = nn.Sequential(*up[:-1])

    def forward(self, faces: Tensor) -> Tensor:
        """Return the faces drawn anew, not clipped."""
        return self.draw(self.encode(faces))

    def encode(self, faces: Tensor) -> Tensor:
        """Return the code (N, 16, H / 16, W / 16)."""
        return self.encoder(faces - 0.5)

    def draw(self, code: Tensor) -> Tensor:
        """Draw faces from their code."""
        return self.decoder(code) + 0.5
