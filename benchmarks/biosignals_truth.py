"""Films a made-up living face whose pulse, blinks, breathing and head motion are known.

The face is NASA's portrait of Eileen Collins that scikit-image brings along (public domain), enlarged so that
the detector's box is 227 pixels high. Head and shoulders move as layers over a still background; the skin's
colour beats; upper lids come down by stretching the skin between brow and lid; light drifts and flickers;
every frame gets new sensor noise and goes through H.264.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
from heads import closed, show
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from skimage.data import astronaut

from unmask.faces.detect import Detector
from unmask.faces.face import HeadPose
from unmask.faces.landmarks import Landmarker
from unmask.faces.pose import rotation_of
from unmask.signals.blink import LEFT_EYE, RIGHT_EYE

LEFT, TOP, SIDE, SCALE = 110, 12, 230, 2
FRAME = SIDE * SCALE
NECK = 186
"""Row of the portrait below which the picture is body."""
SKIN_COLOUR = np.array([0.33, 0.77, 0.53]) / 0.77
"""How the pulse changes red, green and blue, relative to green (Wang et al. 2017, section II)."""
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148,
        176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))


@dataclass(frozen=True)
class Script:
    """What happens in a clip.

    `beats` a minute and `amplitude` (of the green channel's change, as a share of brightness; 0: no pulse);
    `blinks` are (middle, length) in seconds, the lids' closure being a raised cosine; `breaths` a minute, 0:
    none; `noise` is the standard deviation of the sensor in grey levels.
    """

    seconds: float = 30.0
    rate: int = 30
    seed: int = 0
    beats: float = 72.0
    amplitude: float = 0.01
    blinks: tuple[tuple[float, float], ...] = ()
    breaths: float = 15.0
    noise: float = 2.0
    flicker: float = 0.005
    drift: float = 0.03
    motion: float = 1.0

    @property
    def times(self) -> np.ndarray:
        """(N,) seconds."""
        return np.arange(round(self.seconds * self.rate)) / self.rate

    def pulse(self) -> np.ndarray:
        """(N,) wave of amplitude about 1, its rate wandering by 1.5 beats a minute."""
        times = self.times
        wander = 1.5 * np.sin(2 * np.pi * times / 17 + self.seed)
        phase = 2 * np.pi * np.cumsum((self.beats + wander) / 60) / self.rate
        return np.sin(phase) + 0.25 * np.sin(2 * phase + 0.8)

    def closure(self) -> np.ndarray:
        """(N,) how far the lids are shut, 0..1."""
        state = np.zeros(len(self.times))
        for middle, length in self.blinks:
            near = np.clip(np.abs(self.times - middle) / length, 0, 0.5)
            state = np.maximum(state, (1 + np.cos(2 * np.pi * near)) / 2)
        return state


class Actor:
    """A portrait, its landmarks in pixels of the enlarged picture, and its masks.

    Args:
        picture: (H, W, 3) uint8 RGB of one person; by default the portrait of Eileen Collins.
    """

    def __init__(self, picture: np.ndarray | None = None) -> None:
        part = astronaut()[TOP : TOP + SIDE, LEFT : LEFT + SIDE] if picture is None else _cut(picture)
        self.pixels = cv2.resize(part, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)
        (found,) = Detector(threads=1).detect(self.pixels)
        self.landmarks, _ = Landmarker(threads=1).mesh(self.pixels, found)
        self.box = found.box

    @cached_property
    def skin(self) -> np.ndarray:
        """(H, W, 1) float32 0..1: the face without eyes and mouth, soft at its edge."""
        mask = np.zeros((FRAME, FRAME), np.uint8)
        points = np.round(self.landmarks[:, :2]).astype(np.int32)
        cv2.fillPoly(mask, [points[list(OVAL)]], 255)
        for group in (LIPS, RIGHT_EYE, LEFT_EYE):
            cv2.fillPoly(mask, [points[list(group)]], 0)
        return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 3)[..., None]

    @cached_property
    def head(self) -> np.ndarray:
        """(H, W, 1) float32 0..1: where the head's layer is."""
        mask = np.zeros((FRAME, FRAME), np.float32)
        middle = tuple(int(v) for v in self.landmarks[[1, 10, 152], :2].mean(axis=0) - (0, 18))
        cv2.ellipse(mask, middle, (150, 175), 0, 0, 360, 1.0, -1)
        return cv2.GaussianBlur(mask, (0, 0), 8)[..., None]

    def with_lids(self, closure: float) -> np.ndarray:
        """Return the picture with both upper lids lowered by a share of the eye's opening."""
        if closure <= 0:
            return self.pixels
        rows = np.repeat(np.arange(FRAME, dtype=np.float32)[:, None], FRAME, axis=1)
        columns = np.repeat(np.arange(FRAME, dtype=np.float32)[None], FRAME, axis=0)
        for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True):
            top, bottom = (self.landmarks[list(line), :2] for line in (upper, lower))
            top, bottom = top[np.argsort(top[:, 0])], bottom[np.argsort(bottom[:, 0])]
            across = np.arange(int(top[0, 0]) + 1, int(top[-1, 0]))
            lid = np.interp(across, top[:, 0], top[:, 1])
            rest = np.maximum(np.interp(across, bottom[:, 0], bottom[:, 1]), lid + 0.5)
            now = lid + closure * (rest - lid)
            # The lashes go down as they are; the skin above them is stretched.
            begin, fold, lashes = lid - 16.0, lid - 8.0, now - 8.0
            y = rows[:, across]
            stretched = begin + (y - begin) * (fold - begin) / (lashes - begin)
            moved = np.where(y <= lashes, stretched, y - now + lid)
            rows[:, across] = np.where((y > begin) & (y <= now), moved, y)
        return cv2.remap(self.pixels, columns, rows, cv2.INTER_LINEAR)


@dataclass(frozen=True)
class Shot:
    """One frame: time in seconds, (H, W, 3) uint8 pixels, and the true (478, 3) landmarks (lids open)."""

    time: float
    pixels: np.ndarray
    landmarks: np.ndarray


def film(actor: Actor, script: Script) -> Iterator[Shot]:
    """Film a script."""
    random = np.random.default_rng(script.seed)
    times, closure = script.times, script.closure()
    beat = script.amplitude * script.pulse()
    breath = np.sin(2 * np.pi * script.breaths / 60 * times) if script.breaths else np.zeros(len(times))
    phases, speeds = random.uniform(0, 6.28, 8), random.uniform(0.08, 0.6, 8)
    sway = np.sin(2 * np.pi * speeds * times[:, None] + phases) * script.motion
    light = 1 + script.drift * np.sin(2 * np.pi * times / 23 + phases[0])
    light = light + script.flicker * np.sin(2 * np.pi * random.uniform(0.8, 2.8) * times)
    still = _background(random)
    # Noise is cut out of a larger sheet at a new place each time: drawing it anew would be most of the work.
    sheet = random.normal(0, script.noise, (2 * FRAME, 2 * FRAME, 3)).astype(np.float32)
    body, skin = _body(actor), actor.skin * SKIN_COLOUR.astype(np.float32)
    still_lids = behind = actor.pixels.astype(np.float32)
    for index, time in enumerate(times):
        shut = float(closure[index])
        lids = actor.with_lids(shut).astype(np.float32) if shut > 0 else still_lids
        head = lids * (1 + np.float32(beat[index]) * skin)
        matrix = _motion(sway[index], 1.5 * breath[index])
        sink = np.array([[1.0, 0, 0], [0, 1.0, -2.5 * breath[index]]])
        behind = _lay(still, still_lids, body, sink) if script.breaths or index == 0 else behind
        picture = _lay(behind, head, actor.head, matrix)
        picture *= np.float32(light[index])
        down, across = random.integers(0, FRAME, 2)
        picture += sheet[down : down + FRAME, across : across + FRAME]
        truth = actor.landmarks.copy()
        truth[:, :2] = truth[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        yield Shot(float(time), np.clip(picture + 0.5, 0, 255).astype(np.uint8), truth)


def turn(actor: Actor, poses: list[HeadPose], *, noise: float = 2.0) -> Iterator[np.ndarray]:
    """Show the head turned by each pose beyond the portrait's own: (H, W, 3) uint8.

    Every pixel gets the depth of the face mesh at its place and is carried along; the nearer one wins.
    """
    random = np.random.default_rng(0)
    fine = 2
    rows, columns = np.mgrid[0 : FRAME - 1 : 1 / fine, 0 : FRAME - 1 : 1 / fine].astype(np.float32)
    flat = np.stack([columns.ravel(), rows.ravel()], axis=1)
    plane, depth = actor.landmarks[:468, :2], actor.landmarks[:468, 2]
    heights = LinearNDInterpolator(plane, depth)(flat)
    outside = np.isnan(heights)
    heights[outside] = NearestNDInterpolator(plane, depth)(flat[outside])
    head = cv2.remap(actor.head, columns, rows, cv2.INTER_LINEAR).ravel() > 0.5
    colours = cv2.remap(actor.pixels, columns, rows, cv2.INTER_LINEAR).reshape(-1, 3)
    points = np.column_stack([flat, heights])[head]
    colours = colours[head]
    middle = np.array([*actor.landmarks[[234, 454], :2].mean(axis=0), actor.landmarks[[234, 454], 2].mean()])
    still = np.clip(_background(random), 0, 255).astype(np.uint8)
    for pose in poses:
        placed = (points - middle) @ rotation_of(pose).T + middle
        order = np.argsort(-placed[:, 2])
        x, y = np.round(placed[order, :2]).astype(int).T
        seen = (x >= 0) & (y >= 0) & (x < FRAME) & (y < FRAME)
        picture, filled = still.copy(), np.zeros((FRAME, FRAME), np.uint8)
        picture[y[seen], x[seen]] = colours[order][seen]
        filled[y[seen], x[seen]] = 1
        holes = cv2.morphologyEx(filled, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) & ~filled & 1
        picture = np.where(holes[..., None] > 0, cv2.medianBlur(picture, 5), picture)
        yield np.clip(picture + random.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)


def turn_closed(actor: Actor, poses: list[HeadPose], *, noise: float = 2.0) -> Iterator[np.ndarray]:
    """Show the portrait closed to a head (`heads.closed`), turned by each pose: (H, W, 3) uint8."""
    solid = closed(actor.pixels, actor.landmarks, OVAL, actor.head[..., 0] > 0.5)
    middle = actor.landmarks[[234, 454], :2].mean(axis=0)
    random = np.random.default_rng(0)
    still = np.clip(_background(random), 0, 255)
    for pose in poses:
        picture = show(solid, pose, still, middle)
        yield np.clip(picture + random.normal(0, noise, picture.shape) + 0.5, 0, 255).astype(np.uint8)


class Encoder:
    """Writes frames as H.264 (4:2:0, preset veryfast) at one constant rate factor."""

    def __init__(self, path: Path, *, rate: int, crf: int, side: int = FRAME) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate))
        self._stream.width = self._stream.height = side
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}

    def write(self, pixels: np.ndarray) -> None:
        """Add one (H, W, 3) uint8 frame."""
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode())
        self._container.close()


def _cut(picture: np.ndarray) -> np.ndarray:
    """Cut the square round the largest face of a picture that shows it as large as the astronaut's."""
    found = max(Detector(threads=1).detect(picture), key=lambda d: float(d.box[3]))
    left, top, width, height = (float(v) for v in found.box)
    side = round(SIDE * SCALE / 227 * height)
    corner = np.rint([left + width / 2 - 0.5 * side, top + height / 2 - 0.47 * side]).astype(int)
    padded = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REPLICATE)
    x, y = corner + side
    return padded[y : y + side, x : x + side]


def _background(random: np.random.Generator) -> np.ndarray:
    coarse = random.uniform(60, 170, (12, 12, 3)).astype(np.float32)
    return cv2.resize(coarse, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)


def _body(actor: Actor) -> np.ndarray:
    mask = np.zeros((FRAME, FRAME), np.float32)
    mask[(NECK - TOP) * SCALE :] = 1
    return cv2.GaussianBlur(mask, (0, 0), 4)[..., None]


def _motion(sway: np.ndarray, lift: float) -> np.ndarray:
    """Return the head's (2, 3) similarity: shifts of some pixels, a roll of about a degree, and breathing."""
    angle, scale = np.radians(1.2 * sway[2]), 1 + 0.006 * sway[3]
    turn_ = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([FRAME / 2, FRAME / 2])
    shift = np.array([5 * sway[0] + 2 * sway[4], 3 * sway[1] + sway[5] - lift])
    return np.column_stack([turn_, middle - turn_ @ middle + shift])


def _lay(below: np.ndarray, layer: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = (FRAME, FRAME)
    moved = cv2.warpAffine(layer, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(moved, below, alpha, 1 - alpha))
