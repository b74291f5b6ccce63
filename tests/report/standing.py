"""A stand-in for the visual network, whose answers can be worked out by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from unmask.runtime.card import Card, Crop, write_card

SIZE = 64


def stand_in_network(folder: Path) -> Path:
    """Write a network whose map is (mean red - mean blue) / 16 in blocks of 16 x 16 pixels, and its card."""
    onnx = pytest.importorskip("onnx", reason="the stand-in network is built with onnx")
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((1, 3, 16, 16), np.float32)
    weights[0, 0], weights[0, 2] = 1 / 256 / 16, -1 / 256 / 16
    nodes = [
        helper.make_node("Conv", ["pixels", "weights"], ["blocks"], strides=[16, 16]),
        helper.make_node("Squeeze", ["blocks", "axis"], ["map"]),
        helper.make_node("ReduceMean", ["map", "both"], ["logit"], keepdims=0),
        helper.make_node("Flatten", ["blocks"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", SIZE // 16, SIZE // 16]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", (SIZE // 16) ** 2]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(np.array([1, 2]), "both"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = folder / "stand_in.onnx"
    onnx.save(model, str(path))
    write_card(
        Card(
            name="stand_in",
            file=path.name,
            architecture="none",
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            licence="Apache-2.0",
            input_size=SIZE,
            crop=Crop(size=SIZE, margin=_margin()),
        ),
        folder,
    )
    return path


def _margin() -> float:
    from unmask.faces.align import MARGIN

    return MARGIN
