"""What a detector minimises: cross-entropy on smoothed labels, focal loss, mix-up, distillation.

Labels are 0 (real) and 1 (fake); logits are the log-odds of fake. All return one number, the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def smooth(labels: Tensor, amount: float) -> Tensor:
    """Move labels (N,) towards a half: 0 and 1 become amount / 2 and 1 - amount / 2 (1512.00567)."""
    return labels * (1 - amount) + amount / 2


def focal_loss(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """Return the mean focal loss (Lin et al. 2017, 1708.02002) of (N,) logits against targets in 0..1.

    Cross-entropy times |target - p| ** gamma, which is the paper's (1 - p_t) ** gamma for targets 0 and 1
    (for smoothed ones: Li et al. 2020, 2006.04388); gamma 0 is plain cross-entropy.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if gamma:
        losses = losses * (targets - torch.sigmoid(logits)).abs().pow(gamma)
    return losses.mean()


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of softened answers (Hinton et al. 2015, 1503.02531).

    Multiplied by the square of the temperature, so that its gradients keep their size.
    """
    softened = torch.sigmoid(teacher_logits / temperature)
    loss = functional.binary_cross_entropy_with_logits(logits / temperature, softened)
    return loss * temperature**2


def mix_up(pixels: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix each picture (N, C, H, W) and target (N,) with another of the batch (1710.09412).

    One share for the batch, drawn from Beta(alpha, alpha), as in the paper's own experiments.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().to(pixels)
    order = torch.randperm(len(pixels), device=pixels.device)
    return (
        share * pixels + (1 - share) * pixels[order],
        share * targets + (1 - share) * targets[order],
    )
