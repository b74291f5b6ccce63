"""The choice of a number format is measured and leaves the network as it was."""

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
from unmask.models.registry import create  # noqa: E402
from unmask.training.precision import fastest_precision  # noqa: E402


def test_the_fastest_is_chosen_and_nothing_is_changed():
    model = create("efficientnet_lite0").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    name, seconds = fastest_precision(model, size=64, batch=2, device=torch.device("cpu"))
    assert set(seconds) == {"fp32", "bf16"}
    assert seconds[name] == min(seconds.values())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
