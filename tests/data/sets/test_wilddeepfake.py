"""WildDeepfake: packed or unpacked sequences of face crops, folders named with underscore or space."""

import tarfile

import cv2
import numpy as np
import pytest

from unmask.data.cut import choose_frames, read_sequences
from unmask.data.manifest import DataError
from unmask.data.registry import load
from unmask.media.events import MediaError


@pytest.fixture
def root(tmp_path):
    picture = cv2.imencode(".png", np.full((8, 8, 3), 200, np.uint8))[1].tobytes()
    for folder, number in [("real_train", "1"), ("fake train", "1"), ("fake_test", "7"), ("real_test", "2")]:
        source = tmp_path / "unpacked" / number / "0"
        source.mkdir(parents=True, exist_ok=True)
        for frame in (3, 10, 200):
            (source / f"{frame}.png").write_bytes(picture)
        (tmp_path / folder).mkdir()
        with tarfile.open(tmp_path / folder / f"{number}.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "unpacked" / number, arcname=number)
    return tmp_path


def test_labels_and_splits_come_from_the_folder_and_numbers_do_not_join(root):
    items = load("wilddeepfake", root)
    assert {(i.name, i.label, i.split) for i in items} == {
        ("real_train/1", "real", "train"), ("fake_train/1", "fake", "train"),
        ("fake_test/7", "fake", "test"), ("real_test/2", "real", "test"),
    }  # fmt: skip
    assert len({item.group for item in items}) == 4
    assert all(item.is_sequence and item.face_crop for item in items)


def test_an_archive_beside_its_unpacked_folder_counts_once(root):
    (root / "real_train/1").mkdir()
    assert len(load("wilddeepfake", root)) == 4


def test_frames_are_numbered_by_their_names_packed_or_not(root):
    for path in (root / "real_train/1.tar.gz", root / "unpacked/1"):
        assert [(s, n) for s, n, _ in read_sequences(path, 8)] == [(0, 3), (0, 10), (0, 200)]


def test_frames_are_spread_over_each_sequence():
    names = [f"5/a/{n}.png" for n in range(11)] + [f"5/b/{n}.png" for n in range(2)] + ["5/a/._3.png"]
    chosen = choose_frames(names, 3)
    assert [(s, n) for s, n, _ in chosen] == [(0, 0), (0, 5), (0, 10), (1, 0), (1, 1)]


def test_a_cut_off_archive_is_named(root):
    path = root / "real_train/1.tar.gz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MediaError, match=r"1\.tar\.gz: cannot be read as a tar"):
        list(read_sequences(path, 4))


def test_an_empty_class_is_named(tmp_path):
    (tmp_path / "real_train/3").mkdir(parents=True)
    with pytest.raises(DataError, match="no fake video found; expected fake_train"):
        load("wilddeepfake", tmp_path)
