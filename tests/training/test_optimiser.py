"""Rates, sharpness-aware steps and averages against hand calculation."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from torch import nn  # noqa: E402

from unmask.models.registry import create  # noqa: E402
from unmask.training.config import TrainingConfig  # noqa: E402
from unmask.training.optimiser import (  # noqa: E402
    Average,
    SharpnessAware,
    frozen_statistics,
    learning_rate,
    make_optimiser,
    set_frozen,
)


def test_the_linear_schedule_stays_flat_and_then_falls():
    config = TrainingConfig(learning_rate=1.0, warm_up=0.0, flat=0.75, schedule="linear")
    assert [learning_rate(p, config) for p in (0.0, 0.75, 0.875, 1.0)] == pytest.approx([1, 1, 0.5, 0])


def test_the_gradient_of_a_sharpness_aware_step_is_that_of_the_worst_point_nearby():
    # f(w) = w^2 / 2 at w = 2: gradient 2; within 0.5 the worst point is 2.5, with gradient 2.5.
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    sharpness = SharpnessAware(model, 0.5)
    (model.weight**2 / 2).sum().backward()
    sharpness.climb()
    assert model.weight.item() == pytest.approx(2.5)
    model.zero_grad()
    (model.weight**2 / 2).sum().backward()
    sharpness.descend()
    assert model.weight.item() == pytest.approx(2.0)
    assert model.weight.grad.item() == pytest.approx(2.5)


def test_statistics_stand_still_inside_the_block_and_move_again_after():
    norm = nn.BatchNorm2d(1)
    pixels = torch.full((2, 1, 2, 2), 4.0)
    with frozen_statistics(norm):
        norm(pixels)
    assert norm.running_mean.item() == 0.0
    norm(pixels)
    assert norm.running_mean.item() == pytest.approx(0.4)


def test_the_average_follows_the_weights():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = Average(model, 0.5)
    nn.init.constant_(model.weight, 1.0)
    # At step 0 the decay is (1 + 0) / (10 + 0): a tenth of the old is kept.
    average.update(model, 0)
    assert average.state["weight"].item() == pytest.approx(0.9)
    average.update(model, 1000)
    assert average.state["weight"].item() == pytest.approx(0.95)


def test_weights_decay_and_biases_do_not():
    optimiser = make_optimiser(nn.Linear(2, 1), TrainingConfig(weight_decay=0.1))
    assert [(len(g["params"]), g["weight_decay"]) for g in optimiser.param_groups] == [(1, 0.1), (1, 0.0)]


def test_a_frozen_backbone_leaves_the_last_layer_alone():
    model = create("meso4")
    set_frozen(model, norm=False, parts=0, backbone=True)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"classifier.weight", "classifier.bias"}
    set_frozen(model, norm=False, parts=0, backbone=False)
    assert all(p.requires_grad for p in model.parameters())


def test_frozen_norms_keep_their_averages():
    model = create("efficientnet_lite0")
    set_frozen(model, norm=True, parts=0, backbone=False)
    before = model.stem_norm.running_mean.clone()
    model(torch.rand(2, 3, 32, 32))
    assert torch.equal(model.stem_norm.running_mean, before)
