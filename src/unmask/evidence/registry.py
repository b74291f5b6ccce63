"""The analysers by name: adding one is a file in this folder and a line in `ANALYSERS`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unmask.evidence.base import Analyser, Evidence, Features, Heat, Signals


@dataclass(frozen=True)
class Registration:
    """Where an analyser's class is ("module:class", imported when asked for), and when it is on by itself.

    `thorough` analysers cost time, most of them since they look at every frame, and have no weight in the
    verdict yet: unless named, they are on only where the user asks for every frame.
    """

    place: str
    thorough: bool = False


ANALYSERS = {
    "visual": Registration("unmask.evidence.visual:Visual"),
    "frequency": Registration("unmask.evidence.frequency:Frequency", thorough=True),
    "blink": Registration("unmask.evidence.blink:Blink", thorough=True),
    "pulse": Registration("unmask.evidence.pulse:Pulse", thorough=True),
    "breathing": Registration("unmask.evidence.breathing:Breathing", thorough=True),
    "head_pose": Registration("unmask.evidence.head_pose:HeadMotion", thorough=True),
    "consistency": Registration("unmask.evidence.consistency:Consistency", thorough=True),
    "temporal": Registration("unmask.evidence.temporal:Temporal", thorough=True),
}
"""The analysers by name."""


@dataclass(frozen=True)
class Options:
    """What an analyser is made with.

    `threads` and `device` as in `unmask.runtime.session`; `models` are weight files that replace the
    embedded ones, by analyser; `on_heat` and `on_features` are called with every heat map and with the deep
    features of every face examined, and `on_signals` at the end with every track's evidence and the raw
    signals behind it, where the analyser has some.
    """

    threads: int = 0
    device: str = "auto"
    models: Mapping[str, Path] = field(default_factory=dict)
    on_heat: Callable[[Heat], None] | None = None
    on_features: Callable[[Features], None] | None = None
    on_signals: Callable[[Evidence, Signals], None] | None = None


def create(names: Sequence[str] | None, options: Options, *, thorough: bool = False) -> list[Analyser]:
    """Make analysers by name (None: all, the thorough ones only if `thorough`).

    Raises:
        ValueError: a name is unknown, also one that a model is given for.
    """
    usual = [name for name, entry in ANALYSERS.items() if thorough or not entry.thorough]
    wanted = usual if names is None else list(dict.fromkeys(names))
    for name in [*wanted, *options.models]:
        if name not in ANALYSERS:
            near = difflib.get_close_matches(name, ANALYSERS, n=3) or list(ANALYSERS)
            raise ValueError(f"unknown analyser {name!r}; did you mean {', '.join(near)}?")
    return [_load(ANALYSERS[name].place)(options) for name in wanted]


def _load(place: str) -> Callable[[Options], Analyser]:
    module, _, name = place.partition(":")
    factory: Callable[[Options], Analyser] = getattr(importlib.import_module(module), name)
    return factory
