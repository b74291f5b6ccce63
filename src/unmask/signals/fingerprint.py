"""The fingerprint of a generator or camera: what the noise of many of its pictures has in common.

Marra et al. 2019 (1812.11842) for generators; Goljan, Fridrich & Filler 2009 (doi 10.1117/12.805701) for the
peak-to-correlation energy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import fft

from unmask.signals.residual import denoise_residual

EXCLUDED = 5
"""The neighbourhood of a peak, in pixels to each side, that does not count as its background."""


def central(plane: np.ndarray, side: int) -> np.ndarray | None:
    """Return the middle `side` x `side` pixels of an (H, W) plane, None where it is smaller."""
    top, left = (plane.shape[0] - side) // 2, (plane.shape[1] - side) // 2
    return None if min(top, left) < 0 else plane[top : top + side, left : left + side]


def build(planes: Iterable[np.ndarray]) -> np.ndarray:
    """Return the mean denoising residual (S, S) float32 of (S, S) luma planes, each brought to variance 1.

    Raises:
        ValueError: there is no plane, or they differ in size.
    """
    total, count = None, 0
    for plane in planes:
        residual = normalised(denoise_residual(plane))
        if total is None:
            total = np.zeros(residual.shape, np.float64)
        if residual.shape != total.shape:
            raise ValueError(f"pictures of {residual.shape} and {total.shape} have no common fingerprint")
        total += residual
        count += 1
    if total is None:
        raise ValueError("no picture to take a fingerprint from")
    return (total / count).astype(np.float32)


def normalised(residual: np.ndarray) -> np.ndarray:
    """Return a residual with mean 0, variance 1 and no row or column that stands out (all 0 if flat).

    Means of rows and columns tell the sensor's and codec's stripes, not the generator.
    """
    values = np.asarray(residual, np.float64)
    values = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    deviation = values.std()
    return values / deviation if deviation > 1e-9 else np.zeros_like(values)


def correlation(plane: np.ndarray, fingerprint: np.ndarray) -> float:
    """Return the correlation coefficient, -1..1, of the residual of an (S, S) luma plane with a fingerprint.

    Raises:
        ValueError: their sizes differ.
    """
    residual = _checked(plane, fingerprint)
    return float((residual * normalised(fingerprint)).mean())


def peak_energy(plane: np.ndarray, fingerprint: np.ndarray) -> float:
    """Return the signed peak-to-correlation energy of an (S, S) luma plane with a fingerprint.

    It is the squared correlation at shift 0 over the mean of those at all other shifts: about 1 by
    chance whatever colour the noise has, above 50 when the picture bears the fingerprint.

    Raises:
        ValueError: their sizes differ.
    """
    residual = _checked(plane, fingerprint)
    cross = fft.irfft2(fft.rfft2(residual) * np.conj(fft.rfft2(normalised(fingerprint))), s=residual.shape)
    peak = float(cross[0, 0])
    rest = np.ones(cross.shape, bool)
    near = np.r_[0 : EXCLUDED + 1, -EXCLUDED:0]
    rest[np.ix_(near % cross.shape[0], near % cross.shape[1])] = False
    if not rest.any():
        return 0.0
    energy = float((cross[rest] ** 2).mean())
    return float(np.sign(peak) * peak**2 / energy) if energy > 1e-12 else 0.0


def _checked(plane: np.ndarray, fingerprint: np.ndarray) -> np.ndarray:
    if plane.shape != fingerprint.shape:
        raise ValueError(f"a picture of {plane.shape} against a fingerprint of {fingerprint.shape}")
    return normalised(denoise_residual(plane))
