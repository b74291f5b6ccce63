"""Which numbers a device takes, and what the ways of sampling give."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the train extra")
from skimage import data as pictures  # noqa: E402

from unmask.data.augment import Draw, Strength  # noqa: E402
from unmask.data.index import IndexedFace  # noqa: E402
from unmask.data.pairs import Meshes, Numbers, PairDataset  # noqa: E402
from unmask.data.selfblend import lay_mesh  # noqa: E402
from unmask.faces.align import Framing  # noqa: E402
from unmask.faces.landmarks import EYE_CORNERS  # noqa: E402
from unmask.training.archives import training_items  # noqa: E402

POINTS = np.array([[55, 62], [95, 62], [75, 85], [58, 105], [92, 105]], np.float32)


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list:
    """Nine reals and one fake: a bright face is fake, a dark one real."""
    path: Path = tmp_path_factory.mktemp("data") / "tiny.zip"
    face = pictures.astronaut()[50:200, 150:300]
    rows = io.StringIO("")
    rows.write("name,label,identity,split,original,manipulation\n")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10):
            fake = number == 0
            pixels = np.full_like(face, 230) if fake else np.full_like(face, 20)
            archive.writestr(f"images/p{number}.png", cv2.imencode(".png", pixels)[1].tobytes())
            label = "fake,a,train,p1,paint" if fake else "real,a,train,,"
            rows.write(f"p{number},{label}\n")
        archive.writestr("metadata.csv", rows.getvalue())
    return training_items([path], tune_share=0.01, seed=0)


def data_set(items, **settings) -> PairDataset:
    faces = {i.place: IndexedFace(POINTS, np.zeros(4, np.float32), (150, 150)) for i in items}
    kinds = {"paint": 1.0}
    strength = Strength(colour=0, noise=0, drop=0, jpeg=0, video=0)
    return PairDataset(
        items, faces, size=32, kinds=kinds, blend_sources={}, strength=strength, seed=0, **settings
    )


def test_an_upright_crop_moved_by_whole_pixels_is_a_piece_of_the_picture(tmp_path):
    face = pictures.astronaut()[50:200, 150:300]
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("images/a.png", cv2.imencode(".png", face[..., ::-1])[1].tobytes())
        archive.writestr("images/b.png", cv2.imencode(".png", face[..., ::-1])[1].tobytes())
        archive.writestr(
            "metadata.csv",
            "name,label,identity,split,original,manipulation\na,real,p,train,,\nb,fake,p,train,a,paint\n",
        )
    items = training_items([tmp_path / "one.zip"], tune_share=0.01, seed=0)
    faces = {i.place: IndexedFace(POINTS, np.zeros(4, np.float32), (150, 150)) for i in items}
    off = dict.fromkeys(("colour", "grey", "resize", "blur", "noise", "jpeg", "drop", "video"), 0.0)
    data = PairDataset(
        items,
        faces,
        size=80,
        framing=Framing(2.0, upright=True),
        kinds={"paint": 1.0},
        blend_sources={},
        strength=Strength(**off, whole_pixels=1.0),
        seed=0,
    )
    pieces = {face[y : y + 80, x : x + 80].tobytes() for y in range(71) for x in range(71)}
    pieces |= {face[y : y + 80, x : x + 80][:, ::-1].tobytes() for y in range(71) for x in range(71)}
    for number in range(6):
        for crop in data[number][0].permute(0, 2, 3, 1).numpy():
            assert crop.tobytes() in pieces


def test_two_devices_take_all_numbers_of_one():
    first = list(Numbers(100, 8, batch=4, part=(0, 2)))
    second = list(Numbers(100, 8, batch=4, part=(2, 2)))
    assert first == [100, 101, 104, 105]
    assert second == [102, 103, 106, 107]


@pytest.mark.parametrize("sampling", ["paired", "balanced"])
def test_a_real_comes_first_and_a_fake_second(items, sampling):
    data = data_set(items, sampling=sampling)
    for number in range(5):
        pair, labels = data[number]
        assert pair.shape == (2, 3, 32, 32)
        assert labels.tolist() == [0.0, 1.0]
        assert pair[0].float().mean() < 60 < pair[1].float().mean()


def test_the_kind_of_a_pair_is_known_without_making_it(tmp_path):
    face = pictures.astronaut()[50:200, 150:300]
    rows = io.StringIO("")
    rows.write("name,label,identity,split,original,manipulation\n")
    with zipfile.ZipFile(tmp_path / "kinds.zip", "w") as archive:
        for name, brightness, row in (
            ("real", 20, "real,a,train,,"),
            ("one", 130, "fake,b,train,,grey"),
            ("two", 230, "fake,c,train,,white"),
        ):
            picture = cv2.imencode(".png", np.full_like(face, brightness))[1].tobytes()
            archive.writestr(f"images/{name}.png", picture)
            rows.write(f"{name},{row}\n")
        archive.writestr("metadata.csv", rows.getvalue())
    found = training_items([tmp_path / "kinds.zip"], tune_share=0.01, seed=0)
    faces = {i.place: IndexedFace(POINTS, np.zeros(4, np.float32), (150, 150)) for i in found}
    strength = Strength(colour=0, noise=0, drop=0, jpeg=0, video=0)
    data = PairDataset(
        found, faces, size=32, kinds={"grey": 0.7, "white": 0.3}, blend_sources={}, strength=strength, seed=4
    )
    kinds = [data.kind(number) for number in range(60)]
    assert ["grey" if data[k][0][1].float().mean() < 180 else "white" for k in range(60)] == kinds
    assert 30 <= kinds.count("grey") <= 54  # binomial, 42 expected, three deviations


def test_natural_sampling_shows_the_classes_as_they_are(items):
    data = data_set(items, sampling="natural")
    seen = [data[number] for number in range(100)]
    labels = torch.cat([labels for _, labels in seen])
    brightness = torch.cat([pair.float().mean((1, 2, 3)) for pair, _ in seen])
    assert torch.equal(labels > 0, brightness > 60)
    # One in ten is fake; 200 draws stay below 20 % with a certainty of 0.99999.
    assert 0 < labels.mean() < 0.2


def test_natural_sampling_leaves_out_the_kinds_that_are_not_named(items):
    named, *reals = sorted(items, key=lambda item: item.label)
    unnamed = [replace(item, label="fake", manipulation="swap") for item in reals[:5]]
    data = data_set([named, *unnamed, *reals[5:]], sampling="natural")
    seen = [data[number] for number in range(60)]
    labels = torch.cat([labels for _, labels in seen])
    brightness = torch.cat([pair.float().mean((1, 2, 3)) for pair, _ in seen])
    # The fakes called "swap" are dark: every fake that is shown is the bright one.
    assert labels.any()
    assert (brightness[labels > 0] > 60).all()


def test_recompression_as_a_video_frame_keeps_the_picture_where_it_is():
    face = cv2.resize(pictures.astronaut()[50:200, 150:300], (96, 96), interpolation=cv2.INTER_AREA)
    off = dict.fromkeys(("colour", "grey", "resize", "blur", "noise", "jpeg", "drop"), 0.0)
    fine, coarse = (
        Draw(5, Strength(**off, video=1.0, video_crf=(crf, crf))).change(face, POINTS).astype(float)
        for crf in (18, 40)
    )
    shifts = [np.abs(np.roll(fine, dx, axis=1) - face)[:, 4:-4].mean() for dx in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(shifts)) == 2
    # An independent measure: peak signal-to-noise ratio above 30 dB at crf 18, and lower at crf 40.
    noise = [10 * np.log10(255**2 / ((picture - face) ** 2).mean()) for picture in (fine, coarse)]
    assert noise[0] > 30 > noise[1] > 15


@given(st.integers(0, 10**6), st.floats(0.4, 3), st.floats(-40, 40), st.floats(-25, 25))
@settings(max_examples=60, deadline=None)
def test_a_picture_is_cut_off_beyond_the_face_and_nothing_else_happens(seed, scale, degrees, x):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (POINTS - POINTS.mean(axis=0)) @ turn.T + (200 + x, 200)
    picture = np.random.default_rng(seed).integers(0, 256, size=(400, 400, 3), dtype=np.uint8)
    part, (left, top) = Draw(seed, Strength(border=1.0)).cut(picture, points)
    height, width = part.shape[:2]
    left, top = int(left), int(top)
    assert (part == picture[top : top + height, left : left + width]).all()
    # eyes 40 units apart: at least 0.95 eye distances remain on every side, at most about two
    eyes = 40 * scale
    assert points[:, 0].min() >= left
    assert points[:, 0].max() <= left + width
    for side in (height, width):
        assert 1.7 * eyes < side < 4 * eyes or side == 400
    same, corner = Draw(seed, Strength(border=0.0)).cut(picture, points)
    assert same is picture
    assert corner.tolist() == [0, 0]


def test_a_fake_is_made_of_the_face_s_own_landmarks_where_there_is_a_face():
    # Eyes, nose and corners of the mouth, as the detector finds them in the whole picture.
    face = np.array([[200, 102], [247, 103], [220, 125], [199, 143], [240, 144]], np.float32) - (150, 50)
    pixels = cv2.resize(pictures.astronaut()[50:200, 150:300], None, fx=2, fy=2)
    points = face * 2 + 0.5
    meshes = Meshes()
    own, mean = meshes.of(pixels, points), lay_mesh(points)
    assert own.shape == mean.shape == (478, 2)
    eyes = own[list(EYE_CORNERS)].mean(axis=0)
    np.testing.assert_allclose(eyes, points[:2].mean(axis=0), atol=8)
    assert np.abs(own - mean).max() > 3
    empty = np.full_like(pixels, 128)
    np.testing.assert_array_equal(meshes.of(empty, points), mean)
