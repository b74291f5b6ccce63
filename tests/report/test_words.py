"""How values are worded."""

from __future__ import annotations

import pytest

from unmask.report.words import between, clock, percent, printable, share


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not judged"),
        (1.0, "> 99 %"),
        (0.995, "> 99 %"),
        (0.994, "99 %"),
        (0.5, "50 %"),
        (0.0, "< 1 %"),
    ],
)
def test_a_probability_is_never_called_certain(value, words):
    assert percent(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0:00.0"),
        (59.94, "0:59.9"),
        (59.96, "1:00.0"),
        (61.5, "1:01.5"),
        (3599.96, "1:00:00"),
        (3661, "1:01:01"),
    ],
)
def test_times_carry_over(seconds, words):
    assert clock(seconds) == words


def test_rates_and_intervals():
    assert share(0.0123) == "1.2 %"
    assert between((0.054, 0.966)) == "5 to 97 %"
    assert between((0.054, 0.966), to="-") == "5-97 %"


def test_no_interval_is_more_certain_than_a_probability():
    assert between((0.97, 1.0)) == "97 to > 99 %"
    assert between((0.0, 0.2)) == "< 1 to 20 %"
    assert between((0.998, 1.0)) == "> 99 %"
    assert between((0.0, 0.001)) == "< 1 %"


def test_control_characters_of_a_file_name_are_not_sent_to_the_terminal():
    assert printable("a\x1b[31m\nb\u202ec é") == "a?[31m?b?c é"
