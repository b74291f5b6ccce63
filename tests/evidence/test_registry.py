"""Analysers are made by name."""

from pathlib import Path

import pytest

import tiny_networks
from unmask.evidence.registry import ANALYSERS, Options, create


def test_without_names_all_analysers_are_made(tmp_path):
    options = Options(models={"visual": tiny_networks.brightness_network(tmp_path)})
    assert [analyser.name for analyser in create(None, options, continuous=True)] == list(ANALYSERS)


def test_an_analyser_named_twice_is_made_once(tmp_path):
    options = Options(models={"visual": tiny_networks.brightness_network(tmp_path)})
    assert len(create(["visual", "visual"], options)) == 1


def test_a_misspelt_name_is_answered_with_the_near_ones():
    with pytest.raises(ValueError, match="did you mean visual"):
        create(["visaul"], Options())
    with pytest.raises(ValueError, match="unknown analyser 'vision'"):
        create([], Options(models={"vision": Path("x.onnx")}))
