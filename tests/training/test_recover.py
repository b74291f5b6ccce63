"""Checkpoints recovered from an exported file answer as the file does, and can be exported again."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from random_networks import random_network, save  # noqa: E402

from unmask.runtime.network import VisualNetwork  # noqa: E402
from unmask.training import checkpoint  # noqa: E402
from unmask.training.export import export  # noqa: E402
from unmask.training.recover import main, recover  # noqa: E402


def answers(path, size: int) -> list[np.ndarray]:
    crops = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    answer = VisualNetwork(path, threads=1).infer(crops)
    return [answer.logits, answer.maps, answer.embeddings]


@pytest.mark.parametrize(("name", "size"), [("efficientnet_lite0", 64), ("xceptionnet", 75)])
def test_what_is_recovered_and_exported_again_answers_the_same(tmp_path, name, size):
    save(tmp_path / "net.safetensors", random_network(name), name, size, {})
    first = export(tmp_path / "net.safetensors", tmp_path / "first.onnx.gz")
    (again,) = recover(first, tmp_path / "recovered")
    header = checkpoint.read_header(again)
    assert (header.architecture, header.input_size) == (name, size)
    second = export(again)
    for a, b in zip(answers(first, size), answers(second, size), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_two_networks_in_one_file_become_two_checkpoints(tmp_path):
    paths = []
    for number, margin in enumerate((2.16, 2.7)):
        path = tmp_path / f"{number}.safetensors"
        configuration = {"margin": margin, "phases": [{"until": 1.0, "size": 64}]}
        network = random_network("efficientnet_lite0", seed=number)
        save(path, network, "efficientnet_lite0", 64, configuration, crop_margin=margin)
        paths.append(path)
    joint = export(paths[0], tmp_path / "joint.onnx", others=paths[1:])
    recovered = recover(joint, tmp_path / "recovered")
    assert [path.name for path in recovered] == ["joint-1.safetensors", "joint-2.safetensors"]
    x = torch.rand(2, 3, 64, 64)
    for before, after in zip(paths, recovered, strict=True):
        (first, header), (second, kept) = checkpoint.load(before), checkpoint.load(after)
        assert (kept.crop_margin, kept.input_size) == (header.crop_margin, 64)
        with torch.inference_mode():
            # Weights went through half precision.
            torch.testing.assert_close(second(x), first(x), rtol=5e-3, atol=5e-3)


def test_a_file_that_its_card_does_not_describe_is_named(tmp_path, capsys):
    save(tmp_path / "net.safetensors", random_network("mesoinception4"), "mesoinception4", 256, {})
    exported = export(tmp_path / "net.safetensors")
    card = tmp_path / "net.card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"architecture": "efficientnet_lite0"}))
    assert main([str(exported), "--output", str(tmp_path / "out")]) == 2
    assert "stem_conv.bias is not there" in capsys.readouterr().err
    card.unlink()
    assert main([str(exported), "--output", str(tmp_path / "out")]) == 2
    assert "card" in capsys.readouterr().err
