"""A stand-in for the analysis, so that the command line can be tested without networks."""

from __future__ import annotations

import hashlib
import sys
import time
import types
from pathlib import Path

import pytest

from unmask.media.events import MediaError
from unmask.report.schema import MediaFacts, Report, Timing, Tool, Verdict
from unmask.runtime.card import WeightError


class Analysis:
    """Judges a file by its name: `fake…` is fake, `broken…` cannot be read, `bug…` meets a bug."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict]] = []

    def __call__(self, path, *, on_progress=None, **settings) -> Report:
        path = Path(path)
        self.calls.append((path.name, settings))
        if path.name.startswith("broken"):
            raise MediaError(f"{path}: no picture and no sound in this file; check that it is complete")
        if path.name.startswith("bug"):
            raise RuntimeError("unforeseen\nand long")
        if settings["model"] and settings["model"].name == "damaged.onnx":
            raise WeightError("damaged.onnx: sha256 differs from its card")
        if path.name.startswith("stop"):
            raise KeyboardInterrupt
        if path.name.startswith("slow"):
            time.sleep(60)
        fake = path.name.startswith("fake")
        return Report(
            media=MediaFacts(
                file_name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), kind="video"
            ),
            verdict=Verdict(label="fake" if fake else "inconclusive", probability=0.9 if fake else None),
            tool=Tool(version="0", settings={key: str(value) for key, value in settings.items()}),
            timing=Timing(seconds=0.1),
        )


@pytest.fixture
def analysis(monkeypatch) -> Analysis:
    stand_in = Analysis()
    module = types.ModuleType("unmask.pipeline")
    module.analyse = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "unmask.pipeline", module)
    return stand_in


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    for name in ("fake.mp4", "fine.mp4", "broken.mp4", "bug.mp4"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
