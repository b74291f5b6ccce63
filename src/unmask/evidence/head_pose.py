"""The `head_pose` analyser: the head as one solid body, and the inner face's pose against it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.continuous import Continuous, Limits, Series, measured, mesh, timeline
from unmask.faces.face import Face
from unmask.faces.pose import NEUTRAL, RIGID
from unmask.media.events import Frame
from unmask.signals import head_motion

_INNER = (
    9,
    8,
    168,
    6,
    197,
    195,
    5,
    4,
    1,
    2,
    133,
    362,
    50,
    280,
    101,
    330,
    36,
    266,
    98,
    327,
    129,
    358,
    118,
    347,
)
INNER = np.flatnonzero(np.isin(RIGID, _INNER))
"""The places in `RIGID` of the landmarks of the inner face: nose, inner eye corners, front of the cheeks."""
FULL = 10.0
"""Degrees of difference that fill the timeline."""


class HeadMotion(Continuous):
    """Measures turning, sudden jumps, and how the inner face's pose leaves that of the whole face."""

    name = "head_pose"
    limits = Limits(seconds=1.0, rate=8.0, size=64.0)

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return the rotations of the whole and of the inner face, and the misfit of the whole."""
        points = mesh(face)[:, RIGID]
        _, whole, misfit = head_motion.fit_rotations(points, NEUTRAL)
        _, inner, _ = head_motion.fit_rotations(points[:, INNER], NEUTRAL[INNER])
        return [*whole.ravel(), *inner.ravel(), float(misfit[0])]

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Describe the head's motion in one track."""
        whole = series.rows[:, :9].reshape(-1, 3, 3)
        inner = series.rows[:, 9:18].reshape(-1, 3, 3)
        apart = head_motion.changing_difference(whole, inner)
        speed = head_motion.angular_velocity(series.times, whole)
        found = head_motion.jumps(series.times, whole)
        turned = head_motion.angles(whole)
        columns = {
            "yaw (degrees)": turned[:, 0],
            "pitch (degrees)": turned[:, 1],
            "roll (degrees)": turned[:, 2],
            "inner face against whole (degrees)": apart,
            "speed (degrees/s)": np.concatenate([[np.nan], speed]),
        }
        signals = Signals(series.times, columns, tuple((float(a), float(b)) for a, b in found))
        values = measured(
            range_of_yaw=(float(np.ptp(turned[:, 0])), "degrees"),
            range_of_pitch=(float(np.ptp(turned[:, 1])), "degrees"),
            range_of_roll=(float(np.ptp(turned[:, 2])), "degrees"),
            median_difference_of_inner_face=(float(np.median(apart)), "degrees"),
            highest_difference_of_inner_face=(float(np.percentile(apart, 95)), "degrees"),
            median_speed=(float(np.median(speed)), "degrees/s"),
            highest_speed=(float(np.percentile(speed, 99)), "degrees/s"),
            jumps=(len(found), ""),
            misfit=(float(np.median(series.rows[:, 18])), "of the eye distance"),
        )
        summary = (
            f"The head turns by up to {np.ptp(turned, axis=0).max():.0f} degrees; the pose of the inner face "
            f"leaves that of the whole face by {np.median(apart):.1f} degrees (median)"
            + (f"; {len(found)} sudden jump{'s' if len(found) != 1 else ''}." if len(found) else ".")
        )
        evidence = Evidence(
            self.name,
            number,
            "ok",
            summary,
            timeline=timeline(series.times, apart / FULL),
            timeline_meaning=f"difference of the inner face's pose from the whole's (1: {FULL:g} degrees)",
            measurements=values,
        )
        return evidence, signals
