"""Tunes the norms and biases of an encoder whose weights stay as they are, on pairs of real and fake faces.

A foundation network was trained to name things, and its features hold what betrays a fake only weakly.
Scaling what its layer norms let through brings that forward, while the few numbers that may change (a
thousandth of all) keep it from learning persons and sources by heart: GenD (2508.06248). Here the weights are
those that `unmask.training.rounding` made; norms and biases are stored in full anyway, so that the file does
not grow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from unmask.data.pairs import PairDataset, said_plainly
from unmask.models.vision_transformer import VisionTransformer
from unmask.training.answer import Answer
from unmask.training.rounding import Rounded

BATCH = 16
"""Pairs a step."""
RATE, ANSWER_RATE, WARM_UP = 6e-4, 1e-5, 50
"""Largest steps of norms and biases, and of the answer's coefficients (of which thousands act together)."""
OTHER_REALS = 0.4
"""Weight, where a kind is told, of a real from another kind's pair, beside 1 for one from its own."""
KEPT_EVERY = 50
COEFFICIENTS, CONSTANTS, WEIGHTS = "answer.coefficients", "answer.constants", "answer.weights"


def pooled(stream: Tensor, areas: Tensor) -> Tensor:
    """Return the features (N, (2 + A) * C) of a stream (N, 1 + P, C): first token, deviation, mean of areas.

    Args:
        stream: of a transformer, the first token and its patches.
        areas: (A, P), which averages the patches of each area.
    """
    rest = stream[:, 1:]
    deviation = rest.var(1, correction=0).clamp_min(1e-12).sqrt()
    return torch.cat([stream[:, 0], deviation, (areas @ rest).flatten(1)], 1)


class Answering(nn.Module):
    """An encoder and the answer made of its features, which learn together.

    Args:
        network: the encoder; its norms and biases are set to learn, all else is held.
        kinds: how many kinds of manipulation are told, K.
        areas: see `pooled`.
    """

    def __init__(self, network: VisionTransformer, kinds: int, areas: np.ndarray) -> None:
        super().__init__()
        self.network = network
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(is_tuned(name))
        self.areas = nn.Buffer(torch.from_numpy(areas))
        size = (2 + len(areas)) * len(network.token)
        self.scale = nn.Buffer(torch.ones(size))
        self.coefficients = nn.Parameter(torch.zeros(size, 1 + kinds))
        self.constants = nn.Parameter(torch.zeros(1 + kinds))
        self.weights = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))

    @torch.no_grad()
    def begin_with(self, answer: Answer, scale: np.ndarray) -> None:
        """Set what the features mean.

        Args:
            answer: of K kinds.
            scale: (F,) deviations of the features; the coefficients learn for features divided by them.
        """
        self.scale.copy_(torch.from_numpy(scale))
        self.coefficients.copy_(torch.from_numpy(answer.coefficients) * self.scale[:, None])
        self.constants.copy_(torch.from_numpy(answer.constants))
        self.weights.copy_(torch.tensor([answer.one, answer.kinds, answer.constant]))

    def answer(self) -> Answer:
        """Return what was learned of the features, as they are."""
        coefficients, constants, weights = (
            values.detach().numpy().copy()
            for values in (self.coefficients / self.scale[:, None], self.constants, self.weights)
        )
        return Answer(coefficients, constants, *weights.tolist())

    def features(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, S, S) RGB 0..255 to the features (N, F)."""
        stream = self.network(pixels).float()
        with torch.autocast(stream.device.type, enabled=False):
            return pooled(stream, self.areas)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, S, S) RGB 0..255 to the values (N, 1 + K) of `Answer`."""
        x = self.features(pixels) / self.scale
        with torch.autocast(x.device.type, enabled=False):
            return x @ self.coefficients + self.constants

    def logits(self, values: Tensor) -> Tensor:
        """Return the log-odds (N,) of values (N, 1 + K)."""
        one, kinds, constant = self.weights
        return one * values[:, 0] + kinds * values[:, 1:].logsumexp(1) + constant


def is_tuned(name: str) -> bool:
    """Tell whether a parameter of the encoder is one of those that are tuned."""
    return name.endswith("bias") or "norm" in name


def loss(model: Answering, pixels: Tensor, labels: Tensor, kinds: Tensor, reals_of: Tensor) -> Tensor:
    """Return the loss of a batch: cross-entropies of the one answer, the log-odds, and each kind.

    Args:
        model: what learns.
        pixels: (N, 3, S, S).
        labels: (N,) float, 1 = fake.
        kinds: (N,) number of a fake's kind, -1 for a real and a kind that is not told.
        reals_of: (N,) number of the kind in whose pair a real stands, -1 for none.
    """
    values = model(pixels)
    total = functional.binary_cross_entropy_with_logits(values[:, 0], labels)
    total = total + functional.binary_cross_entropy_with_logits(model.logits(values), labels)
    numbers = torch.arange(values.shape[1] - 1)
    fakes = (kinds[:, None] == numbers).float()
    reals = torch.where(reals_of[:, None] == numbers, 1.0, OTHER_REALS) * (1 - labels)[:, None]
    each = functional.binary_cross_entropy_with_logits(values[:, 1:], fakes, reduction="none")
    weights = fakes + reals
    return total + (weights * each).sum() / weights.sum()


class _Numbered(Dataset[tuple[Tensor, Tensor, int]]):
    """Pairs with the number of their kind."""

    def __init__(self, pairs: PairDataset, kinds: Sequence[str], start: int, count: int) -> None:
        self._pairs, self._kinds, self._start, self._count = pairs, list(kinds), start, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        number = self._start + index
        kind = self._pairs.kind(number)
        return *self._pairs[number], self._kinds.index(kind) if kind in self._kinds else -1


def batches(pairs: PairDataset, kinds: Sequence[str], start: int, steps: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield pixels, labels, kinds and `reals_of` (see `loss`) of each step, from a step on."""
    numbered = _Numbered(pairs, kinds, start * BATCH, (steps - start) * BATCH)
    for pixels, labels, kind in said_plainly(DataLoader(numbered, batch_size=BATCH, num_workers=1)):
        both = kind[:, None].expand(-1, 2).flatten()
        flat = labels.flatten()
        own = torch.where(flat == 0, both, -1)
        yield pixels.flatten(0, 1), flat, torch.where(flat == 1, both, -1), own


def tune(
    model: Answering,
    pairs: PairDataset,
    kinds: Sequence[str],
    *,
    steps: int,
    kept: Path,
    precision: torch.dtype | None,
    report: Callable[[str], None],
) -> None:
    """Tune a model in place; a run that was stopped goes on.

    Args:
        model: see there.
        pairs: the training pairs.
        kinds: kinds of manipulation in the order of the answer's values.
        steps: how many; the rate rises, then falls as a cosine to zero.
        kept: file of the state, written every `KEPT_EVERY` steps.
        precision: that matrices are multiplied in, None for single precision.
        report: takes a line now and then.
    """
    encoder = [p for p in model.network.parameters() if p.requires_grad]
    answer = [model.coefficients, model.constants, model.weights]
    optimiser = torch.optim.AdamW(
        [{"params": encoder, "lr": RATE}, {"params": answer, "lr": ANSWER_RATE}], weight_decay=0.0
    )

    def rate(step: int) -> float:
        return min((step + 1) / WARM_UP, 1) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    begin = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        begin = state["step"]
        learning(model, state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
    recent: list[float] = []
    for step, batch in enumerate(batches(pairs, kinds, begin, steps), start=begin + 1):
        with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
            total = loss(model, *batch)
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(encoder + answer, 1.0)
        optimiser.step()
        schedule.step()
        recent.append(float(total.detach()))
        if step % KEPT_EVERY == 0 or step == steps:
            report(f"step {step} of {steps}: loss {np.mean(recent):.4f}")
            recent.clear()
            state = {"step": step, "model": learned(model), "optimiser": optimiser.state_dict()}
            torch.save(state | {"schedule": schedule.state_dict()}, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)


def learned(model: Answering) -> dict[str, Tensor]:
    """Return by name what of a model learns, and the scale that it learns at."""
    values = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    return values | {"scale": model.scale.clone()}


def learning(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Set what of a model learns to the values that `learned` gave."""
    own = model.state_dict()
    for name, value in values.items():
        own[name].copy_(value)


def save_tuned(model: Answering, path: Path) -> None:
    """Keep a model's answer, and the norms and biases of its encoder, in half precision."""
    tuned: dict[str, Any] = {n: p.detach().half().numpy() for n, p in encoder_parameters(model).items()}
    answer = model.answer()
    tuned |= {COEFFICIENTS: answer.coefficients.astype(np.float16), CONSTANTS: answer.constants}
    tuned[WEIGHTS] = np.array([answer.one, answer.kinds, answer.constant], np.float32)
    np.savez_compressed(path, **tuned)


def load_tuned(model: Answering, path: Path) -> None:
    """Set a model's answer, and the norms and biases of its encoder, to those that were kept.

    Raises:
        ValueError: the file holds other numbers than this model's.
    """
    own = encoder_parameters(model)
    shapes = {n: tuple(p.shape) for n, p in own.items()}
    shapes |= {COEFFICIENTS: tuple(model.coefficients.shape), CONSTANTS: tuple(model.constants.shape)}
    with np.load(path, allow_pickle=False) as kept:
        if shapes | {WEIGHTS: (3,)} != {n: kept[n].shape for n in kept.files}:
            raise ValueError(f"{path}: does not hold the norms, biases and answer of this encoder")
        values = {n: kept[n].astype(np.float32) for n in kept.files}
    learning(model.network, {n: torch.from_numpy(values[n]) for n in own})
    answer = Answer(values[COEFFICIENTS], values[CONSTANTS], *values[WEIGHTS].tolist())
    model.begin_with(answer, np.ones(len(answer.coefficients), np.float32))


def encoder_parameters(model: Answering) -> dict[str, nn.Parameter]:
    """Return by name those parameters of a model's encoder that are tuned."""
    return {name: p for name, p in model.network.named_parameters() if is_tuned(name)}


def set_layers(network: VisionTransformer, layers: Sequence[Mapping[str, Rounded]]) -> None:
    """Give an encoder's layers their rounded weights, and their biases."""
    for block, rounded in zip(network.blocks, layers, strict=True):
        for name, values in rounded.items():
            layer = getattr(block, name)
            layer.weight.copy_(values.codes * values.step)
            layer.bias.copy_(values.bias)


def with_biases(
    network: VisionTransformer, layers: Sequence[Mapping[str, Rounded]]
) -> list[dict[str, Rounded]]:
    """Return rounded layers with the biases that an encoder has now."""
    return [
        {
            name: replace(values, bias=getattr(block, name).bias.detach().clone())
            for name, values in own.items()
        }
        for block, own in zip(network.blocks, layers, strict=True)
    ]
