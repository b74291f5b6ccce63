"""Does loading keep up with training? Steps a second on ready tensors, and with pictures loaded beside them.

    python benchmarks/loading.py DATA_SETS --size 192

The same network, batch and threads are measured with a batch that lies ready in memory, with loaded pictures
and plain augmentation (framing, flips and colour), with the whole augmentation, and with self-blends and
re-compression in every picture. Run it on a machine that does nothing else. Needs the train extra.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

import cv2
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from unmask.data.augment import Strength
from unmask.data.index import FaceIndex
from unmask.data.pairs import SELF_BLEND, Numbers, PairDataset
from unmask.faces.detect import Detector
from unmask.models.registry import architecture, create
from unmask.training.archives import find_archives, training_items
from unmask.training.detector import normalise

PLAIN = Strength(grey=0, resize=0, blur=0, noise=0, jpeg=0, video=0, drop=0)
RECOMPRESSED = Strength(jpeg=1.0, video=1.0)
WARM_UP = 5


def seconds_a_step(
    network: torch.nn.Module, batches: Iterable[tuple[Tensor, Tensor]], steps: int, preprocessing
) -> float:
    """Train for so many steps and return the seconds that one took, without the first few."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    source: Iterator[tuple[Tensor, Tensor]] = iter(batches)
    begun = 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            begun = time.perf_counter()
        pixels, labels = next(source)
        inputs = normalise(pixels.flatten(0, 1), preprocessing.mean, preprocessing.std)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        loss = functional.binary_cross_entropy_with_logits(
            network(inputs).flatten(), labels.flatten().float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (time.perf_counter() - begun) / steps


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="data set zips, or folders of them")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frozen-parts", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--faces", type=Path, default=Path("runs/faces"), help="where found faces are kept")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(1)
    items = training_items(find_archives(given.data), tune_share=0.06, seed=0)
    faces = FaceIndex(given.faces).build(items, detector=Detector(threads=given.threads))
    fakes = sorted({item.manipulation for item in items if item.fake})
    preprocessing = architecture(given.model).preprocessing
    pairs = given.batch_size // 2

    def loaded(kinds: dict[str, float], strength: Strength) -> DataLoader:
        reals = dict.fromkeys(sorted({item.data_set for item in items if not item.fake}), 1.0)
        data = PairDataset(
            [item for item in items if item.split == "train"],
            faces,
            size=given.size,
            kinds=kinds,
            blend_sources=reals,
            strength=strength,
            seed=0,
        )
        numbers = Numbers(0, (WARM_UP + given.steps) * pairs, batch=pairs, part=(0, pairs))
        return DataLoader(data, batch_size=pairs, sampler=numbers, num_workers=given.workers)

    kinds = dict.fromkeys(fakes, 1.0)
    ready = (
        torch.randint(0, 256, (pairs, 2, 3, given.size, given.size), dtype=torch.uint8),
        torch.tensor([[0.0, 1.0]] * pairs),
    )
    sources: dict[str, Iterable[tuple[Tensor, Tensor]]] = {
        "ready tensor": repeat(ready),
        "plain augmentation": loaded(kinds, PLAIN),
        "whole augmentation": loaded(kinds, Strength()),
        "self-blends": loaded({SELF_BLEND: 1.0}, Strength()),
        "re-compression of every picture": loaded(kinds, RECOMPRESSED),
        "ready tensor again": repeat(ready),
    }
    result = {}
    for name, batches in sources.items():
        network = create(given.model).train()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.freeze_backbone(given.frozen_parts)
        result[name] = given.batch_size / seconds_a_step(network, batches, given.steps, preprocessing)
    best = max(result["ready tensor"], result["ready tensor again"])
    print(
        json.dumps(
            {
                name: {"pictures/s": round(speed, 1), "share": round(speed / best, 3)}
                for name, speed in result.items()
            }
        )
    )


if __name__ == "__main__":
    main()
