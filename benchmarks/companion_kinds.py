"""Compares one answer of the companion for all fakes with one for each kind (docs/experiments/visual.md, 28).

Run by hand, after `unmask.training.companion` with the same arguments, whose kept features it reads:
    python benchmarks/companion_kinds.py ENCODER WORK --dataset FOLDERS

First: five folds of *train* and *tune* by group, each told by regressions on the other four. Then: each
kind left out with the reals of its data sets, told from these and from a fifth of the other data sets'
reals, also left out. All figures are AUC of the companion alone, unmirrored.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from unmask.training.answer import Answer, learn
from unmask.training.companion import Maker, argument_parser
from unmask.training.loop import auc_by_kind

HELD_BACK, FOLDS = 0.1, 5


def answers(learned: Answer, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the one answer, the kinds, and both say of features, each divided by its deviation."""
    one, kinds = (part / part.std() for part in learned.parts(x))
    return {"one": one, "kinds": kinds, "both": (one + kinds) / 2}


def main() -> None:
    """Print both tables."""
    given = argument_parser(__doc__).parse_args()
    maker = Maker(given.work, given.encoder, given.dataset)
    told = maker.features(0, 1)
    items = [item for item, _ in maker.looks()] + maker.found("tune")
    x = np.concatenate([told["train"], told["tune"]])
    kind = np.array([item.manipulation if item.label == "fake" else "" for item in items])
    source = np.array([item.data_set for item in items])
    groups = np.unique([f"{item.data_set} {item.group}" for item in items], return_inverse=True)[1]

    out: dict[str, np.ndarray] = {}
    for train, rest in GroupKFold(FOLDS).split(x, groups=groups):
        learned = learn([items[k] for k in train], x[train], HELD_BACK)
        for name, values in answers(learned, x[rest]).items():
            out.setdefault(name, np.zeros(len(items)))[rest] = values
    for name, values in out.items():
        areas = auc_by_kind(items, values)
        print(
            f"folds, {name}: {np.mean(list(areas.values())):.3f}", {k: round(v, 3) for k, v in areas.items()}
        )

    held = (kind == "") & (np.arange(len(items)) % FOLDS == 0)
    for left in sorted(set(kind) - {""}):
        own = (kind == "") & np.isin(source, source[kind == left])
        rows = np.flatnonzero((kind != left) & ~own & ~held)
        learned = learn([items[k] for k in rows], x[rows], HELD_BACK)
        line = []
        for name, values in answers(learned, x).items():
            areas = []
            for reals in (own, held & ~own):
                chosen = (kind == left) | reals
                areas.append(f"{roc_auc_score((kind == left)[chosen], values[chosen]):.3f}")
            line.append(f"{name} {' '.join(areas)}")
        print(f"left out {left} (own reals, others): " + ", ".join(line), flush=True)


if __name__ == "__main__":
    main()
