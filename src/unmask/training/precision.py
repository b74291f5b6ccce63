"""Chooses the number format of a run by measuring it: 16 bits are slow where hardware lacks them."""

from __future__ import annotations

import time
from contextlib import nullcontext

import torch
from torch import nn

from unmask.training.config import TrainingConfig

FORMATS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
LIGHTNING = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""The same formats as Lightning names them; weights stay in 32 bits, as in Micikevicius 2018 (1710.03740)."""
TRIALS = 2
MUCH_SLOWER = 3.0
"""A format whose first step takes so many times the fastest one's is not tried further."""


def device_of(config: TrainingConfig) -> torch.device:
    """Return the device that a run computes on."""
    return torch.device("cuda" if config.accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def check_precision(config: TrainingConfig) -> None:
    """Refuse a number format that the device lacks.

    Raises:
        ValueError: fp16 is asked for without a GPU.
    """
    if config.precision == "fp16" and device_of(config).type == "cpu":
        raise ValueError("precision fp16 needs a GPU, and none is used here: take bf16, fp32 or auto")


def fastest_precision(
    model: nn.Module, *, size: int, batch: int, device: torch.device, fp16: bool = True
) -> tuple[str, dict[str, float]]:
    """Return the fastest of fp32 and bf16 (and `fp16` on a GPU), and the seconds of a step in each.

    Runs forward and backward passes of `model` on noise, (batch, 3, size, size); its weights and gradients
    are left as they were, its batch-normalisation averages too.
    """
    names = ["fp32", "bf16"] + (["fp16"] if fp16 and device.type == "cuda" else [])
    state = {k: v.clone() for k, v in model.state_dict().items()}
    pixels = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    seconds: dict[str, float] = {}
    for name in names:
        best = min(seconds.values(), default=float("inf"))
        taken = [_step(model, pixels, FORMATS[name], device)]
        if taken[0] < MUCH_SLOWER * best:
            taken += [_step(model, pixels, FORMATS[name], device) for _ in range(TRIALS)]
        seconds[name] = min(taken)
    model.load_state_dict(state)
    model.zero_grad(set_to_none=True)
    return min(seconds, key=lambda name: seconds[name]), seconds


def _step(model: nn.Module, pixels: torch.Tensor, kind: torch.dtype | None, device: torch.device) -> float:
    begin = time.perf_counter()
    with nullcontext() if kind is None else torch.autocast(device.type, dtype=kind):
        loss = model(pixels).float().square().mean()
    loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin
