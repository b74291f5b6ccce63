"""Rounds a transformer's weights to so few levels that deflate stores them in two bits, by their inputs.

Rounded alone, weights of two bits are useless. Two things make them usable:

- The error of each rounded column is taken up by the columns not yet rounded, as far as the layer's inputs
  allow (GPTQ, Frantar et al. 2023, 2210.17323). On faces alone those inputs vary in few directions, so
  most of the error goes where no input goes.
- Each layer's weights are first moved to give, from the inputs as the rounded layers before it make
  them, what the layer gave from the exact ones: errors are mended, not handed on.

The step is set by the noise that is allowed, not by the largest weight: with n inputs of covariance H and
shaped rounding, a step s makes a noise of s^2 / 12 * n * (geometric mean of H's eigenvalues) in each output,
or a little more: each input adds its variance given those rounded after it, and the product of these is H's
determinant.
Levels are many and most of them rare; an entropy coder (deflate's Huffman code) makes short codes of that.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unmask.models.vision_transformer import Block, VisionTransformer

LAYERS = ("qkv", "out", "fc1", "fc2")
"""The layers of a block in the order in which they are computed."""
NOISE_BY_BLOCK = (0.3, 0.4, 0.6, 0.8, 1.0, 1.3, 1.6)
"""How the allowed noise grows from block to block: early errors pass through all that follows."""
DAMPING = 2e-3
"""Share of the mean variance that is added to each input's, for the shaping."""
RIDGE = 5e-3
"""The same for moving the weights."""
SAMPLED = 50_000
"""Tokens that a layer is fitted on."""
COLUMNS = 128
BATCH = 32
LARGEST = 127


@dataclass(frozen=True)
class Rounded:
    """A layer's weights as integers (out, in) int8 and their step; the bias goes with them."""

    codes: Tensor
    step: float
    bias: Tensor


def covariance(inputs: Tensor, damping: float) -> Tensor:
    """Return the (i, i) covariance of (n, i) inputs whose mean is 0, its diagonal raised a little."""
    result = inputs.T @ inputs / len(inputs)
    return result + damping * result.diagonal().mean() * torch.eye(len(result))


def shaped_rounding(weights: Tensor, inputs: Tensor, step: float) -> Tensor:
    """Return integers (o, i) such that step * integers * x is near weights * x for usual inputs x.

    Args:
        weights: (o, i).
        inputs: their covariance (i, i), positive definite.
        step: the distance of two levels.
    """
    order = torch.argsort(inputs.diagonal(), descending=True)
    left, ordered = weights[:, order].clone(), inputs[order][:, order]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ordered))
    spread = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.zeros_like(left)
    for start in range(0, left.shape[1], COLUMNS):
        end = min(start + COLUMNS, left.shape[1])
        errors = torch.zeros(len(left), end - start)
        for column in range(start, end):
            code = torch.round(left[:, column] / step).clamp(-LARGEST, LARGEST)
            codes[:, column] = code
            error = (left[:, column] - code * step) / spread[column, column]
            errors[:, column - start] = error
            left[:, column + 1 : end] -= error[:, None] * spread[column, column + 1 : end]
        left[:, end:] -= errors @ spread[start:end, end:]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    return codes[:, back]


def step_for(noise: float, inputs: Tensor, largest: float) -> float:
    """Return the step whose shaped rounding makes a noise of about that variance in each output.

    Args:
        noise: variance.
        inputs: covariance (i, i) of the inputs.
        largest: of the weights' sizes; the step is at most two thirds of it, else nothing is left.
    """
    geometric = float(torch.exp(2 * torch.linalg.cholesky(inputs).diagonal().log().mean()))
    return min((12 * noise / (geometric * len(inputs))) ** 0.5, largest / 1.5)


def stored_bytes(codes: Tensor) -> int:
    """Return how many bytes deflate needs for integers."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    return len(deflate.compress(codes.to(torch.int8).numpy().tobytes()) + deflate.flush())


def round_layer(layer: nn.Linear, inputs: Tensor, wanted: Tensor, *, noise: float) -> Rounded:
    """Round one layer in place.

    Args:
        layer: its weights become step * integers, its bias takes up the mean of the error.
        inputs: (n, i) as they reach it now.
        wanted: (n, o) what it should give.
        noise: variance of the error of its outputs, as a share of their variance.
    """
    mean = inputs.mean(0)
    centred = inputs - mean
    missing = wanted - layer(inputs)
    offset = missing.mean(0)
    moved = torch.linalg.solve(covariance(centred, RIDGE), centred.T @ (missing - offset) / len(inputs)).T
    weights = layer.weight + moved
    given = centred @ weights.T
    shape = covariance(centred, DAMPING)
    step = step_for(noise * float(given.pow(2).mean()), shape, float(weights.abs().max()))
    codes = shaped_rounding(weights, shape, step)
    layer.bias.copy_(layer.bias + offset - moved @ mean + (weights - codes * step) @ mean)
    layer.weight.copy_(codes * step)
    return Rounded(codes.to(torch.int8), step, layer.bias.clone())


def _in_parts(function: Callable[[Tensor], Tensor], stream: Tensor) -> Tensor:
    return torch.cat([function(stream[k : k + BATCH]) for k in range(0, len(stream), BATCH)])


@torch.inference_mode()
def round_blocks(
    network: VisionTransformer,
    pictures: Tensor,
    *,
    noise: float,
    by_block: Sequence[float] = NOISE_BY_BLOCK,
    seed: int = 0,
    report: Callable[[str], None],
) -> list[dict[str, Rounded]]:
    """Round all blocks in place, one after the other, and return their layers by name.

    Args:
        network: the exact one.
        pictures: (N, 3, S, S) uint8 RGB, such as it will see.
        noise: of each layer's outputs, as a share of their variance.
        by_block: factors of it.
        seed: of the choice of tokens.
        report: takes a line for each block.
    """
    exact = _in_parts(network.embed, pictures)
    rounded = exact.clone()
    generator = torch.Generator().manual_seed(seed)
    found: list[dict[str, Rounded]] = []
    for block, factor in zip(network.blocks, by_block, strict=True):
        assert isinstance(block, Block)
        exact, rounded, layers = _round_block(block, exact, rounded, noise * factor, generator)
        found.append(layers)
        size = sum(stored_bytes(layer.codes) for layer in layers.values())
        means, kept = exact[:, 1:].mean(1), rounded[:, 1:].mean(1)
        lost = float((means - kept).pow(2).sum() / (means - means.mean(0)).pow(2).sum())
        report(f"block {len(found)}: {size / 1e6:.2f} MB, {1 - lost:.4f} of the patches' mean kept")
    return found


def _round_block(
    block: Block, exact: Tensor, rounded: Tensor, noise: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, dict[str, Rounded]]:
    """Round one block; return the exact and the rounded stream after it, and its layers."""
    model = copy.deepcopy(block)
    layers: dict[str, Rounded] = {}

    def fit(name: str, inputs: Tensor, wanted: Tensor) -> None:
        inputs, wanted = inputs.flatten(0, 1), wanted.flatten(0, 1)
        taken = torch.randperm(len(inputs), generator=generator)[:SAMPLED]
        layer: nn.Linear = getattr(block, name)
        layers[name] = round_layer(layer, inputs[taken], wanted[taken], noise=noise)

    fit("qkv", _in_parts(block.norm1, rounded), _in_parts(lambda x: model.qkv(model.norm1(x)), exact))
    exact = exact + _in_parts(lambda x: model.out(model.attended(x)), exact)
    fit("out", _in_parts(block.attended, rounded), exact - rounded)
    rounded = rounded + _in_parts(lambda x: block.out(block.attended(x)), rounded)
    fit("fc1", _in_parts(block.norm2, rounded), _in_parts(lambda x: model.fc1(model.norm2(x)), exact))
    exact = exact + _in_parts(lambda x: model.fc2(model.hidden(x)), exact)
    fit("fc2", _in_parts(block.hidden, rounded), exact - rounded)
    rounded = rounded + _in_parts(lambda x: block.fc2(block.hidden(x)), rounded)
    return exact, rounded, layers
