"""The data sets by name: adding one is a file in `data/sets` and a line in `LOADERS`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path

from unmask.data.manifest import DataError, Item

Loader = Callable[[Path], list[Item]]

LOADERS = {
    "faceforensics": "unmask.data.sets.faceforensics:load",
    "celeb_df_v1": "unmask.data.sets.celeb_df:load_v1",
    "celeb_df_v2": "unmask.data.sets.celeb_df:load_v2",
    "dfdc": "unmask.data.sets.dfdc:load",
    "dfdc_preview": "unmask.data.sets.dfdc_preview:load",
    "deeperforensics": "unmask.data.sets.deeperforensics:load",
    "wilddeepfake": "unmask.data.sets.wilddeepfake:load",
    "fakeavceleb": "unmask.data.sets.fakeavceleb:load",
    "folders": "unmask.data.sets.folders:load",
    "clips": "unmask.data.sets.clips:load",
    "list": "unmask.data.sets.lists:load",
    "zips": "unmask.data.sets.zips:load",
}
"""Name and function, imported when asked for."""


def load(name: str, root: Path) -> list[Item]:
    """Read the manifest of a data set that lies at `root`, by the data set's name.

    Raises:
        DataError: no data set has that name (the message names the nearest ones), or its files are not as
            they should be.
    """
    if name not in LOADERS:
        plain = name.lower().replace("-", "_").replace("+", "")
        near = difflib.get_close_matches(plain, LOADERS, n=3, cutoff=0.5) or list(LOADERS)
        raise DataError(f"unknown data set {name!r}; did you mean {', '.join(near)}?")
    module, _, function = LOADERS[name].partition(":")
    loader: Loader = getattr(importlib.import_module(module), function)
    return loader(root)


def load_named(argument: Path) -> list[Item] | None:
    """Read `NAME=FOLDER`, such as `celeb_df_v2=/data/Celeb-DF-v2`; None where it is an ordinary path.

    Raises:
        DataError: see `load`.
    """
    name, equals, folder = str(argument).partition("=")
    if not equals or "/" in name or argument.exists():
        return None
    return load(name, Path(folder))
