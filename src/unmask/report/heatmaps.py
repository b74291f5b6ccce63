"""Pictures of each person's face with the visual detector's heat map, gathered while a file is analysed."""

from __future__ import annotations

import heapq
import io
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from unmask.evidence.base import Heat
from unmask.faces.align import warp
from unmask.report.drawing import draw_map, draw_text, text_mask
from unmask.report.schema import Report
from unmask.report.words import clock

TILES = 8
"""So many moments of a person are shown: those with the highest scores."""
SIDE = 160
_GAP = 6
_TEXT = 15
_GROUND = (250, 250, 250)
_INK = (40, 44, 52)


@dataclass(order=True)
class _Tile:
    """One moment: the face above, with its heat map below (encoded, for there may be many tracks)."""

    score: float
    order: int
    time: float | None = field(compare=False)
    picture: bytes = field(compare=False)


class FaceSheets:
    """Gathers the most suspicious moments of every track: give `take` to the analysis as `on_heat`."""

    def __init__(self) -> None:
        self._tracks: dict[int, list[_Tile]] = {}
        self._count = 0

    def take(self, heat: Heat) -> None:
        """Keep this moment if it is among the most suspicious of its track."""
        kept = self._tracks.setdefault(heat.face.track, [])
        if len(kept) == TILES and heat.score <= kept[0].score:
            return
        self._count += 1
        tile = _Tile(heat.score, -self._count, heat.frame.time, _encode(_paint(heat)))
        if len(kept) < TILES:
            heapq.heappush(kept, tile)
        else:
            heapq.heapreplace(kept, tile)

    def sheets(self, report: Report) -> dict[int, bytes]:
        """Return a JPEG for each person that was judged, by the person's number."""
        sheets = {}
        for person in report.faces:
            tiles = [tile for track in person.tracks for tile in self._tracks.get(track.track, [])]
            if tiles:
                best = sorted(tiles, reverse=True)[:TILES]
                sheets[person.person] = _sheet(sorted(best, key=lambda tile: (tile.time or 0.0, -tile.order)))
        return sheets


def _paint(heat: Heat) -> np.ndarray:
    """Return the aligned face above the same with its heat map, (2 SIDE, SIDE, 3) uint8."""
    # From picture to crop, and from the crop's pixels to those of the tile.
    matrix = cv2.invertAffineTransform(heat.matrix) * (SIDE / len(heat.values))
    matrix[:, 2] += (SIDE / len(heat.values) - 1) / 2
    plain = warp(heat.frame.pixels, matrix, SIDE)
    glowing = plain.copy()
    draw_map(glowing, cv2.resize(heat.values, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    return np.concatenate([plain, glowing])


def _sheet(tiles: list[_Tile]) -> bytes:
    height, width = 2 * SIDE + _TEXT + 3 * _GAP, len(tiles) * (SIDE + _GAP) + _GAP
    sheet = np.full((height, width, 3), _GROUND, np.uint8)
    for index, tile in enumerate(tiles):
        x = _GAP + index * (SIDE + _GAP)
        sheet[_GAP : _GAP + 2 * SIDE, x : x + SIDE] = np.asarray(Image.open(io.BytesIO(tile.picture)))
        time = "" if tile.time is None else f"{clock(tile.time)}   "
        text = f"{time}score {tile.score:.2f}"
        left = x + (SIDE - text_mask(text, _TEXT).shape[1]) // 2
        draw_text(sheet, text, left, 2 * SIDE + 2 * _GAP, _TEXT, _INK)
    return _encode(sheet)


def _encode(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=90)
    return data.getvalue()
