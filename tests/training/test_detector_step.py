"""One step of training: the loss, the step and the average are those that the formulas give."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
import lightning  # noqa: E402
from lightning.pytorch.plugins.precision import MixedPrecision  # noqa: E402
from torch import nn  # noqa: E402

from unmask.models.registry import Preprocessing  # noqa: E402
from unmask.training import detector  # noqa: E402
from unmask.training.config import TrainingConfig  # noqa: E402
from unmask.training.detector import DetectorModule, Teacher  # noqa: E402

SGD = {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "warm_up": 0.0, "learning_rate": 0.1}
"""A step of these moves the weights by a tenth of the gradient."""
BATCH = torch.tensor([255.0, 0.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4).byte(), torch.tensor([[1, 0]])
"""A white picture, fake, and a black one, real."""


class Brightness(nn.Module):
    """The logit is weight * mean brightness in 0..1."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[weight]]))

    def forward(self, x):
        return x.mean((1, 2, 3))[:, None] * self.weight


class HalfOnProcessor(MixedPrecision):
    """The scaling of gradients that comes with fp16, on a processor and in 32 bits."""

    def __init__(self, scale: float) -> None:
        super().__init__("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=scale))

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


def step(weight: float, *, teacher: Teacher | None = None, plugin=None, steps: int = 1, **settings):
    """Take steps from a weight; return the module and the loss of the last one."""
    config = TrainingConfig.model_validate(SGD | {"label_smoothing": 0.0, "clip": 1e9} | settings)
    preprocessing = Preprocessing(4, (0.0,) * 3, (1.0,) * 3)
    module = DetectorModule(config, Brightness(weight), preprocessing, progress=lambda: 0.0, teacher=teacher)
    losses = []
    module.training_step = lambda *a: losses.append(DetectorModule.training_step(module, *a)) or losses[-1]
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=plugin,
    )  # fmt: skip
    trainer.fit(module, train_dataloaders=torch.utils.data.DataLoader([BATCH] * steps, batch_size=None))
    return module, float(losses[-1])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_the_loss_is_cross_entropy_and_the_step_its_gradient():
    module, loss = step(2.0)
    # log-odds 2 of the fake, 0 of the real: the mean of softplus(-2) and softplus(0)
    assert loss == pytest.approx((softplus(-2) + math.log(2)) / 2, rel=1e-5)
    assert module.network.weight.item() == pytest.approx(2 + 0.1 * sigmoid(-2) / 2, rel=1e-5)


def test_labels_are_smoothed():
    _, loss = step(2.0, label_smoothing=0.2)
    fake = 0.9 * softplus(-2) + 0.1 * softplus(2)
    assert loss == pytest.approx((fake + math.log(2)) / 2, rel=1e-5)


def test_the_focal_loss_weighs_by_what_is_missed():
    _, loss = step(2.0, focal=2.0)
    assert loss == pytest.approx((sigmoid(-2) ** 2 * softplus(-2) + 0.25 * math.log(2)) / 2, rel=1e-5)


def test_a_teacher_s_answers_are_learned_in_their_share():
    teacher = Teacher(Brightness(-3.0), ((0.0,) * 3, (1.0,) * 3))
    _, loss = step(2.0, teacher=teacher, distillation=0.25, temperature=2.0)
    own = (softplus(-2) + math.log(2)) / 2
    softened = sigmoid(-3 / 2)
    learned = 4 * (softened * softplus(-1) + (1 - softened) * softplus(1) + math.log(2)) / 2
    assert loss == pytest.approx(0.75 * own + 0.25 * learned, rel=1e-5)


def test_a_teacher_answers_the_mixed_pictures_at_its_own_normalisation(monkeypatch):
    def halves(pixels, targets, _):
        return (pixels + pixels.flip(0)) / 2, (targets + targets.flip(0)) / 2

    monkeypatch.setattr(detector, "mix_up", halves)
    # of 127.5 / 255 = 1/2 the teacher sees (1/2 - 1/4) / (1/2) = 1/2, and answers -3/2
    teacher = Teacher(Brightness(-3.0), ((0.25,) * 3, (0.5,) * 3))
    _, loss = step(2.0, teacher=teacher, distillation=1.0, temperature=1.0, mix_up=0.2)
    taught = sigmoid(-1.5)
    assert loss == pytest.approx(taught * softplus(-1) + (1 - taught) * softplus(1), rel=1e-5)


def test_sharpness_takes_the_gradient_up_the_hill():
    module, _ = step(2.0, optimiser="sam", sam_radius=0.5)
    # The loss falls with the weight: the climb goes to 1.5, and the step is taken from 2.
    assert module.network.weight.item() == pytest.approx(2 + 0.1 * sigmoid(-1.5) / 2, rel=1e-5)


def test_the_average_follows_the_weights():
    module, _ = step(2.0, steps=2, ema=0.15)
    first = 2 + 0.1 * sigmoid(-2) / 2
    second = first + 0.1 * sigmoid(-first) / 2
    average = 0.15 * (0.15 * 2 + 0.85 * first) + 0.85 * second
    assert module.average.state["weight"].item() == pytest.approx(average, rel=1e-6)
    assert module.network.weight.item() == pytest.approx(second, rel=1e-6)


@pytest.mark.parametrize("scale", [None, 1.0, 1024.0])
def test_gradients_are_clipped_at_their_own_size_however_they_are_scaled(scale):
    plugin = None if scale is None else HalfOnProcessor(scale)
    module, _ = step(2.0, plugin=plugin, clip=0.01)
    # The gradient of 0.06 is cut to 0.01, of which the step is a tenth.
    assert module.network.weight.item() == pytest.approx(2 + 0.1 * 0.01, abs=2e-6)
    gentle, _ = step(2.0, plugin=None if scale is None else HalfOnProcessor(scale), clip=5.0)
    assert gentle.network.weight.item() == pytest.approx(2 + 0.1 * sigmoid(-2) / 2, abs=2e-6)
