"""From a checkpoint to the product's format: an ONNX file and its card."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unmask.faces.detect import NETWORK as DETECTOR
from unmask.models.network import Network
from unmask.runtime.card import WEIGHTS, Card, sha256, write_card
from unmask.training import checkpoint

OUTPUTS = ("logit", "map", "embedding")
OPSET = 20
SMALLEST_HALVED = 256
"""Weights with fewer values stay in single precision."""


class Exported(nn.Module):
    """The network as the product calls it.

    Takes RGB 0..255 (N, 3, S, S) and gives the logit (N,), the activation map (N, h, w), whose mean plus
    the bias of the linear layer is the logit, and the pooled features (N, D). Where these are the mean
    over the feature map (EfficientNet, Xception), the map is the class activation map, and equal to
    Grad-CAM; how other networks come by theirs is said at their `activation_map`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        features = self.model.forward_features((pixels - self.mean) / self.std)
        embedding = self.model.pool(features)
        logit = self.model.classifier(embedding).squeeze(1)
        return logit, self.model.activation_map(features), embedding


def fuse_normalisation(model: Network) -> None:
    """Fold the batch normalisation `x_norm` into the convolution `x_conv` before it, everywhere, in place."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if name.endswith("_conv") and isinstance(child, nn.Conv2d):
                norm_name = name.removesuffix("_conv") + "_norm"
                norm = getattr(module, norm_name)
                setattr(module, name, fuse_conv_bn_eval(child, norm))
                setattr(module, norm_name, nn.Identity())


def halve_weights(graph: onnx.ModelProto) -> None:
    """Store large weights in half precision; a cast before their use gives single precision back."""
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_HALVED:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.graph.node.insert(0, node)


def export(path: Path, output: Path | None = None) -> Path:
    """Export a checkpoint to ONNX with its card beside it, and return the ONNX file.

    Args:
        path: a checkpoint written by `unmask train`.
        output: the ONNX file to write; beside the checkpoint where not given.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        RuntimeError: the exported network does not answer as the checkpoint does.
    """
    model, header = checkpoint.load(path)
    output = output or path.with_suffix(".onnx")
    size = header.input_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        expected = Exported(model, header.mean, header.std).eval()(pixels)
    fuse_normalisation(model)
    network = Exported(model, header.mean, header.std).eval()
    program = torch.onnx.export(
        network,
        (pixels,),
        input_names=["pixels"],
        output_names=list(OUTPUTS),
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    graph = program.model_proto
    for node in graph.graph.node:
        del node.metadata_props[:]
    halve_weights(graph)
    onnx.checker.check_model(graph)
    part = output.with_name(output.name + ".part")
    part.write_bytes(graph.SerializeToString())
    _compare(part, pixels, expected)
    part.replace(output)
    _write_card(output, header)
    return output


def _compare(path: Path, pixels: Tensor, expected: tuple[Tensor, ...]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    answers = session.run(list(OUTPUTS), {"pixels": pixels.numpy()})
    for name, answer, value in zip(OUTPUTS, answers, expected, strict=True):
        difference = float(np.abs(answer - value.numpy()).max())
        scale = float(value.abs().max()) + 1.0
        if not difference < 0.02 * scale:
            path.unlink()
            raise RuntimeError(
                f"the exported network's {name} differs by {difference:.4f} from the checkpoint's"
            )


def _write_card(output: Path, header: checkpoint.Header) -> None:
    card = Card.model_validate(
        {
            "name": output.stem,
            "file": output.name,
            "architecture": header.architecture,
            "version": header.version,
            "created": datetime.now(UTC).date().isoformat(),
            "licence": "Apache-2.0",
            "origin": _origin(header),
            "input_size": header.input_size,
            "mean": header.mean,
            "std": header.std,
            "crop": {"size": header.input_size, "margin": round(header.crop_margin, 4)},
            "outputs": OUTPUTS,
            "classes": header.classes,
            "training_data": header.training_data,
            "trained_groups": header.trained_groups,
            "configuration": header.configuration,
            "sha256": sha256(output),
            # Crops are aligned by this detector's points: another one would frame faces differently.
            "depends": {DETECTOR: sha256(WEIGHTS / DETECTOR)},
        }
    )
    write_card(card, output.parent)


def _origin(header: checkpoint.Header) -> str:
    start = header.configuration.get("initial")
    if start:
        return f"trained by unmask train; starting weights {Path(start).name}"
    if header.configuration.get("pretrained"):
        return f"trained by unmask train; starting weights {header.architecture}, ImageNet"
    return "trained by unmask train"
