"""One kind left out: against which reals its fakes are compared. The expectations are counted by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/leave_one_out.py"


@pytest.fixture(scope="module")
def benchmark():
    specification = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[SCRIPT.stem] = module  # its data classes look themselves up there
    specification.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


def judged(benchmark, *rows):
    source, kind, group, logit = (np.array(column) for column in zip(*rows, strict=True))
    return benchmark.Judged(source, kind, group, logit)


def test_the_own_reals_of_a_fake_clip_are_those_of_its_group(benchmark):
    """All clips come from one list. Against a's and b's reals 3 of 4 pairs are in order, against c's none."""
    answers = judged(
        benchmark,
        ("clips: open", "DeepFaceLive", "a", 1.0),
        ("clips: open", "DeepFaceLive", "b", 0.0),
        ("clips: open", "", "a", 0.5),
        ("clips: open", "", "b", -1.0),
        ("clips: open", "", "c", 2.0),
        ("dfdc_faces", "", "d", -9.0),
        ("live", "DeepFaceLive", "e", -9.0),
    )
    own = benchmark.auc(answers, "DeepFaceLive", own=True)
    other = benchmark.auc(answers, "DeepFaceLive", own=False)
    assert (own.split()[0], own.split()[-1]) == ("0.750", "2/2")
    assert (other.split()[0], other.split()[-1]) == ("0.000", "2/1")


def test_the_own_reals_of_a_fake_picture_are_those_of_its_source(benchmark):
    answers = judged(
        benchmark,
        ("dfdc_faces", "DFDC", "a", 1.0),
        ("dfdc_faces", "", "b", 0.0),
        ("dfdc_faces", "", "c", 2.0),
        ("portraits", "", "d", 0.0),
        ("clips: open", "", "a", 9.0),
    )
    own = benchmark.auc(answers, "DFDC", own=True)
    other = benchmark.auc(answers, "DFDC", own=False)
    assert (own.split()[0], own.split()[-1]) == ("0.500", "1/2")
    assert (other.split()[0], other.split()[-1]) == ("1.000", "1/1")
