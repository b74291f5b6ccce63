"""Networks of random weights, and checkpoints of them."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from unmask.faces.align import MARGIN
from unmask.models.network import Network
from unmask.models.registry import architecture, create
from unmask.training import checkpoint


def random_network(name: str, seed: int = 0) -> Network:
    """Return a network whose normalisation is not that of a fresh one, in evaluation mode."""
    torch.manual_seed(seed)
    model = create(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    if isinstance(model.classifier, nn.Linear):
        nn.init.uniform_(model.classifier.bias, 0.1, 0.5)
    return model.eval()


def save(path: Path, model: nn.Module, name: str, size: int, configuration: dict, **changes) -> None:
    """Write a checkpoint of a network."""
    expects = architecture(name).preprocessing
    header = checkpoint.Header(
        architecture=name,
        input_size=size,
        mean=expects.mean,
        std=expects.std,
        crop_margin=MARGIN,
        classes=("real", "fake"),
        version="0",
        step=0,
        configuration=configuration,
        training_data=[],
        tune_metrics={},
    )
    header = replace(header, **changes)
    checkpoint.save(path, model, header)
