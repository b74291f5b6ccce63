"""One vector of named numbers that says how a face's pixels look to frequency and noise analysis.

It is what the `frequency` analyser's classifier reads, in training and in the product. Levels are
logarithmic, shapes of distributions are free of level, so that no single number depends on brightness.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from unmask.signals import dct, residual, spectrum
from unmask.signals.planes import planes

STEP = 8
"""Windows begin and end at multiples of the JPEG block, so that its grid lies alike in all."""
SMALLEST = 40
"""Below this side (pixels) a spectrum has too few bins for anything to stand out."""
LARGEST = 256
"""Larger faces are judged by their middle: more pixels cost time and tell little more."""
RINGS, COLOUR_RINGS, SECTORS, LAGS = 24, 12, 8, 3
_FLAT = 0.05
"""Added to magnitudes (grey levels) before a logarithm: less than the rounding of pixels leaves."""
_SIGNS = ("noise", "detail")
_CONTRASTS = (("interior", "background"), ("interior", "border"))
_KERNELS = {"line 1": 0, "line 2": 8, "line 3": 12, "square 3": 20, "square 5": 25}
_TRIPLE_SETS = ("luma step", "luma line 3", "luma square 3", "blue step", "red step")


@dataclass(frozen=True)
class Window:
    """The square of a picture that is examined (pixels), and the aligned crop it stands for."""

    left: int
    top: int
    side: int
    centre: tuple[float, float]
    width: float


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
        pixels: (H, W, 3) uint8 RGB, the picture or a part of it that starts at a multiple of 8 pixels;
            what lies round the window is compared with it, where there is any.
        place: the window, in pixels of this picture.
    """
    reach = int(np.ceil(residual.REACH * place.width)) + residual.TILE
    x, y = (round(value) for value in place.centre)
    left, top = max(0, min(x - reach, place.left)), max(0, min(y - reach, place.top))
    right, bottom = max(x + reach, place.left + place.side), max(y + reach, place.top + place.side)
    around = pixels[top:bottom, left:right]
    row, column = place.top - top, place.left - left
    crop = planes(around[row : row + place.side, column : column + place.side])
    values = np.concatenate(
        [
            _spectral(crop),
            _blocks(crop[0]),
            _residuals(crop),
            _regions(around, (place.centre[0] - left, place.centre[1] - top), place.width),
        ]
    )
    return values.astype(np.float32)


def _spectral(crop: np.ndarray) -> np.ndarray:
    side = crop.shape[2]
    power = spectrum.power_spectrum(crop[0])
    frequency, profile = spectrum.radial_profile(power, side, bins=RINGS)
    angular = spectrum.decibel(spectrum.angular_profile(power, side, bins=SECTORS))
    noise = spectrum.power_spectrum(cv2.filter2D(crop[0], cv2.CV_32F, residual.SRM_BANK[20]))
    steps = spectrum.step_spectrum(crop[0])
    correlation = spectrum.autocorrelation(noise, side, lags=LAGS)
    colours = [
        spectrum.decibel(spectrum.radial_profile(spectrum.power_spectrum(plane), side, bins=COLOUR_RINGS)[1])
        for plane in crop[1:]
    ]
    return np.concatenate(
        [
            spectrum.decibel(profile),
            *colours,
            angular - angular.mean(),
            [
                spectrum.spectral_slope(frequency, profile),
                np.log10(spectrum.high_frequency_energy(power, side) + 1e-6),
                *spectrum.upsampling_peaks(noise, side).values(),
                *spectrum.upsampling_peaks(steps, side - 1).values(),
            ],
            correlation[_lag_rows, _lag_columns],
        ]
    )


def _blocks(luma: np.ndarray) -> np.ndarray:
    coefficients = dct.block_dct(luma)
    magnitude = np.log2(dct.mean_magnitudes(coefficients) + _FLAT)
    found = dct.grid(luma)
    return np.array(
        [
            *(magnitude[place] for place in dct.ZIGZAG[1:]),
            np.log10(dct.benford_deviation(coefficients) + 1e-4),
            np.log2(1 + max(found.strength, 0)),
            float(found.found and found.offset != (0, 0)),
        ]
    )


def _residuals(crop: np.ndarray) -> np.ndarray:
    kernels = residual.SRM_BANK[list(_KERNELS.values())]
    answers = residual.srm_residuals(crop[0], kernels)
    level = np.array([_mean_magnitude(answer) for answer in answers])
    energy = np.array([cv2.norm(answer, cv2.NORM_L2SQR) / answer.size for answer in answers])
    pairs = (_steps(crop[0]), (answers[2],) * 2, (answers[3],) * 2, _steps(crop[1]), _steps(crop[2]))
    triples = []
    for along, down in pairs:
        unit = (_mean_magnitude(along) + _mean_magnitude(down)) / 2 + _FLAT
        across = residual.cooccurrence(along, unit, axis=1)
        triples.append((across + residual.cooccurrence(down, unit, axis=0)) / 2)
    return np.concatenate(
        [
            np.log2(level + _FLAT),
            # 1.57 for a normal distribution, more where a few strong residuals stand among many weak ones.
            np.log2((energy + _FLAT**2) / (level + _FLAT) ** 2),
            np.sqrt(np.concatenate(triples)),
        ]
    )


def _mean_magnitude(plane: np.ndarray) -> float:
    return cv2.norm(plane, cv2.NORM_L1) / plane.size


def _steps(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.diff(plane, axis=1), np.diff(plane, axis=0)


def _regions(around: np.ndarray, centre: tuple[float, float], width: float) -> np.ndarray:
    """Return how much the face differs from its border and background, log2, 0 where they are not seen."""
    levels = residual.region_levels(around, centre, width)
    values = []
    for one, other in _CONTRASTS:
        here, there = levels[one], levels[other]
        if here is None or there is None:
            values.append(np.zeros(6))
        else:
            values.append((np.log2(here + _FLAT) - np.log2(there + _FLAT)).ravel())
    return np.concatenate(values)


_lag_rows, _lag_columns = np.array(
    [
        (row, LAGS + column)
        for row in range(LAGS + 1)
        for column in range(-LAGS, LAGS + 1)
        if row > 0 or column > 0
    ]
).T


def _names() -> dict[str, str]:
    """Return the names of the numbers in order, each with its unit."""

    def centre(index: int, bins: int) -> str:
        return f"{(index + 0.5) * 0.5 / bins:.3f} cycles/px"

    names = {f"luma power at {centre(i, RINGS)}": "dB" for i in range(RINGS)}
    for colour in ("blue", "red"):
        names |= {f"{colour} power at {centre(i, COLOUR_RINGS)}": "dB" for i in range(COLOUR_RINGS)}
    names |= {f"power at {180 * i / SECTORS:g} degrees": "dB" for i in range(SECTORS)}
    names |= {"spectral slope": "", "high-frequency share": "log10"}
    names |= {f"residual peak at 1/{k}": "dB" for k in spectrum.FACTORS}
    names |= {f"step peak at 1/{k}": "dB" for k in spectrum.FACTORS}
    names |= {
        f"residual correlation at ({column - LAGS}, {row})": ""
        for row, column in zip(_lag_rows, _lag_columns, strict=True)
    }
    names |= {f"DCT magnitude {row},{column}": "log2" for row, column in dct.ZIGZAG[1:]}
    names |= {"Benford deviation": "log10", "grid strength": "log2", "grid shifted": ""}
    names |= {f"residual level {kernel}": "log2" for kernel in _KERNELS}
    names |= {f"residual tail {kernel}": "log2" for kernel in _KERNELS}
    names |= {f"{what} triples {i}": "square root" for what in _TRIPLE_SETS for i in range(residual.TRIPLES)}
    for one, other in _CONTRASTS:
        for plane in ("luma", "blue", "red"):
            names |= {f"{plane} {sign}, {one} over {other}": "log2" for sign in _SIGNS}
    return names


UNITS = _names()
NAMES = tuple(UNITS)
