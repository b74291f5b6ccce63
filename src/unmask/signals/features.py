"""One vector of named numbers that says how a face's pixels look to frequency and noise analysis.

It is what the `frequency` analyser's classifier reads, in training and in the product: the spectrum of
the face, the cosine coefficients of 8 x 8 blocks (2003.08685), and how neighbouring steps of brightness and
colour occur together, as in steganalysis (Pevny, Bas & Fridrich 2010, doi 10.1109/TIFS.2010.2045842;
Fridrich & Kodovsky 2012, doi 10.1109/TIFS.2012.2190402; for generated faces 1808.07276 and 1903.06836).
Which sorts of triples are taken was chosen on *tune*, see docs/experiments/frequency.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from unmask.signals import dct, residual, spectrum
from unmask.signals.planes import luma, planes

STEP = 8
"""Windows begin and end at multiples of the JPEG block, so that its grid lies alike in all."""
SMALLEST = 40
"""Below this side (pixels) a spectrum has too few bins for anything to stand out."""
LARGEST = 256
"""Larger faces are judged by their middle: more pixels cost time and tell little more."""
HEAD = 2.0
"""Blocks and triples are taken from a window so many times as wide as the aligned crop: a generator draws
hair and background too."""
RINGS = 24
SCALES = 3
"""Each scale halves the window: what compression takes from the finest is still there at the next."""
_PLANES = ("luma", "blue", "red")
_FLAT = 0.05
"""Added to magnitudes (grey levels) before a logarithm or a division: less than rounding leaves."""


class _Sort(NamedTuple):
    """One sort of triples of steps between neighbours: how they lie, and in what unit they are rounded.

    `unit` is in grey levels, or, where `own`, in mean magnitudes of the plane's steps. `directions` are
    those of the triples of horizontal steps, and of vertical ones.
    """

    name: str
    unit: float
    own: bool
    directions: tuple[residual.Direction, residual.Direction]


_SORTS = (
    _Sort("along, unit 1", 1.0, False, ("row", "column")),
    _Sort("along, unit 3", 3.0, False, ("row", "column")),
    _Sort("across, fine own unit", 0.4, True, ("column", "row")),
    _Sort("diagonal, own unit", 1.0, True, ("diagonal", "diagonal")),
)


@dataclass(frozen=True)
class Window:
    """The square of a picture that is examined (pixels), and the aligned crop it stands for."""

    left: int
    top: int
    side: int
    centre: tuple[float, float]
    width: float

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Return the window's pixels."""
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]


def window(centre: tuple[float, float], width: float, size: tuple[int, int]) -> Window | None:
    """Lay an upright window of whole 8-pixel blocks round a face's crop, without any resampling.

    Args:
        centre: (x, y) of the aligned crop in pixels.
        width: side of the aligned crop in pixels.
        size: (width, height) of the picture.

    Returns:
        None where the face or the picture is smaller than `SMALLEST`.
    """
    room = min(size) // STEP * STEP
    side = min(int(width) // STEP * STEP, LARGEST, room)
    if side < SMALLEST:
        return None
    left, top = (
        int(np.clip(round((middle - side / 2) / STEP) * STEP, 0, (length - side) // STEP * STEP))
        for middle, length in zip(centre, size, strict=True)
    )
    return Window(left, top, side, centre, width)


def features(pixels: np.ndarray, place: Window) -> np.ndarray:
    """Return the vector (len(NAMES),) float32 of a face; it is finite for every picture.

    Args:
        pixels: (H, W, 3) uint8 RGB, the picture or a part of it that starts at a multiple of 8 pixels and
            holds what lies round the window, as far as the picture goes.
        place: the window, in pixels of this picture.
    """
    head = window(place.centre, HEAD * place.width, (pixels.shape[1], pixels.shape[0])) or place
    values = planes(head.of(pixels))
    parts = [_profile(luma(place.of(pixels))), _blocks(values)]
    for scale in range(SCALES):
        parts += [_triples(plane) for plane in values]
        if scale + 1 < SCALES:
            half = values.shape[1] // 2
            halved = [cv2.resize(plane, (half, half), interpolation=cv2.INTER_AREA) for plane in values]
            values = np.stack(halved)
    return np.concatenate(parts).astype(np.float32)


def _profile(face: np.ndarray) -> np.ndarray:
    power = spectrum.power_spectrum(face)
    return spectrum.decibel(spectrum.radial_profile(power, face.shape[1], bins=RINGS)[1])


def _blocks(values: np.ndarray) -> np.ndarray:
    """Return of each plane and frequency the mean |coefficient|, log2, then how heavy its tail is, log2."""
    count = values.shape[1] // STEP
    cells = values.reshape(3, count, STEP, count, STEP).transpose(0, 1, 3, 2, 4)
    coefficients = cells.reshape(3, count * count, STEP * STEP) @ _BLOCK_BASIS
    level = np.abs(coefficients).mean(axis=1)
    energy = np.square(coefficients).mean(axis=1)
    # 1.57 for a normal distribution, more where a few strong coefficients stand among many weak ones.
    tail = (energy + _FLAT**2) / (level + _FLAT) ** 2
    return np.log2(np.concatenate([(level + _FLAT).ravel(), tail.ravel()]))


_BLOCK_BASIS = np.ascontiguousarray(
    np.kron(dct.BASIS, dct.BASIS)[[STEP * row + column for row, column in dct.ZIGZAG[1:]]].T
)
"""(64, 63): from the pixels of a block to its coefficients in JPEG's order, the mean left out."""


def _triples(plane: np.ndarray) -> np.ndarray:
    """Return the square roots of the shares of triples of a plane, sort after sort."""
    steps = plane[:, 1:] - plane[:, :-1], plane[1:] - plane[:-1]
    own = sum(cv2.norm(part, cv2.NORM_L1) for part in steps) / sum(part.size for part in steps) + _FLAT
    shares = []
    for sort in _SORTS:
        unit = sort.unit * own if sort.own else sort.unit
        across, down = (
            residual.cooccurrence(residual.rounded(part, unit), direction=direction)
            for part, direction in zip(steps, sort.directions, strict=True)
        )
        count = across + down
        shares.append(count / max(count.sum(), 1.0))
    return np.sqrt(np.concatenate(shares))


def _names() -> dict[str, str]:
    """Return the names of the numbers in order, each with its unit."""
    names = {f"luma power at {(i + 0.5) * 0.5 / RINGS:.3f} cycles/px": "dB" for i in range(RINGS)}
    for what in ("magnitude", "tail"):
        for plane in _PLANES:
            names |= {f"{plane} DCT {what} {row},{column}": "log2" for row, column in dct.ZIGZAG[1:]}
    for scale in range(SCALES):
        for plane in _PLANES:
            for sort in _SORTS:
                place = f"{plane} triples at 1/{2**scale}, {sort.name}"
                names |= {f"{place}, {i}": "square root" for i in range(residual.TRIPLES)}
    return names


UNITS = _names()
NAMES = tuple(UNITS)
SHOWN = {
    "spectral slope": "",
    "up-sampling peak at 1/2": "dB",
    "up-sampling peak at 1/4": "dB",
    "up-sampling peak at 1/8": "dB",
    "Benford deviation": "",
    "noise of the face over its background": "log2",
}
"""What `shown` measures, with units."""


def shown(pixels: np.ndarray, place: Window) -> np.ndarray:
    """Return the numbers (len(SHOWN),) float64 that a reader of the report may want; the score does without.

    The arguments are those of `features`. The noise is 0 where the background is not seen.
    """
    face = luma(place.of(pixels))
    frequency, profile = spectrum.radial_profile(spectrum.power_spectrum(face), place.side, bins=RINGS)
    noise = spectrum.power_spectrum(residual.srm_residuals(face, residual.SRM_BANK[20:21])[0])
    levels = residual.region_levels(pixels, place.centre, place.width)
    inside, outside = levels["interior"], levels["background"]
    over = 0.0
    if inside is not None and outside is not None:
        over = float(np.log2(inside[0, 0] + _FLAT) - np.log2(outside[0, 0] + _FLAT))
    return np.array(
        [
            spectrum.spectral_slope(frequency, profile),
            *spectrum.upsampling_peaks(noise, place.side).values(),
            dct.benford_deviation(dct.block_dct(face)),
            over,
        ]
    )
