"""Names of architectures that judge a sequence in place of a picture: `create("lstm")` makes one.

They stand apart from `registry`, whose networks take single pictures and are trained and exported as such.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import nn

from unmask.models.registry import Preprocessing

MODULES = ("r2plus1d", "recurrent", "temporal_transformer", "x3d")
"""The files of this folder that register such architectures."""
Takes = Literal["clip", "features"]


@dataclass(frozen=True)
class SequenceArchitecture:
    """A registered architecture.

    `takes` is "clip" for normalised frames (N, 3, T, H, W), or "features" for (N, T, C) with a mask (N, T);
    `preprocessing` is that of the frames, also where their features come from a picture network; `motion`:
    whether numbers of the motion between frames may stand behind the features.
    """

    name: str
    build: Callable[..., nn.Module]
    preprocessing: Preprocessing
    takes: Takes
    motion: bool = False


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_REGISTRY: dict[str, SequenceArchitecture] = {}


def register(
    preprocessing: Preprocessing, *, takes: Takes, motion: bool = False
) -> Callable[[Builder], Builder]:
    """Register the decorated function under its own name.

    It takes `num_classes`; `features` (numbers a moment) where it takes features; and `motion` (how many of
    them are of the motion between frames) where that is said.
    """

    def decorate(function: Builder) -> Builder:
        name = function.__name__
        if name in _REGISTRY:
            raise ValueError(f"architecture {name!r} is registered twice")
        _REGISTRY[name] = SequenceArchitecture(name, function, preprocessing, takes, motion)
        return function

    return decorate


def names(pattern: str = "*") -> list[str]:
    """Return the registered names that match a wildcard pattern, sorted."""
    for module in MODULES:
        importlib.import_module(f"unmask.models.{module}")
    return sorted(fnmatch.filter(_REGISTRY, pattern))


def architecture(name: str) -> SequenceArchitecture:
    """Return a registered architecture.

    Raises:
        ValueError: no architecture has that name; the message names the nearest ones.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
        raise ValueError(f"unknown architecture {name!r}; did you mean {', '.join(near)}?")
    return _REGISTRY[name]


def create(name: str, *, num_classes: int = 1, features: int | None = None, motion: int = 0) -> nn.Module:
    """Build a registered architecture with fresh weights and `num_classes` outputs.

    `features` is the numbers a moment that an architecture over features takes, its own default without; the
    last `motion` of them are of the motion between frames.

    Raises:
        ValueError: no architecture has that name, or it takes no features, or no motion.
    """
    found = architecture(name)
    if features is not None and found.takes != "features":
        raise ValueError(f"{name} takes frames, not features")
    if motion and not found.motion:
        raise ValueError(f"{name} takes no motion; {', '.join(n for n in names() if _REGISTRY[n].motion)} do")
    settings = {"features": features} if features is not None else {}
    return found.build(num_classes=num_classes, **settings, **({"motion": motion} if motion else {}))
