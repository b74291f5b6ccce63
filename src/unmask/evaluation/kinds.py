"""Fits the classifier that names the kind of a manipulation (`unmask.verdict.kinds`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from unmask.data.index import central
from unmask.data.manifest import Item, thin
from unmask.data.pairs import Pictures
from unmask.faces.detect import Detector
from unmask.runtime.network import VisualNetwork
from unmask.verdict.kinds import Kind, KindSettings

KINDS: dict[str, Kind] = {
    "DFDC": "swap",
    "OpenForensics": "swap",
    "inswapper_128": "swap",
    "StyleGAN family": "synthesis",
    "Stable Diffusion 2.1": "synthesis",
    "hand-made composite": "edit",
}
"""The kind of each manipulation that the classifier is fitted on."""
PRECISION = 0.9
"""Of the tune fakes that are given a kind's name, so many must be of it, for each kind alike."""
LEAST = 20
"""A kind that fewer tune fakes would be given rightly is never named: its precision would not be known."""
CERTAINTIES = (0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995, 0.998, 0.999)
"""Tried in this order. Less than the first would be a guess: *tune* holds no kind that was not learnt."""
DECAY = 0.003
"""The inverse strength of the classifier's penalty."""
BATCH = 32


def features_of(
    items: Sequence[Item], network: VisualNetwork, *, threads: int
) -> tuple[np.ndarray, list[Item]]:
    """Return the deep features (N, D) of the items' central faces, cut as the product cuts them."""
    detector, pictures = Detector(threads=threads), Pictures()
    rows: list[np.ndarray] = []
    kept: list[Item] = []
    crops: list[np.ndarray] = []
    for number, item in enumerate(items):
        pixels = pictures.read(item)
        face = central(detector.detect(pixels), (pixels.shape[1], pixels.shape[0]))
        if face is not None:
            crops.append(network.crop(pixels, face.points))
            kept.append(item)
        if crops and (len(crops) == BATCH or number == len(items) - 1):
            rows.append(network.infer(np.stack(crops)).embeddings)
            crops = []
    return (np.concatenate(rows) if rows else np.empty((0, 0))), kept


def fit_kinds(
    model: Path,
    items: Sequence[Item],
    *,
    each: int = 700,
    threads: int = 2,
    seed: int = 0,
    report: Callable[[str], None],
) -> KindSettings | None:
    """Fit on *train* fakes and set the certainty on *tune* fakes; None where fewer than two kinds are there.

    Args:
        model: the exported network.
        items: of any split.
        each: at most so many fakes of a manipulation.
        threads: of detection and inference.
        seed: of the choice of items.
        report: called with one line of progress at a time.
    """
    fakes = [item for item in items if item.manipulation in KINDS]
    chosen = {
        split: thin([item for item in fakes if item.split == split], each, seed=seed)
        for split in ("train", "tune")
    }
    if len({KINDS[item.manipulation] for item in chosen["train"]}) < 2 or not chosen["tune"]:
        return None
    network = VisualNetwork(model, threads=threads)
    features, train = features_of(chosen["train"], network, threads=threads)
    settings = fit(features, [KINDS[item.manipulation] for item in train])
    shown, tune = features_of(chosen["tune"], network, threads=threads)
    settings = with_certainty(settings, shown, [KINDS[item.manipulation] for item in tune])
    limits = zip(settings.classes, settings.certainties, strict=True)
    report(
        f"kinds: {', '.join(f'{k} from {c}' if c is not None else f'{k} never' for k, c in limits)}; named "
        f"{settings.named} of {settings.fakes} tune fakes, {settings.precision or 0:.1%} rightly"
    )
    return settings


def fit(features: np.ndarray, kinds: Sequence[Kind]) -> KindSettings:
    """Fit the classifier to (N, D) features; each class counts alike, however many items it has."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    model = LogisticRegression(C=DECAY, class_weight="balanced", max_iter=2000)
    model.fit((features - mean) / scale, np.array(kinds))
    matrix, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        matrix, offsets = np.concatenate([-matrix, matrix]) / 2, np.concatenate([-offsets, offsets]) / 2
    weights = matrix / scale
    offsets = offsets - weights @ mean
    return KindSettings(
        classes=tuple(map(str, model.classes_)),  # type: ignore[arg-type]
        weights=tuple(tuple(map(float, row.round(5))) for row in weights),
        offsets=tuple(map(float, offsets.round(5))),
        certainties=(0.0,) * len(model.classes_),
    )


def with_certainty(settings: KindSettings, features: np.ndarray, kinds: Sequence[Kind]) -> KindSettings:
    """Set for each class the lowest certainty at which `PRECISION` of what is given its name is of it.

    A class has no certainty, and is never named, where none is enough or `LEAST` are not named rightly.
    """
    probabilities = settings.probabilities(features)
    guess, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    truth = np.array([settings.classes.index(kind) for kind in kinds])
    certainties: list[float | None] = []
    named = np.zeros(len(truth), bool)
    for k in range(len(settings.classes)):
        for certainty in CERTAINTIES:
            seen = (guess == k) & (sure >= certainty)
            right = (truth[seen] == k).sum()
            if right >= max(LEAST, PRECISION * seen.sum()):
                certainties.append(certainty)
                named |= seen
                break
        else:
            certainties.append(None)
    precision = float((truth[named] == guess[named]).mean()) if named.any() else None
    return settings.model_copy(
        update={
            "certainties": tuple(certainties),
            "precision": None if precision is None else round(precision, 4),
            "named": int(named.sum()),
            "fakes": len(truth),
        }
    )
