"""Losses against hand calculation and torch's own."""

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from torch.nn import functional  # noqa: E402

from unmask.training.objective import distillation_loss, focal_loss, mix_up, smooth  # noqa: E402


def test_smoothing_moves_labels_towards_a_half():
    assert smooth(torch.tensor([0.0, 1.0]), 0.1).tolist() == pytest.approx([0.05, 0.95])


def test_focal_loss_without_focus_is_cross_entropy():
    logits, targets = torch.tensor([-2.0, 0.3, 1.5]), torch.tensor([0.0, 1.0, 0.0])
    expected = functional.binary_cross_entropy_with_logits(logits, targets)
    assert focal_loss(logits, targets, 0.0).item() == pytest.approx(expected.item())


def test_focal_loss_of_one_answer():
    # p = 0.8 for a fake: (1 - 0.8) ** 2 * -ln 0.8
    logit = math.log(0.8 / 0.2)
    loss = focal_loss(torch.tensor([logit]), torch.tensor([1.0]), 2.0)
    assert loss.item() == pytest.approx(0.04 * -math.log(0.8), rel=1e-5)


def test_distillation_is_least_where_pupil_and_teacher_agree():
    teacher = torch.tensor([1.0, -0.5])
    logits = teacher.clone().requires_grad_()
    distillation_loss(logits, teacher, 2.0).backward()
    assert logits.grad.abs().max().item() < 1e-7
    assert distillation_loss(teacher + 1, teacher, 2.0) > distillation_loss(teacher, teacher, 2.0)


def test_the_gradient_of_distillation_keeps_its_size():
    # d/dz [T^2 * BCE(z/T, s)] = T * (sigmoid(z/T) - s); at z = 0, teacher 2, T = 2: 2 * (0.5 - sigmoid(1)).
    logits = torch.zeros(1, requires_grad=True)
    distillation_loss(logits, torch.tensor([2.0]), 2.0).backward()
    assert logits.grad.item() == pytest.approx(2 * (0.5 - 1 / (1 + math.exp(-1))), rel=1e-5)


def test_mix_up_mixes_pictures_and_targets_by_the_same_share():
    torch.manual_seed(3)
    targets = torch.tensor([0.0, 1.0, 0.0, 1.0])
    pixels = targets.view(4, 1, 1, 1).expand(4, 3, 2, 2).clone()
    mixed, mixed_targets = mix_up(pixels, targets, 0.4)
    assert torch.allclose(mixed[:, 0, 0, 0], mixed_targets)
    assert mixed_targets.mean().item() == pytest.approx(0.5)
