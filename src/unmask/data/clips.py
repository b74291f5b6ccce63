"""Sequences of aligned crops from clips: equal frame rates, one augmentation a clip, a real encoder.

Every sequence is sampled at one rate, whatever the clip's own, and passes one encoder with one quality for
the real and the fake half of a pair, so that neither frame rate nor codec tells the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from unmask.data.augment import Draw
from unmask.data.augment import Strength as Augmentation
from unmask.data.pairs import CANVAS_PIXELS, canvas_matrix
from unmask.data.selfblend import lay_mesh
from unmask.data.selfblend_video import self_blend_clip
from unmask.faces.align import PLAIN, Framing, warp
from unmask.faces.detect import Detector
from unmask.media.events import Cut, Frame
from unmask.media.h264 import recompress
from unmask.media.reader import read

TICK = 0.1
"""Seconds between searches for the face; in between it moves on the straight line, as in the product."""
RATE = 12.5
"""Frames a second of a sequence at normal speed: every clip at hand has at least twice as many."""
SPEED = (0.8, 1.25)
QUALITY = (18, 34)
"""Best and worst constant rate factor of the encoder."""


@dataclass(frozen=True)
class IndexedClip:
    """Where the largest face is in each frame of a shot: times (N,) in seconds, five points (N, 5, 2)."""

    path: Path
    times: np.ndarray
    points: np.ndarray


def index_clip(path: Path, detector: Detector, *, end: float | None = None) -> IndexedClip | None:
    """Find the largest face in a clip's first shot; None where it is not seen throughout."""
    times: list[float] = []
    at, seen, due = [], [], 0.0
    for event in read(path, rate=None, end=end, threads=1):
        if isinstance(event, Cut) and times:
            break
        if not isinstance(event, Frame) or event.time is None:
            continue
        times.append(event.time)
        if event.time + 1e-6 >= due:
            due = event.time + TICK - 1e-3
            found = max(detector.detect(event.pixels), key=lambda d: float(d.box[2]), default=None)
            if found is None:
                return None
            at.append(event.time)
            seen.append(found.points)
    if len(times) < 2:
        return None
    flat = np.array(seen, np.float64).reshape(len(seen), 10)
    points = np.stack([np.interp(times, at, column) for column in flat.T], axis=1).reshape(-1, 5, 2)
    return IndexedClip(path, np.array(times), points)


def sample_moments(
    times: np.ndarray,
    *,
    length: int,
    rng: np.random.Generator,
    rate: float = RATE,
    speed: tuple[float, float] = SPEED,
) -> np.ndarray:
    """Choose `length` frames at a common rate, from a random start and at a random speed.

    Args:
        times: (N,) seconds of the frames, ascending.
        length: frames wanted.
        rng: the source of start and speed.
        rate: frames a second at speed 1.
        speed: slowest and fastest.

    Returns:
        (length,) indices of frames, each the nearest to its moment.

    Raises:
        ValueError: the clip is too short, or shows so few frames a second that some would be taken twice.
    """
    interval = float(np.exp(rng.uniform(*np.log(speed)))) / rate
    span = (length - 1) * interval
    room = float(times[-1] - times[0]) - span
    if room < 0:
        raise ValueError(f"{length} frames need {span:.2f} s, the clip has {times[-1] - times[0]:.2f} s")
    wanted = times[0] + rng.uniform(0, room) + interval * np.arange(length)
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    nearest = np.where(wanted - times[right - 1] <= times[right] - wanted, right - 1, right)
    if (np.diff(nearest) < 1).any():
        raise ValueError(f"the clip shows fewer than {1 / interval:.1f} frames a second")
    return nearest


def read_frames(clip: IndexedClip, indices: np.ndarray) -> list[np.ndarray]:
    """Return the frames (H, W, 3) with the given ascending indices into the clip's times."""
    wanted = clip.times[indices]
    found: list[np.ndarray] = []
    half = float(np.median(np.diff(clip.times))) / 2
    for event in read(
        clip.path, rate=None, start=max(0.0, wanted[0] - half), end=wanted[-1] + half, threads=1
    ):
        if not isinstance(event, Frame) or event.time is None or len(found) == len(wanted):
            continue
        if abs(event.time - wanted[len(found)]) < half:
            found.append(event.pixels)
    if len(found) != len(wanted):
        raise ValueError(f"{clip.path}: {len(found)} of {len(wanted)} frames were found again")
    return found


class SelfBlendedClips(Dataset[torch.Tensor]):
    """Pairs of clips by number: an untouched one and its self-blend. The same number gives the same pair.

    Args:
        clips: real clips whose faces were found.
        size: side of the crops in pixels.
        length: frames a sequence.
        augmentation: one draw of it holds for all frames of both halves.
        seed: of every draw.

    Each element is a (2, 3, length, size, size) uint8 tensor: real, fake.
    """

    def __init__(
        self, clips: Sequence[IndexedClip], *, size: int, length: int, augmentation: Augmentation, seed: int
    ) -> None:
        if not clips:
            raise ValueError("no clips to make sequences from")
        self._clips, self._size, self._length, self._seed = clips, size, length, seed
        # One draw of noise would stand still over the clip; the encoder takes its place and that of JPEG.
        self._augmentation = replace(augmentation, noise=0.0, jpeg=0.0, video=0.0)

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, number: int) -> torch.Tensor:
        rng = np.random.default_rng((self._seed, number))
        clip = self._clips[int(rng.integers(len(self._clips)))]
        chosen = sample_moments(clip.times, length=self._length, rng=rng)
        canvases, points = _canvases(read_frames(clip, chosen), clip.points[chosen])
        blend = self_blend_clip(canvases, np.stack([lay_mesh(p) for p in points]), rng)
        draw = Draw(int(rng.integers(2**31)), self._augmentation)
        crf, top, left = (int(v) for v in rng.integers((QUALITY[0], 0, 0), (QUALITY[1] + 1, 16, 16)))
        halves = [
            recompress(augment(half, points, draw, self._size), crf=crf, offset=(top, left))
            for half in (blend.real, blend.fake)
        ]
        return torch.from_numpy(np.stack(halves)).permute(0, 4, 1, 2, 3)


def augment(
    frames: Sequence[np.ndarray] | np.ndarray,
    points: np.ndarray,
    draw: Draw,
    size: int,
    *,
    framing: Framing = PLAIN,
) -> np.ndarray:
    """Cut the (T, size, size, 3) crops of T frames (H, W, 3) by five points (T, 5, 2), all by one draw."""
    crops = []
    for pixels, at in zip(frames, points, strict=True):
        matrix = draw.matrix(framing.matrix(at, size), size)
        crops.append(draw.change(warp(pixels, matrix, size), at @ matrix[:, :2].T + matrix[:, 2]))
    return np.stack(crops)


def _canvases(frames: Sequence[np.ndarray], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut the wide crops on which self-blends are made, and the five points in their pixels."""
    crops, moved = [], []
    for pixels, at in zip(frames, points, strict=True):
        matrix = canvas_matrix(at)
        crops.append(warp(pixels, matrix, CANVAS_PIXELS))
        moved.append(at @ matrix[:, :2].T + matrix[:, 2])
    return np.stack(crops), np.stack(moved)
