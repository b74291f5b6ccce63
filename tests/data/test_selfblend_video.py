"""Self-blended video: one change for the whole clip, the partner through the same steps."""

import numpy as np
import pytest
from skimage import data

from unmask.data.selfblend import lay_mesh
from unmask.data.selfblend_video import Strength, self_blend_clip
from unmask.faces.align import crop_matrix, warp

POINTS = np.array([[207, 108], [240, 105], [226, 128], [212, 143], [242, 140]], np.float64)
"""Eyes, nose and mouth corners of scikit-image's astronaut, read off the picture."""
COUNT = 8


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, np.ndarray]:
    """The astronaut's face in eight frames that grow brighter, with the mesh laid on it."""
    matrix = crop_matrix(POINTS, 96)
    face = warp(data.astronaut(), matrix, 96)
    frames = np.stack([np.clip(face.astype(int) + 3 * k, 0, 255).astype(np.uint8) for k in range(COUNT)])
    mesh = lay_mesh(POINTS @ matrix[:, :2].T + matrix[:, 2])
    return frames, np.stack([mesh] * COUNT)


def blends(clip, **strength):
    return [self_blend_clip(*clip, np.random.default_rng(k), Strength(**strength)) for k in range(12)]


def test_the_partner_is_the_clip_but_for_resampling(clip):
    for blend in blends(clip):
        assert np.abs(blend.real.astype(int) - clip[0]).mean() < 4
        assert (blend.real[blend.masks == 0] == clip[0][blend.masks == 0]).all()


def test_fakes_differ_from_their_partners_and_masks_cover_some_of_the_face(clip):
    changed = [np.abs(b.fake.astype(int) - b.real).mean() for b in blends(clip)]
    assert np.median(changed) > 1.5
    assert all(0.02 < (b.masks[0] > 0).mean() < 0.98 for b in blends(clip))


def test_without_tremble_drift_and_repeats_every_frame_is_changed_alike(clip):
    still = (np.stack([clip[0][0]] * COUNT), clip[1])
    for blend in blends(still, tremble=0.0, drift=0.0, repeats=0.0):
        assert (blend.masks == blend.masks[0]).all()
        assert (blend.fake == blend.fake[0]).all()


def test_tremble_moves_the_mask_a_little_from_frame_to_frame(clip):
    for blend in blends(clip, tremble=0.01, drift=0.0, repeats=0.0):
        change = np.abs(np.diff(blend.masks, axis=0)).mean(axis=(1, 2))
        assert (change > 0).all()
        assert change.max() < 0.2


def test_a_repeated_face_lags_behind_its_surroundings(clip):
    found = [b for b in blends(clip, tremble=0.0, drift=0.0, repeats=1.0) if b.repeated is not None]
    assert len(found) == 12
    lagged = 0
    for blend in found:
        first, last = blend.repeated
        assert 0 <= first < last <= COUNT
        whole = blend.masks[first] > 0.99
        if whole.sum() < 50:
            continue
        # frames brighten by 3 each; a held face does not, its surroundings do
        assert blend.fake[first + 1][whole].mean() == pytest.approx(blend.fake[first][whole].mean(), abs=0.6)
        lagged += 1
    assert lagged >= 3


def test_the_same_draw_gives_the_same_clip(clip):
    a, b = (self_blend_clip(*clip, np.random.default_rng(5)) for _ in range(2))
    assert (a.fake == b.fake).all()


def test_one_frame_is_a_clip_and_none_is_refused(clip):
    assert self_blend_clip(clip[0][:1], clip[1][:1], np.random.default_rng(0)).fake.shape[0] == 1
    with pytest.raises(ValueError, match="as many landmarks"):
        self_blend_clip(clip[0], clip[1][:3], np.random.default_rng(0))
    with pytest.raises(ValueError, match="as many landmarks"):
        self_blend_clip(clip[0][:0], clip[1][:0], np.random.default_rng(0))
