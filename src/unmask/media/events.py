"""The ordered stream of events that a file becomes: the only thing the rooms above `media` ever see.

Order: `Media` first, then `Frame`, `Audio`, `Cut` and `Gap` by time, `End` last. A `Cut` comes
directly before the first frame of the new shot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

MediaKind = Literal["video", "picture", "audio"]


@dataclass(frozen=True)
class Media:
    """What the container says before anything is decoded.

    `size` is (width, height) in displayed square pixels; `duration` in seconds (None: unknown, or a
    picture); `frame_rate` is the average rate as a fraction. `metadata` holds what the file itself
    says (encoder, creation time, edits, EXIF, JPEG tables) as JSON-ready values.
    """

    path: Path
    sha256: str
    kind: MediaKind
    container: str
    size: tuple[int, int] | None
    duration: float | None = None
    frame_rate: Fraction | None = None
    frame_count: int | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    pixel_format: str | None = None
    bit_rate: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One displayed picture.

    `pixels` is (H, W, 3) uint8 RGB, upright, square-pixelled. `time` is the presentation time in
    seconds from the first frame of the file (None for a picture). `index` counts decoded frames of
    the file, wanted or not. `transform` is the (2, 3) affine map from stored to displayed pixels.
    """

    index: int
    time: float | None
    pixels: np.ndarray
    transform: np.ndarray


@dataclass(frozen=True)
class Audio:
    """A block of sound: `samples` is (N, channels) float32 in -1..1 at `rate` Hz, starting at `time` s."""

    time: float
    samples: np.ndarray
    rate: int


@dataclass(frozen=True)
class Cut:
    """A shot change at `time` seconds; the next frame belongs to the new shot."""

    time: float


@dataclass(frozen=True)
class Gap:
    """A stretch of the file that could not be decoded, from `start` to `end` seconds, and why."""

    start: float
    end: float | None
    reason: str


@dataclass(frozen=True)
class End:
    """The end of the stream: frames decoded, and the last presentation time in seconds."""

    frames: int
    time: float | None


Event = Media | Frame | Audio | Cut | Gap | End


class MediaError(Exception):
    """The file cannot be analysed; the message names the file and the remedy in one line."""
