"""From the product's format back to checkpoints, where only the ONNX file of a network is left.

`unmask export` folds the batch normalisation into the convolutions before it. What is recovered has each
normalisation as an identity that adds the bias: it answers as the ONNX file does and can be exported
again, alone or with others. Trained on, it needs its normalisation held still (`frozen_norm` of a phase), for
the statistics that were folded are gone.

    python -m unmask.training.recover visual.onnx --output runs/recovered

Of a file in 8-bit arithmetic (`unmask export --int8`) the weights come back with the 7 bits that are stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from torch import Tensor, nn

from unmask.models.network import Network
from unmask.models.registry import create
from unmask.models.vision_transformer import PATCH, STD, VisionTransformer
from unmask.runtime.card import Card, WeightError, load_card, network_name, read_network, verify
from unmask.training import checkpoint
from unmask.training.config import TrainingConfig
from unmask.training.export import HALVED, JOINT, folded_pairs
from unmask.training.norms import set_layers
from unmask.training.rounding import LAYERS, Rounded

QUANTISED = "_quantized"
"""Ends the names of weights stored as integers; onnxruntime's word."""


def recover(path: Path, folder: Path) -> list[Path]:
    """Write a checkpoint for each network in an exported file.

    Args:
        path: an ONNX file of `unmask export`, its card beside it.
        folder: where the checkpoints are written, named by the file and their number.

    Raises:
        WeightError: the card is missing or does not belong to the file.
        ValueError: the file holds other weights than the networks that its card names.
    """
    card = load_card(path)
    verify(card)
    values = _weights(path)
    names = card.architecture.split(JOINT)
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        prefix = f"members.{number}.model." if len(names) > 1 else "model."
        own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        model = create(name, num_classes=1)
        _fill(model, own, path)
        place = folder / (network_name(path) + (f"-{number + 1}" if len(names) > 1 else "") + ".safetensors")
        checkpoint.save(place, model, _header(card, name, number, len(names)))
        written.append(place)
    return written


def _weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of an exported file by name as float32, whatever they are stored as."""
    graph = onnx.load_from_string(read_network(path)).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    values = {}
    for name, value in stored.items():
        plain = name.removesuffix(QUANTISED)
        if name.endswith(HALVED) or value.dtype == np.float32:
            values[name.removesuffix(HALVED)] = value.astype(np.float32)
        elif name.endswith(QUANTISED):
            step = stored[f"{plain}_scale" if f"{plain}_scale" in stored else f"{name}_scale"]
            values[plain] = (value * step.reshape(-1, *[1] * (value.ndim - 1))).astype(np.float32)
    return values


def _fill(model: Network, values: Mapping[str, np.ndarray], path: Path) -> None:
    """Put weights with folded normalisation into a network."""
    state: dict[str, Tensor] = model.state_dict()
    for conv_name, norm_name in folded_pairs(model):
        conv, norm = model.get_submodule(conv_name), model.get_submodule(norm_name)
        assert isinstance(norm, nn.BatchNorm2d)
        # Exactly 1 / sqrt(variance + epsilon) = 1.
        state[f"{norm_name}.running_mean"] = torch.zeros_like(norm.bias)
        state[f"{norm_name}.running_var"] = torch.full_like(norm.bias, 1 - norm.eps)
        state[f"{norm_name}.weight"] = torch.ones_like(norm.bias)
        state[f"{norm_name}.bias"] = _found(values, f"{conv_name}.bias", norm.bias, path)
        state[f"{conv_name}.weight"] = _found(values, f"{conv_name}.weight", conv.weight, path)
        if conv.bias is not None:
            state[f"{conv_name}.bias"] = torch.zeros_like(norm.bias)
    folded = {name for pair in folded_pairs(model) for name in pair}
    for key, value in state.items():
        if key.rpartition(".")[0] not in folded and not key.endswith("num_batches_tracked"):
            state[key] = _found(values, key, value, path)
    model.load_state_dict(state)


def _found(values: Mapping[str, np.ndarray], name: str, like: object, path: Path) -> Tensor:
    assert isinstance(like, Tensor)
    value = values.get(name)
    if value is None or value.shape != tuple(like.shape):
        found = "not there" if value is None else f"of shape {value.shape}, not {tuple(like.shape)}"
        raise ValueError(f"{path}: {name} is {found}")
    return torch.from_numpy(value)


def recover_encoder(path: Path) -> tuple[VisionTransformer, list[dict[str, Rounded]]]:
    """Return the encoder in a companion's file and its rounded layers, to tune it further.

    Norms and positions come back in the half precision that they are stored in, all else as it was; what is
    added to the first token is among the positions.

    Args:
        path: a file of `unmask.training.companion`.

    Raises:
        ValueError: the file holds no such encoder.
        OSError: it cannot be read.
    """
    try:
        graph = onnx.load_model_from_string(read_network(path)).graph
        return _encoder(graph)
    except (DecodeError, KeyError, IndexError, StopIteration, RuntimeError):
        raise ValueError(f"{path}: holds no encoder of unmask.training.companion") from None


def _encoder(graph: onnx.GraphProto) -> tuple[VisionTransformer, list[dict[str, Rounded]]]:
    stored = {value.name: np.array(numpy_helper.to_array(value)) for value in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    users: dict[str, onnx.NodeProto] = {name: node for node in reversed(graph.node) for name in node.input}

    def constant(name: str) -> np.ndarray:
        """Return a constant, maybe cast when the graph is opened."""
        return stored[name] if name in stored else stored[maker[name].input[0]].astype(np.float32)

    def beside(node: onnx.NodeProto) -> np.ndarray:
        """Return the constant that a node takes beside its input."""
        return next(stored[name] for name in node.input if name in stored)

    layers = []
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            scaled = users[users[node.output[0]].output[0]]
            weights = torch.from_numpy(stored[node.input[1]].T.copy())
            bias = torch.from_numpy(beside(users[scaled.output[0]]))
            layers.append(Rounded(weights, float(beside(maker[scaled.input[1]])), bias))
    starts = range(0, len(layers), len(LAYERS))
    blocks = [dict(zip(LAYERS, layers[k : k + len(LAYERS)], strict=True)) for k in starts]
    convolution = next(node for node in graph.node if node.op_type == "Conv")
    padded = next(node for node in graph.node if node.op_type == "Pad")
    codes, step = (constant(name) for name in maker[convolution.input[1]].input)
    positions = constant(users[padded.output[0]].input[1])
    network = VisionTransformer(len(blocks), side=PATCH * round((len(positions) - 1) ** 0.5))
    network.requires_grad_(False)
    network.patch.weight.copy_(
        torch.from_numpy(codes * step * np.array(STD, np.float32)[:, None, None] * 255)
    )
    network.positions.copy_(torch.from_numpy(positions))
    norms = [network.norm, *(norm for b in network.blocks for norm in (b.norm1, b.norm2))]  # type: ignore[union-attr]
    found = [node for node in graph.node if node.op_type == "LayerNormalization"]
    for norm, node in zip(norms, found, strict=True):
        norm.weight.copy_(torch.from_numpy(constant(node.input[1])))  # type: ignore[union-attr,operator]
        norm.bias.copy_(torch.from_numpy(constant(node.input[2])))  # type: ignore[union-attr,operator]
    set_layers(network, blocks)
    return network.eval(), blocks


def _header(card: Card, name: str, number: int, count: int) -> checkpoint.Header:
    configuration = (card.model_extra or {}).get("configuration") or {}
    if count > 1:
        configuration = configuration["members"][number]
    config = TrainingConfig.model_validate(configuration) if count > 1 else None
    if card.mean is None or card.std is None or card.crop is None or card.input_size is None:
        raise ValueError(f"{card.path}: its card does not say what the network takes")
    real, fake = card.classes
    return checkpoint.Header(
        architecture=name,
        input_size=config.size if config is not None and config.phases else card.input_size,
        mean=card.mean,
        std=card.std,
        crop_margin=card.crop.margin if config is None else config.framing.margin,
        upright=card.crop.upright if config is None else config.upright,
        classes=(real, fake),
        version=card.version,
        step=0,
        configuration=configuration,
        training_data=card.training_data,
        tune_metrics={},
        trained_groups=card.trained_groups,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Recover checkpoints from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m unmask.training.recover", description="Make checkpoints of an exported file."
    )
    parser.add_argument("network", type=Path, help="an exported .onnx file, its card beside it")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/recovered"), help="folder of the checkpoints"
    )
    options = parser.parse_args(arguments)
    try:
        for path in recover(options.network, options.output):
            sys.stdout.write(f"written: {path}\n")
    except (ValueError, OSError, WeightError) as error:
        sys.stderr.write(f"recover: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
