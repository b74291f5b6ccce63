"""Trains the renderer of self-swaps on the real faces of *train*.

Run by hand: `python -m unmask.training.autoencoder -d DATA_SETS -o runs/autoencoder.safetensors`. A run that
trains with self-swaps names the file in its configuration (`renderer`).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from unmask.data.index import FaceIndex
from unmask.data.manifest import Item
from unmask.data.pairs import Faces, Pictures
from unmask.data.selfswap import placement
from unmask.faces.align import warp
from unmask.faces.detect import Detector
from unmask.models.autoencoder import FaceAutoencoder
from unmask.training.archives import find_archives, training_items

SIDE = 128
GRADIENTS = 1.0
"""Weight of the differences between neighbouring pixels in the loss: edges count beside colours."""


class RealFaces(Dataset[Tensor]):
    """Aligned real faces (3, 128, 128) uint8, by number; each data set is drawn as often as the others."""

    def __init__(self, items: Sequence[Item], faces: Faces, *, seed: int) -> None:
        self._faces, self._seed, self._pictures = faces, seed, Pictures()
        self._by_set: dict[str, list[Item]] = {}
        for item in items:
            if item.label == "real" and item.split == "train" and faces.get(item.place) is not None:
                self._by_set.setdefault(item.data_set, []).append(item)
        if not self._by_set:
            raise ValueError("no real faces to train on")

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> Tensor:
        rng = np.random.default_rng((self._seed, number))
        items = self._by_set[list(self._by_set)[rng.integers(len(self._by_set))]]
        item = items[rng.integers(len(items))]
        face = self._faces[item.place]
        assert face is not None
        crop = warp(self._pictures.read(item), placement(face.points, SIDE, rng), SIDE)
        return torch.from_numpy(crop[:, ::-1].copy() if rng.random() < 0.5 else crop).permute(2, 0, 1)


def loss(drawn: Tensor, faces: Tensor) -> Tensor:
    """Return the mean absolute error of colours and of differences between neighbours."""
    across = functional.l1_loss(drawn.diff(dim=3), faces.diff(dim=3))
    down = functional.l1_loss(drawn.diff(dim=2), faces.diff(dim=2))
    return functional.l1_loss(drawn, faces) + GRADIENTS * (across + down)


def train(items: Sequence[Item], faces: Faces, path: Path, *, minutes: float, batch: int = 32) -> float:
    """Train for so many minutes, save the weights, and return the mean loss of the last 100 batches."""
    cv2.setNumThreads(1)  # loading processes are forked
    torch.manual_seed(0)
    network = FaceAutoencoder().train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    loader = DataLoader(RealFaces(items, faces, seed=0), batch_size=batch, num_workers=1, shuffle=False)
    begun = time.monotonic()
    losses: list[float] = []
    for pictures in loader:
        progress = (time.monotonic() - begun) / 60 / minutes
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, len(losses) / 100 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * progress))
        target = pictures.float().div(255).contiguous(memory_format=torch.channels_last)
        value = loss(network(target), target)
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {float(value.detach())} at batch {len(losses)}")
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
        if len(losses) % 200 == 0:
            save(network, path)
            print(f"{len(losses)} batches  {progress:.0%}  loss {np.mean(losses[-100:]):.4f}", flush=True)
    save(network, path)
    return float(np.mean(losses[-100:]))


def save(network: FaceAutoencoder, path: Path) -> None:
    """Write the weights as safetensors."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, part)
    part.replace(path)


class Renderer:
    """Draws aligned faces anew, with a code that is disturbed in two of five draws.

    Args:
        path: the trained weights.

    Raises:
        ValueError: the file is missing, damaged, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._network = FaceAutoencoder().eval()
        try:
            self._network.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ValueError(f"{path}: no renderer of self-swaps ({str(error).splitlines()[0]})") from None

    @torch.inference_mode()
    def __call__(self, face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw an (S, S, 3) uint8 face anew; S is a multiple of 16."""
        faces = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None].float().div(255)
        code = self._network.encode(faces)
        if rng.random() < 0.4:
            noise = rng.normal(0, rng.uniform(0.02, 0.12), size=code.shape)
            code = code + code.std() * torch.from_numpy(noise).float()
        drawn = self._network.draw(code).clamp(0, 1).mul(255).round()
        return np.ascontiguousarray(drawn[0].permute(1, 2, 0).to(torch.uint8).numpy())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command of the module's description."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-d", "--dataset", type=Path, action="append", required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/autoencoder.safetensors"))
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    items = training_items(find_archives(given.dataset), tune_share=0.06, seed=0)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    faces = FaceIndex(given.output.parent / "faces").build(items, detector=Detector(threads=given.threads))
    print(f"loss {train(items, faces, given.output, minutes=given.minutes):.4f}")


if __name__ == "__main__":
    main()
