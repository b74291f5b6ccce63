"""Slow lines in made-up chests."""

from __future__ import annotations

import numpy as np
import pytest

from unmask.signals.breathing import analyse, shoulder_patch, vertical_shift


@pytest.mark.parametrize("breaths", [8, 15, 24])
def test_the_rate_of_a_wave_is_found_in_each_source(breaths):
    times = np.arange(0, 40, 1 / 25)
    wave = np.sin(2 * np.pi * breaths / 60 * times)
    noise = np.random.default_rng(0).normal(0, 0.3, len(times))
    found = analyse(times, {"head": wave + noise, "skin": 100 + 3 * times + 5 * wave})
    assert found.rates["head"] == pytest.approx(breaths, abs=1)
    assert found.rates["skin"] == pytest.approx(breaths, abs=1.5)
    assert found.snrs["head"] > 8


def test_noise_shows_no_clear_breath():
    times = np.arange(0, 40, 1 / 25)
    noise = {str(k): np.random.default_rng(k).normal(size=len(times)) for k in range(10)}
    assert max(analyse(times, noise).snrs.values()) < 8
    assert analyse(times, {"breath": np.sin(times)}).snrs["breath"] > 8


def test_less_than_one_slow_breath_is_refused():
    with pytest.raises(ValueError, match="shorter"):
        analyse(np.arange(0, 9, 0.1), {"head": np.zeros(90)})


def test_a_source_never_seen_is_left_out():
    times = np.arange(0, 20, 0.1)
    assert list(analyse(times, {"a": np.sin(times), "b": np.full(200, np.nan)}).rates) == ["a"]


def test_a_pattern_moved_down_by_a_third_of_a_row_is_measured():
    rows = np.arange(48)[:, None] + np.zeros((1, 96))
    pattern = lambda shift: (100 + 40 * np.sin((rows - shift) / 4)).astype(np.float32)  # noqa: E731
    assert vertical_shift(pattern(0), pattern(0.33)) == pytest.approx(0.33, abs=0.01)
    assert vertical_shift(pattern(0), pattern(-0.5)) == pytest.approx(-0.5, abs=0.02)
    assert vertical_shift(np.full((48, 96), 50.0), np.full((48, 96), 52.0)) == 0


def test_shoulders_outside_the_picture_are_not_there():
    pixels = np.zeros((300, 400, 3), np.uint8)
    assert shoulder_patch(pixels, np.array([150, 20, 100, 120])).shape == (48, 96)
    assert shoulder_patch(pixels, np.array([150, 170, 100, 120])) is None
