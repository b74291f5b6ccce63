"""From a checkpoint to the product's format: an ONNX file and its card."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unmask.faces.detect import NETWORK as DETECTOR
from unmask.models.network import Network
from unmask.runtime.card import PACKED, WEIGHTS, Card, network_name, sha256, write_card
from unmask.training import checkpoint

OUTPUTS = ("logit", "map", "embedding")
OPSET = 20
SMALLEST_HALVED = 256
"""Weights with fewer values stay in single precision."""
JOINT = " + "
"""Between the architectures of several networks in one file."""
HALVED = "_half"
"""Ends the names of weights in half precision."""


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


class Together(nn.Module):
    """Several networks that judge one crop; outputs as those of `Exported`.

    The crop is as wide as the widest member's, and upright if any member's is. A member with a tighter crop
    sees the middle of it, and each sees it at its own size. The logit is the mean of theirs, the map the
    mean of their maps, each laid where its crop lies, and the embeddings are joined.

    Args:
        members: the networks.
        margins: side of each one's crop as a multiple of the distance between the eyes.
        sizes: side of each one's crop in pixels.
    """

    CELL = 8
    """Side of a cell of the map in pixels."""

    def __init__(self, members: Sequence[Exported], margins: Sequence[float], sizes: Sequence[int]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.sizes = list(sizes)
        self.margin = max(margins)
        side = max(size * self.margin / margin for size, margin in zip(sizes, margins, strict=True))
        self.cells = round(side / self.CELL)
        self.size = self.cells * self.CELL
        # So many cells are cut off on each side for each member.
        self.offsets = [round((1 - margin / self.margin) * self.cells / 2) for margin in margins]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        logits, maps, embeddings = [], [], []
        for member, offset, size in zip(self.members, self.offsets, self.sizes, strict=True):
            cut, cells = offset * self.CELL, self.cells - 2 * offset
            part = pixels[:, :, cut : self.size - cut, cut : self.size - cut]
            if part.shape[-1] != size:
                part = functional.interpolate(part, size=(size, size), mode="bilinear", antialias=True)
            logit, found, embedding = member(part)
            found = found.unsqueeze(1)
            spread = functional.interpolate(found, size=(cells, cells), mode="bilinear")
            # The mean stays: it is what the logit goes by.
            spread = spread + (found.mean((2, 3), keepdim=True) - spread.mean((2, 3), keepdim=True))
            spread = spread * (self.cells / cells) ** 2
            maps.append(functional.pad(spread, (offset, offset, offset, offset)).squeeze(1))
            logits.append(logit)
            embeddings.append(embedding)
        return torch.stack(logits).mean(0), torch.stack(maps).mean(0), torch.cat(embeddings, 1)


def fuse_normalisation(model: Network) -> None:
    """Fold the batch normalisation `x_norm` into the convolution `x_conv` before it, everywhere, in place."""
    for conv_name, norm_name in folded_pairs(model):
        conv, norm = model.get_submodule(conv_name), model.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        model.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        model.set_submodule(norm_name, nn.Identity())


def folded_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the full names of the convolutions, and of the normalisations that are folded into them."""
    return [
        (name, name.removesuffix("_conv") + "_norm")
        for name, module in model.named_modules()
        if name.endswith("_conv") and isinstance(module, nn.Conv2d)
    ]


def halve_weights(graph: onnx.ModelProto) -> None:
    """Store large weights in half precision; a cast before their use gives single precision back."""
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALLEST_HALVED:
            continue
        values = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values, name + HALVED))
        casts.append(helper.make_node("Cast", [name + HALVED], [name], to=TensorProto.FLOAT))
    for node in reversed(casts):
        graph.graph.node.insert(0, node)


def export(path: Path, output: Path | None = None, *, others: Sequence[Path] = ()) -> Path:
    """Export a checkpoint to ONNX with its card beside it, and return the ONNX file.

    Args:
        path: a checkpoint written by `unmask train`.
        output: the ONNX file to write; beside the checkpoint where not given.
        others: further checkpoints, whose answers are averaged with the first one's (`Together`).

    Raises:
        CheckpointError: a checkpoint cannot be used.
        RuntimeError: the exported network does not answer as the checkpoint does.
    """
    loaded = [checkpoint.load(place) for place in (path, *others)]
    output = output or path.with_suffix(".onnx")
    headers = [header for _, header in loaded]
    network = _joined(loaded)
    header = headers[0] if not others else _joined_header(headers, network)
    size = header.input_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        expected = network(pixels)
    for model, _ in loaded:
        fuse_normalisation(model)
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
    _compare(graph.SerializeToString(), pixels, expected)
    write_network(output, graph.SerializeToString())
    _write_card(output, header)
    return output


def write_network(output: Path, content: bytes) -> None:
    """Write an ONNX file, compressed where its name says so; an existing file stays until it is whole."""
    part = output.with_name(output.name + ".part")
    part.write_bytes(packed(content) if output.suffix == PACKED else content)
    part.replace(output)


def packed(content: bytes) -> bytes:
    """Compress as gzip: weights have few repetitions, so a Huffman code alone is often the smaller one."""
    found = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        deflate = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, strategy)
        found.append(deflate.compress(content) + deflate.flush())
    return min(found, key=len)


def _joined(loaded: Sequence[tuple[Network, checkpoint.Header]]) -> Exported | Together:
    members = [Exported(model, header.mean, header.std).eval() for model, header in loaded]
    if len(members) == 1:
        return members[0]
    headers = [header for _, header in loaded]
    return Together(members, [h.crop_margin for h in headers], [h.input_size for h in headers]).eval()


def _joined_header(headers: Sequence[checkpoint.Header], network: nn.Module) -> checkpoint.Header:
    """Describe several networks as one: the data are those of the one that saw most."""
    assert isinstance(network, Together)
    data = max((h.training_data for h in headers), key=lambda rows: sum(row["items"] for row in rows))
    return replace(
        headers[0],
        architecture=JOINT.join(h.architecture for h in headers),
        input_size=network.size,
        crop_margin=network.margin,
        upright=any(h.upright for h in headers),
        step=sum(h.step for h in headers),
        configuration={"members": [h.configuration for h in headers]},
        training_data=data,
        trained_groups=sorted({group for h in headers for group in h.trained_groups}),
        tune_metrics={},
    )


def _compare(content: bytes, pixels: Tensor, expected: tuple[Tensor, ...]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answers = session.run(list(OUTPUTS), {"pixels": pixels.numpy()})
    for name, answer, value in zip(OUTPUTS, answers, expected, strict=True):
        difference = float(np.abs(answer - value.numpy()).max())
        scale = float(value.abs().max()) + 1.0
        if not difference < 0.02 * scale:
            raise RuntimeError(
                f"the exported network's {name} differs by {difference:.4f} from the checkpoint's"
            )


def _write_card(output: Path, header: checkpoint.Header) -> None:
    card = Card.model_validate(
        {
            "name": network_name(output),
            "file": output.name,
            "architecture": header.architecture,
            "version": header.version,
            "created": datetime.now(UTC).date().isoformat(),
            "licence": "Apache-2.0",
            "origin": _origin(header),
            "input_size": header.input_size,
            "mean": header.mean,
            "std": header.std,
            "crop": {
                "size": header.input_size,
                "margin": round(header.crop_margin, 4),
                "upright": header.upright,
            },
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
    if members := header.configuration.get("members"):
        return f"{len(members)} networks trained by unmask train, their answers averaged"
    start = header.configuration.get("initial")
    if start:
        return f"trained by unmask train; starting weights {Path(start).name}"
    if header.configuration.get("pretrained"):
        return f"trained by unmask train; starting weights {header.architecture}, ImageNet"
    return "trained by unmask train"
