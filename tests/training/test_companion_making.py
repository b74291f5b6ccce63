"""Making a companion: the exported graph against the rounded network, the answer, and its choice."""

from __future__ import annotations

import copy
import gzip
import io
import zipfile

import cv2
import numpy as np
import pytest
import torch
from skimage import data as pictures
from sklearn.metrics import roc_auc_score

from unmask.data.manifest import Item
from unmask.evidence.visual import NETWORK as VISUAL
from unmask.faces.align import Framing
from unmask.models.vision_transformer import PATCH, SIDE, WIDTH, VisionTransformer
from unmask.runtime.session import open_session
from unmask.training import companion
from unmask.training.answer import (
    Answer,
)
from unmask.training.companion import (
    AREAS,
    FEATURE_SIZE,
    FEATURES,
    MARGIN,
    NEAR,
    SHARES,
    Maker,
    averaging,
    build,
    choose,
    features,
    look_crop,
    looks,
    read_crop,
)
from unmask.training.export import write_network
from unmask.training.recover import recover_encoder
from unmask.training.rounding import Rounded, round_blocks


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a rounded network of one block, its file, its answer, pictures, and what was said."""
    torch.manual_seed(0)
    network = VisionTransformer(1).eval().requires_grad_(False)
    network.positions.normal_()
    network.token.normal_()
    pictures = torch.randint(0, 256, (12, 3, SIDE, SIDE), dtype=torch.uint8)
    said: list[str] = []
    layers = round_blocks(network, pictures, noise=0.01, by_block=(1.0,), report=said.append)
    generator = np.random.default_rng(0)
    coefficients = generator.normal(size=(FEATURE_SIZE, 4)).astype(np.float32) / 50
    answer = Answer(coefficients, np.array([0.1, -0.2, 0.3, 0.0], np.float32), 0.7, 1.3, -0.3)
    path = tmp_path_factory.mktemp("made") / "companion.onnx.gz"
    write_network(path, build(network, layers, [answer]))
    return network, path, answer, pictures, said


def test_the_file_answers_as_the_rounded_network_does(made):
    network, path, answer, pictures, said = made
    given = pictures[:6].numpy().astype(np.float32)
    logits, maps, told = open_session(path).run(["logit", "map", FEATURES], {"pixels": given})
    with torch.inference_mode():
        stream = network(pictures[:6]).numpy()
    patches = stream[:, 1:].reshape(6, 14, 14, WIDTH)
    areas = [patches[:, rows, columns].mean((1, 2)) for rows, columns in AREAS.values()]
    expected = np.concatenate([stream[:, 0], stream[:, 1:].std(1), *areas], 1)
    # Inputs are bytes there: it answers nearly, not exactly, the same.
    assert np.corrcoef(told.ravel(), expected.ravel())[0, 1] > 0.995
    assert logits == pytest.approx(answer.logits(told), abs=2e-2)  # coefficients are stored in half precision
    values = told @ answer.coefficients + answer.constants
    by_hand = 0.7 * values[:, 0] + 1.3 * np.log(np.exp(values[:, 1:]).sum(1)) - 0.3
    assert answer.logits(told) == pytest.approx(by_hand, abs=1e-4)
    assert maps.shape == (6, 14, 14)
    assert maps.mean((1, 2)) == pytest.approx(logits, abs=1e-3)
    assert len(said) == 1
    assert "block 1: " in said[0]


def test_answers_are_added(made, tmp_path):
    network, _, answer, pictures, _ = made
    _, layers = recover_encoder(made[1])
    generator = np.random.default_rng(6)
    other = Answer(
        generator.normal(size=(FEATURE_SIZE, 3)).astype(np.float32) / 50, np.ones(3), -0.5, 0.4, 2.0
    )
    shown = {"pixels": pictures[:3].numpy().astype(np.float32)}
    said = []
    for number, answers in enumerate(([answer], [other], [answer, other])):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(build(network, layers, answers))
        said.append(open_session(path).run(["logit", "map", FEATURES], shown))
    (one, map_of_one, told), (two, map_of_other, _), (both, map_of_both, _) = said
    assert both == pytest.approx(one + two, abs=1e-3)
    assert both == pytest.approx(answer.logits(told) + other.logits(told), abs=3e-2)
    assert map_of_both == pytest.approx(map_of_one + map_of_other, abs=1e-2)


def test_the_map_shows_where_the_logit_comes_from(made):
    """A patch's cell is its slope: what the logit loses if the patch gives nothing, to first order."""
    network, path, answer, pictures, _ = made
    given = pictures[:1].numpy().astype(np.float32)
    maps, told = open_session(path).run(["map", FEATURES], {"pixels": given})
    with torch.inference_mode():
        patches = network(pictures[:1]).numpy()[0, 1:]
    small, slopes = 1e-3, []
    for patch in range(0, 196, 5):
        changed = told.astype(np.float64).reshape(-1, WIDTH)
        for k, (rows, columns) in enumerate(AREAS.values()):
            area = np.zeros((14, 14))
            area[rows, columns] = 1
            if area.ravel()[patch]:
                changed[2 + k] -= small * patches[patch] / area.sum()
        slopes.append((answer.logits(told) - answer.logits(changed.reshape(1, -1))).item() / small)
    # Where the patches' contributions are equal but for a constant, they correlate; bytes make noise.
    assert np.corrcoef(slopes, maps.ravel()[::5])[0, 1] > 0.98


def test_few_levels_are_stored_in_less_than_half_and_any_gzip_reads_them(made):
    _, path, *_ = made
    content = gzip.decompress(path.read_bytes())
    assert path.stat().st_size < len(content) / 2


def test_features_come_in_order_over_batches(made):
    _, path, _, pictures, _ = made
    crops = pictures[:11].permute(0, 2, 3, 1).numpy()
    session = open_session(path)
    assert features(session, crops)[9] == pytest.approx(features(session, crops[8:11])[1], abs=1e-3)


def test_areas_are_averaged_and_lie_where_a_face_has_them():
    matrix = averaging()
    assert matrix.sum(1) == pytest.approx(1, abs=1e-6)
    centres = {n: np.array([m @ np.repeat(np.arange(14), 14), m @ np.tile(np.arange(14), 14)]) + 0.5
               for n, m in zip(AREAS, matrix.astype(np.float64), strict=True)}  # fmt: skip
    # Where the framing puts the five points: eyes (the one at the left of the picture first), nose, mouth.
    points = np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]])
    placed = Framing(MARGIN).matrix(points, SIDE)
    for name, point in (("left eye", points[0]), ("right eye", points[1]), ("nose", points[2])):
        x, y = placed @ [*point, 1]
        assert centres[name] == pytest.approx([y / PATCH, x / PATCH], abs=1.5), name
    x, y = placed @ [100, 130, 1]
    assert centres["mouth"] == pytest.approx([y / PATCH, x / PATCH], abs=1.5)


def item(number, kind=""):
    return Item(
        path=None, member=f"{number}.png", data_set="a", name=str(number), label="fake" if kind else "real",
        manipulation=kind, group=str(number), split="tune",
    )  # fmt: skip


def test_the_smallest_share_near_the_best_auc_is_taken():
    generator = np.random.default_rng(2)
    items = [item(k) for k in range(200)] + [item(k, "x") for k in range(200, 400)]
    labels = np.array([i.label == "fake" for i in items])
    own = labels + generator.normal(size=400)
    useful, useless = labels + generator.normal(size=400), generator.normal(size=400)
    lines: list[str] = []
    held_back, share = choose(items, own, {0.01: useless, 0.1: useful}, lines.append)
    assert held_back == 0.1
    areas = [roc_auc_score(labels, own / own.std() + s * useful / useful.std()) for s in SHARES]
    assert max(areas) - areas[SHARES.index(share)] <= NEAR
    assert all(area < max(areas) - NEAR for s, area in zip(SHARES, areas, strict=True) if s < share)
    assert len(lines) == 2


def face_and_points():
    pixels = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    return pixels, np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]])


def test_three_of_four_first_looks_are_the_crop_that_the_product_cuts_or_its_mirror_image():
    pixels, points = face_and_points()
    plain = read_crop(pixels, points)
    first = [look_crop(pixels, points, 0, seed) for seed in range(60)]
    second = [look_crop(pixels, points, 1, seed) for seed in range(60)]
    as_it_is = [[np.array_equal(c, plain) for c in crops] for crops in (first, second)]
    mirrored = [[np.array_equal(c, plain[:, ::-1]) for c in crops] for crops in (first, second)]
    unchanged = np.array(as_it_is) | np.array(mirrored)
    assert 0.6 < unchanged.mean() < 0.9
    both = unchanged.all(0)
    # The two looks of a picture are never the same side twice.
    assert (np.array(as_it_is)[0] != np.array(as_it_is)[1])[both].all()
    assert 0 < np.array(mirrored)[0].sum() < 60


def test_later_looks_are_all_unlike():
    pixels, points = face_and_points()
    seen = {look_crop(pixels, points, number, 5).tobytes() for number in range(8)}
    assert len(seen) == 8


def test_rare_kinds_are_looked_at_more_often(monkeypatch):
    monkeypatch.setattr(companion, "LOOKS", 10)
    monkeypatch.setattr(companion, "MOST_LOOKS", 4)
    many, some, few = [item(k) for k in range(11)], [item(k, "x") for k in range(4)], [item(9, "y")]
    found = looks([*many, *some, *few])
    assert [n for i, n in found if i.manipulation == ""] == [0] * 11
    assert [n for i, n in found if i.manipulation == "x"] == [0, 1, 2] * 4
    assert [n for i, n in found if i.manipulation == "y"] == [0, 1, 2, 3]


def write_faces(path):
    """Four real faces of a data set and as many fakes, all to train on."""
    face = pictures.astronaut()[0:260, 90:350]
    rows = io.StringIO("")
    rows.write("name,label,identity,split,original,manipulation\n")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(8):
            shown = face if number % 2 else face // 2 + 60
            archive.writestr(f"images/f{number}.png", cv2.imencode(".png", shown[..., ::-1])[1].tobytes())
            row = f"real,p{number},train,," if number % 2 else f"fake,p{number},train,,paint"
            rows.write(f"f{number},{row}\n")
        archive.writestr("metadata.csv", rows.getvalue())


@pytest.mark.parametrize(("most_of", "expected"), [({}, 2), ({"faces": 3}, 6), ({"others": 3}, 2)])
def test_of_some_data_sets_more_is_learned_from(tmp_path, monkeypatch, most_of, expected):
    write_faces(tmp_path / "faces.zip")
    monkeypatch.setattr(companion, "MOST", {"train": 1, "tune": 1})
    monkeypatch.setattr(companion, "MOST_OF", most_of)
    maker = Maker(tmp_path, tmp_path / "no-encoder", [tmp_path / "faces.zip"])
    assert len(maker.items["train"]) == len({i.place for i in maker.items["train"]}) == expected


def test_tuning_changes_norms_and_biases_and_is_kept(tmp_path, monkeypatch):
    """A step with two faces; weights stay as rounded, and a finished tuning is not begun again."""
    write_faces(tmp_path / "faces.zip")
    torch.manual_seed(0)
    network = VisionTransformer(1).eval().requires_grad_(False)
    block = network.blocks[0]
    layers = [{}]
    for name in ("qkv", "out", "fc1", "fc2"):
        layer = getattr(block, name)
        codes = torch.randint(-3, 4, layer.weight.shape, dtype=torch.int8)
        layers[0][name] = Rounded(codes, 0.01, layer.bias)
    before = copy.deepcopy(network), copy.deepcopy(layers)
    monkeypatch.setattr(Maker, "rounded", lambda maker: copy.deepcopy((network, layers)))
    monkeypatch.setattr(companion, "SHOWN", {"paint": 1.0})
    places = tmp_path / "work", tmp_path / "no-encoder", [tmp_path / "faces.zip"]
    maker = Maker(*places, steps=1)
    tuned, given = maker.tuned()
    assert not torch.equal(tuned.norm.weight, before[0].norm.weight)
    assert not torch.equal(given[0]["fc1"].bias, before[1][0]["fc1"].bias)
    assert torch.equal(given[0]["fc1"].codes, before[1][0]["fc1"].codes)
    assert torch.equal(tuned.blocks[0].fc1.weight, before[1][0]["fc1"].codes * 0.01)
    again, _ = maker.tuned()
    assert torch.equal(again.norm.weight, tuned.norm.weight)
    # What was tuned, kept apart, is set again without tuning.
    held = Maker(*places, norms=places[0] / "norms.npz", steps=0)
    kept, layers_kept = held.tuned()
    assert maker.along is not None
    assert held.along is not None
    assert np.allclose(held.along.coefficients, maker.along.coefficients, rtol=2e-3, atol=1e-4)
    assert held.along.kinds == pytest.approx(maker.along.kinds)
    untuned = Maker(*places, steps=0)
    untuned.tuned()
    assert untuned.along is None
    assert torch.allclose(kept.norm.weight, tuned.norm.weight, rtol=1e-3)
    assert torch.allclose(layers_kept[0]["fc1"].bias, given[0]["fc1"].bias, atol=1e-3)


def test_the_encoder_comes_back_from_the_file(made, tmp_path):
    network, path, answer, pictures_shown, _ = made
    again, layers = recover_encoder(path)
    with torch.inference_mode():
        wanted, given = network(pictures_shown[:4]), again(pictures_shown[:4])
    # Positions and norms are stored in half precision, the first convolution in 8 bits.
    assert torch.corrcoef(torch.stack([wanted.flatten(), given.flatten()]))[0, 1] > 0.999
    copied = tmp_path / "again.onnx.gz"
    write_network(copied, build(again, layers, [answer]))
    shown = {"pixels": pictures_shown[:4].numpy().astype(np.float32)}
    one, other = (open_session(p).run(["logit"], shown)[0] for p in (path, copied))
    assert other == pytest.approx(one, abs=2e-2)


@pytest.mark.parametrize("content", [b"", b"no network at all"])
def test_a_file_without_an_encoder_is_named(tmp_path, content):
    path = tmp_path / "other.onnx.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"other\.onnx\.gz: holds no encoder"):
        recover_encoder(path)


def test_another_network_is_no_encoder():
    with pytest.raises(ValueError, match="holds no encoder"):
        recover_encoder(VISUAL)
