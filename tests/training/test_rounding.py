"""Rounding by the inputs: less noise than plain rounding, as much as predicted, errors mended."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from torch import nn

from unmask.training.rounding import (
    DAMPING,
    covariance,
    round_layer,
    shaped_rounding,
    step_for,
    stored_bytes,
)


@pytest.fixture
def inputs():
    """Return 4,000 inputs of 48 numbers that vary in few directions: deviations fall from 1 to about .01."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(48, 48, generator=generator))[0]
    spread = torch.logspace(0, -2, 48)
    x = torch.randn(4000, 48, generator=generator) * spread @ turn.T
    return x - x.mean(0)


def noise(weights, rounded, inputs):
    return float((inputs @ (weights - rounded).T).pow(2).mean())


def test_errors_go_where_no_input_goes(inputs):
    weights = torch.randn(64, 48, generator=torch.Generator().manual_seed(1))
    step = 0.8
    plain = torch.round(weights / step) * step
    shaped = shaped_rounding(weights, covariance(inputs, DAMPING), step) * step
    assert noise(weights, shaped, inputs) < noise(weights, plain, inputs) / 4


def test_of_inputs_without_relation_each_weight_is_rounded_by_itself():
    weights = torch.randn(8, 300, generator=torch.Generator().manual_seed(2))
    codes = shaped_rounding(weights, torch.diag(torch.linspace(2, 1, 300)), 0.5)
    assert torch.equal(codes, torch.round(weights / 0.5))


def test_each_input_adds_its_variance_given_those_after_it(inputs):
    weights = torch.randn(256, 48, generator=torch.Generator().manual_seed(3))
    shape = covariance(inputs, 1e-5)
    order = torch.argsort(shape.diagonal(), descending=True).numpy()
    h = shape.numpy().astype(float)[np.ix_(order, order)]
    given = [
        h[j, j] - h[j, j + 1 :] @ np.linalg.solve(h[j + 1 :, j + 1 :], h[j + 1 :, j]) if j < 47 else h[j, j]
        for j in range(48)
    ]
    step = 0.05
    rounded = shaped_rounding(weights, shape, step) * step
    assert noise(weights, rounded, inputs) == pytest.approx(step**2 / 12 * sum(given), rel=0.05)
    assert np.prod(given) == pytest.approx(np.linalg.det(h), rel=1e-2)


def test_the_step_follows_from_the_geometric_mean():
    shape = torch.diag(torch.tensor([1.0, 4.0, 16.0]))
    assert step_for(0.01, shape, 100.0) == pytest.approx((12 * 0.01 / (3 * 4)) ** 0.5)
    assert step_for(1e9, shape, 3.0) == pytest.approx(2.0)


def test_a_layer_learns_to_give_from_changed_inputs_what_it_gave_before(inputs):
    torch.manual_seed(4)
    layer = nn.Linear(48, 16).requires_grad_(False)
    wanted = layer(inputs)
    changed = 0.7 * inputs + 0.3
    before = float((layer(changed) - wanted).pow(2).mean())
    rounded = round_layer(layer, changed, wanted, noise=0.01)
    after = float((layer(changed) - wanted).pow(2).mean())
    assert after < 0.03 * float(wanted.var(0).mean())
    assert after < before / 10
    assert layer.weight.numpy() == pytest.approx(rounded.codes.numpy() * np.float32(rounded.step))
    assert rounded.codes.dtype == torch.int8


def test_rare_levels_cost_little():
    generator = torch.Generator().manual_seed(5)
    codes = torch.round(torch.randn(400, 400, generator=generator) * 0.8).to(torch.int8)
    share = torch.unique(codes, return_counts=True)[1] / codes.numel()
    entropy = float(-(share * share.log2()).sum())
    bits = 8 * stored_bytes(codes) / codes.numel()
    assert entropy <= bits < entropy * 1.08
    assert stored_bytes(codes) < len(zlib.compress(codes.numpy().tobytes(), 6))
