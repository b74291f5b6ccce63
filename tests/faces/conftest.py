"""The networks, opened once for all tests of this room."""

import pytest

from unmask.faces.detect import Detector
from unmask.faces.landmarks import Landmarker


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector(threads=1)


@pytest.fixture(scope="session")
def landmarker() -> Landmarker:
    return Landmarker(threads=1)
