"""The companion: a network whose logit is the mean brightness of its crop, added to the visual network's."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from onnx import TensorProto, helper

import tiny_networks
from unmask.runtime import companion
from unmask.runtime.card import WeightError, load_card
from unmask.runtime.companion import Companion, add_maps, companion_of
from unmask.runtime.session import open_session


def packed(folder, **card):
    plain = tiny_networks.brightness_network(folder, name="second", threshold=100.0, scale=1.0)
    path = folder / "second.onnx.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    tiny_networks.write_card(path, **card)
    return path


def test_a_compressed_network_is_opened_and_answers(tmp_path):
    opinion = Companion(packed(tmp_path)).infer(np.full((2, 32, 32, 3), 103, np.uint8))
    assert opinion.logits == pytest.approx([3, 3], abs=1e-4)
    assert opinion.maps.shape == (2, 4, 4)


def test_opened_ahead_it_is_opened_once_and_answers_the_same(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(companion, "open_session", lambda *a, **k: opened.append(a) or open_session(*a, **k))
    network = Companion(packed(tmp_path))
    network.open_ahead()
    network.open_ahead()
    assert network.infer(np.full((2, 32, 32, 3), 103, np.uint8)).logits == pytest.approx([3, 3], abs=1e-4)
    assert len(opened) == 1


def test_what_goes_wrong_ahead_is_raised_when_it_is_asked(tmp_path):
    network = Companion(packed(tmp_path))
    network.card.path.write_bytes(b"not compressed")
    network.open_ahead()
    with pytest.raises(WeightError, match="sha256 differs"):
        network.infer(np.zeros((1, 32, 32, 3), np.uint8))


def test_the_card_of_a_compressed_network_lies_under_the_plain_name(tmp_path):
    path = packed(tmp_path)
    assert load_card(path).path == path
    assert (tmp_path / "second.card.json").exists()


def test_a_file_that_is_no_gzip_is_one_clear_line(tmp_path):
    path = tmp_path / "broken.onnx.gz"
    path.write_bytes(b"not compressed")
    with pytest.raises(WeightError, match=r"broken\.onnx\.gz: not a network that can be run"):
        open_session(path)


def test_a_damaged_companion_is_refused_with_the_visual_network(tmp_path):
    path = packed(tmp_path)
    visual = tiny_networks.brightness_network(
        tmp_path, companion=path.name, depends={path.name: load_card(path).sha256}
    )
    opened = companion_of(load_card(visual))
    assert opened is not None
    assert opened.card.file == path.name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightError, match="sha256 differs"):
        companion_of(load_card(visual))


def test_a_card_without_crop_is_refused(tmp_path):
    with pytest.raises(WeightError, match="must state crop"):
        Companion(packed(tmp_path, crop=None))


def test_a_network_without_map_is_no_companion(tmp_path):
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 32, 32])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, None)
    nodes = [helper.make_node("ReduceMean", ["pixels"], ["logit"], axes=[1, 2, 3], keepdims=0)]
    model = helper.make_model(
        helper.make_graph(nodes, "x", [pixels], [logit]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "other.onnx"
    path.write_bytes(model.SerializeToString())
    tiny_networks.write_card(path)
    with pytest.raises(WeightError, match=r"not a companion \(no map\)"):
        Companion(path).infer(np.zeros((1, 32, 32, 3), np.uint8))


def test_what_is_said_of_a_face_does_not_depend_on_the_others(tmp_path):
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, 32, 32])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("logit", "map")]
    nodes = [  # the mean of each crop less the largest value of all that is given at once
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["pixels"], ["largest"], keepdims=0),
        helper.make_node("Sub", ["mean", "largest"], ["logit"]),
        helper.make_node("ReduceMean", ["pixels"], ["map"], axes=[1], keepdims=0),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "x", [pixels], outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "together.onnx"
    path.write_bytes(model.SerializeToString())
    tiny_networks.write_card(path)
    crops = np.stack([np.full((32, 32, 3), value, np.uint8) for value in (20, 200)])
    opinion = Companion(path).infer(crops)
    assert opinion.logits == pytest.approx([0, 0], abs=1e-3)
    assert opinion.maps.shape == (2, 32, 32)


def test_maps_of_unlike_size_add_and_keep_their_means():
    generator = np.random.default_rng(0)
    own, other = generator.normal(size=(3, 32, 32)), generator.normal(size=(3, 14, 14)).astype(np.float32)
    both = add_maps(own, other)
    assert both.shape == own.shape
    assert both.mean((1, 2)) == pytest.approx(own.mean((1, 2)) + other.mean((1, 2)), abs=1e-6)
    # What lies left in one lies left in the other: a bright column stays where it is.
    column = np.zeros((1, 14, 14), np.float32)
    column[:, :, 3] = 1
    laid = add_maps(np.zeros((1, 32, 32)), column)[0].mean(0)
    assert abs(int(laid.argmax()) - round(3.5 / 14 * 32)) <= 1
