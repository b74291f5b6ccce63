"""Optimisers and learning rates: AdamW, SGD, sharpness-aware minimisation; warm-up, plateau and fall."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unmask.models.network import Network
from unmask.training.config import Optimising


def learning_rate(progress: float, config: Optimising) -> float:
    """Return the rate at a share of the run (0..1): linear warm-up, plateau, then down to zero."""
    if progress < config.warm_up:
        return config.learning_rate * progress / config.warm_up
    begin = config.warm_up + config.flat
    if progress < begin:
        return config.learning_rate
    rest = min(1.0, (progress - begin) / max(1 - begin, 1e-9))
    share = 0.5 * (1 + math.cos(math.pi * rest)) if config.schedule == "cosine" else 1 - rest
    return config.learning_rate * share


def make_optimiser(model: nn.Module, config: Optimising) -> torch.optim.Optimizer:
    """Make the optimiser of a run; weights of convolutions and linear layers decay, the others do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)


class SharpnessAware:
    """The two steps of sharpness-aware minimisation (Foret et al. 2021, 2010.01412, equations 2 and 3).

    Use: gradient at the weights; `climb` to the worst point within `radius`; gradient there; `descend` back
    to the weights; then the optimiser's step with the second gradient.
    """

    def __init__(self, model: nn.Module, radius: float) -> None:
        self._model, self._radius = model, radius
        self._moved: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def climb(self) -> None:
        """Move the weights by `radius` along the gradient."""
        trained = [(p, p.grad) for p in self._model.parameters() if p.grad is not None]
        norm = torch.stack([g.norm() for _, g in trained]).norm()
        scale = self._radius / (norm + 1e-12)
        self._moved = [(p, g * scale) for p, g in trained]
        for parameter, step in self._moved:
            parameter.add_(step)

    @torch.no_grad()
    def descend(self) -> None:
        """Move the weights back to where they were."""
        for parameter, step in self._moved:
            parameter.sub_(step)
        self._moved = []


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Keep batch normalisation from counting a batch twice: its averages do not move inside the block."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


class Average:
    """Exponential moving average of the weights; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def set_frozen(model: Network, *, norm: bool, parts: int, backbone: bool) -> None:
    """Put a model in training mode, all but what is held still.

    Args:
        model: the network.
        norm: batch normalisation keeps its averages.
        parts: so many of its first parts (`Network.parts`) keep their weights and averages.
        backbone: everything but the linear layer keeps its weights and averages.
    """
    model.freeze_backbone(None if backbone else parts)
    model.train()
    if norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
