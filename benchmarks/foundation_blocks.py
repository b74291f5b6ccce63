"""Asks which block of CLIP's image encoder tells composites best (docs/experiments/visual.md, section 26).

Run by hand:
    python benchmarks/foundation_blocks.py ENCODER WORK --dataset FOLDERS
ENCODER and FOLDERS as for `unmask.training.companion`; WORK keeps the found faces. Nothing is trained but
logistic regression on *train* composites, from the first token, the mean and the deviation of the patches
after each block; the figures are AUC on *tune*.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from unmask.data.index import FaceIndex
from unmask.data.manifest import cut_tune, merge, read_zip
from unmask.data.pairs import Pictures
from unmask.faces.detect import Detector
from unmask.models.vision_transformer import load_encoder
from unmask.training.archives import find_archives
from unmask.training.companion import argument_parser, read_crop

BLOCKS, BATCH = 8, 16
STRENGTHS = (1e-5, 1e-4, 1e-3)


@torch.inference_mode()
def main() -> None:
    """Print a line for each block."""
    given = argument_parser(__doc__).parse_args()
    items = cut_tune(merge(map(read_zip, find_archives(given.dataset))), share=0.06)
    items = [i for i in items if i.data_set == "composites" and i.split in ("train", "tune")]
    faces = FaceIndex(given.work / "faces").build(items, detector=Detector(threads=0))
    seen = [(item, face) for item in items if (face := faces.get(item.place)) is not None]
    network, pictures, rows = load_encoder(given.encoder, BLOCKS), Pictures(), []
    for start in range(0, len(seen), BATCH):
        part = seen[start : start + BATCH]
        crops = np.stack([read_crop(pictures.read(item), face.points) for item, face in part])
        stream, told = network.embed(torch.from_numpy(crops).permute(0, 3, 1, 2)), []
        for block in network.blocks:
            stream = block(stream)
            patches = stream[:, 1:]
            told.append(torch.stack([stream[:, 0], patches.mean(1), patches.std(1)], 1))
        rows.append(torch.stack(told, 1).numpy())
    features = np.concatenate(rows)
    fake = np.array([item.label == "fake" for item, _ in seen])
    train = np.array([item.split == "train" for item, _ in seen])
    print(f"{train.sum()} train, {fake[~train].sum()} fakes and {(~fake[~train]).sum()} reals tune")
    for number in range(BLOCKS):
        parts = {"token": [0], "mean": [1], "deviation": [2], "all": [0, 1, 2]}
        line = []
        for name, columns in parts.items():
            x = features[:, number, columns].reshape(len(features), -1)
            x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-6)
            found = []
            for strength in STRENGTHS:
                fitted = LogisticRegression(C=strength, class_weight="balanced", max_iter=300)
                fitted.fit(x[train], fake[train])
                found.append(f"{roc_auc_score(fake[~train], fitted.decision_function(x[~train])):.3f}")
            line.append(f"{name} {' '.join(found)}")
        print(f"block {number + 1}: " + ", ".join(line), flush=True)


if __name__ == "__main__":
    main()
