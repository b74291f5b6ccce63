"""Blinks from made-up eyes whose lids move as told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.signals.blink import (
    HIGHEST_RATE,
    LEFT_EYE,
    LOWEST_RATE,
    RIGHT_EYE,
    closure,
    count_probability,
    eye_aspect_ratio,
    find_blinks,
)


def lids(times, moments, *, duration=0.2, depth=1.0):
    """Closure 0..1 of lids that shut round each moment as a raised cosine, `duration` long at its foot."""
    state = np.zeros(len(times))
    for moment in moments:
        phase = np.clip(np.abs(times - moment) / duration, 0, 0.5)
        state = np.maximum(state, depth * (1 + np.cos(2 * np.pi * phase)) / 2)
    return state


def found(times, shut, *, level=0.3, noise=0.0):
    random = np.random.default_rng(1)
    ratio = level * (1 - 0.75 * shut)
    ratios = np.stack([ratio, ratio], axis=1) + level * random.normal(0, noise, (len(times), 2))
    coefficients = np.stack([shut, shut], axis=1) * 0.8 + 0.1
    return find_blinks(closure(times, ratios, coefficients))


def test_the_aspect_ratio_is_that_of_the_paper():
    # Width 4, both openings 1: (1 + 1) / (2 * 4) = 0.25.
    landmarks = np.zeros((1, 478, 3))
    for eye in (RIGHT_EYE, LEFT_EYE):
        landmarks[0, list(eye), :2] = [(0, 0), (1, -0.5), (3, -0.5), (4, 0), (3, 0.5), (1, 0.5)]
    assert eye_aspect_ratio(landmarks, np.eye(3)[None]) == pytest.approx(np.full((1, 2), 0.25))


@given(st.floats(-1, 1), st.floats(-0.5, 0.5), st.floats(-3, 3))
def test_turning_the_head_does_not_change_the_aspect_ratio(yaw, pitch, roll):
    from unmask.faces.face import HeadPose
    from unmask.faces.pose import rotation_of

    rotation = rotation_of(HeadPose(*np.degrees([yaw, pitch, roll])))
    landmarks = np.random.default_rng(0).normal(size=(1, 478, 3))
    turned = landmarks @ rotation.T
    assert eye_aspect_ratio(turned, rotation[None]) == pytest.approx(
        eye_aspect_ratio(landmarks, np.eye(3)[None])
    )


@pytest.mark.parametrize("rate", [15, 24, 25, 30, 60])
def test_blinks_are_found_whatever_the_frame_rate(rate):
    times = np.arange(0, 12, 1 / rate)
    moments = [1.5, 4.2, 4.9, 9.1]
    blinks = found(times, lids(times, moments, duration=0.3))
    assert [b.peak for b in blinks] == pytest.approx(moments, abs=0.5 / rate + 0.011)
    # at half its height a raised cosine is half as wide as at its foot
    assert np.mean([b.duration for b in blinks]) == pytest.approx(0.15, abs=0.05)


def test_uneven_frames_do_not_matter():
    times = np.cumsum(np.random.default_rng(3).uniform(0.02, 0.05, 300))
    blinks = found(times, lids(times, [2.0, 6.0]))
    assert [b.peak for b in blinks] == pytest.approx([2.0, 6.0], abs=0.05)


def test_narrow_eyes_are_not_shut_eyes():
    times = np.arange(0, 10, 1 / 30)
    assert found(times, np.zeros(len(times)), level=0.12, noise=0.02) == []
    assert len(found(times, lids(times, [5.0]), level=0.12, noise=0.02)) == 1


def test_looking_down_is_no_blink_and_hides_none():
    times = np.arange(0, 14, 1 / 30)
    down = 0.5 * ((times > 4) & (times < 9))
    blinks = found(times, np.maximum(down, lids(times, [6.5, 11.0])))
    assert [b.peak for b in blinks] == pytest.approx([6.5, 11.0], abs=0.05)


def test_a_wink_is_no_blink():
    times = np.arange(0, 8, 1 / 30)
    shut = np.stack([lids(times, [4.0], duration=0.4), 0.15 * lids(times, [4.0], duration=0.4)], axis=1)
    assert find_blinks(closure(times, 0.3 * (1 - 0.75 * shut), 0.1 + 0.8 * shut)) == []


def test_lids_that_twitch_while_looking_down_are_no_blink():
    times = np.arange(0, 14, 1 / 30)
    down = 0.6 * ((times > 4) & (times < 12))
    twitch = 0.2 * lids(times, [8.0], duration=0.4)
    assert found(times, down + twitch) == []


def test_closing_the_eyes_for_long_is_no_blink():
    times = np.arange(0, 14, 1 / 30)
    assert found(times, ((times > 5) & (times < 8)).astype(float)) == []


def test_half_closed_lids_are_an_incomplete_blink():
    times = np.arange(0, 8, 1 / 30)
    (blink,) = found(times, lids(times, [4.0], duration=0.3, depth=0.5))
    assert 0.35 < blink.amplitude < 0.6
    assert blink.synchrony == pytest.approx(1, abs=0.05)


def test_noise_alone_shows_no_blink():
    times = np.arange(0, 60, 1 / 30)
    assert found(times, np.zeros(len(times)), noise=0.05) == []


def test_eight_seconds_without_a_blink_are_no_evidence_but_two_minutes_are():
    # exp(-4.5 / 60 * 8) and exp(-4.5 / 60 * 120)
    assert count_probability(0, 8) == pytest.approx(np.exp(-0.6))
    assert count_probability(0, 120) == pytest.approx(np.exp(-9))


def test_counts_within_the_human_range_are_ordinary():
    assert count_probability(17, 60) == 1
    assert count_probability(1, 8) == 1


def test_many_blinks_are_counted_by_the_upper_end():
    # one minute at 50: P(K >= 80) by summing the Poisson terms
    terms = np.exp(np.arange(80) * np.log(HIGHEST_RATE) - HIGHEST_RATE - _log_factorial(79))
    assert count_probability(80, 60) == pytest.approx(1 - terms.sum(), rel=1e-4)
    assert LOWEST_RATE < HIGHEST_RATE


def _log_factorial(last: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, last + 1)))])


@given(st.integers(0, 200), st.floats(0.1, 600))
def test_probabilities_are_probabilities(count, seconds):
    assert 0 <= count_probability(count, seconds) <= 1
