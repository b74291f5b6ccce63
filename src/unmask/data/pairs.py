"""Training pictures two by two: by default a real face and a fake one that differ by as little else as can
be had.

A pair is a fake with the real picture that it was made from, where that is known; else with a real
picture of the same data set; or a real picture with its own self-blend, self-swap or part swap. Thus every
source gives as many reals as fakes, and its look says nothing about the label.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from unmask.data.augment import Draw, Strength
from unmask.data.index import UNREADABLE, IndexedFace, decode, read_member
from unmask.data.manifest import DataError, Item
from unmask.data.partswap import nearest, part_swap
from unmask.data.selfblend import SelfBlend, lay_mesh, self_blend
from unmask.data.selfswap import Renderer, self_swap
from unmask.faces.align import PLAIN, Framing, crop, crop_matrix, warp
from unmask.faces.landmarks import PRESENCE, Landmarker, square_of_landmarks

SELF_BLEND = "self-blend"
SELF_SWAP = "self-swap"
PART_SWAP = "part-swap"
OWN_KINDS = (SELF_BLEND, SELF_SWAP, PART_SWAP)
"""Kinds of fakes that are made here, from the reals."""
DONORS = 6
"""So many faces of other groups are drawn for a part swap; the one posed most alike gives its part."""
CANVAS = 3.4
"""Side of the square on which a self-blend is made, as a multiple of the distance between the eyes."""
CANVAS_PIXELS = 320


def canvas_matrix(points: np.ndarray) -> np.ndarray:
    """Return the (2, 3) map from picture to the upright square on which fakes are made.

    Args:
        points: (5, 2) in picture pixels.
    """
    return crop_matrix(points, CANVAS_PIXELS, margin=CANVAS)


class Pictures:
    """Reads pictures out of zips, each process with its own open files."""

    def __init__(self) -> None:
        self._open: dict[Path, zipfile.ZipFile] = {}

    def __getstate__(self) -> dict:
        return {"_open": {}}

    def read(self, item: Item) -> np.ndarray:
        """Return the item's picture, (H, W, 3) uint8 RGB.

        Raises:
            DataError: it cannot be read; the message names it.
        """
        data = self.read_bytes(item)
        try:
            return decode(data)
        except UNREADABLE as error:
            raise DataError(f"{item.path}: {item.member} is no readable picture ({error})") from None

    def read_bytes(self, item: Item) -> bytes:
        """Return the item's picture as it is stored.

        Raises:
            DataError: the zip is damaged.
        """
        if item.path not in self._open:
            self._open[item.path] = zipfile.ZipFile(item.path)
        return read_member(self._open[item.path], item.path, item.member)


class Meshes:
    """Finds the landmarks of faces that a fake is made of, each process with its own network."""

    def __init__(self) -> None:
        self._landmarker: Landmarker | None = None

    def __getstate__(self) -> dict:
        return {"_landmarker": None}

    def of(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the (478, 2) landmarks of a face, or the mean mesh laid on its points where none are seen.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            points: (5, 2) points of the face in it.
        """
        laid = lay_mesh(points)
        if self._landmarker is None:
            self._landmarker = Landmarker(threads=1)
        own, presence = self._landmarker.mesh(pixels, square_of_landmarks(laid))
        return own[:, :2].astype(float) if presence >= PRESENCE else laid


Faces = Mapping[tuple[Path, str], IndexedFace | None]


Sampling = Literal["paired", "balanced", "natural"]


class PairDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs by number: the same number always gives the same pair, so that a run can go on where it stopped.

    Args:
        items: the training items; those whose face was not found are left out.
        faces: the found faces.
        size: side of the crops in pixels.
        framing: of the crops.
        kinds: share of each kind of fake among the pairs; the `OWN_KINDS` may be among them.
        blend_sources: share of each data set among the reals that the `OWN_KINDS` are made from.
        strength: of the augmentation.
        seed: of every draw.
        sampling: "paired": a fake and the real it was made from, or one of its data set; "balanced": a fake
            and any real; "natural": two items as they come, so that the larger class is seen more often, the
            fakes of the `kinds` named, whatever their shares.
        renderer: the generator of self-swaps, see `unmask.data.selfswap`.

    Each element is a (2, 3, size, size) uint8 tensor of pictures and their (2,) labels (1 = fake): a real
    and a fake, but for natural sampling.
    """

    def __init__(
        self,
        items: Sequence[Item],
        faces: Faces,
        *,
        size: int,
        framing: Framing = PLAIN,
        kinds: Mapping[str, float],
        blend_sources: Mapping[str, float],
        strength: Strength,
        seed: int,
        sampling: Sampling = "paired",
        renderer: Renderer | None = None,
    ) -> None:
        self._renderer = renderer
        self._sampling = sampling
        self._faces = faces
        self._size, self._framing = size, framing
        self._strength = strength
        self._seed = seed
        self._pictures = Pictures()
        self._meshes = Meshes()
        usable = [item for item in items if faces.get(item.place) is not None]
        reals = [item for item in usable if item.label == "real"]
        self._natural = [item for item in usable if item.label == "real" or item.manipulation in kinds]
        self._by_name = {(item.data_set, item.name): item for item in reals}
        self._reals: dict[str, list[Item]] = {}
        for item in reals:
            self._reals.setdefault(item.data_set, []).append(item)
        self._fakes: dict[str, list[list[Item]]] = {}
        by_origin: dict[str, dict[str, list[Item]]] = {}
        for item in usable:
            if item.label == "fake":
                by_origin.setdefault(item.manipulation, {}).setdefault(item.original or item.name, []).append(
                    item
                )
        self._fakes = {kind: list(origins.values()) for kind, origins in by_origin.items()}
        missing = [k for k in kinds if k not in OWN_KINDS and k not in self._fakes]
        if missing or (not reals):
            raise ValueError(f"no training pictures for {', '.join(missing) or 'the real class'}")
        self._kinds = list(kinds)
        self._kind_shares = np.array([kinds[k] for k in self._kinds]) / sum(kinds.values())
        sources = {k: v for k, v in blend_sources.items() if k in self._reals} or dict.fromkeys(
            self._reals, 1.0
        )
        self._sources = list(sources)
        self._source_shares = np.array([sources[k] for k in self._sources]) / sum(sources.values())

    def __len__(self) -> int:
        return 2**31

    def kind(self, number: int) -> str:
        """Return the kind of fake that a pair holds (not of natural sampling, which draws items)."""
        return self._kind(np.random.default_rng((self._seed, number)))

    def _kind(self, rng: np.random.Generator) -> str:
        return self._kinds[rng.choice(len(self._kinds), p=self._kind_shares)]

    def _choose(self, rng: np.random.Generator) -> tuple[Item, Item | str]:
        """Draw a real item and a fake one; one of the `OWN_KINDS` stands for what is made of the real one."""
        kind = self._kind(rng)
        if kind in OWN_KINDS:
            return self._any_real(rng), kind
        origins = self._fakes[kind]
        group = origins[rng.integers(len(origins))]
        fake = group[rng.integers(len(group))]
        if self._sampling == "balanced":
            return self._any_real(rng), fake
        real = self._by_name.get((fake.data_set, fake.original))
        if real is None and fake.manipulation.startswith("Stable Diffusion"):
            real = self._any_real(rng)
        if real is None:
            candidates = self._reals.get(fake.data_set)
            real = candidates[rng.integers(len(candidates))] if candidates else self._any_real(rng)
        return real, fake

    def _any_real(self, rng: np.random.Generator) -> Item:
        reals = self._reals[self._sources[rng.choice(len(self._sources), p=self._source_shares)]]
        return reals[rng.integers(len(reals))]

    def _points(self, item: Item) -> np.ndarray:
        face = self._faces[item.place]
        assert face is not None
        return face.points

    def _made(self, kind: str, item: Item, draw: Draw, rng: np.random.Generator) -> list[np.ndarray]:
        """Return the real crop and the fake made of it, framed and augmented by one draw."""
        canvas, points, mesh = self._square(item)
        blend: SelfBlend
        if kind == PART_SWAP:
            donor, _, donor_mesh = self._square(self._donor(item, rng))
            blend = part_swap(canvas, mesh, donor, donor_mesh, rng)
        elif kind == SELF_SWAP:
            blend = self_swap(canvas, points, mesh, rng, renderer=self._renderer)
        else:
            blend = self_blend(canvas, mesh, rng)
        return [self._augmented(pixels, points, draw) for pixels in (canvas, blend.fake)]

    def _square(self, item: Item) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the square on which fakes are made, and the points and landmarks of the face in it."""
        base = canvas_matrix(self._points(item))
        canvas = warp(self._pictures.read(item), base, CANVAS_PIXELS)
        points = self._points(item) @ base[:, :2].T + base[:, 2]
        return canvas, points, self._meshes.of(canvas, points)

    def _donor(self, item: Item, rng: np.random.Generator) -> Item:
        """Draw a real of the same data set and another group, posed like the item where that can be had."""
        reals = self._reals[item.data_set]
        drawn = [reals[k] for k in rng.integers(len(reals), size=DONORS)]
        others = [one for one in drawn if one.group != item.group] or drawn
        return others[nearest(self._points(item), [self._points(one) for one in others])]

    def _crop(self, item: Item, draw: Draw) -> np.ndarray:
        return self._augmented(self._pictures.read(item), self._points(item), draw)

    def _augmented(self, pixels: np.ndarray, points: np.ndarray, draw: Draw) -> np.ndarray:
        """Cut the crop of a face out of a picture and change it, all by one draw."""
        part, corner = draw.cut(pixels, points)
        base = self._framing.matrix(points - corner, self._size)
        matrix = draw.matrix(base, self._size)
        placed = (points - corner) @ matrix[:, :2].T + matrix[:, 2]
        return draw.change(warp(part, matrix, self._size), placed)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((self._seed, number))
        if self._sampling == "natural":
            items = [self._natural[rng.integers(len(self._natural))] for _ in range(2)]
            crops = [self._crop(item, self._draw(rng)) for item in items]
            return _as_tensors(crops, [float(item.label == "fake") for item in items])
        real, fake = self._choose(rng)
        draw = self._draw(rng)
        if isinstance(fake, str):
            pair = self._made(fake, real, draw, rng)
        else:
            # Half of the pairs share their draw: then the manipulation alone tells them apart.
            other = draw if rng.random() < 0.5 else self._draw(rng)
            pair = [self._crop(real, draw), self._crop(fake, other)]
        return _as_tensors(pair, [0.0, 1.0])

    def _draw(self, rng: np.random.Generator) -> Draw:
        return Draw(int(rng.integers(2**31)), self._strength)


def _as_tensors(crops: Sequence[np.ndarray], labels: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2), torch.tensor(labels)


def said_plainly(loader: Iterable[Any]) -> Iterator[Any]:
    """Iterate over a loader; of an error in a loading process its sentence remains, without a traceback.

    Raises:
        DataError: a picture cannot be read.
    """
    try:
        yield from loader
    except DataError as error:
        sentence = str(error).rstrip().splitlines()[-1]
        raise DataError(sentence.removeprefix(f"{DataError.__module__}.DataError: ")) from None


class Numbers(Sampler[int]):
    """Counts up from `start`: a resumed run goes on with the pairs that would have come next.

    Args:
        start: the first number.
        count: so many numbers.
        batch: numbers a batch, over all devices.
        part: this device's first number within a batch, and how many it takes of each.
    """

    def __init__(self, start: int, count: int, *, batch: int = 1, part: tuple[int, int] = (0, 1)) -> None:
        first, share = part
        offsets = range(first, first + share)
        self._numbers = [start + b + k for b in range(0, count, batch) for k in offsets]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class CropDataset(Dataset[tuple[torch.Tensor, int]]):
    """The product's own crops of the given items, unchanged, with labels (1 = fake)."""

    def __init__(
        self,
        items: Sequence[Item],
        faces: Faces,
        *,
        size: int,
        framing: Framing = PLAIN,
    ) -> None:
        self._items = [item for item in items if faces.get(item.place) is not None]
        self._faces, self._size, self._pictures = faces, size, Pictures()
        self._framing = framing

    @property
    def items(self) -> list[Item]:
        """The items in order, without those whose face was not found."""
        return self._items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        item = self._items[index]
        face = self._faces[item.place]
        assert face is not None
        pixels = crop(self._pictures.read(item), face.points, size=self._size, framing=self._framing)
        return torch.from_numpy(pixels).permute(2, 0, 1), int(item.label == "fake")
