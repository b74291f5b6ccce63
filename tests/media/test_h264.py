"""In-memory re-compression: order, place, loss with quality, and the same bits every time."""

import numpy as np
import pytest
from skimage import data
from skimage.registration import phase_cross_correlation

from unmask.media.h264 import recompress


def noisy_clip(count=6, size=50):
    rng = np.random.default_rng(0)
    base = rng.integers(60, 200, (7, 7, 3)).astype(np.uint8)
    base = np.kron(base, np.ones((8, 8, 1), np.uint8))[:size, :size]
    return np.stack([np.clip(base.astype(int) + 5 * k, 0, 255).astype(np.uint8) for k in range(count)])


def test_the_encoder_keeps_order_and_size_and_loses_more_at_lower_quality():
    clip = noisy_clip()
    fine, coarse = (recompress(clip, crf=crf, offset=(3, 9)) for crf in (10, 40))
    assert fine.shape == coarse.shape == clip.shape
    grey = fine.mean(axis=(1, 2, 3))
    assert (np.diff(grey) > 2).all()  # frames brighten by 5: none is lost or swapped
    losses = [np.abs(c.astype(int) - clip).mean() for c in (fine, coarse)]
    assert 0 < losses[0] < losses[1]


@pytest.mark.parametrize("offset", [(0, 0), (5, 11), (15, 15)])
def test_the_picture_stays_where_it_is(offset):
    picture = data.camera()[100:400:4, 100:400:4]
    again = recompress(np.stack([picture] * 3, axis=2)[None], crf=10, offset=offset)[0]
    shift, *_ = phase_cross_correlation(picture, again.mean(axis=2), upsample_factor=20)
    np.testing.assert_allclose(shift, 0, atol=0.1)


def test_the_same_frames_give_the_same_bits_every_time():
    # With x264's macroblock tree, every second call differed here on a processor with AVX-512.
    size = 80
    ramp = np.add.outer(np.arange(size), np.arange(size)) % 256
    clip = np.stack([np.stack([np.roll(ramp, 3 * k), ramp.T, 255 - ramp], axis=2) for k in range(8)])
    clip = clip.astype(np.uint8)
    first = recompress(clip, crf=28, offset=(3, 9))
    for _ in range(80):
        np.testing.assert_array_equal(recompress(clip, crf=28, offset=(3, 9)), first)
