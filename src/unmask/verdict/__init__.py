"""From evidence to the answer: aggregation over frames, calibration, fusion, decision."""
