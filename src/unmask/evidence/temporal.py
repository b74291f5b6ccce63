"""The `temporal` analyser: what does not hold together from frame to frame, and from when to when.

It follows each face in aligned crops at every frame and measures how the face changes against what is round
it: lasting steps of the look, strange single frames, flicker, the light's direction, and how well optical
flow carries one frame into the next. Its thresholds were set on clips manipulated for the purpose
(docs/experiments/temporal.md). Kept of a track are 44 bytes a frame, 44 bytes a tenth of a second, 512
steps, and the small pictures of half a second.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay

from unmask.evidence.base import Evidence, Interval, Measurement, Needs
from unmask.evidence.registry import Options
from unmask.evidence.visual import refusal
from unmask.faces.align import CENTRE, SIDE, TEMPLATE
from unmask.faces.face import Face
from unmask.faces.motion import (
    AROUND_CELLS,
    CELLS,
    INSIDE,
    PIXELS,
    flow_numbers,
    wide_crop,
)
from unmask.faces.pose import NEUTRAL
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.runtime.card import Card
from unmask.signals import flow as flows
from unmask.signals.change import beyond_usual, cell_means, lasts, strangeness, typical
from unmask.signals.flicker import high_frequency_energy
from unmask.signals.incoherence import Excess, Finding, Step, Thresholds, excess, findings
from unmask.signals.light import agreement, fit_light, vertex_normals
from unmask.signals.motion import motion_statistics

WINDOW = 0.25
"""Seconds before and after a moment that are compared for a step."""
FASTEST = 1 / 65
"""Seconds: frames that follow closer on the one before are left out."""
PAUSE = 0.5
"""Seconds without the face after which nothing is compared across."""
MIN_MOMENTS = 12
MIN_SECONDS = 0.5
"""A track that is seen for less, or at fewer moments, says nothing about time."""
STEP_FLOOR = 1.5
"""Grey levels: smaller steps are forgotten at once."""
JUMP_FLOOR = 3.0
"""Grey levels by which a face changes from frame to frame before optical flow is asked what is left of it."""
LASTING = 0.4
"""Share of a change from frame to frame that must stay for a step."""
MAX_STEPS = 512
THRESHOLDS = Thresholds()
FLOW_INTERVAL = 0.1
"""Seconds between the moments that optical flow compares, whatever the frame rate."""
COLUMNS = (
    "time", "brightness", "surroundings", "strange", "jump", "lasting", "sharpness", "sharpness_around",
    "light_x", "light_y",
)  # fmt: skip
"""What is kept of each moment, as 32-bit numbers but for the time."""
FLOW_COLUMNS = (
    "time", "elapsed", "warp", "warp_around", "round_trip", "slip", "growth", "mouth_x", "mouth_y", "eyes_y",
)  # fmt: skip
"""What is kept of each pair of moments that optical flow compares."""


class Temporal:
    """Follows every face at every frame and concludes per track with the suspicious intervals."""

    name = "temporal"
    needs = Needs(frames="every")
    cards: tuple[Card, ...] = ()

    def __init__(self, options: Options) -> None:
        self._picture = False
        self._tracks: dict[int, Follower] = {}
        self._refused: dict[int, str] = {}

    def begin(self, media: Media) -> None:
        """Start a file."""
        self._picture = media.kind == "picture"
        self._tracks, self._refused = {}, {}

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Measure the faces of one frame against the frames before."""
        if self._picture or frame.time is None:
            return
        for face in faces:
            reason = refusal(face)
            if reason is not None:
                self._refused[face.track] = reason
                continue
            follower = self._tracks.setdefault(face.track, Follower())
            follower.see(frame.time, wide_crop(frame.pixels, face.detection.points))

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """Compare nothing across a cut or a gap."""
        if isinstance(event, Cut | Gap):
            for follower in self._tracks.values():
                follower.pause()

    def conclude(self) -> list[Evidence]:
        """End the file: evidence for every track of a clip."""
        if self._picture:
            return []
        return [self._evidence(track) for track in sorted({*self._tracks, *self._refused})]

    def _evidence(self, track: int) -> Evidence:
        follower = self._tracks.get(track)
        moments = follower.moments() if follower else {}
        times = moments.get("time", np.empty(0))
        if len(times) < MIN_MOMENTS or times[-1] - times[0] < MIN_SECONDS or follower is None:
            reason = self._refused.get(
                track, f"The face was followed too briefly to say anything about time ({len(times)} frames)."
            )
            return Evidence(self.name, track, "not_applicable", reason, reason=reason)
        measured = stand_out(moments)
        found = findings(times, measured, follower.steps(moments), THRESHOLDS)
        level = level_of(times, measured, found)
        return Evidence(
            self.name,
            track,
            "ok",
            _summary(found),
            score=_score(float(level.max())),
            timeline=tuple((float(t), _score(float(v))) for t, v in zip(times, level, strict=True)),
            measurements={
                name: Measurement(round(value, 4), unit)
                for name, (value, unit) in measurements(moments, follower.flows(), measured, found).items()
            },
            intervals=tuple(Interval(f.start, f.end, _reason(f)) for f in found),
        )


class Follower:
    """One face: small pictures of the last half second, and numbers for each moment."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._columns = _table(COLUMNS)
        self._flows = _table(FLOW_COLUMNS)
        self._compared: _Look | None = None
        self._recent: deque[_Look] = deque()
        self._examined = 0
        self._brightness = np.zeros(2)

    def see(self, time: float, pixels: np.ndarray) -> None:
        """Take in the wide crop (96, 96, 3) uint8 at `time` seconds."""
        if self._recent:
            elapsed = time - self._recent[-1].time
            if elapsed < FASTEST:
                return
            if elapsed > PAUSE:
                self.pause()
        look = _Look.of(time, pixels, index=len(self._columns["time"]))
        self._record(look, self._recent[-1] if self._recent else None)
        self._compare(look)
        self._recent.append(look)
        self._examine(final=False)

    def pause(self) -> None:
        """Forget the small pictures: what comes next is not compared with them."""
        self._examine(final=True)
        self._recent.clear()
        self._examined = 0
        self._compared = None

    def moments(self) -> dict[str, np.ndarray]:
        """Return what was measured, by name in `COLUMNS`, and the size of each "step", each (N,)."""
        self._examine(final=True)
        columns = {name: np.array(column, np.float64) for name, column in self._columns.items()}
        return columns | {"step": beyond_usual(columns["time"], columns["jump"]) * columns["lasting"]}

    def steps(self, moments: dict[str, np.ndarray]) -> list[Step]:
        """Return the lasting changes of the look, sized as in the `moments` measured."""
        sizes = moments["step"][np.searchsorted(moments["time"], [step.time for step in self._steps])]
        sized = [replace(step, size=float(size)) for step, size in zip(self._steps, sizes, strict=True)]
        return [step for step in sized if step.size > 0]

    def flows(self) -> dict[str, np.ndarray]:
        """Return what optical flow measured, by name in `FLOW_COLUMNS`, each (M,)."""
        return {name: np.array(column, np.float64) for name, column in self._flows.items()}

    def _record(self, look: _Look, before: _Look | None) -> None:
        row = dict.fromkeys(COLUMNS, 0.0)
        if before is not None:
            self._brightness += [
                100 * float(np.median((now - then) / max(float(then.mean()), 16.0)))
                for now, then in ((look.face, before.face), (look.around, before.around))
            ]
        known, normals = cell_normals()
        light = fit_light(normals, _grey_cells(look.face)[known]).direction
        row |= {
            "time": look.time,
            "light_x": light[0],
            "light_y": light[1],
            "brightness": self._brightness[0],
            "surroundings": self._brightness[1],
            "sharpness": high_frequency_energy(look.grey[INSIDE]),
            "sharpness_around": high_frequency_energy(look.grey),
        }
        for name, value in row.items():
            self._columns[name].append(float(value))

    def _compare(self, look: _Look) -> None:
        """Measure the flow from the moment compared last, once enough time has passed."""
        last = self._compared
        if last is not None:
            elapsed = look.time - last.time
            if elapsed < FLOW_INTERVAL - 1e-3:
                return
            row = {"time": look.time, "elapsed": elapsed} | flow_numbers(last.grey, look.grey)
            for name, value in row.items():
                self._flows[name].append(value)
        self._compared = look

    def _examine(self, *, final: bool) -> None:
        """Compare each recent moment with those before and after it, as soon as these have been seen."""
        recent = self._recent
        while self._examined < len(recent):
            at = self._examined
            look = recent[at]
            if not final and recent[-1].time - look.time < WINDOW:
                return
            before = [p for p in list(recent)[:at] if p.time >= look.time - WINDOW - 1e-6][-_MOST:]
            before = before if len(before) > 1 else list(recent)[max(0, at - 2) : at]
            after = [p for p in list(recent)[at:] if p.time < look.time + WINDOW - 1e-6][:_MOST]
            after = after if len(after) > 1 else list(recent)[at : at + 2]
            if before and len(after) > 1:
                self._columns["strange"][look.index] = _strange(before[-1], look, after[1])
            if before and len(after) > 1:
                self._note_step(look, before, after)
            self._examined += 1
            while len(recent) > 3 and self._examined > 2 and recent[0].time < look.time - WINDOW - 0.05:
                recent.popleft()
                self._examined -= 1

    def _note_step(self, look: _Look, before: list[_Look], after: list[_Look]) -> None:
        size = _jump(before[-1], look)
        self._columns["jump"][look.index] = size
        if size < STEP_FLOOR:
            return
        earlier = np.stack([p.face for p in before[-4:]])
        later = np.stack([p.face for p in after[:5]])
        if lasts(earlier, later) < LASTING:
            return
        self._columns["lasting"][look.index] = 1.0
        first, last = earlier.mean(axis=0), later.mean(axis=0)
        step = Step(look.time, size, last - first, light=explained_by_light(first, last))
        if self._steps and look.time - self._steps[-1].time < WINDOW:
            if size > self._steps[-1].size:
                self._steps[-1] = step
            return
        self._steps.append(step)
        if len(self._steps) > MAX_STEPS:
            self._steps.remove(min(self._steps, key=lambda s: s.size))


def _table(columns: tuple[str, ...]) -> dict[str, array[float]]:
    return {name: array("d" if name == "time" else "f") for name in columns}


@dataclass(frozen=True)
class _Look:
    """One wide crop: grey (96, 96) uint8, and the cells of the face (108,) and of its surroundings (240,)."""

    time: float
    index: int
    grey: np.ndarray
    face: np.ndarray
    around: np.ndarray

    @classmethod
    def of(cls, time: float, pixels: np.ndarray, *, index: int) -> _Look:
        cells = cell_means(pixels, CELLS)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return cls(time, index, grey, cells[_FACE_CELLS].ravel(), cells[AROUND_CELLS].ravel())


_MOST = 16
_FACE_CELLS = (slice(CELLS // 4, 3 * CELLS // 4),) * 2


def _jump(before: _Look, after: _Look) -> float:
    """Return the grey levels by which a face changes from one look to the next, less those around it.

    Where that is enough to ask, it is the change that is left once the later look is moved back along the
    optical flow, and the factor common to the whole face is taken off. A quick turn of the head is mostly
    undone by the one, a screen or lamp that the face looks at by the other; another face, or light from
    elsewhere, by neither.
    """
    if typical(_grey_cells(after.face) - _grey_cells(before.face)) < JUMP_FLOOR:
        return 0.0
    moved = flows.pull(after.grey, flows.dense_flow(before.grey, after.grey)).astype(np.float32)
    left = cell_means(moved - before.grey, CELLS)
    face, level = left[_FACE_CELLS].ravel(), np.maximum(_grey_cells(before.face), 8.0)
    face = face - float(np.median(face / level)) * level
    return max(0.0, typical(face) - typical(left[AROUND_CELLS]))


def _strange(before: _Look, look: _Look, after: _Look) -> float:
    own = strangeness(before.face, look.face, after.face)
    return max(0.0, own - strangeness(before.around, look.around, after.around))


@cache
def cell_normals() -> tuple[np.ndarray, np.ndarray]:
    """Return which of the face's 36 cells lie on the neutral face, (36,) bool, and their normals (M, 3)."""
    eye_middle, unit = (
        TEMPLATE[:2].mean(axis=0),
        51.0,
    )  # template units in a distance of the outer eye corners
    normals = vertex_normals(NEUTRAL, Delaunay(NEUTRAL[:, :2]).simplices)
    count = CELLS // 2
    middles = np.array(CENTRE) - SIDE / 2 + (np.arange(count)[:, None] + 0.5) * SIDE / count
    x, y = np.meshgrid(middles[:, 0], middles[:, 1])
    places = np.column_stack([(x.ravel() - eye_middle[0]) / unit, (y.ravel() - eye_middle[1]) / unit + 0.052])
    found = np.asarray(LinearNDInterpolator(NEUTRAL[:, :2], normals)(places))
    known = np.isfinite(found).all(axis=1)
    found = found[known]
    return known, found / np.linalg.norm(found, axis=1, keepdims=True)


def explained_by_light(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of the change between two looks (108,) of a face that a turned light explains, 0..1.

    The ratio of the two brightnesses then follows the normals, whatever the skin's colour.
    """
    known, normals = cell_normals()
    ratio = np.log((_grey_cells(after) + 8) / (_grey_cells(before) + 8))[known]
    return fit_light(normals, ratio).explained


def _grey_cells(look: np.ndarray) -> np.ndarray:
    return look.reshape(-1, 3).mean(axis=1)


def stand_out(moments: dict[str, np.ndarray]) -> Excess:
    """Express a track's moments in multiples of the thresholds."""
    return excess(
        moments["time"],
        strange=moments["strange"],
        step=moments["step"],
        brightness=moments["brightness"],
        surroundings=moments["surroundings"],
        thresholds=THRESHOLDS,
    )


def level_of(times: np.ndarray, measured: Excess, found: list[Finding]) -> np.ndarray:
    """Return what stands out at each moment, and throughout a stretch what was found of it."""
    level = measured.flicker.copy()
    for finding in found:
        inside = (times >= finding.start) & (times <= finding.end)
        level[inside] = np.maximum(level[inside], finding.strength)
    return level


def _score(strength: float) -> float:
    """Map multiples of the threshold to 0..1: 0.5 at the threshold, 0.8 at twice it."""
    return strength**2 / (1 + strength**2)


def _summary(found: list[Finding]) -> str:
    if not found:
        return "Nothing was found in the face's course over time that does not hold together."
    stretches = "; ".join(f"{f.start:.1f} to {f.end:.1f} s: {_reason(f)}" for f in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Does not hold together over time: {stretches}{more}."


def _reason(finding: Finding) -> str:
    if finding.kind == "look":
        return "the look of the face changes at once and its surroundings do not"
    if finding.kind == "light":
        return "the light on the face turns at once and that on its surroundings does not"
    if finding.kind == "frames":
        return f"{finding.detail:.0f} single frames show another face than those before and after"
    return f"the face's brightness flickers at {finding.detail:.1f} Hz and its surroundings do not"


def measurements(
    moments: dict[str, np.ndarray], flow: dict[str, np.ndarray], measured: Excess, found: list[Finding]
) -> dict[str, tuple[float, str]]:
    """Return the figures of a track with their units; none depends on the frame rate by its definition."""
    changes = np.diff(moments["brightness"]), np.diff(moments["surroundings"])
    direction = np.column_stack([moments["light_x"], moments["light_y"]])
    strongest = int(measured.flicker.argmax())
    result = {
        "moments": (float(len(moments["time"])), ""),
        "suspicious time": (float(sum(f.end - f.start for f in found)), "s"),
        "largest step": (float(moments["step"].max()), "grey levels"),
        "strangest frame": (float(moments["strange"].max()), "grey levels"),
        "flicker": (float(measured.flicker[strongest] * THRESHOLDS.flicker), "%"),
        "flicker frequency": (float(measured.frequency[strongest]), "Hz"),
        "wander of light": (float(np.degrees(np.linalg.norm(direction.std(axis=0)))), "degrees"),
        "light agrees with surroundings": (agreement(*changes), ""),
        "detail against surroundings": (
            float(np.mean(moments["sharpness"] - moments["sharpness_around"])),
            "",
        ),
    }
    return result | (_flow_measurements(flow) if len(flow["time"]) else {})


def _flow_measurements(flow: dict[str, np.ndarray]) -> dict[str, tuple[float, str]]:
    face = PIXELS / 2  # side of the face's square in pixels of the wide crop
    elapsed = flow["elapsed"]
    result = {
        "warping error": (float(np.median(flow["warp"])), "grey levels"),
        "warping error against surroundings": (
            float(np.median(np.log((flow["warp"] + 0.1) / (flow["warp_around"] + 0.1)))),
            "",
        ),
        "round trip error": (float(np.median(flow["round_trip"])) / face * 100, "% of the face"),
        "slip against surroundings": (float(np.median(flow["slip"] / elapsed)) / face, "faces/s"),
        "growth against surroundings": (float(np.abs(flow["growth"] / elapsed).mean()), "1/s"),
    }
    parts = {
        "mouth": np.cumsum(np.column_stack([flow["mouth_x"], flow["mouth_y"]]), axis=0) / face,
        "eyes": np.cumsum(flow["eyes_y"]) / face,
    }
    for part, course in parts.items():
        moved = motion_statistics(flow["time"], course)
        if moved is not None:
            result |= {
                f"{part} speed": (moved.speed, "faces/s"),
                f"{part} jerkiness": (moved.jerkiness, "1/s"),
                f"{part} at rest": (moved.still, "share"),
            }
    return result
