"""Tuning norms and biases: the features, the loss by hand, what changes and what does not, going on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unmask.models.vision_transformer import PATCH, WIDTH, VisionTransformer
from unmask.training import norms
from unmask.training.answer import Answer
from unmask.training.norms import (
    Answering,
    batches,
    is_tuned,
    learned,
    learning,
    load_tuned,
    loss,
    pooled,
    save_tuned,
    set_layers,
    tune,
    with_biases,
)
from unmask.training.rounding import Rounded

SIDE = 2 * PATCH
AREAS = np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0]], np.float32)
FEATURES = (2 + len(AREAS)) * WIDTH
KINDS = ("bright", "dark")


class Pairs:
    """Grey reals; fakes brighter or darker, by number; a third kind is not told."""

    def kind(self, number: int) -> str:
        return ("bright", "dark", "own")[number % 3]

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randint(0, 40, (2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(number))
        pixels = noise + 100
        pixels[1] += {"bright": 80, "dark": -80, "own": 60}[self.kind(number)]
        return pixels.to(torch.uint8), torch.tensor([0.0, 1.0])


def make_model(seed: int = 0) -> Answering:
    torch.manual_seed(seed)
    network = VisionTransformer(1, side=SIDE).eval()
    network.positions.data.normal_()
    return Answering(network, len(KINDS), AREAS)


def test_features_are_the_first_token_the_deviation_and_the_means_of_areas():
    stream = torch.randn(3, 5, WIDTH)
    patches = stream[:, 1:].numpy()
    expected = np.concatenate(
        [stream[:, 0], patches.std(1), patches[:, 0], (patches[:, 1] + patches[:, 2]) / 2], 1
    )
    assert pooled(stream, torch.from_numpy(AREAS)).numpy() == pytest.approx(expected, abs=1e-5)


def test_what_is_learned_begins_as_the_given_answer():
    generator = np.random.default_rng(0)
    coefficients = generator.normal(size=(FEATURES, 3)).astype(np.float32) / 30
    answer = Answer(coefficients, np.array([0.1, -0.2, 0.3]), 0.7, 1.3, -0.4)
    network = VisionTransformer(1, side=SIDE).eval()
    model = Answering(network, 2, AREAS)
    model.begin_with(answer, generator.uniform(0.5, 2, FEATURES))
    pixels = torch.randint(0, 256, (2, 3, SIDE, SIDE))
    with torch.inference_mode():
        told = pooled(network(pixels), torch.from_numpy(AREAS)).numpy()
        logits = model.logits(model(pixels)).numpy()
    assert logits == pytest.approx(answer.logits(told), abs=1e-3)


class Given(torch.nn.Module):
    """Says given values of any picture."""

    def __init__(self, values: list[list[float]]) -> None:
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.values

    def logits(self, values: torch.Tensor) -> torch.Tensor:
        return values.sum(1)


def test_the_loss_by_hand():
    """A real of kind 1's data set, a fake of kind 0, a fake of no told kind."""
    values = [[0.5, -1.0, 2.0], [1.0, 0.2, -0.3], [-0.4, 0.1, 0.6]]

    def cross_entropy(value: float, label: int) -> float:
        return math.log1p(math.exp(-value if label else value))

    one = [cross_entropy(v[0], y) for v, y in zip(values, (0, 1, 1), strict=True)]
    whole = [cross_entropy(sum(v), y) for v, y in zip(values, (0, 1, 1), strict=True)]
    own, other = 1.0, norms.OTHER_REALS
    each = own * cross_entropy(2.0, 0) + other * cross_entropy(-1.0, 0) + cross_entropy(0.2, 1)
    expected = sum(one) / 3 + sum(whole) / 3 + each / (own + other + 1)
    given = loss(
        Given(values),  # type: ignore[arg-type]
        torch.zeros(3),
        torch.tensor([0.0, 1, 1]),
        torch.tensor([-1, 0, -1]),
        torch.tensor([1, -1, -1]),
    )
    assert float(given) == pytest.approx(expected, abs=1e-6)


def test_batches_say_whose_reals_they_hold():
    pixels, labels, kinds, reals_of = next(batches(Pairs(), KINDS, start=1, steps=2))  # type: ignore[arg-type]
    assert pixels.shape == (2 * norms.BATCH, 3, SIDE, SIDE)
    assert labels.tolist() == [0.0, 1.0] * norms.BATCH
    first = norms.BATCH  # a step counts pairs
    numbers = [{"bright": 0, "dark": 1, "own": -1}[Pairs().kind(first + k)] for k in range(norms.BATCH)]
    assert kinds.tolist() == [v for n in numbers for v in (-1, n)]
    assert reals_of.tolist() == [v for n in numbers for v in (n, -1)]
    assert torch.equal(pixels[:2], Pairs()[first][0])


def run(model: Answering, kept, *, steps: int = 12, report=lambda line: None, **more):
    tune(model, Pairs(), KINDS, steps=steps, kept=kept, precision=None, report=report, **more)


def test_it_learns_and_only_norms_and_biases_of_the_encoder_change(tmp_path, monkeypatch):
    monkeypatch.setattr(norms, "ANSWER_RATE", 1e-3)
    monkeypatch.setattr(norms, "WARM_UP", 2)
    model, lines = make_model(), []
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    run(model, tmp_path / "state.pt", report=lines.append)
    changed = {name for name, p in model.network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if is_tuned(name)}
    assert not {"patch.weight", "positions", "blocks.0.fc1.weight"} & changed
    with torch.inference_mode():
        pixels, labels = zip(*(Pairs()[1000 + k] for k in range(12)), strict=True)
        logits = model.logits(model(torch.cat(pixels)))
    assert (logits[torch.cat(labels) == 1].min()) > logits[torch.cat(labels) == 0].max()
    assert "step 12 of 12" in lines[-1]


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(norms, "KEPT_EVERY", 2)
    whole, parts = make_model(), make_model()
    run(whole, tmp_path / "whole.pt", steps=6)

    class KilledError(Exception):
        pass

    def killer(line: str) -> None:
        if "step 6" in line:
            raise KilledError

    with pytest.raises(KilledError):
        run(parts, tmp_path / "parts.pt", steps=6, report=killer)
    again = make_model(seed=5)
    again.load_state_dict(make_model().state_dict())
    run(again, tmp_path / "parts.pt", steps=6)
    for name, value in learned(whole).items():
        assert torch.equal(value, learned(again)[name]), name


def test_what_was_learned_can_be_set_again():
    one, other = make_model(0), make_model(1)
    answer = Answer(np.ones((FEATURES, 3), np.float32), np.ones(3), 2.0, 3.0, -1.0)
    one.begin_with(answer, np.full(FEATURES, 0.5))
    learning(other, learned(one))
    assert all(torch.equal(v, learned(one)[k]) for k, v in learned(other).items())
    assert other.scale.tolist() == [0.5] * FEATURES
    assert other.weights.tolist() == [2, 3, -1]


def test_norms_biases_and_the_answer_are_kept_and_set_again_and_nothing_else(tmp_path):
    one, other = make_model(seed=1), make_model(seed=2)
    generator = np.random.default_rng(0)
    coefficients = generator.normal(size=(FEATURES, 3)).astype(np.float32)
    one.begin_with(
        Answer(coefficients, np.array([0.5, 1, 2]), 0.7, 1.3, -0.4), generator.uniform(1, 3, FEATURES)
    )
    with torch.no_grad():
        for name, parameter in one.network.named_parameters():
            if is_tuned(name):
                parameter.normal_()
    before = {name: p.clone() for name, p in other.network.named_parameters()}
    save_tuned(one, tmp_path / "norms.npz")
    load_tuned(other, tmp_path / "norms.npz")
    wanted = dict(one.network.named_parameters())
    for name, parameter in other.network.named_parameters():
        if is_tuned(name):
            assert torch.allclose(parameter, wanted[name], rtol=1e-3)  # half precision
        else:
            assert torch.equal(parameter, before[name])
    given = other.answer()
    assert given.coefficients == pytest.approx(coefficients, rel=1e-3, abs=1e-6)
    assert given.constants.tolist() == [0.5, 1, 2]
    assert (given.one, given.kinds, given.constant) == pytest.approx((0.7, 1.3, -0.4))


def test_norms_of_another_encoder_are_refused(tmp_path):
    save_tuned(Answering(VisionTransformer(2, side=SIDE), 1, AREAS), tmp_path / "norms.npz")
    with pytest.raises(ValueError, match=r"norms\.npz: does not hold"):
        load_tuned(make_model(), tmp_path / "norms.npz")


def test_rounded_layers_go_in_and_come_back_with_the_biases_that_were_tuned():
    torch.manual_seed(0)
    network = VisionTransformer(1, side=SIDE).requires_grad_(False)
    block = network.blocks[0]
    shapes = {name: getattr(block, name).weight.shape for name in ("qkv", "out", "fc1", "fc2")}
    layers = [
        {
            n: Rounded(torch.randint(-3, 4, s, dtype=torch.int8), 0.5, torch.ones(s[0]))
            for n, s in shapes.items()
        }
    ]
    set_layers(network, layers)
    assert torch.equal(block.fc1.weight, layers[0]["fc1"].codes * 0.5)
    block.fc1.bias += 2
    given = with_biases(network, layers)[0]
    assert given["fc1"].bias.tolist() == [3.0] * shapes["fc1"][0]
    assert given["out"].bias.tolist() == [1.0] * shapes["out"][0]
    assert given["fc1"].step == 0.5
    assert torch.equal(given["fc1"].codes, layers[0]["fc1"].codes)
