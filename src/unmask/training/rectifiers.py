"""Rewrites the parametric rectifiers of an ONNX network so that onnxruntime runs them fast.

    python -m unmask.training.rectifiers original.onnx rewritten.onnx

onnxruntime has no PRelu in its blocked memory layout: it walks through the picture value by value and
converts the layout before and after. In the face mesh that took two thirds of the time. With slope a,

    prelu(x) = x + (1 - a) relu(-x)

holds always, and a x + relu((1 - a) x) where a is at most 1. Both are 1 x 1 convolutions channel by channel,
with which rectifier and sum are fused. The second is faster and taken where no channel's slope exceeds 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def rewrite(model: onnx.ModelProto) -> int:
    """Replace, in place, every PRelu that has a stored slope for each channel; return how many there were.

    One of another kind, with a slope for each place, stays. Stored values that nothing reads are dropped.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in graph.node:
        slopes = _slopes(node, stored)
        if slopes is None:
            nodes.append(node)
            continue
        count += 1
        nodes += _replacement(graph, node.input[0], node.output[0], slopes, f"rectifier_{count}")
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return count


def _slopes(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> np.ndarray | None:
    """Return the slopes, (C, 1, 1), of a PRelu that can be rewritten."""
    if node.op_type != "PRelu" or node.input[1] not in stored:
        return None
    slopes = numpy_helper.to_array(stored[node.input[1]])
    if slopes.ndim == 4 and len(slopes) == 1:
        slopes = slopes[0]
    return slopes if slopes.ndim == 3 and slopes.shape[1:] == (1, 1) else None


def _replacement(
    graph: onnx.GraphProto, source: str, result: str, slopes: np.ndarray, name: str
) -> list[onnx.NodeProto]:
    def scale(factors: np.ndarray, given: str, part: str) -> onnx.NodeProto:
        """Return the node that multiplies each channel by its factor."""
        weights = np.ascontiguousarray(factors.reshape(-1, 1, 1, 1), slopes.dtype)
        graph.initializer.append(numpy_helper.from_array(weights, f"{name}_{part}_factors"))
        return helper.make_node(
            "Conv",
            [given, f"{name}_{part}_factors"],
            [f"{name}_{part}"],
            name=f"{name}_{part}",
            group=len(weights),
            kernel_shape=[1, 1],
        )

    if slopes.max() <= 1:
        parts = [scale(1 - slopes, source, "positive"), scale(slopes, source, "whole")]
        rectified, terms = "positive", [f"{name}_whole", f"{name}_rectified"]
    else:
        parts = [scale(-np.ones_like(slopes), source, "mirrored")]
        parts.append(scale(1 - slopes, f"{name}_rectified", "bent"))
        rectified, terms = "mirrored", [f"{name}_bent", source]
    relu = helper.make_node("Relu", [f"{name}_{rectified}"], [f"{name}_rectified"], name=f"{name}_rectified")
    parts.insert(1, relu)
    return [*parts, helper.make_node("Add", terms, [result], name=f"{name}_sum")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("original", type=Path)
    parser.add_argument("rewritten", type=Path)
    args = parser.parse_args(arguments)
    model = onnx.load(args.original)
    print(f"{rewrite(model)} rectifiers rewritten")
    onnx.save(model, args.rewritten)


if __name__ == "__main__":
    main()
