"""Makes tiny visual networks for tests: what they answer follows from a formula, not from training."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from unmask.faces.align import MARGIN
from unmask.runtime.card import card_path

SIZE = 32


def brightness_network(
    folder: Path, *, name: str = "tiny", threshold: float = 128.0, scale: float = 0.1, **card: object
) -> Path:
    """Write a network whose logit is scale * (mean brightness of the crop - threshold), and its card.

    Its map is scale * (brightness - threshold) averaged over 8 x 8 blocks, so its mean is the logit; its
    embedding is the mean of red, green and blue. Returns the path of the .onnx file.
    """
    constants = {
        "threshold": np.float32(threshold).reshape(1),
        "scale": np.float32(scale).reshape(1),
        "channels": np.array([1], np.int64),
        "sides": np.array([2, 3], np.int64),
        "sides_of_map": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "channels"], ["grey"], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Sub", ["pooled", "threshold"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "scale"], ["scaled"]),
        helper.make_node("Squeeze", ["scaled", "channels"], ["map"]),
        helper.make_node("ReduceMean", ["map", "sides_of_map"], ["logit"], keepdims=0),
        helper.make_node("ReduceMean", ["pixels", "sides"], ["embedding"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N"]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", SIZE // 8, SIZE // 8]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 3]),
        ],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    path = folder / f"{name}.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    write_card(path, **card)
    return path


def write_card(path: Path, **changes: object) -> Path:
    """Write a card that fits a weight file, with some fields changed (None: left out)."""
    fields: dict[str, object] = {
        "name": path.name.partition(".")[0],
        "file": path.name,
        "architecture": "mean brightness",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "none: made by a test",
        "input_size": SIZE,
        "crop": {"size": SIZE, "margin": MARGIN},
        "outputs": ["logit", "map", "embedding"],
    } | changes
    card = card_path(path)
    card.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
    return card
