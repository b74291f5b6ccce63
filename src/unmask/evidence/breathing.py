"""The `breathing` analyser: slow rising and falling of head and shoulders, and of the skin's brightness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.evidence.base import Evidence, Signals
from unmask.evidence.continuous import Continuous, Limits, Series, measured, timeline
from unmask.evidence.registry import Options
from unmask.faces.face import Face
from unmask.media.events import Frame, Media
from unmask.signals import breathing, pulse

LOWEST_SNR = 8.0
"""dB by which a source's line must stand out of the band: 99 % of 30-s white noise stays below."""
NEAR = 2.5
"""Breaths a minute within which two sources agree."""
BRIDGE = 168
"""The landmark on the bridge of the nose: it moves with the head and with nothing else."""
EYE_CORNERS = (33, 263)


class Breathing(Continuous):
    """Measures breathing from three sources, and reports a rate where two of them agree."""

    name = "breathing"
    limits = Limits(seconds=15.0, rate=4.0, size=64.0)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._patches: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}

    def begin(self, media: Media) -> None:
        """Start a file."""
        super().begin(media)
        self._patches = {}

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return the head's height in eye distances, the shoulders' step, and the green of the skin."""
        assert face.landmarks is not None
        mesh = face.landmarks
        distance = float(np.linalg.norm(mesh[EYE_CORNERS[0]] - mesh[EYE_CORNERS[1]]))
        green = pulse.region_colours(frame.pixels, mesh)[:4, 1].mean()
        return [-float(mesh[BRIDGE, 1]) / max(distance, 1e-6), self._shoulders(frame, face), float(green)]

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Look for breathing in one track."""
        head, steps, green = series.rows.T
        seen = np.isfinite(steps).mean() > 0.9
        sources = {"head": head, "skin": green}
        if seen:
            sources["shoulders"] = -np.cumsum(np.nan_to_num(steps))
        found = breathing.analyse(series.times, sources)
        signals = Signals(
            series.times,
            {name: np.interp(series.times, found.times, wave) for name, wave in found.signals.items()},
        )
        values = {f"rate_by_{name}": (rate, "1/min") for name, rate in found.rates.items()}
        values |= {f"signal_to_noise_of_{name}": (snr, "dB") for name, snr in found.snrs.items()}
        agreeing = _agreeing(found)
        leading = agreeing[0] if agreeing else max(found.snrs, key=lambda name: found.snrs[name])
        wave = found.signals[leading]
        span = max(float(np.ptp(wave)), 1e-12)
        if agreeing:
            rate = float(np.mean([found.rates[name] for name in agreeing]))
            reason = None
            summary = f"Breathing at about {rate:.0f} a minute, seen in {' and '.join(agreeing)}."
            values = {"rate": (rate, "1/min")} | values
        else:
            reason = "No breathing that can be relied on: no two of head, shoulders and skin agree."
            summary = reason
        evidence = Evidence(
            self.name,
            number,
            "ok" if agreeing else "inconclusive",
            summary,
            reason=reason,
            timeline=timeline(found.times, (wave - wave.min()) / span),
            timeline_meaning=f"rise of the {leading} (0 lowest, 1 highest)",
            measurements=measured(**values),
        )
        return evidence, signals

    def _shoulders(self, frame: Frame, face: Face) -> float:
        """Return by how many rows the patch below the face's first place moved down since last time."""
        box, before = self._patches.get(face.track, (face.detection.box, None))
        after = breathing.shoulder_patch(frame.pixels, box)
        if after is None:
            return float("nan")
        self._patches[face.track] = (box, after)
        return 0.0 if before is None else breathing.vertical_shift(before, after)


def _agreeing(found: breathing.Breath) -> list[str]:
    """Return the largest set of sources whose lines stand out and agree, the clearest first."""
    clear = sorted(
        (name for name, snr in found.snrs.items() if snr >= LOWEST_SNR), key=lambda name: -found.snrs[name]
    )
    groups = [[other for other in clear if abs(found.rates[other] - found.rates[n]) <= NEAR] for n in clear]
    best = max(groups, key=len, default=[])
    return best if len(best) > 1 else []
