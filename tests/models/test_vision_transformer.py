"""The vision transformer against torch's own encoder layer, and its loading from an export."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper, save
from torch import nn

from unmask.models.vision_transformer import (
    HEADS,
    PREFIX,
    WIDTH,
    Block,
    VisionTransformer,
    load_encoder,
)


class QuickGelu(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


def test_a_block_is_torchs_encoder_layer_with_the_norm_first():
    torch.manual_seed(0)
    own = Block().eval()
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0, activation=QuickGelu(), batch_first=True, norm_first=True
    ).eval()
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": own.qkv.weight,
            "self_attn.in_proj_bias": own.qkv.bias,
            "self_attn.out_proj.weight": own.out.weight,
            "self_attn.out_proj.bias": own.out.bias,
            "linear1.weight": own.fc1.weight,
            "linear1.bias": own.fc1.bias,
            "linear2.weight": own.fc2.weight,
            "linear2.bias": own.fc2.bias,
            "norm1.weight": own.norm1.weight,
            "norm1.bias": own.norm1.bias,
            "norm2.weight": own.norm2.weight,
            "norm2.bias": own.norm2.bias,
        }
    )
    x = torch.randn(2, 5, WIDTH)
    with torch.inference_mode():
        assert torch.allclose(own(x), layer(x), atol=1e-5)


def test_pixels_are_normalised_and_every_patch_becomes_a_token():
    network = VisionTransformer(0, side=32)
    nn.init.constant_(network.patch.weight, 1 / (3 * 256))
    grey = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    stream = network(grey)
    assert stream.shape == (1, 5, WIDTH)
    # All channels of a patch are alike, so the norm leaves nothing of them.
    assert stream.abs().max() < 1e-3


def export(path, blocks):
    """Write weights in the names and 8 bits of a public export; return them by their own names."""
    generator = np.random.default_rng(0)
    nodes, stored, expected = [], {}, {}

    def linear(place, number, outputs, inputs):
        codes = generator.integers(-127, 128, (inputs, outputs), dtype=np.int8)
        base = f"onnx::MatMul_{number}"
        stored[f"{base}_quantized"] = codes
        stored[f"{base}_scale"] = np.float32(0.01 + number / 1e4)
        stored[f"{base}_zero_point"] = np.int8(3)
        node = "/" + place.replace(".", "/").replace("layers/", "layers.") + "/MatMul_quant"
        nodes.append(helper.make_node("MatMulInteger", ["x", f"{base}_quantized"], [f"y{number}"], node))
        expected[f"{place}.weight"] = ((codes.astype(np.float32) - 3) * stored[f"{base}_scale"]).T
        stored[f"{place}.bias"] = expected[f"{place}.bias"] = generator.normal(size=outputs).astype("f")

    shapes = {
        "embeddings.patch_embedding.weight": (WIDTH, 3, 16, 16),
        "embeddings.class_embedding": (WIDTH,),
        "embeddings.position_embedding.weight": (197, WIDTH),
        "pre_layrnorm.weight": (WIDTH,),
        "pre_layrnorm.bias": (WIDTH,),
    }
    number = 0
    for block in range(blocks):
        at = f"{PREFIX}.encoder.layers.{block}"
        for norm in ("layer_norm1", "layer_norm2"):
            for kind in ("weight", "bias"):
                shapes[f"encoder.layers.{block}.{norm}.{kind}"] = (WIDTH,)
        for place in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"):
            linear(f"{at}.{place}", number := number + 1, WIDTH, WIDTH)
        linear(f"{at}.mlp.fc1", number := number + 1, 4 * WIDTH, WIDTH)
        linear(f"{at}.mlp.fc2", number := number + 1, WIDTH, 4 * WIDTH)
    for name, shape in shapes.items():
        stored[f"{PREFIX}.{name}"] = generator.normal(size=shape).astype(np.float32)
    graph = helper.make_graph(
        nodes, "clip", [], [], [numpy_helper.from_array(v, k) for k, v in stored.items()]
    )
    save(helper.make_model(graph), str(path))
    return expected | {k: v for k, v in stored.items() if k.startswith(PREFIX)}


def test_an_export_of_8_bits_is_loaded_by_its_names(tmp_path):
    path = tmp_path / "clip.onnx"
    given = export(path, 2)
    state = load_encoder(path, 2).state_dict()
    at = f"{PREFIX}.encoder.layers.1."
    keys = np.concatenate([given[f"{at}self_attn.{c}_proj.weight"] for c in "qkv"])
    assert state["blocks.1.qkv.weight"].numpy() == pytest.approx(keys, abs=1e-6)
    assert state["blocks.1.fc2.weight"].numpy() == pytest.approx(given[f"{at}mlp.fc2.weight"], abs=1e-6)
    assert state["blocks.0.out.bias"].numpy() == pytest.approx(
        given[f"{PREFIX}.encoder.layers.0.self_attn.out_proj.bias"]
    )
    with pytest.raises(ValueError, match=r"layers\.2"):
        load_encoder(path, 3)
