"""Analysers are made by name."""

from pathlib import Path

import pytest

import tiny_networks
from unmask.evidence.registry import ANALYSERS, Options, create


def test_without_names_all_analysers_are_made_the_thorough_ones_where_every_frame_is_seen(tmp_path):
    options = Options(models={"visual": tiny_networks.brightness_network(tmp_path)})
    assert [analyser.name for analyser in create(None, options)] == ["visual"]
    assert [analyser.name for analyser in create(None, options, thorough=True)] == list(ANALYSERS)


def test_a_thorough_analyser_can_be_named():
    (analyser,) = create(["blink"], Options())
    assert ANALYSERS[analyser.name].thorough
    assert analyser.needs.frames == "every"


def test_an_analyser_named_twice_is_made_once(tmp_path):
    options = Options(models={"visual": tiny_networks.brightness_network(tmp_path)})
    assert len(create(["visual", "visual"], options)) == 1


def test_a_misspelt_name_is_answered_with_the_near_ones():
    with pytest.raises(ValueError, match="did you mean visual"):
        create(["visaul"], Options())
    with pytest.raises(ValueError, match="unknown analyser 'vision'"):
        create([], Options(models={"vision": Path("x.onnx")}))
