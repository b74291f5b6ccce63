"""Sequences of crops: equal rates, one augmentation for a clip, a real encoder."""

from fractions import Fraction

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from skimage import data  # noqa: E402

from unmask.data.augment import Draw, Strength  # noqa: E402
from unmask.data.clips import (  # noqa: E402
    SelfBlendedClips,
    augment,
    index_clip,
    read_frames,
    sample_moments,
)
from unmask.faces.detect import Detector  # noqa: E402

POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64)


@given(st.sampled_from([25.0, 29.97, 30.0, 60.0]), st.integers(2, 16), st.integers(0, 999))
@settings(deadline=None, max_examples=50)
def test_sequences_advance_alike_whatever_the_frame_rate(rate, length, seed):
    times = np.arange(round(3 * rate)) / rate
    chosen = sample_moments(times, length=length, rng=np.random.default_rng(seed), speed=(1, 1))
    assert len(chosen) == length
    # 12.5 a second, each moment at the nearest frame
    assert np.abs(np.diff(times[chosen]) - 0.08).max() <= 1 / rate + 1e-9


def test_speed_stretches_the_sequence():
    times = np.arange(100) / 50
    chosen = sample_moments(times, length=5, rng=np.random.default_rng(0), speed=(1.25, 1.25))
    assert times[chosen[-1]] - times[chosen[0]] == pytest.approx(4 * 0.1, abs=0.021)


def test_clips_too_short_or_too_slow_are_refused():
    with pytest.raises(ValueError, match="need"):
        sample_moments(np.arange(10) / 30, length=16, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="fewer than"):
        sample_moments(np.arange(20) / 5, length=8, rng=np.random.default_rng(0))


def test_one_draw_holds_for_the_whole_clip():
    frames = np.stack([data.astronaut()] * 3)
    points = np.stack([POINTS] * 3)
    for seed in range(6):
        draw = Draw(seed, Strength(noise=0.0, jpeg=0.0, video=0.0))
        crops = augment(frames, points, draw, 64)
        assert (crops == crops[0]).all()


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """The astronaut moving 2 pixels a frame to the right: 40 frames at 25 a second."""
    path = tmp_path_factory.mktemp("film") / "astronaut.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 256, 224, "yuv420p"
        for k in range(40):
            view = data.astronaut()[20:244, 140 - 2 * k : 396 - 2 * k]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def indexed(filmed):
    return index_clip(filmed, Detector(threads=1))


def test_the_face_is_followed_through_the_clip(indexed):
    assert len(indexed.times) == 40
    # read off the picture to a few pixels; from there each frame moves two to the right
    assert np.abs(indexed.points[0] - (POINTS - (140, 20))).max() < 8
    moved = (indexed.points - indexed.points[0]).mean(axis=1)
    assert np.abs(moved - np.stack([2 * np.arange(40), np.zeros(40)], axis=1)).max() < 2


def test_frames_are_found_again_by_their_index(indexed):
    pictures = read_frames(indexed, np.array([3, 10, 11, 30]))
    for picture, k in zip(pictures, [3, 10, 11, 30], strict=True):
        view = data.astronaut()[20:244, 140 - 2 * k : 396 - 2 * k]
        assert np.abs(picture.astype(int) - view).mean() < 4


def test_a_pair_is_repeatable_and_differs_in_the_face(indexed):
    pairs = SelfBlendedClips([indexed], size=64, length=8, augmentation=Strength(), seed=1)
    a, b = pairs[4], pairs[4]
    assert a.shape == (2, 3, 8, 64, 64)
    assert a.dtype == torch.uint8
    assert torch.equal(a, b)
    assert not torch.equal(a, pairs[5])
    assert (a[0].int() - a[1].int()).abs().float().mean() > 0.5


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="no clips"):
        SelfBlendedClips([], size=64, length=8, augmentation=Strength(), seed=0)
