"""Pictures through a real H.264 encoder and back, in memory and to the bit the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

_BLOCK = 16


def recompress(frames: Sequence[np.ndarray] | np.ndarray, *, crf: int, offset: tuple[int, int]) -> np.ndarray:
    """Encode square frames as a clip (4:2:0, deblocked) and decode it.

    Two things would leave the result to chance, and are avoided: x264's macroblock tree, which on
    processors with AVX-512 spends the bits of the very same frames differently from call to call (32 grey
    levels were seen), and the converter's own threads.

    Args:
        frames: T frames, (S, S, 3) uint8 RGB each.
        crf: the constant rate factor, 0..51.
        offset: rows and columns, 0..15, by which the block grid is shifted against the picture; the rest is
            filled by mirroring.

    Returns:
        (T, S, S, 3) uint8 RGB.
    """
    size = frames[0].shape[0]
    top, left = offset
    side = (size + 2 * _BLOCK - 1) // _BLOCK * _BLOCK
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = side, side, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "log-level=none:mbtree=0"}
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    colours = VideoReformatter()
    packets = []
    for index, pixels in enumerate(frames):
        framed = cv2.copyMakeBorder(
            pixels, top, side - size - top, left, side - size - left, cv2.BORDER_REFLECT_101
        )
        frame = av.VideoFrame.from_ndarray(np.asarray(framed, np.uint8), format="rgb24")
        frame = colours.reformat(frame, format="yuv420p", threads=1)
        frame.pts = index
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    whole = np.stack([colours.reformat(frame, format="rgb24", threads=1).to_ndarray() for frame in decoded])
    return np.ascontiguousarray(whole[:, top : top + size, left : left + size])
