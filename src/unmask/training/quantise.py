"""An exported network in 8-bit arithmetic: less than half the time, half the size, a little accuracy.

Static quantisation (Jacob et al., 1712.05877) by onnxruntime: weights become integers with a step for each
output channel, activations bytes whose range was seen on pictures of training. What decides about accuracy:

- The activation function belongs to the convolution before it: its range, 0 to 6, is what is stored, not
  the far wider one before it.
- The first convolutions stay in single precision. They carry the finest differences of neighbours, and
  cost little.
- Weights use 7 of 8 bits, so that no processor's sum of two products (255 * 64 * 2) leaves 16 bits: those
  without dot-product instructions would cut it off there, and answer otherwise than the rest.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch.utils.data import DataLoader

from unmask.data.index import FaceIndex
from unmask.data.manifest import Item, thin
from unmask.data.pairs import CropDataset
from unmask.faces.detect import Detector
from unmask.runtime.card import load_card, network_name, read_network, sha256, verify, write_card
from unmask.runtime.network import INPUT, VisualNetwork
from unmask.training.export import HALVED, export, write_network
from unmask.training.loop import auc_by_kind

SINGLE_FIRST = 3
"""So many convolutions of each network, from its input on, stay in single precision."""
EIGHT_BIT = ("Conv", "Add", "Clip", "Relu")
"""Operators that work on bytes."""
PICTURES = 256
"""Pictures that the ranges are taken from."""
TINY = 1e-4
"""The least largest weight of an output channel."""
TRIED = 1500
"""Pictures of *tune* on which both arithmetics are compared."""
ARITHMETIC = "int8"
"""The card's word for it."""


class _Crops(CalibrationDataReader):
    """Gives crops (N, 3, S, S) one at a time."""

    def __init__(self, crops: np.ndarray) -> None:
        self._left = iter(crops)

    def get_next(self) -> dict[str, np.ndarray] | None:
        crop = next(self._left, None)
        return None if crop is None else {INPUT: crop[None].astype(np.float32)}


def training_crops(
    network: Path, items: Sequence[Item], folder: Path, *, split: str, pictures: int, seed: int = 0
) -> tuple[list[Item], np.ndarray]:
    """Cut faces for a network: as many of each data set and kind, `pictures` in all or a few more.

    Args:
        network: an exported network, whose card says how faces are cut.
        items: of which those of `split` are taken.
        folder: keeps the found faces.
        split: "train" or "tune".
        pictures: how many, at least where there are so many.
        seed: of the choice.

    Returns:
        The items whose face was found, and their crops (N, 3, S, S) uint8.

    Raises:
        ValueError: no face was found.
        WeightError: the network's card is missing or says no crop.
    """
    wanted = VisualNetwork(network)
    chosen = [item for item in items if item.split == split]
    kinds = {(item.data_set, item.manipulation) for item in chosen}
    chosen = thin(chosen, -(-pictures // max(1, len(kinds))), seed=seed)
    faces = FaceIndex(folder).build(chosen, detector=Detector(threads=0))
    data = CropDataset(chosen, faces, size=wanted.size, framing=wanted.framing)
    if not len(data):
        raise ValueError(f"no face found in the {split} pictures of these data sets")
    return data.items, np.concatenate([batch.numpy() for batch, _ in DataLoader(data, batch_size=32)])


def export_int8(
    checkpoints: Sequence[Path],
    output: Path | None,
    items: Sequence[Item],
    *,
    report: Callable[[str], None],
) -> Path:
    """Export checkpoints as one network in 8-bit arithmetic, and say what the 8 bits cost on *tune*.

    Args:
        checkpoints: written by `unmask train`; the answers of several are averaged.
        output: the ONNX file to write; beside the first checkpoint where not given.
        items: of *train*, which give the ranges, and *tune*, on which both arithmetics are compared.
        report: takes each line said.

    Raises:
        CheckpointError, RuntimeError: as `export`.
        ValueError: there is no picture of training with a face.
    """
    output = output or checkpoints[0].with_suffix(".onnx")
    index = checkpoints[0].parent.parent / "faces"
    with tempfile.TemporaryDirectory() as work:
        single = export(checkpoints[0], Path(work) / "single.onnx", others=checkpoints[1:])
        _, crops = training_crops(single, items, index, split="train", pictures=PICTURES)
        quantise(single, output, crops)
        if any(item.split == "tune" for item in items):
            tried, crops = training_crops(single, items, index, split="tune", pictures=TRIED)
            before, after = (logits(path, crops) for path in (single, output))
            change, spread = np.sqrt(np.mean((after - before) ** 2)), before.std()
            report(f"logits of {len(crops)} tune pictures change by {change:.3f} (spread {spread:.2f})")
            areas = auc_by_kind(tried, before), auc_by_kind(tried, after)
            for kind, area in areas[0].items():
                report(f"tune AUC {kind}: {area:.3f} in single precision, {areas[1][kind]:.3f} in 8 bits")
    return output


def quantise(path: Path, output: Path, crops: np.ndarray) -> Path:
    """Write an exported network with 8-bit arithmetic, and its card; return the file.

    Args:
        path: an ONNX file of `unmask export` in single precision, its card beside it.
        output: the file to write.
        crops: (N, 3, S, S) uint8 RGB, cut as the card says, of pictures of training: the range of every
            activation is taken from them.

    Raises:
        WeightError: the card is missing or does not belong to the file.
        ValueError: the network is in 8-bit arithmetic already, or there are no crops.
    """
    card = load_card(path)
    verify(card)
    if card.arithmetic == ARITHMETIC:
        raise ValueError(f"{path}: already in 8-bit arithmetic")
    if not len(crops):
        raise ValueError("8-bit arithmetic needs crops to take its ranges from")
    with tempfile.TemporaryDirectory() as work:
        single, prepared, done = (Path(work) / name for name in ("single.onnx", "prepared.onnx", "done.onnx"))
        plain = _in_single_precision(onnx.load_from_string(read_network(path)))
        _wake_dead_channels(plain)
        onnx.save(plain, single)
        with _quiet():
            quant_pre_process(str(single), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(done),
                _Crops(crops),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(EIGHT_BIT),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=kept_single(onnx.load(prepared)),
                calibrate_method=CalibrationMethod.MinMax,
            )
        graph = onnx.load(done)
    onnx.checker.check_model(graph)
    write_network(output, graph.SerializeToString())
    changed: dict[str, Any] = {
        "name": network_name(output),
        "file": output.name,
        "sha256": sha256(output),
        "arithmetic": ARITHMETIC,
        "metrics": [],
        "calibration": None,
    }
    write_card(type(card).model_validate(card.model_dump() | changed), output.parent)
    return output


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser from advising, on the root logger, what is done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def kept_single(graph: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that stay in single precision.

    These are the first convolutions of each network with their activation functions, and those that make the
    heat map.
    """
    nodes = graph.graph.node
    seen: dict[str, int] = {}
    kept: dict[str, str] = {}
    for node in nodes:
        if node.op_type != "Conv":
            continue
        weight = node.input[1]
        network = weight.partition("model.")[0]
        seen[network] = seen.get(network, 0) + 1
        if seen[network] <= SINGLE_FIRST or not weight.endswith("_conv.weight"):
            kept[node.output[0]] = node.name
    after = [node.name for node in nodes if node.op_type in ("Clip", "Relu") and node.input[0] in kept]
    return [*kept.values(), *after]


def logits(path: Path, crops: np.ndarray) -> np.ndarray:
    """Return the logits (N,) of an exported network for crops (N, 3, S, S) uint8."""
    network = VisualNetwork(path)
    batches = [crops[start : start + 16] for start in range(0, len(crops), 16)]
    return np.concatenate([network.infer(batch.transpose(0, 2, 3, 1)).logits for batch in batches])


def _in_single_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Undo `halve_weights`: the quantiser wants the weights themselves, not a cast of them."""
    stored = {tensor.name: tensor for tensor in graph.graph.initializer}
    rest = []
    for node in graph.graph.node:
        if node.op_type == "Cast" and node.input[0].endswith(HALVED) and node.input[0] in stored:
            tensor = stored[node.input[0]]
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, node.output[0]))
        else:
            rest.append(node)
    del graph.graph.node[:]
    graph.graph.node.extend(rest)
    return graph


def _wake_dead_channels(graph: onnx.ModelProto) -> None:
    """Give output channels without weights a tiny one, in place.

    Such a channel says its bias and nothing else. The step of the bias is that of the weights, for which the
    quantiser takes 1 where there are none: too coarse by far.
    """
    convolved = {node.input[1] for node in graph.graph.node if node.op_type == "Conv"}
    for tensor in graph.graph.initializer:
        if tensor.name in convolved:
            values = numpy_helper.to_array(tensor).copy()
            flat = values.reshape(len(values), -1)
            flat[np.abs(flat).max(1) < TINY, 0] = TINY
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
