"""Architectures, one a file, written out and registered by name (needs PyTorch)."""
