"""Checkpoints that describe themselves: safetensors with a JSON header, loaded without running code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unmask.media.output import OutputError, atomic_path
from unmask.models import sequences
from unmask.models.network import Network
from unmask.models.registry import create

FORMAT = "unmask.checkpoint/1"


@dataclass(frozen=True)
class Header:
    """What a checkpoint is: enough to rebuild, feed and judge its network.

    `depends` names weight files whose output the network reads, with their sha256. `trained_groups`: see
    `unmask.runtime.card.Card`.
    """

    architecture: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_margin: float
    classes: tuple[str, str]
    version: str
    step: int
    configuration: dict[str, Any]
    training_data: list[dict[str, Any]]
    tune_metrics: dict[str, float]
    depends: dict[str, str] = field(default_factory=dict)
    trained_groups: list[str] = field(default_factory=list)
    upright: bool = False


class CheckpointError(Exception):
    """A checkpoint cannot be used or written; the message is one line and names the file."""


def save(path: Path, model: nn.Module, header: Header) -> None:
    """Write the weights and their header; a run that dies while writing leaves the old file.

    Raises:
        CheckpointError: the file cannot be written.
    """
    tensors = {k: v.detach().contiguous().clone() for k, v in model.state_dict().items()}
    with _whole(path) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "header": json.dumps(asdict(header))})


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a temporary path that becomes `path` when the block ends well (`atomic_path`).

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        with atomic_path(path) as part:
            yield part
    except OutputError as error:
        raise CheckpointError(str(error)) from None
    except (SafetensorError, RuntimeError, OSError) as error:  # what libraries make of a full disk
        raise CheckpointError(
            f"{path}: cannot be written; is the disk full? ({_first_line(error)})"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def read_header(path: Path) -> Header:
    """Read the header alone.

    Raises:
        CheckpointError: the file is missing, damaged, or no checkpoint of this project.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors checkpoint ({error})") from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of unmask (format {metadata.get('format')!r})")
    try:
        fields = json.loads(metadata["header"])
        for name in ("mean", "std", "classes"):
            fields[name] = tuple(fields[name])
        return Header(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its header is damaged ({_first_line(error)})") from None


def load(path: Path) -> tuple[Network, Header]:
    """Rebuild the network of a checkpoint, in evaluation mode.

    Raises:
        CheckpointError: see `read_header`; or the weights do not fit the architecture that it names, or
            this judges sequences in place of pictures.
    """
    header = read_header(path)
    if header.architecture in sequences.names():
        raise CheckpointError(
            f"{path}: {header.architecture} judges sequences, a network of pictures is needed"
        )
    model = create(header.architecture, num_classes=1)
    _fill(model, path, header)
    return model.eval(), header


def load_sequence_network(path: Path, *, depends: Mapping[str, str]) -> tuple[nn.Module, Header]:
    """Rebuild the network of a checkpoint that judges sequences, in evaluation mode.

    Args:
        path: the checkpoint.
        depends: sha256 of the weight files that its input will come from, by name.

    Raises:
        CheckpointError: see `load`; or it was trained on what other weight files give.
    """
    header = read_header(path)
    for name, sha256 in header.depends.items():
        if depends.get(name) != sha256:
            raise CheckpointError(
                f"{path}: was trained on what {name} with sha256 {sha256[:12]} gives, not on that of "
                f"{depends.get(name, 'none')[:12]}: train it again"
            )
    model = sequences.create(
        header.architecture,
        features=header.configuration.get("features"),
        motion=header.configuration.get("motion_features", 0),
    )
    _fill(model, path, header)
    return model.eval(), header


def _fill(model: nn.Module, path: Path, header: Header) -> None:
    """Put the weights of a checkpoint into a fresh network."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = model.state_dict()
    wrong = [n for n in own.keys() | weights.keys() if n not in own or n not in weights]
    wrong += [n for n in own if n in weights and own[n].shape != weights[n].shape]
    if wrong:
        raise CheckpointError(
            f"{path}: the weights do not fit {header.architecture}: {', '.join(sorted(wrong)[:5])}"
        )
    model.load_state_dict(weights)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write what a run goes on from: tensors and plain values; the old file stays until it is whole.

    Raises:
        CheckpointError: the file cannot be written.
    """
    with _whole(path) as part:
        torch.save(dict(state), part)


def load_state(path: Path) -> dict[str, Any]:
    """Load what `save_state` wrote, refusing anything but tensors and plain values.

    Raises:
        CheckpointError: the file is damaged, or holds something else.
    """
    try:
        state = torch.load(path, weights_only=True)
        if isinstance(state, dict):
            return state
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError):
        pass
    raise CheckpointError(f"{path}: is damaged, or no state of a run; remove it to begin anew")
