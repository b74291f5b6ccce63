"""Inference sessions, threads, and the weight files with their cards."""
