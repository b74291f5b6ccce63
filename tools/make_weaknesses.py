"""Shows where the embedded detector is weak, on pictures made of one public-domain portrait.

    python tools/make_weaknesses.py [output, default docs/weaknesses.jpg]

Twelve pictures, half of them manipulated, each with the detector's answer. They are made to fool it and say
nothing about how often it errs: the figures for that are in MODEL_CARD.md. Needs the extra `dev`
(scikit-image).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from make_samples import manipulate
from skimage.data import astronaut

import unmask
from unmask.data.pairs import CANVAS
from unmask.data.selfblend import self_blend
from unmask.faces.detect import Detector
from unmask.faces.landmarks import Landmarker
from unmask.report.drawing import draw_text

TILE = 264
CAPTION = 46
COLUMNS = 4
EYES = ((33, 133), (263, 362))
"""Corners of either eye in the mesh."""
CHIN, LOWER_LIP = 152, 17
DARK = (30, 30, 30)
COLOURS = {"fake": (190, 30, 30), "real": (20, 110, 40), "inconclusive": (150, 100, 0)}


def magnify(pixels: np.ndarray, centre: np.ndarray, radius: float, by: float) -> np.ndarray:
    """Return the picture with a disc round `centre` (x, y) drawn larger (`by` > 1) or smaller, smoothly."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    dx, dy = x - centre[0], y - centre[1]
    weight = np.clip(1 - np.hypot(dx, dy) / radius, 0, 1) ** 0.7
    scale = 1 / (1 + (by - 1) * weight)
    return cv2.remap(
        pixels,
        (centre[0] + dx * scale).astype(np.float32),
        (centre[1] + dy * scale).astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def recompressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return what JPEG at a quality leaves of a picture."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1]


def pictures() -> Mapping[str, np.ndarray]:
    """Return the pictures by what was done to them; those that begin with FAKE are manipulated."""
    portrait = cv2.resize(astronaut(), (640, 640), interpolation=cv2.INTER_AREA)[:480]
    face = Detector(threads=1).detect(portrait)[0]
    mesh = Landmarker(threads=1).mesh(portrait, face)[0][:, :2].astype(np.float64)
    eyes = [mesh[list(pair)].mean(axis=0) for pair in EYES]
    apart = float(np.linalg.norm(eyes[0] - eyes[1]))
    redrawn = manipulate(portrait, mesh)
    larger = portrait
    for eye in eyes:
        larger = magnify(larger, eye, 0.55 * apart, 1.3)
    slim = magnify(portrait, (mesh[CHIN] + mesh[LOWER_LIP]) / 2, 1.5 * apart, 0.8)
    # Self-blends are made on a square of this size in training.
    corner = (
        np.round(np.mean(eyes, axis=0) + np.array([0, 0.5 * apart]) - CANVAS * apart / 2).astype(int).clip(0)
    )
    square = (
        slice(corner[1], corner[1] + int(CANVAS * apart)),
        slice(corner[0], corner[0] + int(CANVAS * apart)),
    )
    blended = portrait.copy()
    blended[square] = self_blend(portrait[square], mesh - corner, np.random.default_rng(4)).fake
    left, top, right, bottom = (int(v) for v in (*mesh.min(axis=0), *mesh.max(axis=0)))
    covered = portrait.copy()
    covered[(top + bottom) // 2 : bottom + 12, left - 12 : right + 12] = (60, 90, 150)
    smooth = portrait
    for _ in range(3):
        smooth = cv2.bilateralFilter(smooth, 9, 40, 6)
    dusk = (255 * (portrait / 255) ** 2.2 * 0.45).astype(np.uint8)
    return {
        "FAKE: face drawn anew, coarsely": redrawn,
        "FAKE: the same, JPEG quality 20": recompressed(redrawn, 20),
        "FAKE: the same at 1/3 of the size": cv2.resize(
            redrawn, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA
        ),
        "FAKE: face blended over itself": blended,
        "FAKE: eyes enlarged by hand": larger,
        "FAKE: chin made small by hand": slim,
        "real: as it is": portrait,
        "real: JPEG quality 20": recompressed(portrait, 20),
        "real: beauty filter": smooth,
        "real: in dusk": dusk,
        "real: half of the face covered": covered,
        "real: painted": cv2.stylization(np.ascontiguousarray(portrait), sigma_s=40, sigma_r=0.35),
    }


def tile(caption: str, pixels: np.ndarray, folder: Path) -> np.ndarray:
    """Return one picture of the sheet, what it is and what the detector says of it below."""
    path = folder / "picture.png"
    cv2.imwrite(str(path), pixels[..., ::-1])
    verdict = unmask.analyse(path).verdict
    faces = Detector(threads=1).detect_picture(pixels)
    box = faces[0].box if faces else np.array([0, 0, *pixels.shape[1::-1]], np.float32)
    side = 1.5 * float(max(box[2:]))
    corner = box[:2] + box[2:] / 2 - side / 2
    matrix = np.array([[TILE / side, 0, 0], [0, TILE / side, 0]]) @ np.array(
        [[1, 0, -corner[0]], [0, 1, -corner[1]], [0, 0, 1]]
    )
    result = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    result[:TILE] = cv2.warpAffine(
        pixels,
        matrix,
        (TILE, TILE),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255),
    )
    answer = verdict.label.upper() if verdict.label == "inconclusive" else f"called {verdict.label.upper()}"
    if verdict.probability is not None:
        answer += f" ({100 * verdict.probability:.0f} %)"
    draw_text(result, caption, 4, TILE + 4, 15, DARK)
    draw_text(result, answer, 4, TILE + 25, 15, COLOURS[verdict.label])
    return result


def main() -> None:
    """Draw the sheet."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs/weaknesses.jpg")
    with tempfile.TemporaryDirectory() as folder:
        tiles = [tile(caption, pixels, Path(folder)) for caption, pixels in pictures().items()]
    gap = np.full((TILE + CAPTION, 8, 3), 255, np.uint8)
    rows = []
    for start in range(0, len(tiles), COLUMNS):
        rows.append(np.hstack([part for one in tiles[start : start + COLUMNS] for part in (one, gap)]))
    cv2.imwrite(str(output), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
