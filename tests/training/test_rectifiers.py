"""Rewritten rectifiers give what onnxruntime's own PRelu gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from unmask.training import rectifiers


def network(slopes: np.ndarray) -> onnx.ModelProto:
    """Return a network of one PRelu on (N, C, 5, 7)."""
    shape = ["n", slopes.shape[-3], 5, 7]
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["x", "slopes"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(slopes.astype(np.float32), "slopes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """Run a model with one input and one output."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("top", [0.9, 1.0, 20.0], ids=["flat", "one", "steep"])
def test_the_same_function(top: float) -> None:
    slopes = np.linspace(-0.5, top, 16).reshape(16, 1, 1)
    x = np.random.default_rng(0).normal(0, 10, (2, 16, 5, 7)).astype(np.float32)
    expected = np.where(x > 0, x, x * slopes.astype(np.float32))
    model = network(slopes)
    assert rectifiers.rewrite(model) == 1
    assert "PRelu" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-5, atol=1e-5)


def test_slopes_with_an_axis_for_pictures() -> None:
    model = network(np.full((1, 16, 1, 1), -0.5))
    assert rectifiers.rewrite(model) == 1
    assert run(model, np.full((1, 16, 5, 7), -2, np.float32)) == pytest.approx(1.0)


def test_a_slope_for_each_place_stays() -> None:
    model = network(np.full((16, 5, 7), 0.25))
    assert rectifiers.rewrite(model) == 0
    assert [node.op_type for node in model.graph.node] == ["PRelu"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(network(np.full((16, 1, 1), 0.25)), tmp_path / "a.onnx")
    rectifiers.main([str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx")])
    assert capsys.readouterr().out == "1 rectifiers rewritten\n"
    assert [node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node][-1] == "Add"
