"""Real tiny videos, and trees of them, for the tests of data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_making import face_frames, write_video


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory) -> bytes:
    """A playable video of four 32-pixel frames without a face."""
    frames = [np.full((32, 32, 3), 60 * number, np.uint8) for number in range(4)]
    return write_video(tmp_path_factory.mktemp("tiny") / "tiny.mp4", frames).read_bytes()


@pytest.fixture
def place(tmp_path, tiny_video) -> Callable[..., Path]:
    """Put the tiny video at each of the given paths below the returned folder."""

    def put(*paths: str) -> Path:
        for path in paths:
            file = tmp_path / "set" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(tiny_video)
        return tmp_path / "set"

    return put


@pytest.fixture(scope="session")
def face_video(tmp_path_factory) -> Path:
    """Two seconds at 10 frames a second of a moving face."""
    return write_video(tmp_path_factory.mktemp("face") / "face.mp4", face_frames(20))
