"""From stored to displayed pixels: square pixels, a bounded size, and the eight orientations.

Coordinates follow OpenCV: the centre of the top left pixel is (0, 0). A signed permutation matrix
says how the stored axes lie in the display: (x', y') = matrix @ (x, y), plus the offset that brings
the picture back into the positive quadrant.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

Matrix = tuple[tuple[int, int], tuple[int, int]]

UPRIGHT: Matrix = ((1, 0), (0, 1))

#: EXIF tag 274 (Exif 2.32, section 4.6.4): how the stored picture must be turned for display.
EXIF_ORIENTATIONS: dict[int, Matrix] = {
    1: UPRIGHT,
    2: ((-1, 0), (0, 1)),
    3: ((-1, 0), (0, -1)),
    4: ((1, 0), (0, -1)),
    5: ((0, 1), (1, 0)),
    6: ((0, -1), (1, 0)),
    7: ((0, -1), (-1, 0)),
    8: ((0, 1), (-1, 0)),
}

MAX_SIDE = 4096
MAX_PIXELS = 300_000_000
_LARGEST_ASPECT = Fraction(10)


def orientation_from_display_matrix(raw: bytes) -> Matrix:
    """Find the orientation nearest to a QuickTime display matrix (9 int32, as FFmpeg hands it on)."""
    a, b, _, c, d, _ = (int(v) for v in np.frombuffer(raw, "<i4", count=6))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return ((_sign(a), 0), (0, _sign(d)))
    return ((0, _sign(c)), (_sign(b), 0))


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


@dataclass(frozen=True)
class Layout:
    """How one stored picture becomes one displayed picture.

    `stored` and `scaled` are (width, height) before turning; `size` is (width, height) as displayed.
    """

    stored: tuple[int, int]
    scaled: tuple[int, int]
    orientation: Matrix

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as displayed."""
        width, height = self.scaled
        return (width, height) if self.orientation[0][0] else (height, width)

    @property
    def transform(self) -> np.ndarray:
        """(2, 3) float64: stored pixel coordinates to displayed ones."""
        scale = np.array([new / old for new, old in zip(self.scaled, self.stored, strict=True)])
        turn = np.array(self.orientation, dtype=np.float64)
        corner = np.array(self.scaled, dtype=np.float64) - 1.0
        offset = np.where(turn.sum(axis=1) < 0, np.abs(turn) @ corner, 0.0)
        return np.column_stack([turn * scale, turn @ (0.5 * scale - 0.5) + offset])

    def turn(self, pixels: np.ndarray) -> np.ndarray:
        """Turn scaled pixels (H, W, 3) upright; contiguous."""
        (a, b), (c, d) = self.orientation
        if a == 0:
            pixels = cv2.transpose(pixels)
        flip_x, flip_y = a + b < 0, c + d < 0
        if flip_x or flip_y:
            pixels = cv2.flip(pixels, -1 if flip_x and flip_y else int(flip_x))
        return np.ascontiguousarray(pixels)


def lay_out(
    stored: tuple[int, int],
    *,
    aspect: Fraction | None = None,
    orientation: Matrix = UPRIGHT,
    max_side: int = MAX_SIDE,
) -> Layout:
    """Plan the display of a picture of `stored` (width, height) and sample aspect ratio `aspect`.

    Non-square pixels are made square by stretching the shorter of their two sides, so that no pixel
    is thrown away; then the picture is reduced until its longer side is at most `max_side`. An
    aspect ratio beyond 10:1 is taken for damage and ignored.
    """
    width, height = (float(side) for side in stored)
    if aspect and 1 / _LARGEST_ASPECT <= aspect <= _LARGEST_ASPECT:
        if aspect > 1:
            width *= float(aspect)
        else:
            height /= float(aspect)
    shrink = min(1.0, max_side / max(width, height))
    scaled = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return Layout(stored=stored, scaled=scaled, orientation=orientation)


def reduced_warning(stored: tuple[int, int], layout: Layout) -> str | None:
    """Give the sentence for `Media.warnings` when a picture was reduced, else None."""
    if max(stored) <= MAX_SIDE:
        return None
    return (
        f"{stored[0]}x{stored[1]} pixels were reduced to {layout.scaled[0]}x{layout.scaled[1]} "
        f"(longest side {MAX_SIDE}): finer detail was not examined"
    )
