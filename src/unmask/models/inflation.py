"""Two-dimensional weights made three-dimensional, to start video networks from picture networks.

Carreira & Zisserman 2017 (1705.07750), section 2.1: a kernel is repeated over time and divided by its length,
so that a still video gives what the picture gave; or it is placed in the middle with zeros around it, so that
the network at first sees each frame by itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

How = Literal["mean", "centre"]


def inflate(weight: Tensor, length: int, *, how: How = "mean") -> Tensor:
    """Return the kernel (out, in, length, h, w) made of a picture kernel (out, in, h, w).

    Raises:
        ValueError: the kernel is not two-dimensional, the length below 1, or `how` unknown.
    """
    if weight.ndim != 4 or length < 1:
        raise ValueError(f"a kernel (out, in, h, w) and a length of 1 or more are needed, not {weight.shape}")
    if how == "mean":
        return weight[:, :, None].repeat(1, 1, length, 1, 1) / length
    if how == "centre":
        result = torch.zeros(*weight.shape[:2], length, *weight.shape[2:], dtype=weight.dtype)
        result[:, :, length // 2] = weight
        return result
    raise ValueError(f"unknown way to inflate {how!r}; choose mean or centre")
