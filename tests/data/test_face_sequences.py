"""Sequences of a store: equal rates whatever the clip's own, features taken once, self-blends of crops."""

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from data_making import face_frames, write_video  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tiny_networks import SIZE, brightness_network  # noqa: E402
from unmask.data.augment import Strength  # noqa: E402
from unmask.data.cut import Settings  # noqa: E402
from unmask.data.manifest import DataError  # noqa: E402
from unmask.data.prepare import prepare  # noqa: E402
from unmask.data.registry import load  # noqa: E402
from unmask.data.sequences import (  # noqa: E402
    Crops,
    FrameFeatures,
    begun,
    draw_moments,
    held,
    moments,
    motion_of,
    padded,
    read_sequences,
    windows,
)
from unmask.data.store import archives_at  # noqa: E402
from unmask.faces.motion import MOTION  # noqa: E402
from unmask.runtime.network import VisualNetwork  # noqa: E402

TICKS = st.sampled_from([25.0, 30.0, 60.0])


def ticks(rate: float, seconds: float) -> np.ndarray:
    """Times of a store's crops: the first frame at or after each tenth of a second."""
    frames = np.arange(int(seconds * rate) + 1) / rate
    wanted = np.arange(int(seconds * 10)) / 10
    return frames[np.searchsorted(frames, wanted - 1e-6)]


@given(TICKS, st.floats(2.5, 20), st.integers(2, 10))
@settings(deadline=None, max_examples=60)
def test_clips_of_any_rate_are_judged_by_equal_steps_of_time(rate, seconds, length):
    times = ticks(rate, seconds)
    for chosen in windows(times, length=length):
        assert len(chosen) >= length - 1  # the last may lie beyond the end by half a tick
        np.testing.assert_allclose(np.diff(times[chosen]), 0.2, atol=1e-6)


def test_windows_lie_side_by_side_and_reach_both_ends():
    times = np.arange(101) / 10
    found = windows(times, length=10)
    # ten seconds hold five stretches of two
    assert len(found) == 5
    assert found[0][0] == 0
    assert found[-1][-1] == 100
    assert all(a[-1] < b[0] for a, b in pairwise(found))


def test_a_clip_too_short_gives_what_it_has():
    (only,) = windows(np.arange(8) / 10, length=16)
    assert only.tolist() == [0, 2, 4, 6]


def test_moments_without_the_face_are_left_out():
    times = np.array([0.0, 0.2, 0.4, 1.4, 1.6])
    assert moments(times, start=0.0, interval=0.2, length=8).tolist() == [0, 1, 2, 3]
    assert moments(np.array([3.0]), start=3.0, interval=0.2, length=4).tolist() == [0]
    assert moments(times, start=9.0, interval=0.2, length=2).tolist() == [4]


@given(st.integers(0, 10**6), st.integers(2, 16))
@settings(deadline=None, max_examples=40)
def test_training_draws_stay_in_the_clip_and_go_forward(seed, length):
    times = ticks(30.0, 4.0)
    chosen = draw_moments(times, np.random.default_rng(seed), length=length)
    assert 1 <= len(chosen) <= length
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < len(times)


def test_speed_spreads_the_moments():
    times = np.arange(200) / 10
    draws = [
        draw_moments(times, np.random.default_rng(0), length=5, speed=(speed, speed)) for speed in (0.5, 1, 2)
    ]
    assert [times[d[-1]] - times[d[0]] for d in draws] == pytest.approx([0.4, 0.8, 1.6])


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A store of a real clip of three seconds, its darkened fake, and a still."""
    root = tmp_path_factory.mktemp("clips")
    frames = face_frames(30)
    write_video(root / "r.mp4", frames)
    write_video(root / "f.mp4", [frame // 2 for frame in frames])
    (root / "list.csv").write_text(
        "path,label,group,manipulation,split\nr.mp4,real,p,,open\nf.mp4,fake,p,dimmed,open\n"
    )
    prepare(load("list", root / "list.csv"), root / "store", Settings(frames=60))
    return archives_at(root / "store")[0]


@pytest.fixture
def network(tmp_path) -> VisualNetwork:
    return VisualNetwork(brightness_network(tmp_path), threads=1)


def test_a_store_gives_one_sequence_a_clip(archive):
    found = {sequence.clip: sequence for sequence in read_sequences(archive)}
    assert set(found) == {"r.mp4", "f.mp4"}
    fake = found["f.mp4"]
    assert (fake.label, fake.group, fake.manipulation, fake.split) == ("fake", "p", "dimmed", "open")
    assert found["r.mp4"].manipulation == ""
    # ten frames a second for three seconds
    assert fake.times.tolist() == pytest.approx(np.arange(30) / 10)


def test_a_zip_of_pictures_holds_no_sequences(tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("metadata.csv", "name,label\np,real\n")
        opened.writestr("images/p.jpg", b"")
    with pytest.raises(DataError, match="unmask prepare"):
        read_sequences(path)
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="cannot be read"):
        read_sequences(path)


def test_a_damaged_row_is_named_as_such(tmp_path):
    path = tmp_path / "store.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr(
            "metadata.csv",
            "name,label,identity,split,manipulation,data_set,clip,time,person,points\n"
            "p,real,g,open,,d,c,0.1,0,1 2 3\n",
        )
        opened.writestr("images/p.jpg", b"")
    with pytest.raises(DataError, match="damaged"):
        read_sequences(path)


def test_features_are_those_of_the_products_crops_as_they_are_and_mirrored(archive, network, tmp_path):
    (real,) = [s for s in read_sequences(archive) if not s.fake]
    looked = FrameFeatures(network, tmp_path / "features").of(real)
    assert looked.features.shape == (30, 2, 3)
    crops = Crops().aligned(real, np.array([0, 7]), SIZE).astype(np.float64)
    # the tiny network's embedding is the mean colour, its logit 0.1 * (mean brightness - 128)
    np.testing.assert_allclose(looked.features[[0, 7], 0], crops.mean(axis=(1, 2)), atol=0.1)
    np.testing.assert_allclose(looked.features[:, 0], looked.features[:, 1], atol=0.1)
    np.testing.assert_allclose(
        looked.frame_logits[[0, 7]], 0.1 * (crops.mean(axis=(1, 2, 3)) - 128), atol=0.01
    )


def test_features_are_taken_once_for_each_network(archive, network, tmp_path, monkeypatch):
    sequence = read_sequences(archive)[0]
    first = FrameFeatures(network, tmp_path / "features").of(sequence)
    again = FrameFeatures(network, tmp_path / "features")
    with monkeypatch.context() as patch:
        patch.setattr(network, "infer", lambda crops: pytest.fail("the features were there"))
        np.testing.assert_array_equal(again.of(sequence).features, first.features)
    other = VisualNetwork(brightness_network(tmp_path, name="other", threshold=0.0), threads=1)
    moved = FrameFeatures(other, tmp_path / "features").of(sequence)
    np.testing.assert_allclose(moved.logits - first.logits, 12.8, atol=0.01)


def test_self_blends_of_stored_crops_differ_from_their_partners_in_the_face(archive):
    (real,) = [s for s in read_sequences(archive) if not s.fake]
    chosen = windows(real.times, length=6)[0]
    differences = []
    for seed in range(1, 7):  # one draw alone may blend next to nothing, or be drowned by a coarse encoder
        made = Crops().self_blended(
            real, chosen, np.random.default_rng(seed), size=128, augmentation=Strength(drop=0.0)
        )
        pair = made.crops
        assert pair.shape == (2, 6, 128, 128, 3)
        assert pair.dtype == np.uint8
        differences.append(np.abs(pair[0].astype(int) - pair[1]).mean(axis=(0, 3)))
    difference = np.mean(differences, axis=0)
    assert difference.mean() > 0.5
    assert difference[48:80, 48:80].mean() > difference[[0, -1]].mean()


def test_self_blends_are_repeatable_and_kept(archive, network, tmp_path):
    (real,) = [s for s in read_sequences(archive) if not s.fake]

    def made(folder: str, seed: int) -> list[np.ndarray]:
        frames = FrameFeatures(network, tmp_path / folder)
        return frames.self_blends(real, 2, length=4, augmentation=Strength(), seed=seed)

    first, again, other = made("a", 0), made("b", 0), made("a", 1)
    assert [pair.shape for pair in first] == [(2, 4, 3)] * 2
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_one_draw_holds_for_the_whole_sequence(archive):
    (real,) = [s for s in read_sequences(archive) if not s.fake]
    same = np.array([4, 4, 4])
    for seed in range(4):
        crops = Crops().augmented(
            real, same, np.random.default_rng(seed), size=64, augmentation=Strength(noise=1.0, jpeg=1.0)
        )
        # the encoder alone tells the three apart
        assert np.abs(crops[0].astype(int) - crops[2]).mean() < 6


def test_padding_is_marked():
    joined, mask = padded([np.ones((2, 3)), np.ones((4, 3))])
    assert joined.shape == (2, 4, 3)
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert joined[0, 2:].sum() == 0


def test_the_last_crop_of_a_short_sequence_is_held():
    crops = np.arange(3)[:, None, None, None] * np.ones((1, 2, 2, 3))
    assert held(crops, 5)[:, 0, 0, 0].tolist() == [0, 1, 2, 2, 2]
    assert len(held(crops, 2)) == 2


def test_motion_is_that_from_the_moment_chosen_before():
    # the number says from where to where: 100 * place + places back
    rows = np.array([[[100 * i + back] * 8 for back in (1, 2, 3, 4)] for i in range(12)], np.float32)
    chosen = np.array([1, 3, 4, 11])
    moved = motion_of(rows, chosen, mirrored=False)
    # nothing before the first; the last lies seven back, farther than is measured
    assert moved[:, 0].tolist() == [0, 302, 401, 0]
    other = motion_of(rows, chosen, mirrored=True)
    sideways = MOTION.index("mouth_x")
    np.testing.assert_array_equal(other[:, sideways], -moved[:, sideways])
    np.testing.assert_array_equal(np.delete(other, sideways, 1), np.delete(moved, sideways, 1))


def test_what_is_not_known_of_motion_counts_as_nothing():
    rows = np.full((2, 3, 8), np.nan)
    rows[0, 1] = 5
    assert begun(rows)[0, :, 0].tolist() == [0, 0, 5, 0]
    assert not begun(rows)[1].any()


def test_motion_stands_behind_the_features_of_stored_clips_and_self_blends(archive, network, tmp_path):
    (real,) = [s for s in read_sequences(archive) if not s.fake]
    frames = FrameFeatures(network, tmp_path / "features")
    rows = frames.motion(real)
    assert rows.shape == (30, 4, 8)
    # of one crop there is none before, of the third two
    assert np.isfinite(rows[:, :, 0]).sum(axis=1).tolist() == [0, 1, 2, 3, *[4] * 26]
    (plain,) = frames.self_blends(real, 1, length=4, augmentation=Strength(), seed=3)
    (moving,) = frames.self_blends(real, 1, length=4, augmentation=Strength(), seed=3, motion=True)
    assert moving.shape == (2, 4, 3 + 8)
    np.testing.assert_array_equal(moving[..., :3], plain)
    assert not moving[:, 0, 3:].any()
    assert moving[:, 1:, 3:].all()
