"""Self-blended video: a fake clip made from one real clip alone (2204.08376 carried over to time).

One mask family, one colour transform and one elastic change of the mask hold for the whole clip, as they do
in a swapped video. What changes from frame to frame is what swaps get wrong over time: the mask trembles
with the landmarks, the blended face drifts against the head, and for a few frames it lags behind (repeats).

The untouched partner is not the raw clip: its face is resampled by the same maps and back and laid in by the
same masks, so that neither interpolation nor the number of steps tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from unmask.data.selfblend import _elastic, change_appearance, face_mask, soften

SMOOTH = 0.8
"""How much of a frame's tremble is that of the frame before."""


@dataclass(frozen=True)
class Strength:
    """How far a self-blended clip departs from the real one; lengths as shares of the crop's side."""

    shape: float = 0.005
    """Deviation of the landmarks, the same for the whole clip."""
    tremble: float = 0.003
    """Deviation of the landmarks from frame to frame."""
    shift: float = 0.02
    """Largest shift of the blended face, the same for the whole clip."""
    drift: float = 0.015
    """Largest further shift from the first frame to the last."""
    repeats: float = 0.5
    """Share of clips in which the blended face lags for a while."""


@dataclass(frozen=True)
class ClipBlend:
    """A fake clip and its untouched partner, (T, H, W, 3) uint8, and the masks (T, H, W) in 0..1.

    `repeated` is the range of frames (first, last + 1) in which the blended face lags, or None.
    """

    fake: np.ndarray
    real: np.ndarray
    masks: np.ndarray
    repeated: tuple[int, int] | None


def self_blend_clip(
    frames: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator, strength: Strength | None = None
) -> ClipBlend:
    """Make a fake of a real clip, and its partner.

    Args:
        frames: (T, H, W, 3) uint8 RGB crops that hold the whole face where they can, square.
        landmarks: (T, 478, 2) mesh points in the pixels of each frame.
        rng: the source of every draw.
        strength: how far the fake departs.

    Raises:
        ValueError: frames and landmarks differ in number, or there are none.
    """
    if len(frames) != len(landmarks) or not len(frames):
        raise ValueError(f"as many landmarks as frames are needed, not {len(landmarks)} for {len(frames)}")
    how = strength or Strength()
    side = frames.shape[2]
    look, shape = (int(seed) for seed in rng.integers(2**31, size=2))
    change_source = rng.random() < 0.5
    offset = rng.normal(0, how.shape * side, size=landmarks.shape[1:])
    places = landmarks + offset + _tremble(len(frames), landmarks.shape[1:], how.tremble * side, rng)
    matrices = _drifting(len(frames), frames.shape[1:3], how, rng)
    order, repeated = _lagging(len(frames), how.repeats, rng)
    fake, real, masks = np.empty_like(frames), np.empty_like(frames), []
    for index, frame in enumerate(frames):
        matrix = matrices[index]
        changed = change_appearance(frame, np.random.default_rng(look))
        target = frame if change_source else changed
        blended_in = frames[order[index]]
        if change_source:
            blended_in = change_appearance(blended_in, np.random.default_rng(look))
        mask = _mask(places[order[index]], frame.shape[:2], matrix, np.random.default_rng(shape))
        fake[index] = _lay(_move(blended_in, matrix), target, mask)
        resampled = _move(_move(frame, matrix), cv2.invertAffineTransform(matrix))
        real[index] = _lay(resampled, frame, mask)
        masks.append(mask)
    return ClipBlend(fake, real, np.stack(masks), repeated)


def _mask(
    landmarks: np.ndarray, shape: tuple[int, int], matrix: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the mask of a frame; the same generator state gives every frame the same kind of mask."""
    side = shape[1]
    mask = _elastic(face_mask(landmarks, shape, rng), rng, alpha=50 * side / 224, sigma=7 * side / 224)
    return soften(cv2.warpAffine(mask, matrix, shape[::-1]), rng)


def _move(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)


def _lay(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    mixed = mask[..., None] * source + (1 - mask[..., None]) * target
    return np.clip(np.round(mixed), 0, 255).astype(np.uint8)


def _tremble(count: int, shape: tuple[int, ...], deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return (count, *shape) noise of the given deviation whose neighbours in time resemble each other."""
    noise = rng.normal(0, deviation, size=(count, *shape))
    for index in range(1, count):
        noise[index] = SMOOTH * noise[index - 1] + np.sqrt(1 - SMOOTH**2) * noise[index]
    return noise


def _drifting(count: int, shape: tuple[int, int], how: Strength, rng: np.random.Generator) -> np.ndarray:
    """Return the (count, 2, 3) maps of the blended face: one scale, one shift, one drift."""
    size = np.array(shape[::-1], np.float64)
    scale = rng.uniform(0.95, 1 / 0.95)
    shift = rng.uniform(-how.shift, how.shift, size=2) * size
    drift = rng.uniform(-how.drift, how.drift, size=2) * size
    along = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
    matrices = np.zeros((count, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = scale
    matrices[:, :, 2] = size / 2 * (1 - scale) + shift + along[:, None] * drift
    return matrices


def _lagging(count: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Return which frame's face each frame shows, and the span in which faces are held."""
    order = np.arange(count)
    if count < 4 or rng.random() >= share:
        return order, None
    hold = int(rng.integers(2, 5))
    length = int(rng.integers(hold, max(hold + 1, min(4 * hold, count) + 1)))
    first = int(rng.integers(0, count - length + 1))
    span = np.arange(length)
    order[first : first + length] = first + span // hold * hold
    return order, (first, first + length)
