"""Making a companion: the exported graph against the rounded network, the answer, and its choice."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from unmask.data.manifest import Item
from unmask.models.vision_transformer import WIDTH, VisionTransformer
from unmask.runtime.session import open_session
from unmask.training.companion import (
    FEATURES,
    SHARES,
    balance,
    build,
    changed_crop,
    choose,
    features,
    packed,
    read_crop,
    regression,
)
from unmask.training.rounding import round_blocks


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a rounded network of one block on 32 px, its file, the answer put into it, and pictures."""
    torch.manual_seed(0)
    network = VisionTransformer(1, side=32).eval().requires_grad_(False)
    network.positions.normal_()
    network.token.normal_()
    pictures = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    said: list[str] = []
    layers = round_blocks(network, pictures, noise=0.01, by_block=(1.0,), report=said.append)
    generator = np.random.default_rng(0)
    answer = generator.normal(size=2 * WIDTH).astype(np.float32) / 30, -0.3
    path = tmp_path_factory.mktemp("made") / "companion.onnx.gz"
    path.write_bytes(packed(build(network, layers, answer)))
    return network, path, answer, pictures, said


def test_the_file_answers_as_the_rounded_network_does(made):
    network, path, (coefficients, constant), pictures, said = made
    given = pictures[:6].numpy().astype(np.float32)
    logits, maps, told = open_session(path).run(["logit", "map", FEATURES], {"pixels": given})
    with torch.inference_mode():
        stream = network(pictures[:6]).numpy()
    expected = np.concatenate([stream[:, 0], stream[:, 1:].mean(1)], 1)
    # Inputs are bytes there: it answers nearly, not exactly, the same.
    assert np.corrcoef(told.ravel(), expected.ravel())[0, 1] > 0.995
    assert logits == pytest.approx(told @ coefficients + constant, abs=1e-3)
    # The map's mean and a constant, the first token's part, make the logit.
    constants = told[:, :WIDTH] @ coefficients[:WIDTH] + constant
    assert maps.shape == (6, 2, 2)
    assert maps.mean((1, 2)) + constants == pytest.approx(logits, abs=1e-3)
    assert len(said) == 1
    assert "block 1: " in said[0]


def test_a_huffman_code_stores_less_than_half_and_any_gzip_reads_it(made):
    _, path, *_ = made
    content = gzip.decompress(path.read_bytes())
    assert path.stat().st_size < len(content) / 2


def test_features_come_in_order_over_batches(made):
    _, path, _, pictures, _ = made
    crops = pictures[:11].permute(0, 2, 3, 1).numpy()
    session = open_session(path)
    assert features(session, crops)[9] == pytest.approx(features(session, crops[8:11])[1], abs=1e-3)


def test_the_regression_stands_where_loss_and_size_balance():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(300, 5)).astype(np.float32)
    labels = (x @ [1, -2, 0.5, 0, 0] + generator.normal(size=300) > 0).astype(int)
    weights = generator.uniform(0.5, 2, size=300)
    weights /= weights.sum()
    coefficients, constant = regression(x, labels, weights, 0.02)
    # The gradient of the weighted cross-entropy, and that of 0.02 / 2 times the squared size, cancel.
    error = weights * (1 / (1 + np.exp(-(x @ coefficients + constant))) - labels)
    assert x.T @ error == pytest.approx(-0.02 * coefficients, abs=1e-4)
    assert error.sum() == pytest.approx(0, abs=1e-4)


def item(number, kind=""):
    return Item(
        path=None, member=f"{number}.png", data_set="a", name=str(number), label="fake" if kind else "real",
        manipulation=kind, group=str(number), split="tune",
    )  # fmt: skip


def test_both_labels_weigh_alike_and_large_kinds_no_more_than_their_root():
    items = [item(k) for k in range(4)] + [item(k, "x") for k in range(4, 20)] + [item(20, "y")]
    weights = balance(items)
    assert weights[:4].sum() == pytest.approx(0.5)
    assert weights[4:].sum() == pytest.approx(0.5)
    # 16 of one kind and 1 of the other: 4 to 1 in sum.
    assert weights[4:20].sum() == pytest.approx(4 * weights[20])


def test_the_share_and_what_is_held_back_are_those_of_the_best_auc():
    generator = np.random.default_rng(2)
    items = [item(k) for k in range(200)] + [item(k, "x") for k in range(200, 400)]
    labels = np.array([i.label == "fake" for i in items])
    own = labels + generator.normal(size=400)
    useful, useless = labels + generator.normal(size=400), generator.normal(size=400)
    lines: list[str] = []
    held_back, share = choose(items, own, {0.01: useless, 0.1: useful}, lines.append)
    assert held_back == 0.1
    best = max(SHARES, key=lambda s: roc_auc_score(labels, own / own.std() + s * useful / useful.std()))
    assert share == best
    assert len(lines) == 2


def test_most_training_crops_are_those_that_the_product_cuts():
    pixels = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    points = np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]])
    plain = read_crop(pixels, points)
    same = [np.array_equal(changed_crop(pixels, points, seed), plain) for seed in range(12)]
    assert same == [k % 6 != 0 for k in range(12)]
