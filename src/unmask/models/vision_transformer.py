"""The first blocks of CLIP's vision transformer, whose middle layers see what trained detectors overlook.

Vision transformer: Dosovitskiy et al. 2021 (2010.11929); CLIP: Radford et al. 2021 (2103.00020), which puts a
layer norm before the first block and takes x * sigmoid(1.702 x) as activation. Features of its middle blocks
tell synthesised pictures better than its last one's (Koutlis & Papadopoulos 2024, 2402.19091).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, HEADS, PATCH, SIDE = 768, 12, 16, 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SHARPNESS = 1.702
EPSILON = 1e-5
PREFIX = "vision_model"


class Block(nn.Module):
    """Attention and a two-layer network, each after a layer norm and added to the stream (N, T, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.fc1 = nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = nn.Linear(4 * WIDTH, WIDTH)

    def attended(self, x: Tensor) -> Tensor:
        """Return what the heads give for the stream, the input of `out`."""
        count, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(count, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        told = functional.scaled_dot_product_attention(q, k, v)
        return told.transpose(1, 2).reshape(count, tokens, WIDTH)

    def hidden(self, x: Tensor) -> Tensor:
        """Return the activations between `fc1` and `fc2`."""
        z = self.fc1(self.norm2(x))
        return z * torch.sigmoid(SHARPNESS * z)

    def forward(self, x: Tensor) -> Tensor:
        """Map the stream to the next block's."""
        x = x + self.out(self.attended(x))
        return x + self.fc2(self.hidden(x))


class VisionTransformer(nn.Module):
    """The encoder up to a block.

    Args:
        blocks: how many.
        side: of the pictures in pixels.
    """

    def __init__(self, blocks: int, *, side: int = SIDE) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH, bias=False)
        self.token = nn.Parameter(torch.zeros(WIDTH))
        self.positions = nn.Parameter(torch.zeros((side // PATCH) ** 2 + 1, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))

    def embed(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, side, side) uint8 or float RGB 0..255 to the stream before the first block."""
        scale = pixels.new_tensor(STD, dtype=torch.float32).view(1, 3, 1, 1) * 255
        x = (pixels - pixels.new_tensor(MEAN, dtype=torch.float32).view(1, 3, 1, 1) * 255) / scale
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), 1, -1), patches], 1)
        return self.norm(tokens + self.positions)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, 3, side, side) RGB 0..255 to the stream after the last block, (N, T, WIDTH)."""
        x = self.embed(pixels)
        for block in self.blocks:
            x = block(x)
        return x


def load_encoder(path: Path, blocks: int) -> VisionTransformer:
    """Build the first blocks from an ONNX export of CLIP ViT-B/16's image encoder, of 8-bit weights.

    Raises:
        ValueError: the file is no such export (the message names what is missing).
    """
    weights = _weights(path)
    network = VisionTransformer(blocks)
    named = {
        "patch.weight": f"{PREFIX}.embeddings.patch_embedding.weight",
        "token": f"{PREFIX}.embeddings.class_embedding",
        "positions": f"{PREFIX}.embeddings.position_embedding.weight",
        "norm.weight": f"{PREFIX}.pre_layrnorm.weight",
        "norm.bias": f"{PREFIX}.pre_layrnorm.bias",
    }
    state: dict[str, Tensor] = {}
    try:
        for own, theirs in named.items():
            state[own] = torch.from_numpy(weights[theirs])
        for number in range(blocks):
            state |= {f"blocks.{number}.{k}": v for k, v in _block(weights, number).items()}
    except KeyError as error:
        raise ValueError(f"{path}: no export of CLIP ViT-B/16's image encoder (no {error})") from None
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _block(weights: Mapping[str, np.ndarray], number: int) -> dict[str, Tensor]:
    at = f"{PREFIX}.encoder.layers.{number}."
    state = {}
    for own, theirs in (("norm1", "layer_norm1"), ("norm2", "layer_norm2")):
        for kind in ("weight", "bias"):
            state[f"{own}.{kind}"] = torch.from_numpy(weights[f"{at}{theirs}.{kind}"])
    for own, parts in (
        ("qkv", [f"self_attn.{c}_proj" for c in "qkv"]),
        ("out", ["self_attn.out_proj"]),
        ("fc1", ["mlp.fc1"]),
        ("fc2", ["mlp.fc2"]),
    ):
        for kind in ("weight", "bias"):
            values = [weights[f"{at}{part}.{kind}"] for part in parts]
            state[f"{own}.{kind}"] = torch.from_numpy(np.concatenate(values))
    return state


def _weights(path: Path) -> dict[str, np.ndarray]:
    """Return a file's weights by name as float32, those in 8 bits multiplied by their step, (out, in)."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    weights = {name: np.array(v, np.float32) for name, v in stored.items() if name.startswith(PREFIX)}
    for node in graph.node:
        if node.op_type != "MatMulInteger" or "/layers." not in node.name:
            continue
        base = next(name for name in node.input if name in stored and name.endswith("_quantized"))
        base = base.removesuffix("_quantized")
        step, zero = stored[f"{base}_scale"], stored[f"{base}_zero_point"]
        values = (stored[f"{base}_quantized"].astype(np.float32) - np.float32(zero)) * np.float32(step)
        # "/vision_model/encoder/layers.0/mlp/fc1/MatMul_quant" is the weight "...layers.0.mlp.fc1.weight".
        place = node.name.strip("/").rpartition("/")[0].replace("/", ".")
        weights[f"{place}.weight"] = np.ascontiguousarray(values.T)
    return weights
