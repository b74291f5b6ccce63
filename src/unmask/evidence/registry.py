"""The analysers by name: adding one is a file in this folder and a line in `ANALYSERS`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unmask.evidence.base import Analyser, Heat

ANALYSERS = {
    "visual": "unmask.evidence.visual:Visual",
    "frequency": "unmask.evidence.frequency:Frequency",
}
"""Name and class, imported when asked for."""


@dataclass(frozen=True)
class Options:
    """What an analyser is made with.

    `threads` and `device` as in `unmask.runtime.session`; `models` are weight files that replace the
    embedded ones, by analyser; `on_heat` is called with every heat map, where the analyser has some.
    """

    threads: int = 0
    device: str = "auto"
    models: Mapping[str, Path] = field(default_factory=dict)
    on_heat: Callable[[Heat], None] | None = None


def create(names: Sequence[str] | None, options: Options) -> list[Analyser]:
    """Make analysers by name (None: all).

    Raises:
        ValueError: a name is unknown, also one that a model is given for.
    """
    wanted = list(ANALYSERS) if names is None else list(dict.fromkeys(names))
    for name in [*wanted, *options.models]:
        if name not in ANALYSERS:
            near = difflib.get_close_matches(name, ANALYSERS, n=3) or list(ANALYSERS)
            raise ValueError(f"unknown analyser {name!r}; did you mean {', '.join(near)}?")
    return [_load(ANALYSERS[name])(options) for name in wanted]


def _load(place: str) -> Callable[[Options], Analyser]:
    module, _, name = place.partition(":")
    factory: Callable[[Options], Analyser] = getattr(importlib.import_module(module), name)
    return factory
