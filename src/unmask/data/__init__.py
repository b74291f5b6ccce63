"""Data sets, splits, augmentation and self-blending: what the detectors are trained on."""
