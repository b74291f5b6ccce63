"""The `consistency` analyser: whether proportions, eyes, looks and skin of a face stay what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.continuous import Continuous, Limits, Series, measured, mesh, rotation, timeline
from unmask.evidence.registry import Options
from unmask.faces.align import crop
from unmask.faces.face import Face
from unmask.faces.pose import RIGID
from unmask.media.events import Frame, Media
from unmask.signals import consistency, pulse

LOOK_EVERY = 0.5
"""Seconds between looks at the appearance."""
FULL = 0.02
"""Trembling, in distances of the outer eye corners, that fills the timeline."""
CHIN, UNDER_NOSE = 152, 2
CONTRAST = 30.0
"""Grey levels above the iris from which a bright spot is a reflection."""
_PROPORTIONS = len(consistency.PROPORTIONS)
_POINTS = len(RIGID)


class Consistency(Continuous):
    """Measures what must not change in a face."""

    name = "consistency"
    limits = Limits(seconds=2.0, rate=8.0, size=96.0)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._looks: dict[int, tuple[list[float], list[np.ndarray]]] = {}

    def begin(self, media: Media) -> None:
        """Start a file."""
        super().begin(media)
        self._looks = {}

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return proportions, gaze, reflections, skin on both sides of the jaw, and the rigid landmarks."""
        assert face.landmarks is not None
        assert face.time is not None
        times, looks = self._looks.setdefault(face.track, ([], []))
        if not times or face.time - times[-1] >= LOOK_EVERY:
            times.append(face.time)
            looks.append(consistency.look(crop(frame.pixels, face.detection.points, size=64)))
        return [
            *consistency.lengths(mesh(face))[0],
            *consistency.gaze(mesh(face), rotation(face)).ravel(),
            *consistency.highlights(frame.pixels, face.landmarks).ravel(),
            *pulse.region_colours(frame.pixels, face.landmarks)[3],
            *_neck_colour(frame.pixels, face.landmarks),
            *face.landmarks[RIGID, :2].ravel(),
        ]

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Describe how constant the face of one track is."""
        rows = series.rows
        proportions, rest = rows[:, :_PROPORTIONS], rows[:, _PROPORTIONS:]
        gaze = rest[:, :4].reshape(-1, 2, 2)
        spots = rest[:, 4:10].reshape(-1, 2, 3)
        chin, neck = rest[:, 10:13], rest[:, 13:16]
        points = rest[:, 16:].reshape(-1, _POINTS, 2)
        corners = [int(np.flatnonzero(index == RIGID)[0]) for index in (33, 263)]
        distance = np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=1)
        tremble = consistency.jitter(points, distance)
        eyes_apart = gaze[:, 0] - gaze[:, 1]
        clear = (spots[:, :, 2] >= CONTRAST).all(axis=1)
        spots_apart = np.linalg.norm(spots[clear, 0, :2] - spots[clear, 1, :2], axis=1)
        tone = consistency.tone_difference(chin, neck)
        look_times, looks = self._looks[number]
        away = consistency.drift(np.array(looks))
        columns = {
            "trembling (eye distances)": np.concatenate([[np.nan], tremble, [np.nan]]),
            "gaze of the eyes apart (eye widths)": eyes_apart[:, 0],
            "chin against neck (a*b*)": tone,
        }
        for name, length in zip(consistency.PROPORTIONS, proportions.T, strict=True):
            columns[f"{name} (share)"] = length
        spectra = {"appearance away from its mean by time": (np.array(look_times), away)}
        spread = consistency.variation(proportions)
        values = measured(
            trembling=(100 * float(np.median(tremble)), "% of the eye distance"),
            proportions_vary_by=(100 * float(spread.mean()), "%"),
            gaze_of_the_eyes_apart=(100 * float(eyes_apart[:, 0].std()), "% of the eye width"),
            eyes_with_reflections=(float(clear.mean()), "share of frames"),
            reflections_apart=(float(np.median(spots_apart)) if clear.any() else np.nan, "iris radii"),
            appearance_away_from_its_mean=(float(np.median(away)), "1 - cosine"),
            chin_against_neck=(float(np.nanmedian(tone)) if np.isfinite(tone).any() else np.nan, "a*b*"),
        )
        summary = (
            f"Landmarks tremble by {100 * np.median(tremble):.2f} % of the eye distance, proportions that "
            f"cannot change vary by {100 * spread.mean():.1f} %."
        )
        evidence = Evidence(
            self.name,
            number,
            "ok",
            summary,
            timeline=timeline(series.times[1:-1], tremble / FULL),
            timeline_meaning=f"trembling of the landmarks (1: {100 * FULL:g} % of the eye distance)",
            measurements=values,
        )
        return evidence, Signals(series.times, columns, spectra=spectra)


def _neck_colour(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the mean colour (3,) of a square below the chin; NaN where it lies outside the picture."""
    down = landmarks[CHIN, :2] - landmarks[UNDER_NOSE, :2]
    middle = landmarks[CHIN, :2] + 0.45 * down
    half = max(2, round(0.12 * float(np.linalg.norm(down))))
    x, y = np.round(middle).astype(int)
    height, width = pixels.shape[:2]
    if x - half < 0 or y - half < 0 or x + half > width or y + half > height:
        return np.full(3, np.nan)
    return np.asarray(pixels[y - half : y + half, x - half : x + half].mean(axis=(0, 1)))
