"""A pattern hidden in many pictures is found again in a new one, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from known import power_law

from unmask.signals.fingerprint import build, central, correlation, normalised, peak_energy

PATTERN = np.random.default_rng(9).normal(0, 1.5, (128, 128))


def picture(seed: int, *, marked: bool) -> np.ndarray:
    noise = np.random.default_rng(1000 + seed).normal(0, 3, (128, 128))
    return (power_law(128, -1.3, seed) + noise + marked * PATTERN).astype(np.float32)


@pytest.fixture(scope="module")
def fingerprint() -> np.ndarray:
    return build(picture(seed, marked=True) for seed in range(40))


def test_the_fingerprint_resembles_the_hidden_pattern(fingerprint):
    assert np.corrcoef(fingerprint.ravel(), PATTERN.ravel())[0, 1] > 0.5


def test_new_pictures_with_the_pattern_are_told_from_those_without(fingerprint):
    marked = [picture(seed, marked=True) for seed in range(100, 110)]
    plain = [picture(seed, marked=False) for seed in range(200, 210)]
    assert min(peak_energy(p, fingerprint) for p in marked) > 50
    assert max(peak_energy(p, fingerprint) for p in plain) < 20
    assert min(correlation(p, fingerprint) for p in marked) > max(correlation(p, fingerprint) for p in plain)


def test_a_negative_correlation_gives_a_negative_energy(fingerprint):
    assert peak_energy(picture(100, marked=True), -fingerprint) < -50


def test_normalised_residuals_have_no_stripes():
    values = normalised(np.random.default_rng(0).normal(size=(20, 30)) + np.arange(30))
    assert values.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert values.mean(axis=1) == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1)


def test_flat_pictures_match_nothing(fingerprint):
    assert correlation(np.zeros((128, 128)), fingerprint) == 0
    assert peak_energy(np.zeros((128, 128)), fingerprint) == 0


def test_sizes_must_agree(fingerprint):
    with pytest.raises(ValueError, match="against a fingerprint"):
        correlation(np.zeros((64, 64)), fingerprint)
    with pytest.raises(ValueError, match="no common fingerprint"):
        build([np.zeros((8, 8)), np.zeros((9, 9))])
    with pytest.raises(ValueError, match="no picture"):
        build([])


def test_the_middle_is_cut():
    plane = np.arange(25).reshape(5, 5)
    assert central(plane, 3).tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]
    assert central(plane, 6) is None
