"""Decoded frames to 8-bit RGB: matrices, ranges, bit depths, wide gamut and high dynamic range.

Standard dynamic range goes through swscale with the matrix and range that the stream declares. An
undeclared matrix is taken as players take it: BT.709 from 1280 pixels width or above 576 lines,
BT.601 below. Undeclared range is limited.

BT.2020 primaries and the PQ and HLG curves (ITU-R BT.2100) are brought to BT.709: to linear display
light with diffuse white (203 cd/m2, ITU-R BT.2408) at 1, through the primaries matrix (ITU-R BT.2087),
a knee that leaves everything below 0.7 as it is and rolls off smoothly towards 1 above, and the inverse
of the BT.1886 display curve (gamma 2.4). The knee works on the largest of R, G and B, so hues stay.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

# Code points of ITU-T H.273 (as FFmpeg's AVCOL_* constants).
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_PRIMARIES_BT2020 = 9
_TRANSFER_PQ = 16
_TRANSFER_HLG = 18
_FULL_RANGE = 2

_DIFFUSE_WHITE = 203.0
_HLG_PEAK = 1000.0
_KNEE = 0.7
_DISPLAY_GAMMA = 2.4
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    dtype=np.float32,
)
_LUMA_BT2020 = np.array([[0.2627, 0.6780, 0.0593]], dtype=np.float32)

_LUMA_FIRST = ("yuv", "gray", "nv12", "nv21", "nv16", "nv24", "gbrp")
_SIGNATURE = (72, 128)


class Converter:
    """Turns frames of one stream into RGB; keeps the scaler's state between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._small = VideoReformatter()

    def rgb(self, frame: VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8 RGB of `frame`, scaled to `size` (width, height)."""
        if is_high_dynamic_range(frame) or frame.color_primaries == _PRIMARIES_BT2020:
            return _to_bt709(self._reformat(frame, size, "rgb48le"), frame.color_trc)
        pixels = self._reformat(frame, size, "rgb24")
        if frame.format.name.startswith("gray") and frame.color_range != _FULL_RANGE:
            return _expand_limited()[pixels]
        return pixels

    def _reformat(self, frame: VideoFrame, size: tuple[int, int], layout: str) -> np.ndarray:
        scaled = size != (frame.width, frame.height)
        full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        converted = self._reformatter.reformat(
            frame,
            width=size[0],
            height=size[1],
            format=layout,
            src_colorspace=_matrix(frame),
            src_color_range=ColorRange.JPEG if full else ColorRange.UNSPECIFIED,
            interpolation=Interpolation.BICUBIC if scaled else Interpolation.BILINEAR,
            threads=1,
        )
        return converted.to_ndarray()

    def luma(self, frame: VideoFrame) -> np.ndarray:
        """Sample the brightness on a coarse grid: at most about (144, 256) uint8, a view where possible."""
        name, depth = frame.format.name, frame.format.components[0].bits
        if not name.startswith(_LUMA_FIRST) or name.endswith("be") or "f32" in name or "msb" in name:
            height, width = _SIGNATURE
            small = self._small.reformat(
                frame, width=width, height=height, format="gray", interpolation=Interpolation.POINT, threads=1
            )
            return small.to_ndarray()
        plane = frame.planes[0]
        wide = depth > 8
        rows = np.frombuffer(memoryview(plane), np.uint8, count=plane.line_size * frame.height)
        grid = (rows.view("<u2") if wide else rows).reshape(frame.height, -1)[:, : frame.width]
        grid = grid[:: max(1, frame.height // _SIGNATURE[0]), :: max(1, frame.width // _SIGNATURE[1])]
        return (grid >> (depth - 8)).astype(np.uint8) if wide else grid


def is_high_dynamic_range(frame: VideoFrame) -> bool:
    """Whether the frame follows the PQ or HLG curve."""
    return frame.color_trc in (_TRANSFER_PQ, _TRANSFER_HLG)


def _matrix(frame: VideoFrame) -> Colorspace:
    guess = Colorspace.ITU709 if frame.width >= 1280 or frame.height > 576 else Colorspace.ITU601
    if frame.color_primaries == _PRIMARIES_BT2020:
        guess = Colorspace.BT2020
    return _MATRICES.get(int(frame.colorspace), guess)


@cache
def _expand_limited() -> np.ndarray:
    """(256,) uint8: limited-range grey 16..235 to 0..255."""
    return np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)


def _to_bt709(signal: np.ndarray, transfer: int) -> np.ndarray:
    """(H, W, 3) uint16 BT.2020 signal to (H, W, 3) uint8 BT.709 signal."""
    light = _decoding_curve(transfer)[signal]
    if transfer == _TRANSFER_HLG:
        # The HLG system gamma of 1.2 for a display of 1000 cd/m2 (BT.2100, table 5).
        brightness = cv2.transform(light, _LUMA_BT2020)
        light *= (brightness**0.2 * (_HLG_PEAK / _DIFFUSE_WHITE)).reshape(*brightness.shape[:2], 1)
    light = np.maximum(cv2.transform(light, _BT2020_TO_BT709), 0.0)
    if transfer in (_TRANSFER_PQ, _TRANSFER_HLG):  # only these go beyond diffuse white
        peak = light.max(axis=2, keepdims=True)
        over = peak > _KNEE
        rolled = 1 - (1 - _KNEE) * np.exp(-(peak - _KNEE) / (1 - _KNEE))
        light = light * np.where(over, rolled / np.maximum(peak, 1e-6), 1.0).astype(np.float32)
    return _encoding_curve()[np.clip(light * 65535 + 0.5, 0, 65535).astype(np.uint16)]


@cache
def _decoding_curve(transfer: int) -> np.ndarray:
    """(65536,) float32: signal to linear light, diffuse white at 1 (HLG: scene light 0..1)."""
    signal = np.arange(65536) / 65535.0
    if transfer == _TRANSFER_PQ:  # SMPTE ST 2084, equation 4.1
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        power = signal ** (1 / m2)
        light = 10000.0 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / _DIFFUSE_WHITE
    elif transfer == _TRANSFER_HLG:  # BT.2100, table 5: inverse OETF
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        light = signal**_DISPLAY_GAMMA
    return light.astype(np.float32)


@cache
def _encoding_curve() -> np.ndarray:
    """(65536,) uint8: linear light 0..1 to an 8-bit signal."""
    return np.rint(255 * (np.arange(65536) / 65535.0) ** (1 / _DISPLAY_GAMMA)).astype(np.uint8)
