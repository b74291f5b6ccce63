"""A network in training as Lightning sees it: one step from pictures to new weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import torch
from torch import Tensor

from unmask.models.network import Network
from unmask.models.registry import Preprocessing
from unmask.training.config import TrainingConfig
from unmask.training.objective import distillation_loss, focal_loss, mix_up, smooth
from unmask.training.optimiser import (
    Average,
    SharpnessAware,
    frozen_statistics,
    learning_rate,
    make_optimiser,
)


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Map (N, 3, H, W) RGB in 0..255 to the float32 input of a network, channels last in memory."""
    x = pixels.to(torch.float32, memory_format=torch.channels_last)
    scale = torch.tensor(std, device=x.device).view(1, 3, 1, 1) * 255
    return (x - torch.tensor(mean, device=x.device).view(1, 3, 1, 1) * 255) / scale


class Teacher:
    """A trained network whose answers are learned; it sees the pupil's pictures at its own normalisation."""

    def __init__(self, network: Network, preprocessing: tuple[Sequence[float], Sequence[float]]) -> None:
        self._network, self._preprocessing = network.eval(), preprocessing

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the logits (N,) of (N, 3, H, W) RGB in 0..255."""
        self._network.to(pixels.device)
        return self._network(normalise(pixels, *self._preprocessing)).flatten()


class DetectorModule(lightning.LightningModule):
    """Takes steps on batches of (pairs, 2, 3, S, S) uint8 pictures with labels (pairs, 2).

    Args:
        config: the run.
        network: the network, with one output.
        preprocessing: the network's.
        progress: returns the share of the run that is done, 0..1.
        teacher: gives logits to be learned beside the labels.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: Network,
        preprocessing: Preprocessing,
        *,
        progress: Callable[[], float],
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.average = Average(network, config.ema)
        self.steps_taken = 0
        self._config, self._preprocessing = config, preprocessing
        self._progress, self._teacher = progress, teacher
        self._sharpness = SharpnessAware(network, config.sam_radius) if config.optimiser == "sam" else None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return make_optimiser(self.network, self._config)

    def on_fit_start(self) -> None:
        """Bring the average to the device."""
        self.average.state = {k: v.to(self.device) for k, v in self.average.state.items()}

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, H, W) uint8 RGB to logits (N,)."""
        x = normalise(pixels, self._preprocessing.mean, self._preprocessing.std)
        return self.network(x).flatten()

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Take one step and return its loss.

        Raises:
            FloatingPointError: the loss is no number.
        """
        # Each step has a seed of its own: a run that was stopped goes on with the same draws.
        devices = self._config.devices * self._config.nodes
        torch.manual_seed((self._config.seed << 32) + self.steps_taken * devices + self.global_rank)
        pixels, labels = batch[0].flatten(0, 1), batch[1].flatten().float()
        loss_of = self._objective(pixels, smooth(labels, self._config.label_smoothing))
        optimiser: Any = self.optimizers()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self._progress(), self._config)
        loss = loss_of()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss at step {self.steps_taken} is {loss.item()}: lower --learning-rate"
            )
        optimiser.zero_grad(set_to_none=True)
        self.manual_backward(loss)
        if self._sharpness is not None:
            self._sharpness.climb()
            optimiser.zero_grad(set_to_none=True)
            with frozen_statistics(self.network):
                self.manual_backward(loss_of())
            self._sharpness.descend()
        # In fp16 the gradients are still scaled here: Lightning undoes that within the step.
        largest = self._config.clip * self._gradient_scale()
        self.clip_gradients(optimiser, gradient_clip_val=largest, gradient_clip_algorithm="norm")
        optimiser.step()
        self.steps_taken += 1
        self.average.update(self.network, self.steps_taken)
        return loss.detach()

    def _gradient_scale(self) -> float:
        """Return the factor that keeps small gradients within fp16; 1 in other number formats."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return 1.0 if scaler is None else scaler.get_scale()

    def _objective(self, pixels: Tensor, targets: Tensor) -> Callable[[], Tensor]:
        """Return a function of no argument: the loss of this batch at the network's present weights."""
        config = self._config
        if config.mix_up:
            # Before the normalisation, so that a teacher with another one answers the mixed pictures too.
            pixels, targets = mix_up(pixels.float(), targets, config.mix_up)
        x = normalise(pixels, self._preprocessing.mean, self._preprocessing.std)
        taught = None if self._teacher is None else self._teacher(pixels)

        def loss() -> Tensor:
            logits = self.network(x).flatten().float()
            own = focal_loss(logits, targets, config.focal)
            if taught is None:
                return own
            learned = distillation_loss(logits, taught, config.temperature)
            return (1 - config.distillation) * own + config.distillation * learned

        return loss
