"""Measures detectors: scores test data the way `detect` does, and states each figure with its interval."""
