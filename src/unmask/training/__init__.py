"""Training: configuration, the loop, checkpoints, and export to the product's format (needs PyTorch)."""
