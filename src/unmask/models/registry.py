"""Names of architectures: `create("efficientnet_lite0")` makes one, `names("efficientnet*")` lists them."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unmask.faces.align import MARGIN
from unmask.models.network import Network

MODULES = ("dct_cnn", "efficientnet", "f3net", "meso", "spsl", "srm", "xception")
"""The files of this folder that register architectures: a new architecture adds its name here."""


PUBLISHED_MARGIN = 4.0
"""DeepfakeBench (2307.01426) takes 1.3 times the template of `faces.align`, 4.13 distances between the eyes,
for its detectors; wider crops than 4 are not cut here."""


@dataclass(frozen=True)
class Preprocessing:
    """What an architecture expects of its input: side in pixels, and mean and deviation of RGB in 0..1.

    `margin`: side of the crop that it is trained on unless another is given, as a multiple of the distance
    between the eyes; the product's plain crop, or that of the published detectors (`PUBLISHED_MARGIN`).
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    margin: float = MARGIN


@dataclass(frozen=True)
class Architecture:
    """A registered architecture: its name, the function that builds it, and the input it expects."""

    name: str
    build: Callable[..., Network]
    preprocessing: Preprocessing


Builder = TypeVar("Builder", bound=Callable[..., Network])
_REGISTRY: dict[str, Architecture] = {}
_ALIASES: dict[str, str] = {}


def register(preprocessing: Preprocessing, *, aliases: Sequence[str] = ()) -> Callable[[Builder], Builder]:
    """Register the decorated function, which takes `num_classes`, under its own name and others."""

    def decorate(function: Builder) -> Builder:
        name = function.__name__
        for each in (name, *aliases):
            if each in _REGISTRY or each in _ALIASES:
                raise ValueError(f"architecture {each!r} is registered twice")
        _REGISTRY[name] = Architecture(name, function, preprocessing)
        _ALIASES.update(dict.fromkeys(aliases, name))
        return function

    return decorate


def _load_all() -> None:
    for module in MODULES:
        importlib.import_module(f"unmask.models.{module}")


def names(pattern: str = "*") -> list[str]:
    """Return the registered names that match a wildcard pattern, sorted."""
    _load_all()
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def architecture(name: str) -> Architecture:
    """Return a registered architecture by its name or an alias (`xceptionnet`, `EfficientNet-B4`).

    Raises:
        ValueError: no architecture has that name; the message names the nearest ones.
    """
    _load_all()
    plain = name.lower().replace("-", "_")
    plain = _ALIASES.get(plain, plain)
    if plain not in _REGISTRY:
        known = [*_REGISTRY, *_ALIASES]
        near = difflib.get_close_matches(plain, known, n=3, cutoff=0.4) or sorted(_REGISTRY)
        raise ValueError(f"unknown architecture {name!r}; did you mean {', '.join(near)}?")
    return _REGISTRY[plain]


def create(name: str, *, num_classes: int = 1) -> Network:
    """Build a registered architecture with fresh weights and `num_classes` outputs."""
    return architecture(name).build(num_classes=num_classes)
