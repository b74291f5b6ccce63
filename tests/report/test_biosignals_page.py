"""The layout of plots and the table, worked out by hand."""

from __future__ import annotations

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.report.biosignals import plot, to_table


def test_a_curve_fills_the_plot_from_its_lowest_to_its_highest_value():
    laid = plot("x", np.array([0.0, 1.0, 2.0]), {"a": np.array([5.0, 10.0, 5.0])}, [(0.5, 1.0)])
    assert laid.curves == (("a", ("0.0,130.0 400.0,0.0 800.0,130.0",)),)
    assert laid.shades == (("200.0", "200.0"),)
    assert [label for _, label in laid.up] == ["5", "7.5", "10"]
    assert laid.across[0] == ("0.0", "0:00.0")
    assert laid.across[-1] == ("800.0", "0:02.0")


def test_missing_values_break_a_curve_and_a_constant_one_lies_in_the_middle():
    values = np.array([1.0, 1, np.nan, 1, 1])
    laid = plot("x", np.arange(5.0), {"a": values}, [])
    assert laid.curves[0][1] == ("0.0,65.0 200.0,65.0", "600.0,65.0 800.0,65.0")
    assert plot("x", np.arange(3.0), {"a": np.full(3, np.nan)}, []).curves == (("a", ()),)


def test_long_curves_are_thinned():
    laid = plot("x", np.arange(60_000.0), {"a": np.arange(60_000.0)}, [])
    assert 1000 < len(laid.curves[0][1][0].split()) <= 2000


def test_signals_of_several_analysers_share_a_row_by_face_and_time():
    times = np.array([0.0, 0.04])
    found = [
        (Evidence("blink", 1, "ok", ""), Signals(times, {"closure": np.array([0.25, np.nan])})),
        (Evidence("pulse", 1, "ok", ""), Signals(times[1:], {"POS": np.array([0.5])})),
        (Evidence("blink", 0, "ok", ""), Signals(times[:1], {"closure": np.array([1.0])})),
    ]
    assert to_table(found).splitlines() == [
        "face,time (s),blink: closure,pulse: POS",
        "0,0.0000,1,",
        "1,0.0000,0.25,",
        "1,0.0400,,0.5",
    ]
