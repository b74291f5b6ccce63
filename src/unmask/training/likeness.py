"""Learns the axes of likeness that `unmask.faces.persons` compares tracks by, and exports them.

Run by hand: `python -m unmask.training.likeness ARCHIVE.zip --output src/unmask/weights/likeness.onnx`.
The archive has the layout of the development media (`metadata.csv` with name and identity, `images/`); of
each person with several pictures at most ten are used. Identities are divided by a hash of their name:
70 % teach the axes, 30 % are reported, at the threshold of `persons`, which comes from clips.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from unmask.data.index import central, decode
from unmask.data.manifest import Item, read_zip
from unmask.faces.align import TEMPLATE
from unmask.faces.detect import Detector
from unmask.faces.persons import FEATURES, SIDE, THRESHOLD, features
from unmask.runtime.card import Card, Crop, Metric, write_card

PICTURES = 10
COMPONENTS = 400
PCA_SAMPLE = 1500
AXES = 128
RIDGE = 0.1
"""Share of the mean variance within persons that is added to every direction."""
PER_PERSON = 6
"""Pictures of one person that are paired with each other, at most."""
DIFFERENT_PAIRS = 20_000
"""Pairs of different people drawn, at most."""


@dataclass(frozen=True)
class Axes:
    """The projection: `(features - mean) @ matrix`, (FEATURES,) and (FEATURES, AXES)."""

    mean: np.ndarray
    matrix: np.ndarray

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return the (N, AXES) likenesses, of length 1, of (N, FEATURES) features."""
        placed = (values - self.mean) @ self.matrix
        return np.asarray(placed / np.linalg.norm(placed, axis=1, keepdims=True))


def fold(identity: str) -> str:
    """Return the fold of a person: "train" or "report"."""
    return "train" if zlib.crc32(identity.encode()) % 20 < 14 else "report"


def learn(values: np.ndarray, identities: np.ndarray) -> Axes:
    """Learn axes from (N, FEATURES) features of N pictures and their N identities."""
    random = np.random.default_rng(0)
    mean = values.mean(axis=0)
    sample = values[random.permutation(len(values))[:PCA_SAMPLE]] - mean
    variance, directions = np.linalg.eigh(sample @ sample.T)
    kept = np.argsort(-variance)[: min(COMPONENTS, len(sample) - 1)]
    components = sample.T @ directions[:, kept] / np.sqrt(variance[kept])
    discriminants = _discriminants((values - mean) @ components, identities)
    return Axes(mean.astype(np.float32), (components @ discriminants).astype(np.float32))


def _discriminants(values: np.ndarray, identities: np.ndarray) -> np.ndarray:
    """Return the axes with the most variance between persons for that within them, as columns."""
    _, person = np.unique(identities, return_inverse=True)
    count = np.bincount(person)
    means = np.zeros((len(count), values.shape[1]))
    np.add.at(means, person, values)
    means /= count[:, None]
    within = (values - means[person]) * np.sqrt(count / np.maximum(count - 1, 1))[person][:, None]
    between = means[person] - values.mean(axis=0)
    scatter = within.T @ within / len(values)
    scatter += RIDGE * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    _, axes = eigh(between.T @ between / len(values), scatter)
    return np.asarray(axes[:, ::-1][:, :AXES])


def pairs(identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (S, 2) pairs of pictures of one person and (D, 2) random pairs of different people."""
    same = []
    for identity in np.unique(identities):
        places = np.flatnonzero(identities == identity)[:PER_PERSON]
        same += [(a, b) for i, a in enumerate(places) for b in places[i + 1 :]]
    drawn = np.random.default_rng(0).integers(0, len(identities), (DIFFERENT_PAIRS, 2))
    return np.array(same), drawn[identities[drawn[:, 0]] != identities[drawn[:, 1]]]


def likenesses(axes: Axes, values: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of the pairs of one person and of those of different people."""
    same, different = pairs(identities)
    placed = axes.project(values)
    return (placed[same[:, 0]] * placed[same[:, 1]]).sum(1), (
        placed[different[:, 0]] * placed[different[:, 1]]
    ).sum(1)


def bootstrap_shares(
    axes: Axes, values: np.ndarray, identities: np.ndarray, threshold: float, *, draws: int = 1000
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return 95 % intervals, over persons, of the share of missed joins and of false joins."""
    placed = axes.project(values)
    same, different = pairs(identities)
    _, person = np.unique(identities, return_inverse=True)
    missed = (placed[same[:, 0]] * placed[same[:, 1]]).sum(1) < threshold
    joined = (placed[different[:, 0]] * placed[different[:, 1]]).sum(1) >= threshold
    random, results = np.random.default_rng(0), []
    for _ in range(draws):
        weight = np.bincount(
            random.integers(0, person.max() + 1, person.max() + 1), minlength=person.max() + 1
        )
        of_same = weight[person[same[:, 0]]]
        of_different = weight[person[different[:, 0]]] * weight[person[different[:, 1]]]
        results.append((np.average(missed, weights=of_same), np.average(joined, weights=of_different)))
    low, high = np.percentile(results, [2.5, 97.5], axis=0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def export(axes: Axes, output: Path) -> None:
    """Write the projection as an ONNX network, its matrix in 16 bits; lengths are left as they are."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Cast", ["matrix"], ["matrix_32"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["centred", "matrix_32"], ["likeness"]),
    ]
    scaled = (axes.matrix / np.abs(axes.matrix).max()).astype(np.float16)
    graph = helper.make_graph(
        nodes,
        "likeness",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("likeness", TensorProto.FLOAT, ["n", axes.matrix.shape[1]])],
        [numpy_helper.from_array(axes.mean, "mean"), numpy_helper.from_array(scaled, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    part = output.with_suffix(".part")
    part.write_bytes(model.SerializeToString())
    part.replace(output)


def read(archive: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return features and identities of the pictures of an archive: of each the face nearest its middle."""
    by_person: defaultdict[str, list[Item]] = defaultdict(list)
    for item in read_zip(archive):
        by_person[item.group].append(item)
    detector = Detector()
    values, identities = [], []
    with zipfile.ZipFile(archive) as bundle:
        for person, items in sorted(by_person.items()):
            if len(items) < 2:
                continue
            for item in sorted(items, key=lambda item: item.name)[:PICTURES]:
                pixels = decode(bundle.read(item.member))
                face = central(detector.detect(pixels), (pixels.shape[1], pixels.shape[0]))
                if face is not None:
                    values.append(features(pixels, face.points))
                    identities.append(person)
    return np.array(values), np.array(identities)


def _metric(name: str, wrong: np.ndarray, interval: tuple[float, float], command: str) -> Metric:
    return Metric(
        data_set="LFW, pairs of single photographs of people not trained on",
        metric=f"{name} at cosine {THRESHOLD}",
        value=float(np.mean(wrong)),
        # Without a single error the bootstrap knows nothing.
        interval=interval if wrong.any() else None,
        n=len(wrong),
        command=command,
    )


def main() -> None:
    """Read, learn, measure, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    values, identities = read(arguments.archive)
    folds = np.array([fold(identity) for identity in identities])
    axes = learn(values[folds == "train"], identities[folds == "train"])
    held = folds == "report"
    same, different = likenesses(axes, values[held], identities[held])
    missed, joined = bootstrap_shares(axes, values[held], identities[held], THRESHOLD)
    export(axes, arguments.output)
    command = f"python -m unmask.training.likeness {arguments.archive.name}"
    card = Card(
        name=arguments.output.stem,
        file=arguments.output.name,
        architecture="uniform local binary patterns, principal components, linear discriminants",
        sha256=hashlib.sha256(arguments.output.read_bytes()).hexdigest(),
        licence="Apache-2.0",
        crop=Crop(size=SIDE, margin=round(SIDE / (TEMPLATE[1, 0] - TEMPLATE[0, 0]), 4)),
        outputs=["likeness"],
        training_data=[
            {"name": arguments.archive.name, "pictures": int((folds == "train").sum())},
        ],
        metrics=[
            _metric("false joins", different >= THRESHOLD, joined, command),
            _metric("missed joins", same < THRESHOLD, missed, command),
        ],
        calibration={"threshold": THRESHOLD},
    )
    write_card(card, arguments.output.parent)


if __name__ == "__main__":
    main()
