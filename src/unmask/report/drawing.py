"""Draws a report's findings into pictures: boxes, labels, heat maps, header and timeline strip.

Every function paints into an (H, W, 3) uint8 RGB array in place; what lies outside is clipped.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unmask.faces.align import Framing
from unmask.report.html import by_track
from unmask.report.schema import SCOPE, Label, Report
from unmask.report.words import HEADLINES, KINDS, clock, percent

Colour = tuple[int, int, int]

COLOURS: dict[Label, Colour] = {
    "fake": (229, 72, 77),
    "real": (48, 164, 108),
    "inconclusive": (240, 160, 32),
}
FULL_GLOW = 6.0
"""The weakest local evidence, in logits, that is drawn at full strength."""
UNJUDGED: Colour = (150, 150, 150)
_DARK: Colour = (17, 19, 22)
_LIGHT: Colour = (240, 240, 240)
_SOFT: Colour = (200, 204, 210)
_BAND_OPACITY = 0.72
_HEAT_OPACITY = 0.65
_HEAT_LOW = np.array((255, 214, 64), np.float32)
_HEAT_HIGH = np.array((214, 20, 40), np.float32)


def unit(pixels: np.ndarray) -> int:
    """Return the text height in pixels that suits a picture, 9 to 64: all else is sized by it."""
    height, width = pixels.shape[:2]
    return int(np.clip(min(height, width * 0.7) / 26, 9, 64))


@functools.lru_cache(maxsize=256)
def text_mask(text: str, size: int) -> np.ndarray:
    """Return the coverage 0..1 of one line of text, (h, w) float32, `size` pixels high letters and all."""
    font = ImageFont.load_default(size)
    left, _, right, bottom = font.getbbox(text)
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (int(bottom), 0)
    picture = Image.new("L", (max(1, int(right - left)), max(1, ascent + descent)))
    ImageDraw.Draw(picture).text((-left, 0), text, fill=255, font=font)
    return np.asarray(picture, np.float32) / 255


def draw_text(pixels: np.ndarray, text: str, x: int, y: int, size: int, colour: Colour = _LIGHT) -> int:
    """Write one line with its top left corner at (x, y); return its width in pixels."""
    mask = text_mask(text, size)
    _blend(pixels, x, y, mask, colour)
    return mask.shape[1]


def _blend(pixels: np.ndarray, x: int, y: int, opacity: np.ndarray, colour: Colour) -> None:
    """Lay a colour over the rectangle at (x, y) with an opacity 0..1 for each pixel."""
    height, width = opacity.shape
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, pixels.shape[1]), min(y + height, pixels.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    alpha = opacity[y0 - y : y1 - y, x0 - x : x1 - x, None]
    part = pixels[y0:y1, x0:x1]
    part[:] = (part * (1 - alpha) + np.array(colour, np.float32) * alpha + 0.5).astype(np.uint8)


def band(pixels: np.ndarray, x: int, y: int, width: int, height: int, colour: Colour = _DARK) -> None:
    """Darken a rectangle so that text on it can be read."""
    _blend(pixels, x, y, np.full((height, width), _BAND_OPACITY, np.float32), colour)


def draw_face(pixels: np.ndarray, box: Sequence[float], caption: str, colour: Colour) -> None:
    """Draw one face's box (x, y, width, height) with its caption above (below where there is no room)."""
    size = unit(pixels)
    thickness = max(1, size // 8)
    x, y, width, height = (round(float(value)) for value in box)
    cv2.rectangle(pixels, (x, y), (x + width, y + height), colour, thickness, cv2.LINE_AA)
    mask = text_mask(caption, size)
    pad = max(3, size // 3)
    tab_height, tab_width = mask.shape[0] + pad, mask.shape[1] + 2 * pad
    top = y - tab_height if y - tab_height >= header_height(pixels) else y + height
    left = int(np.clip(x - thickness // 2, 0, max(0, pixels.shape[1] - tab_width)))
    _blend(pixels, left, top, np.full((tab_height, tab_width), 0.9, np.float32), colour)
    _blend(pixels, left + pad, top + pad // 2, mask, (255, 255, 255))


def draw_heat(pixels: np.ndarray, values: np.ndarray, points: np.ndarray, *, framing: Framing) -> None:
    """Blend a heat map (S, S), in logits, on the face whose `points` (5, 2) are given; see `draw_map`.

    `framing` is that of the crop over which the map lies.
    """
    size = values.shape[0]
    matrix = cv2.invertAffineTransform(framing.matrix(points, size)).astype(np.float64)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]]) @ matrix[:, :2].T + matrix[:, 2]
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)).astype(int), pixels.shape[1::-1])
    if x0 >= x1 or y0 >= y1:
        return
    matrix[:, 2] -= (x0, y0)
    # Feathered before it is laid on: the border of the crop is not to show as an edge.
    laid = cv2.warpAffine(values * _feather(size), matrix, (int(x1 - x0), int(y1 - y0)))
    draw_map(pixels[y0:y1, x0:x1], laid, strongest=float(values.max()))


def draw_map(pixels: np.ndarray, values: np.ndarray, *, strongest: float | None = None) -> None:
    """Blend a heat map (H, W), in logits, on a picture of the same size.

    What is at or below 0, and so speaks for real, stays as it is; from there the glow grows to `strongest`
    (by default the map's own maximum), but to no less than `FULL_GLOW`, so that a face without traces does
    not glow.
    """
    top = max(FULL_GLOW, float(values.max()) if strongest is None else strongest)
    strength = np.clip(values / top, 0, 1).astype(np.float32)[..., None]
    glow = _HEAT_LOW + (_HEAT_HIGH - _HEAT_LOW) * strength
    alpha = _HEAT_OPACITY * np.sqrt(strength)
    pixels[:] = (pixels * (1 - alpha) + glow * alpha + 0.5).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _feather(size: int) -> np.ndarray:
    """Return a mask (size, size) that is 1 inside and falls to 0 at the border of a crop."""
    edge = np.clip(np.minimum(np.arange(size), np.arange(size)[::-1]) / (0.12 * size), 0, 1)
    return np.outer(edge, edge).astype(np.float32)


def header_height(pixels: np.ndarray) -> int:
    """Return how many pixels at the top the header takes."""
    lines, size = _scope_lines(pixels.shape[1], unit(pixels))
    return unit(pixels) * 2 + round(len(lines) * size * 1.4)


@functools.lru_cache(maxsize=16)
def _scope_lines(width: int, size: int) -> tuple[tuple[str, ...], int]:
    """Return the scope in one line or two, and the text height at which they fit the width (8 at least)."""
    sentences = tuple(f"{part.rstrip('.')}." for part in SCOPE.split(". "))
    small = max(8, round(size * 0.62))
    for lines in ((SCOPE,), sentences):
        if max(text_mask(line, small).shape[1] for line in lines) + size <= width:
            return lines, small
    return sentences, 8


def draw_header(pixels: np.ndarray, report: Report) -> None:
    """Write the verdict, its probability, and what is judged at all, across the top."""
    size, verdict, width = unit(pixels), report.verdict, pixels.shape[1]
    band(pixels, 0, 0, width, header_height(pixels))
    mask = text_mask(verdict.label.upper(), size)
    y = size - mask.shape[0] // 2
    field = np.ones((2 * size, mask.shape[1] + 2 * size), np.float32)
    _blend(pixels, 0, 0, field, COLOURS[verdict.label])
    _blend(pixels, size, y, mask, (255, 255, 255))
    x = mask.shape[1] + 3 * size
    kind = f" ({KINDS[verdict.kind]})" if verdict.kind else ""
    probability = "" if verdict.probability is None else f"{percent(verdict.probability)}   "
    meanings = (f"{HEADLINES[verdict.label]}{kind}", HEADLINES[verdict.label], "")
    fitting = (text for text in meanings if x + text_mask(probability + text, size).shape[1] <= width)
    draw_text(pixels, probability + next(fitting, ""), x, y, size)
    lines, small = _scope_lines(width, size)
    for number, line in enumerate(lines):
        draw_text(pixels, line, size // 2, 2 * size + round(small * (0.1 + 1.35 * number)), small, _SOFT)


@dataclass(frozen=True)
class Strip:
    """The timeline along the bottom, painted once: `picture` (h, w, 3) and the stretch of time it shows.

    The time `start` lies at pixel column `left`, the time `end` at column `right`.
    """

    picture: np.ndarray
    start: float
    end: float
    left: int
    right: int

    def draw(self, pixels: np.ndarray, time: float) -> None:
        """Lay the strip over the bottom of a frame, with a cursor at `time` seconds."""
        height = self.picture.shape[0]
        part = pixels[pixels.shape[0] - height :]
        cv2.addWeighted(self.picture, _BAND_OPACITY, part, 1 - _BAND_OPACITY, 0, dst=part)
        share = np.clip((time - self.start) / max(self.end - self.start, 1e-9), 0, 1)
        x = round(self.left + share * (self.right - self.left))
        size = unit(pixels)
        cv2.line(part, (x, 0), (x, height - 1), _LIGHT, max(1, size // 10))
        text = text_mask(clock(time), max(9, size * 3 // 4))
        beside = (
            x + size // 3 if x + size // 3 + text.shape[1] <= part.shape[1] else x - size // 3 - text.shape[1]
        )
        _blend(part, beside, 0, text, _LIGHT)


def make_strip(report: Report, shape: tuple[int, ...], *, duration: float) -> Strip:
    """Paint the timeline strip for frames of `shape` (H, W, 3), showing 0 to `duration` seconds.

    Each person's score of the visual detector is a curve in the colour of the person's label, 0 (real)
    at the bottom and 1 (fake) at the top; the middle line is 0.5.
    """
    frame = np.zeros(shape, np.uint8)
    size = unit(frame)
    height, width = min(size * 4, shape[0]), shape[1]
    picture = np.full((height, width, 3), _DARK, np.uint8)
    left, right = size, max(size + 1, width - size)
    top, bottom = size, max(size + 1, height - size // 2)
    for share in (0.0, 0.5, 1.0):
        y = round(bottom + (top - bottom) * share)
        cv2.line(picture, (left, y), (right, y), (70, 74, 80), 1)
    for person in report.faces:
        entry = person.evidence.get("visual")
        for stretch in by_track(person, entry) if entry else []:
            points = [
                (
                    left + np.clip(t / max(duration, 1e-9), 0, 1) * (right - left),
                    bottom + (top - bottom) * score,
                )
                for t, score in stretch
            ]
            fixed = np.round(np.array(points) * 16).astype(np.int32)
            colour, thickness = COLOURS[person.label], max(1, size // 8)
            cv2.polylines(picture, [fixed], False, colour, thickness, cv2.LINE_AA, shift=4)
            if len(points) == 1:
                cv2.circle(
                    picture, tuple(fixed[0].tolist()), 16 * thickness, colour, -1, cv2.LINE_AA, shift=4
                )
    return Strip(picture, 0.0, duration, left, right)
