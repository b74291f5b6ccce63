"""Export of every kind of architecture: the ONNX file answers as the network does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from random_networks import random_network, save  # noqa: E402
from torch import nn  # noqa: E402

from unmask.faces.align import Framing  # noqa: E402
from unmask.models.registry import architecture, create  # noqa: E402
from unmask.runtime.card import load_card, read_network, verify  # noqa: E402
from unmask.runtime.network import VisualNetwork  # noqa: E402
from unmask.training.export import Exported, export, fuse_normalisation  # noqa: E402


@pytest.mark.parametrize(
    ("name", "size", "shape", "width"),
    [("xceptionnet", 75, (3, 3), 2048), ("mesoinception4", 256, (8, 8), 16)],
)
def test_an_exported_network_answers_as_the_checkpoint_does(tmp_path, name, size, shape, width):
    model = random_network(name)
    save(tmp_path / "net.safetensors", model, name, size, {})
    exported = export(tmp_path / "net.safetensors")
    crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    answer = VisualNetwork(exported, threads=1).infer(crops)
    expects = architecture(name).preprocessing
    x = (crops.transpose(0, 3, 1, 2) / 255 - np.reshape(expects.mean, (3, 1, 1))) / np.reshape(
        expects.std, (3, 1, 1)
    )
    with torch.inference_mode():
        features = model.forward_features(torch.tensor(x, dtype=torch.float32))
        pooled = model.pool(features)
        logits = model.classifier(pooled)[:, 0]
    # Weights are stored in half precision: three digits.
    np.testing.assert_allclose(answer.logits, logits, atol=0.002 * (1 + float(logits.abs().max())))
    np.testing.assert_allclose(answer.embeddings, pooled, atol=0.002 * (1 + float(pooled.abs().max())))
    assert (answer.maps.shape, answer.embeddings.shape) == ((3, *shape), (3, width))
    constant = model.classifier.bias.item()
    np.testing.assert_allclose(answer.maps.mean((1, 2)) + constant, answer.logits, atol=1e-3)


def test_two_networks_are_exported_as_one_that_averages_them(tmp_path):
    """The first sees the middle 64 of 80 pixels as they are, the second all of them reduced to 64."""
    models = [random_network("efficientnet_lite0") for _ in range(2)]
    with torch.no_grad():
        models[1].classifier.bias.fill_(1.5)
        models[1].classifier.weight.mul_(-2)
    for number, (model, margin, groups) in enumerate(zip(models, (2.0, 2.5), (["b"], ["a"]), strict=True)):
        save(
            tmp_path / f"{number}.safetensors",
            model,
            "efficientnet_lite0",
            64,
            {},
            crop_margin=margin,
            upright=number == 0,
            trained_groups=groups,
            training_data=[{"data_set": "x", "items": 10 + number}],
        )
    exported = export(tmp_path / "0.safetensors", tmp_path / "both.onnx", others=[tmp_path / "1.safetensors"])
    network = VisualNetwork(exported, threads=1)
    assert (network.size, network.framing) == (80, Framing(2.5, upright=True))
    assert network.card.trained_groups == ["a", "b"]
    assert network.card.training_data == [{"data_set": "x", "items": 11}]
    rows = np.arange(80)
    waves = np.sin(rows / 9)[:, None, None] * np.cos(rows / 7)[None, :, None] * np.ones(3)
    crop = (120 + 60 * waves).astype(np.uint8)[None]
    answer = network.infer(crop)
    expects = architecture("efficientnet_lite0").preprocessing
    small = cv2.resize(crop[0], (64, 64), interpolation=cv2.INTER_AREA)
    embeddings, constants, logits = [], [], []
    for model, seen in zip(models, (crop[0, 8:72, 8:72], small), strict=True):
        x = (seen / 255 - expects.mean) / expects.std
        with torch.inference_mode():
            pooled = model.pool(
                model.forward_features(torch.tensor(x, dtype=torch.float32).permute(2, 0, 1)[None])
            )
            logits.append(model.classifier(pooled).item())
        embeddings.append(pooled[0])
        constants.append(model.classifier.bias.item())
    assert answer.embeddings.shape == (1, 2560)
    # Half-precision weights; the two ways of reducing a picture differ a little.
    np.testing.assert_allclose(answer.embeddings[0, :1280], embeddings[0], atol=0.02, rtol=0.02)
    np.testing.assert_allclose(answer.embeddings[0, 1280:], embeddings[1], atol=0.1)
    assert answer.logits[0] == pytest.approx(np.mean(logits), abs=0.1 * (1 + abs(np.mean(logits))))
    assert answer.maps.shape == (1, 10, 10)
    assert answer.maps.mean() + np.mean(constants) == pytest.approx(answer.logits[0], abs=1e-3)


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_lite1", "xception", "meso4"])
def test_folding_the_normalisation_in_changes_nothing(name):
    model = random_network(name)
    x = torch.randn(2, 3, *((256, 256) if name == "meso4" else (73, 73)))
    with torch.inference_mode():
        before = model(x)
        fuse_normalisation(model)
        torch.testing.assert_close(model(x), before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))
    left = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert left == (4 if name == "meso4" else 0)  # there they follow a ReLU, not a convolution


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({"pretrained": True, "initial": None}, "starting weights meso4, ImageNet"),
        (
            {"pretrained": True, "initial": "runs/best.safetensors"},
            "starting weights best.safetensors",
        ),
        ({"pretrained": False, "initial": None}, "trained by unmask train"),
    ],
)
def test_the_card_says_where_the_weights_started(tmp_path, monkeypatch, configuration, words):
    from unmask.training import export as room

    monkeypatch.setattr(room, "_compare", lambda *_: None)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: _Program())
    save(tmp_path / "net.safetensors", create("meso4"), "meso4", 256, configuration)
    card = load_card(export(tmp_path / "net.safetensors"))
    verify(card)
    assert card.origin is not None
    assert card.origin.endswith(words)
    assert (card.architecture, card.input_size, card.std) == ("meso4", 256, (1.0, 1.0, 1.0))


class _Program:
    """Stands for what torch exports: the smallest valid network."""

    def __init__(self) -> None:
        from onnx import TensorProto, helper

        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("pixels", "logit")]
        node = helper.make_node("Identity", ["pixels"], ["logit"])
        graph = helper.make_graph([node], "least", value[:1], value[1:])
        self.model_proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_pixels_go_in_as_they_are_and_are_normalised_inside():
    model = random_network("meso4")
    pixels = torch.randint(0, 256, (1, 3, 256, 256)).float()
    with torch.inference_mode():
        logit, _, _ = Exported(model, (0.5, 0.4, 0.3), (0.5, 0.25, 0.2))(pixels)
        by_hand = torch.stack(
            [
                (pixels[:, 0] / 255 - 0.5) / 0.5,
                (pixels[:, 1] / 255 - 0.4) / 0.25,
                (pixels[:, 2] / 255 - 0.3) / 0.2,
            ],
            1,
        )
        torch.testing.assert_close(logit, model(by_hand)[:, 0], rtol=1e-4, atol=1e-5)


def test_a_file_whose_name_says_so_is_stored_compressed(tmp_path):
    save(tmp_path / "net.safetensors", random_network("efficientnet_lite0"), "efficientnet_lite0", 64, {})
    plain = export(tmp_path / "net.safetensors")
    compressed = export(tmp_path / "net.safetensors", tmp_path / "small.onnx.gz")
    assert read_network(compressed) == plain.read_bytes()
    assert compressed.stat().st_size < 0.95 * plain.stat().st_size
    cards = load_card(plain), load_card(compressed)
    assert [card.name for card in cards] == ["net", "small"]
    assert cards[1].file == "small.onnx.gz"
    verify(cards[1])
