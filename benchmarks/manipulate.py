"""Makes clips that are manipulated for a known stretch of time, and the untouched ones beside them.

All versions of a clip go through one encoder (H.264, crf 23). Used by `benchmarks/temporal.py`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.spatial import Delaunay

from unmask.data.selfblend import lay_mesh
from unmask.faces.align import TEMPLATE, similarity
from unmask.faces.detect import Detector
from unmask.faces.pose import NEUTRAL
from unmask.media.events import Frame, Media
from unmask.media.reader import read
from unmask.signals.light import vertex_normals

WIDEST = 512
"""Longer side in pixels of the clips that are made."""
SECONDS = 6.0
TICK = 0.1
"""Seconds between searches for the face; its place in between lies on the straight line."""
FLICKER = 0.06
"""Amplitude of the flicker as a share of the brightness."""
FLICKER_HERTZ = 5.0
SHADING = 0.35
"""Strength of the shading whose direction is turned by 90 degrees."""
FIELD = 64
EVERY = 10
KINDS = ("replaced", "flicker", "frames", "light")


@dataclass(frozen=True)
class Clip:
    """Frames (N, H, W, 3), times (N,), the largest face's five points (N, 5, 2), and frames per second."""

    frames: list[np.ndarray]
    times: np.ndarray
    points: np.ndarray
    rate: Fraction


def load(path: Path, detector: Detector) -> Clip | None:
    """Read the first seconds of a clip, reduced; None where the face is not seen throughout."""
    frames, times, at, seen = [], [], [], []
    rate = Fraction(30)
    due = 0.0
    for event in read(path, rate=None, end=SECONDS, threads=1):
        if isinstance(event, Media) and event.frame_rate:
            rate = event.frame_rate
        if not isinstance(event, Frame) or event.time is None:
            continue
        scale = min(1.0, WIDEST / max(event.pixels.shape[:2]))
        size = tuple(int(side * scale) // 2 * 2 for side in event.pixels.shape[1::-1])
        pixels = cv2.resize(event.pixels, size, interpolation=cv2.INTER_AREA)
        frames.append(pixels)
        times.append(event.time)
        if event.time + 1e-6 >= due:
            due += TICK
            found = max(detector.detect(pixels), key=lambda d: d.box[2], default=None)
            if found is not None:
                at.append(event.time)
                seen.append(found.points)
    if len(at) < 0.9 * times[-1] / TICK:
        return None
    flat = np.array(seen).reshape(len(seen), 10)
    between = np.stack([np.interp(times, at, column) for column in flat.T], axis=1)
    return Clip(frames, np.array(times), between.reshape(-1, 5, 2), rate)


def face_mask(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a soft mask (H, W) in 0..1 of the face with the given five points."""
    mask = np.zeros(shape[:2], np.float32)
    hull = cv2.convexHull(np.round(lay_mesh(points)).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1.0)
    sigma = float(np.linalg.norm(points[1] - points[0])) / 8
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3)), iterations=max(1, round(sigma))), (0, 0), sigma)


def replace_face(target: np.ndarray, to: np.ndarray, donor: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Lay the donor's face over the target's, colours matched in mean and deviation."""
    height, width = target.shape[:2]
    moved = cv2.warpAffine(donor, similarity(of, to), (width, height), borderMode=cv2.BORDER_REFLECT_101)
    mask = face_mask(to, target.shape)
    inside = mask > 0.5
    if inside.any():
        a, b = moved[inside].astype(np.float32), target[inside].astype(np.float32)
        gain = b.std(axis=0) / np.maximum(a.std(axis=0), 1)
        moved = (moved - a.mean(axis=0)) * gain + b.mean(axis=0)
    mask = mask[..., None]
    return np.clip(mask * moved + (1 - mask) * target, 0, 255).astype(np.uint8)


@cache
def neutral_field() -> np.ndarray:
    """Return the normals (64, 64, 3) of the neutral face over x in -1.2..1.2 and y in -1.2..1.6 of its units.

    Beyond the edge of the neutral face the nearest ones are taken.
    """
    normals = vertex_normals(NEUTRAL, Delaunay(NEUTRAL[:, :2]).simplices)
    y, x = np.mgrid[-1.2 : 1.6 : FIELD * 1j, -1.2 : 1.2 : FIELD * 1j]
    smooth = LinearNDInterpolator(NEUTRAL[:, :2], normals)(x, y)
    nearest = NearestNDInterpolator(NEUTRAL[:, :2], normals)(x, y)
    return cv2.GaussianBlur(np.where(np.isfinite(smooth), smooth, nearest), (0, 0), 2).astype(np.float32)


def normal_field(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the normals (H, W, 3) of the neutral face laid on five points."""
    to_neutral = np.array([[2.4 / (FIELD - 1), 0, -1.2], [0, 2.8 / (FIELD - 1), -1.2], [0, 0, 1]])
    # 51 units of the template are one distance of the outer eye corners
    to_template = np.array([[51.0, 0, 55.9], [0, 51.0, 51.6 - 51 * 0.052], [0, 0, 1]])
    matrix = similarity(TEMPLATE, points) @ to_template @ to_neutral
    return cv2.warpAffine(neutral_field(), matrix, shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def turn_light(pixels: np.ndarray, points: np.ndarray, angle: float) -> np.ndarray:
    """Turn a shading of the face from `angle` (radians in the picture plane) by 90 degrees."""
    field = normal_field(points, pixels.shape)
    first, last = (
        1 + SHADING * (field[..., 0] * np.cos(a) + field[..., 1] * np.sin(a))
        for a in (angle, angle + np.pi / 2)
    )
    mask = face_mask(points, pixels.shape)
    ratio = 1 + mask * (last / first - 1)
    return np.clip(pixels * ratio[..., None], 0, 255).astype(np.uint8)


def stretch(kind: str, name: str, length: float) -> tuple[float, float]:
    """Return where the manipulation begins and ends, drawn by the clip's name but for the fixed ones."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {kind}".encode()))
    if kind == "replaced":
        return (3.0, 5.0) if length > 5.4 else (2.0, 4.0)
    if kind == "light":
        return length / 2, length
    duration = 2.0 if kind == "flicker" else 2.5
    start = rng.uniform(0.5, length - duration - 0.5)
    return start, start + duration


def manipulate(kind: str, name: str, clip: Clip, donor: Clip) -> tuple[list[np.ndarray], tuple[float, float]]:
    """Return the clip's frames manipulated in one way, and the stretch in seconds."""
    start, end = stretch(kind, name, float(clip.times[-1]))
    angle = np.random.default_rng(zlib.crc32(name.encode())).uniform(0, 2 * np.pi)
    result = []
    for index, (pixels, time, points) in enumerate(zip(clip.frames, clip.times, clip.points, strict=True)):
        other = index % len(donor.frames)
        if not start <= time < end:
            result.append(pixels)
        elif kind == "flicker":
            gain = FLICKER * np.sin(2 * np.pi * FLICKER_HERTZ * time) * face_mask(points, pixels.shape)
            result.append(np.clip(pixels * (1 + gain[..., None]), 0, 255).astype(np.uint8))
        elif kind == "light":
            result.append(turn_light(pixels, points, angle))
        elif kind == "replaced" or index % EVERY == 0:
            result.append(replace_face(pixels, points, donor.frames[other], donor.points[other]))
        else:
            result.append(pixels)
    return result, (start, end)


def write(path: Path, frames: list[np.ndarray], rate: Fraction) -> None:
    """Encode frames as H.264 (crf 23, 4:2:0)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "23", "preset": "veryfast"}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
