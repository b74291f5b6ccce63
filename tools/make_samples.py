"""Makes the bundled sample clips from a public-domain portrait; the result is the same on every run.

    python tools/make_samples.py [folder, default src/unmask/samples]

`untouched.mp4` films the portrait with a moving camera made in software: a slow pan, zoom and tilt,
the jitter of a hand, and sensor noise. `manipulated.mp4` is the same film with the face altered in
every frame: after the idea of self-blended images (Shiohara and Yamasaki, CVPR 2022, 2204.08376) the
face is taken out, enlarged, drawn anew at a third of its resolution with the up-sampling that swapping
networks use, and blended back through a soft mask round the landmarks. Nothing in either clip is a
living, moving person. Needs the extra `dev` (scikit-image).
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from skimage.data import astronaut

from unmask.faces.detect import Detector
from unmask.faces.landmarks import Landmarker

SIZE = (640, 480)
RATE = 25
SECONDS = 5
SEED = 2016
QUALITY = "21"
"""x264's constant rate factor: about 250 kB a clip."""
SHARE = 0.35
"""The altered face is drawn from this share of its pixels a side."""
READ_NOISE, SHOT_NOISE = 1.0, 0.02
"""Noise variance is READ_NOISE**2 + SHOT_NOISE * brightness, brightness in 0..255."""


def camera(portrait: tuple[int, int], focus: np.ndarray) -> list[np.ndarray]:
    """Return one (3, 3) homography a frame, from portrait pixels to frame pixels.

    A pinhole camera looks at the flat portrait; it pans towards `focus` (x, y), zooms in and tilts.
    """
    count = RATE * SECONDS
    hand = _hand_jitter(count)
    progress = (1 - np.cos(np.linspace(0, np.pi, count))) / 2
    swing = np.sin(np.linspace(0, 2 * np.pi, count))
    start = np.array([portrait[0] / 2, portrait[1] * 0.35])
    views = []
    for k in range(count):
        looked_at = start + progress[k] * 0.7 * (focus - start) + hand[k, :2]
        zoom = SIZE[0] / portrait[0] * (1.12 + 0.28 * progress[k])
        pitch, yaw, roll = np.radians([2.0 * swing[k], 3.0 * swing[k - count // 4], hand[k, 2]])
        views.append(_view(looked_at, zoom=zoom, pitch=pitch, yaw=yaw, roll=roll))
    return views


def film(portrait: np.ndarray, views: list[np.ndarray]) -> list[np.ndarray]:
    """Return the frames (480, 640, 3) uint8 RGB that the camera sees, with sensor noise."""
    random = np.random.default_rng(SEED)
    frames = []
    for view in views:
        seen = cv2.warpPerspective(
            portrait, view, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        ).astype(np.float64)
        deviation = np.sqrt(READ_NOISE**2 + SHOT_NOISE * seen)
        frames.append(_to_bytes(seen + deviation * random.standard_normal(seen.shape)))
    return frames


def manipulate(frame: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Return the frame with the face inside `outline` ((N, 2) pixels) altered and blended back."""
    mask = np.zeros(frame.shape[:2], np.float32)
    hull = cv2.convexHull(np.round(outline).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1.0)
    width = float(np.ptp(outline[:, 0]))
    soft = cv2.GaussianBlur(mask, (0, 0), 0.04 * width)[..., None]
    return _to_bytes(frame * (1 - soft) + _altered(frame, outline.mean(axis=0)) * soft)


def write(path: Path, frames: list[np.ndarray], comment: str) -> None:
    """Write a silent H.264 clip that says in its metadata what it is."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": QUALITY, "preset": "slow", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _altered(frame: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the frame 4 % larger round `centre`, drawn anew at low resolution, its colours shifted.

    The up-sampling is that of a transposed convolution, zeros between the pixels and a kernel over them,
    which leaves a faint chequered pattern (Odena et al. 2016, doi 10.23915/distill.00003).
    """
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), 1.5, 1.04)
    donor = cv2.warpAffine(frame, matrix, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    small = cv2.resize(donor, (int(SIZE[0] * SHARE), int(SIZE[1] * SHARE)), interpolation=cv2.INTER_AREA)
    spread = np.zeros((2 * small.shape[0], 2 * small.shape[1], 3), np.float32)
    spread[::2, ::2] = small
    kernel = cv2.getGaussianKernel(5, 1.0) @ cv2.getGaussianKernel(5, 1.0).T
    drawn = np.clip(cv2.filter2D(spread, -1, 4 * kernel), 0, 255)
    drawn = cv2.resize(drawn, SIZE, interpolation=cv2.INTER_CUBIC)
    return 128 + 0.94 * (drawn.astype(np.float64) - 128) + np.array([5.0, -1.0, -5.0])


def _hand_jitter(count: int) -> np.ndarray:
    """Return (count, 3): shifts in portrait pixels and roll in degrees, noise with the pace of a hand."""
    random = np.random.default_rng(SEED + 1)
    white = random.standard_normal((count + 40, 3))
    window = np.hanning(13)
    smooth = np.stack([np.convolve(column, window / window.sum(), "same") for column in white.T], axis=1)
    return smooth[20:-20] * [2.0, 2.0, 0.6]


def _view(looked_at: np.ndarray, *, zoom: float, pitch: float, yaw: float, roll: float) -> np.ndarray:
    """Return the homography of a camera that sees `looked_at` in its middle, `zoom` frame pixels a pixel."""
    focal = 1.5 * SIZE[0]
    turn = (
        cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0]
        @ cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0]
        @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
    )
    plane = np.array([[zoom, 0, -zoom * looked_at[0]], [0, zoom, -zoom * looked_at[1]], [0, 0, focal]])
    lens = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1.0]])
    return lens @ turn @ plane


def _to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def main() -> None:
    """Make both clips."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "src/unmask/samples")
    folder.mkdir(parents=True, exist_ok=True)
    portrait = astronaut()
    face = Detector(threads=1).detect(portrait)[0]
    landmarks, _ = Landmarker(threads=1).mesh(portrait, face)
    height, width = portrait.shape[:2]
    views = camera((width, height), face.box[:2] + face.box[2:] / 2)
    frames = film(portrait, views)
    write(folder / "untouched.mp4", frames, "A filmed still, untouched; made by tools/make_samples.py")
    points = landmarks[None, :, :2].astype(np.float64)
    outlines = [cv2.perspectiveTransform(points, view)[0] for view in views]
    altered = [manipulate(*pair) for pair in zip(frames, outlines, strict=True)]
    write(folder / "manipulated.mp4", altered, "A filmed still, face altered; made by tools/make_samples.py")


if __name__ == "__main__":
    main()
