"""The `pulse` analyser: whether the skin's colour beats, at one rate and in step, in all regions of the face.

A rate is reported only where everything that can be checked agrees: the line stands out, it runs through
the regions in step, both halves of the clip and two methods see it, and what is no skin does not show it.
Everything else is `inconclusive`. Neither a pulse nor its absence is a sign of a fake by itself: fakes
inherit the pulse of the person who drove them, and compression removes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unmask.evidence.base import Evidence, Measurement, Signals
from unmask.evidence.continuous import Continuous, Limits, Series, measured, timeline
from unmask.faces.face import Face
from unmask.media.events import Frame, Media
from unmask.signals import pulse
from unmask.signals.filters import bandpass, resample

LOWEST_SNR = 2.0
"""dB by which the line must stand out of the band."""
LOWEST_COHERENCE = 0.5
"""In-phase coherence of the regions at the line."""
NEAR = 5.0
"""Beats a minute within which two rates are the same."""
LEAST_REGIONS = 3
"""Regions (of four) that must have their strongest line there."""
METHODS = ("POS", "CHROM")
"""Methods that must have it there: those that a change of light does not deceive."""
MOST_CONTROL = 0.8
"""Coherence with what is no skin from which the line may be light or motion."""
LOWEST_BITS = 0.01
"""Bits per pixel and frame below which compression is held to have removed the pulse."""
AGREEMENT_WINDOW = 5.0


class Pulse(Continuous):
    """Measures the pulse by remote photoplethysmography."""

    name = "pulse"
    limits = Limits(seconds=8.0, rate=14.0, size=96.0)

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Take the colours of the faces' regions and of what lies round them all."""
        boxes = np.array([face.detection.box for face in faces]).reshape(-1, 4)
        self._surroundings = pulse.surroundings_colour(frame.pixels, boxes)
        super().observe(frame, faces)

    def measure(self, frame: Frame, face: Face) -> Sequence[float]:
        """Return red, green and blue of four skin regions, the eyes, and the surroundings."""
        assert face.landmarks is not None
        return [*pulse.region_colours(frame.pixels, face.landmarks).ravel(), *self._surroundings]

    def judge(self, number: int, series: Series) -> tuple[Evidence, Signals | None]:
        """Look for the pulse of one track."""
        bits = bits_per_pixel(self.media)
        if bits is not None and bits < LOWEST_BITS:
            return self.refuse(
                number,
                f"Compression is too strong ({bits:.3f} bits per pixel; {LOWEST_BITS:g} are needed).",
                measured(bits_per_pixel=(bits, "bit")),
            )
        colours = series.rows.reshape(len(series.times), -1, 3)
        skin, eyes, around = colours[:, :4], colours[:, 4], colours[:, 5]
        try:
            found = pulse.analyse(series.times, skin, around)
        except ValueError:
            return self.refuse(number, "A region of the skin (forehead, cheeks or chin) is hardly ever seen.")
        doubts = doubts_about(found)
        values = _measurements(found) | measured(
            coherence_with_the_eyes=(pulse.coherence_with(series.times, eyes, found.signal, found.rate), ""),
            bits_per_pixel=(np.nan if bits is None else bits, "bit"),
        )
        if doubts:
            reason = f"No pulse that can be relied on: {'; '.join(doubts)}."
            summary = reason
        else:
            reason = None
            summary = (
                f"Pulse of {found.rate:.0f} beats a minute, in step across the face "
                f"(agreement {found.coherence:.2f} of 1)."
            )
            values = {"rate": Measurement(round(found.rate, 2), "1/min")} | values
        evidence = Evidence(
            self.name,
            number,
            "inconclusive" if doubts else "ok",
            summary,
            reason=reason,
            timeline=timeline(*agreement(skin, series.times)),
            timeline_meaning="agreement of the skin's regions (0 none, 1 in step)",
            measurements=values,
        )
        return evidence, _signals(series, found)


def _signals(series: Series, found: pulse.Pulse) -> Signals:
    """Return the colours, the pulse signal, its spectrum, and the rate over time."""
    names = [*pulse.REGIONS, "eyes", "surroundings"]
    columns = {
        f"{name} {channel}": series.rows[:, 3 * place + index]
        for place, name in enumerate(names)
        for index, channel in enumerate(("red", "green", "blue"))
    }
    columns["POS"] = np.interp(series.times, found.times, found.signal)
    inside = (found.frequencies >= pulse.BAND[0]) & (found.frequencies <= pulse.BAND[1])
    spectrum = (60 * found.frequencies[inside], found.power[inside])
    course = pulse.track_rate(found.signal)
    course[:, 0] += found.times[0]
    spectra = {
        "power by beats a minute": spectrum,
        "beats a minute by time": (course[:, 0], course[:, 1]),
    }
    return Signals(series.times, columns, spectra=spectra)


def doubts_about(found: pulse.Pulse) -> list[str]:
    """Return, in plain words, what speaks against relying on a pulse; nothing where it may be reported."""
    doubts = []
    if found.snr < LOWEST_SNR:
        doubts.append(f"no line stands out of the noise ({found.snr:.1f} dB)")
    if found.coherence < LOWEST_COHERENCE:
        doubts.append(f"the regions of the face are not in step ({found.coherence:.2f} of 1)")
    if sum(abs(rate - found.rate) <= NEAR for rate in found.region_rates.values()) < LEAST_REGIONS:
        doubts.append("the regions of the face show different rates")
    if any(abs(found.method_rates[name] - found.rate) > NEAR for name in METHODS):
        doubts.append(f"{' and '.join(METHODS)} disagree")
    if max(abs(rate - found.rate) for rate in found.half_rates) > 2 * NEAR:
        doubts.append("the two halves of the clip disagree")
    if found.control_coherence is not None and found.control_coherence > MOST_CONTROL:
        doubts.append("the surroundings show the same line")
    return doubts


def bits_per_pixel(media: Media) -> float | None:
    """Return the bits that the file spends on a pixel of a frame, None where it does not say."""
    if not (media.bit_rate and media.size and media.frame_rate):
        return None
    return media.bit_rate / (media.size[0] * media.size[1] * float(media.frame_rate))


def agreement(skin: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times, and the mean correlation (0..1) of the regions' POS signals over 5 s round them."""
    grid, colours = resample(times, skin, pulse.GRID)
    each = bandpass(pulse.pos(colours), pulse.GRID, *pulse.BAND)
    length = min(len(grid), round(AGREEMENT_WINDOW * pulse.GRID))
    windows = np.lib.stride_tricks.sliding_window_view(each, length, axis=0)[:: round(pulse.GRID / 2)]
    windows = windows - windows.mean(axis=-1, keepdims=True)
    windows = windows / np.maximum(np.linalg.norm(windows, axis=-1, keepdims=True), 1e-12)
    regions = windows.shape[1]
    # The squared sum of unit vectors holds each pair twice and each region once.
    total = (windows.sum(axis=1) ** 2).sum(axis=-1)
    mean = (total - regions) / (regions * (regions - 1))
    middles = grid[0] + (np.arange(len(mean)) * round(pulse.GRID / 2) + length / 2) / pulse.GRID
    return middles, np.clip(mean, 0, 1)


def _measurements(found: pulse.Pulse) -> dict[str, Measurement]:
    values = {
        "strongest_line": (found.rate, "1/min"),
        "signal_to_noise": (found.snr, "dB"),
        "agreement_of_the_regions": (found.coherence, ""),
        "spread_of_phases": (found.phase_spread, "degrees"),
        "coherence_with_the_surroundings": (
            np.nan if found.control_coherence is None else found.control_coherence,
            "",
        ),
    }
    values |= {f"rate_by_{name}": (rate, "1/min") for name, rate in found.method_rates.items()}
    values |= {f"rate_of_the_{name}": (rate, "1/min") for name, rate in found.region_rates.items()}
    values |= {
        f"rate_of_the_{half}_half": (rate, "1/min")
        for half, rate in zip(("first", "second"), found.half_rates, strict=True)
    }
    return measured(**values)
