"""The architectures: published sizes, the common interface, freezing, names."""

from __future__ import annotations

import copy
import functools

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from published_networks import randomise  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from unmask.models.efficientnet import SamePadConv2d  # noqa: E402
from unmask.models.registry import architecture, create, names  # noqa: E402

# With 1000 classes. EfficientNet: `num_params` in torchvision's documentation of its weights. Lite: timm's
# results table (4.65, 5.42, 6.09 M), to the digit from its models. Xception: Keras counts 22,910,480 with the
# 54,528 averages of its normalisations, which are no parameters; timm's legacy_xception has 22,855,952.
PUBLISHED = {
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
    "xception": 22_910_480 - 54_528,
}
# With one output, trainable (1809.00888, sections 3.1 and 3.2): averages of the normalisations do not count.
PUBLISHED_MESO = {"meso4": 27_977, "mesoinception4": 28_615}
# Table of resolutions in the original EfficientNet code; 1610.02357; 1809.00888.
SIDES = {
    **dict(
        zip([f"efficientnet_b{n}" for n in range(8)], [224, 240, 260, 300, 380, 456, 528, 600], strict=True)
    ),
    **dict(zip([f"efficientnet_lite{n}" for n in range(3)], [224, 240, 260], strict=True)),
    "xception": 299,
    "meso4": 256,
    "mesoinception4": 256,
}
EVERY_KIND = ["efficientnet_b0", "xception", "meso4", "mesoinception4"]


@functools.cache
def network(name: str):
    """One network with random weights for all tests that only look at it."""
    return randomise(create(name))


def size(name: str) -> int:
    return 256 if "meso" in name else 75


def count(name: str, classes: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in create(name, num_classes=classes).parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    assert count(name, 1000) == PUBLISHED[name]


@pytest.mark.parametrize("name", ["efficientnet_b1", "efficientnet_lite1"])
def test_padding_as_in_tensorflow_adds_no_parameter(name):
    assert count(f"tf_{name}", 1000) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED_MESO)
def test_meso_parameters_are_as_many_as_published(name):
    assert count(name, 1) == PUBLISHED_MESO[name]


FREQUENCY = {"dct_cnn", "f3net", "spsl", "srm_two_stream", "spsl_lite0", "srm_lite0"}
"""Networks whose structure deviates from the paper's, so that no published count applies."""


def test_every_architecture_has_a_published_size_and_count():
    known = {name.removeprefix("tf_") for name in names()} - FREQUENCY
    assert known == set(PUBLISHED) | set(PUBLISHED_MESO) == set(SIDES)
    assert {name: architecture(name).preprocessing.input_size for name in SIDES} == SIDES


def test_preprocessing_is_that_of_the_published_weights():
    assert (
        architecture("xception").preprocessing.mean
        == architecture("xception").preprocessing.std
        == (0.5,) * 3
    )
    assert architecture("meso4").preprocessing.mean == (0.0,) * 3
    assert architecture("tf_efficientnet_b5").preprocessing.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("name", "margin"),
    # 1.3 times the 112-unit template, whose eyes lie 35.24 units apart, is 4.13; crops end at 4.
    [("xception", 4.0), ("meso4", 4.0), ("mesoinception4", 4.0), ("efficientnet_lite0", 76 / 35.2373)],
)
def test_the_margin_is_that_of_the_published_detectors_or_the_product_s(name, margin):
    assert architecture(name).preprocessing.margin == pytest.approx(margin, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("efficientnet_b4", 96, (1792, 3, 3)),
        ("tf_efficientnet_b0", 65, (1280, 3, 3)),
        ("xception", 299, (2048, 10, 10)),
        ("meso4", 256, (16, 8, 8)),
        ("mesoinception4", 256, (16, 8, 8)),
    ],
)
def test_feature_maps_have_the_published_shape(name, side, shape):
    with torch.device("meta"):
        assert create(name).forward_features(torch.zeros(2, 3, side, side)).shape == (2, *shape)


@pytest.mark.parametrize("name", EVERY_KIND)
def test_logits_are_the_linear_layer_of_the_pooled_features(name):
    model, x = network(name), torch.randn(2, 3, size(name), size(name))
    with torch.inference_mode():
        pooled = model.pool(model.forward_features(x))
        assert pooled.shape == (2, model.num_features)
        torch.testing.assert_close(model(x), F.linear(pooled, *model.classifier.parameters()))


@pytest.mark.parametrize("name", EVERY_KIND)
def test_the_mean_of_the_activation_map_plus_the_bias_is_the_logit(name):
    model, x = network(name), torch.randn(2, 3, size(name), size(name))
    with torch.inference_mode():
        features = model.forward_features(x)
        heat = model.activation_map(features)
        assert heat.shape == (2, *features.shape[2:])
        torch.testing.assert_close(
            heat.mean((1, 2)) + model.classifier.bias, model(x)[:, 0], rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", EVERY_KIND)
def test_the_activation_map_is_features_times_gradients_up_to_a_constant(name):
    """HiResCAM; with global average pooling it equals Grad-CAM. The gradients come from autograd."""
    model = network(name)
    features = model.forward_features(torch.randn(2, 3, size(name), size(name))).detach().requires_grad_()
    logit = model.classifier(model.pool(features)).sum()
    (gradient,) = torch.autograd.grad(logit, features)
    expected = (features * gradient).sum(1) * features[0, 0].numel()
    difference = (model.activation_map(features) - expected).detach()
    scale = float(expected.detach().abs().max())
    assert float((difference - difference.mean((1, 2), keepdim=True)).abs().max()) < 1e-4 * scale


def step(model) -> tuple[dict, dict]:
    """Take one step of training, and return the state before and after."""
    before = {k: v.clone() for k, v in model.state_dict().items() if v.dtype.is_floating_point}
    learning = [p for p in model.parameters() if p.requires_grad]
    side = 256 if model.num_features == 16 else 72
    loss = model(torch.randn(2, 3, side, side)).square().sum()
    loss.backward()
    torch.optim.SGD(learning, lr=0.1).step()
    return before, model.state_dict()


@pytest.mark.parametrize("name", EVERY_KIND)
def test_a_frozen_backbone_learns_the_linear_layer_only_until_fine_tuning(name):
    model = create(name)
    model.freeze_backbone()
    model.train()
    before, after = step(model)
    head = {"classifier.weight", "classifier.bias"}
    assert {k for k, v in before.items() if not torch.equal(v, after[k])} == head
    model.fine_tune()
    before, after = step(model)
    averages = [k for k in before if k.endswith("running_mean")]
    assert averages
    assert not any(torch.equal(before[k], after[k]) for k in averages)
    assert all(p.grad is not None for p in model.parameters())


def test_the_first_parts_alone_can_be_frozen_also_in_training_mode():
    model = create("efficientnet_lite0").train()
    model.freeze_backbone(3)  # stem convolution, its normalisation, first block
    assert [part.training for part in model.parts()[:5]] == [False, False, False, True, True]
    before, after = step(model)
    frozen = {k for k, v in before.items() if torch.equal(v, after[k])}
    assert {k for k in before if k.startswith(("stem_", "blocks.0."))} <= frozen
    assert not any(k.startswith("blocks.1.") and k.endswith("running_mean") for k in frozen)


def test_freezing_leaves_the_mode_of_the_other_parts_alone():
    model = create("meso4").train()
    held = model.blocks[3].norm.eval()
    model.freeze_backbone(1)
    assert [block.training for block in model.blocks] == [False, True, True, True]
    assert not held.training
    model.fine_tune()
    assert [block.training for block in model.blocks] == [True] * 4
    assert not held.training
    model.eval().freeze_backbone(2)
    model.fine_tune()
    assert not any(module.training for module in model.modules())


def test_more_parts_than_there_are_cannot_be_frozen():
    with pytest.raises(ValueError, match="cannot freeze 8 parts: Meso has 6"):
        create("meso4").freeze_backbone(8)


def test_parts_hold_everything_but_the_linear_layer():
    for name in EVERY_KIND:
        model = network(name)
        held = {id(p) for part in model.parts() for p in part.parameters()}
        assert {n for n, p in model.named_parameters() if id(p) not in held} == {
            "classifier.weight",
            "classifier.bias",
        }


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "pads"),
    [
        (6, 3, 2, (0, 1)),
        (5, 3, 2, (1, 1)),
        (8, 5, 2, (1, 2)),
        (7, 5, 2, (2, 2)),
        (6, 3, 1, (1, 1)),
        (1, 3, 2, (1, 1)),
    ],
)
def test_padding_is_that_of_tensorflow(side, kernel, stride, pads):
    """TensorFlow, `padding="SAME"`: max((ceil(n / s) - 1) s + k - n, 0), the smaller half before; by hand."""
    conv = SamePadConv2d(2, 3, kernel, stride, bias=False)
    x = torch.randn(1, 2, side, side)
    expected = F.conv2d(F.pad(x, (*pads, *pads)), conv.weight, stride=stride)
    assert torch.equal(conv(x), expected)
    assert conv(x).shape[-1] == -(-side // stride)


def test_stochastic_depth_leaves_the_block_out_or_weighs_it_up():
    block = copy.deepcopy(network("efficientnet_b0").blocks[2])
    block.drop_path = 0.5
    x = torch.randn(1, 24, 4, 4).expand(400, -1, -1, -1).contiguous()
    with torch.inference_mode():
        branch = block(x)[0] - x[0]
        block.training = True  # its normalisations stay as they are
        changes = block(x) - x
    left_out = (changes == 0).all(dim=(1, 2, 3))
    torch.testing.assert_close(
        changes[~left_out], (2 * branch).expand_as(changes[~left_out]), rtol=1e-4, atol=1e-5
    )
    assert 150 < int(left_out.sum()) < 250  # binomial of 400: five standard deviations


def test_stochastic_depth_grows_from_nothing():
    rates = [block.drop_path for block in create("efficientnet_b0").blocks]
    assert rates == pytest.approx([0.2 * n / 16 for n in range(16)])


def test_meso_networks_say_which_size_they_take():
    with pytest.raises(ValueError, match="take 256 x 256 pixels, not 300 x 200"):
        create("meso4")(torch.zeros(1, 3, 200, 300))


def test_mesoinception_is_that_of_the_paper():
    """Figure 5 of the paper, by hand: each branch on its own, concatenated; 1 + 4 + 4 + 2 channels."""
    layer = network("mesoinception4").blocks[0].conv
    x = torch.randn(1, 3, 9, 9)
    relu = nn.ReLU()
    with torch.inference_mode():
        parts = [relu(layer.point[0](x))]
        for branch, width in ((1, 4), (2, 4), (3, 2)):
            spread = layer.spread[branch - 1]
            assert (spread.dilation, spread.out_channels) == ((branch, branch), width)
            parts.append(relu(spread(relu(layer.point[branch](x)))))
        assert torch.equal(layer(x), torch.cat(parts, 1))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("xceptionnet", "xception"),
        ("legacy_xception", "xception"),
        ("XceptionNet", "xception"),
        ("efficientnet-b4", "efficientnet_b4"),
        ("EfficientNet-B4", "efficientnet_b4"),
    ],
)
def test_names_that_people_use_elsewhere_are_understood(given, meant):
    assert architecture(given).name == meant


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("exception", "xception"),
        ("efficientnet_b8", "efficientnet_b7"),
        ("mesonet4", "meso4"),
        ("meso", "meso4"),
    ],
)
def test_a_misspelt_name_answers_with_near_ones(given, near):
    with pytest.raises(ValueError, match=f"unknown architecture {given!r}; did you mean .*{near}"):
        create(given)


def test_names_match_wildcards():
    assert names("*efficientnet_lite*") == [
        f"{prefix}efficientnet_lite{n}" for prefix in ("", "tf_") for n in range(3)
    ]
    assert names("meso*") == ["meso4", "mesoinception4"]
