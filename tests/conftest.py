"""Shared fixtures: where the development media lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of development media (`UNMASK_DATA`, default `../shared/data` beside the repository)."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("UNMASK_DATA", root / "../shared/data")).resolve()
    if not (folder / "clips" / "labels.csv").exists():
        pytest.skip(f"development media not found (set UNMASK_DATA; looked in {folder.name}/)")
    return folder


@pytest.fixture(scope="session")
def clips_dir(data_dir: Path) -> Path:
    """The folder of development clips."""
    return data_dir / "clips"
