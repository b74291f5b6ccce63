"""What frequency analysis sees in one picture, measured, drawn and put into words on one HTML page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unmask.report.pages import render
from unmask.runtime.linear import Band
from unmask.signals import dct, residual, spectrum
from unmask.signals.features import RINGS, SMALLEST, STEP, Window, window
from unmask.signals.planes import luma

SEEN_PEAK = 6.0
"""A peak that stands so many dB above its background is called one in words (noise reaches 4)."""
SEEN_STRAY = 16.0
"""A peak at any frequency is named from here on (of 363 real *tune* pictures one reaches it)."""
SEEN_DOUBLE = 0.2
"""Share of the histograms' ripple from which a second compression is named (single ones reach 0.1)."""
SEEN_NOISE = 1.0
"""A face whose noise differs from its background's by this factor's logarithm (base 2) is named."""
AROUND = 1.6
"""So many crop widths to each side of the face are shown."""
WIDEST = 512
"""At least so many pixels to each side are measured, for block grids and histograms, where there are any."""
LOUDEST = 24.0
"""Noise levels (grey levels) up to which the map's colours reach at most."""


class TooSmallError(ValueError):
    """The picture or face has too few pixels; the message says how many are needed."""


@dataclass(frozen=True)
class Subject:
    """What is examined: (H, W, 3) uint8 RGB, a part of a picture that begins on its 8-pixel grid; the
    window in it, and whether that lies round a face.
    """

    pixels: np.ndarray
    place: Window
    is_face: bool


@dataclass(frozen=True)
class Examination:
    """What was measured.

    `power`: whole spectrum (S, S), frequency 0 in the middle. `profile`: levels (RINGS,) in dB at
    `frequency` in cycles per pixel. `peaks` and `step_peaks`: dB by up-sampling factor; `highest`: of all.
    `magnitudes`: mean |coefficient| (8, 8). `histogram`: counts of the rounded coefficients of frequency
    (0, 1), -40..40. `digits`: shares (9,). `noise`: noise map of the surroundings in grey levels.
    `grids`: inside and outside the face. `quality`: of the JPEG file. `double`: share of ripple that an
    earlier compression explains. The last three are None where they do not apply.
    """

    power: np.ndarray
    frequency: np.ndarray
    profile: np.ndarray
    slope: float
    high: float
    peaks: dict[int, float]
    step_peaks: dict[int, float]
    highest: spectrum.Peak | None
    magnitudes: np.ndarray
    histogram: np.ndarray
    digits: np.ndarray
    benford: float
    steps: np.ndarray
    noise: np.ndarray
    noise_ratio: float | None
    grid: dct.Grid
    grids: tuple[dct.Grid, dct.Grid, bool] | None
    quality: int | None
    double: float | None


def subject(pixels: np.ndarray, face: tuple[tuple[float, float], float] | None) -> Subject:
    """Lay the window round a face (middle and width of its aligned crop) or the middle of the picture.

    Of a large picture only the surroundings are kept.

    Raises:
        TooSmallError: it would have fewer than `SMALLEST` pixels a side.
    """
    height, width = pixels.shape[:2]
    centre, side = face or ((width / 2, height / 2), float(min(width, height)))
    place = window(centre, side, (width, height))
    if place is None:
        what = f"the face (about {side:.0f} pixels)" if face else f"the picture ({width} x {height} pixels)"
        raise TooSmallError(f"{what} is too small for frequency analysis, which needs {SMALLEST} pixels")
    (x, y), reach = place.centre, max(AROUND * place.width, WIDEST)
    left, top = (int(max(0.0, middle - reach)) // STEP * STEP for middle in (x, y))
    part = pixels[top : int(y + reach) + 1, left : int(x + reach) + 1]
    moved = replace(place, left=place.left - left, top=place.top - top, centre=(x - left, y - top))
    return Subject(part, moved, face is not None)


def examine(seen: Subject, *, tables: dict[str, Any] | None = None) -> Examination:
    """Measure a subject. `tables` are the file's JPEG facts where its pixels are shown as stored."""
    place = seen.place
    crop = luma(seen.pixels[place.top : place.top + place.side, place.left : place.left + place.side])
    power = spectrum.power_spectrum(crop)
    frequency, profile = spectrum.radial_profile(power, place.side, bins=RINGS)
    noise = spectrum.power_spectrum(residual.srm_residuals(crop, residual.SRM_BANK[20:21])[0])
    coefficients = dct.block_dct(crop)
    whole = luma(seen.pixels)
    table = np.array((tables or {}).get("quantisation", {}).get("0", ()), float)
    rounded = np.clip(np.rint(coefficients[..., 0, 1]), -41, 41).astype(int).ravel()
    return Examination(
        power=spectrum.whole(power, place.side),
        frequency=frequency,
        profile=spectrum.decibel(profile),
        slope=spectrum.spectral_slope(frequency, profile),
        high=spectrum.high_frequency_energy(power, place.side),
        peaks=dict(spectrum.upsampling_peaks(noise, place.side)),
        step_peaks=dict(spectrum.upsampling_peaks(spectrum.step_spectrum(crop), place.side - 1)),
        highest=spectrum.highest_peak(power, place.side),
        magnitudes=dct.mean_magnitudes(coefficients),
        histogram=np.bincount(rounded + 41, minlength=83)[1:82],
        digits=dct.first_digits(coefficients),
        benford=dct.benford_deviation(coefficients),
        steps=dct.quantisation_steps(coefficients),
        noise=_around(residual.noise_map(whole), place),
        noise_ratio=_noise_ratio(seen) if seen.is_face else None,
        grid=dct.grid(crop),
        grids=dct.grids_disagree(whole, _ellipse(whole.shape, place)) if seen.is_face else None,
        quality=(tables or {}).get("quality"),
        double=dct.double_compression(dct.block_dct(whole), table.reshape(8, 8))
        if table.size == 64
        else None,
    )


def _around(plane: np.ndarray, place: Window) -> np.ndarray:
    (x, y), reach = place.centre, AROUND * place.width
    return plane[max(0, int(y - reach)) : int(y + reach) + 1, max(0, int(x - reach)) : int(x + reach) + 1]


def _ellipse(shape: tuple[int, ...], place: Window) -> np.ndarray:
    """Return the mask (H, W) of the face without its outline."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    far = residual.REGIONS["interior"][1]
    return np.hypot(x - place.centre[0], 0.8 * (y - place.centre[1])) < far * place.width


def _noise_ratio(seen: Subject) -> float | None:
    levels = residual.region_levels(seen.pixels, seen.place.centre, seen.place.width)
    inside, outside = levels["interior"], levels["background"]
    if inside is None or outside is None:
        return None
    return float(np.log2((inside[0, 0] + 0.05) / (outside[0, 0] + 0.05)))


def sentences(found: Examination, band: Band | None) -> dict[str, list[str]]:
    """Say in plain words what each part shows, and what it may come from."""
    return {
        "spectrum": _spectrum_words(found),
        "profile": _profile_words(found, band),
        "dct": _block_words(found),
        "noise": _noise_words(found),
    }


def _spectrum_words(found: Examination) -> list[str]:
    words = [
        "The spectrum splits the picture into waves: the middle holds the broad shapes, the rim the finest "
        "detail.",
        f"{100 * found.high:.2g} % of the contrast lies in waves shorter than four pixels.",
    ]
    seen = [f"1/{k} ({value:.0f} dB)" for k, value in found.peaks.items() if value >= SEEN_PEAK]
    if seen:
        words.append(
            f"Peaks stand out at {', '.join(seen)} of the sampling frequency. Generators that enlarge their "
            "picture step by step leave such peaks; so do the block edges of strong JPEG compression and "
            "printed patterns."
        )
    else:
        words.append("No peak stands out at 1/2, 1/4 or 1/8 of the sampling frequency.")
    if found.highest is not None and found.highest.height >= SEEN_STRAY:
        across, down, height = found.highest
        words.append(
            f"A peak at {across:.2f} cycles per pixel across and {abs(down):.2f} down stands {height:.0f} dB "
            "above its surroundings: something in the picture repeats regularly. A generator's traces lie at "
            "such places where its picture was scaled afterwards; fabrics, screens and prints make them, too."
        )
    regular = [f"1/{k} ({value:.0f} dB)" for k, value in found.step_peaks.items() if value >= SEEN_PEAK]
    if regular and not found.grid.found:
        words.append(
            f"Steps between neighbouring pixels repeat at {', '.join(regular)}: the picture was probably "
            "enlarged."
        )
    elif regular:
        words.append(f"Steps repeat at {', '.join(regular)}, as the JPEG grid found below explains.")
    return words


def _profile_words(found: Examination, band: Band | None) -> list[str]:
    words = [
        f"From coarse to fine the power falls with the exponent {found.slope:.2f} (natural pictures: about "
        "-2; 0 would be pure noise; a steeper fall means blur or denoising)."
    ]
    if band is None:
        return [*words, "No face was found, so there is nothing to compare the curve with."]
    low, high = np.array(band.low), np.array(band.high)
    off = np.maximum(low - found.profile, found.profile - high)
    worst = int(off.argmax())
    if off[worst] <= 0.05:
        return [*words, f"The curve stays in the band that holds 95 % of {band.faces} looks at real faces."]
    side = "below" if found.profile[worst] < low[worst] else "above"
    return [
        *words,
        f"The curve leaves the band of real faces: {off[worst]:.1f} dB {side} it at "
        f"{found.frequency[worst]:.2f} cycles per pixel. Scaling, sharpening and strong compression do that "
        "as well as generators.",
    ]


def _block_words(found: Examination) -> list[str]:
    words = []
    if found.quality is not None:
        words.append(f"The file's own table is that of JPEG quality {found.quality}.")
    if found.grid.found:
        row, column = found.grid.offset
        words.append(
            "Block edges of a compression lie on the picture's own 8-pixel grid, as they should."
            if (row, column) == (0, 0)
            else f"Block edges of a compression lie {row} rows and {column} columns off the picture's own "
            "grid: it was cropped or moved after a compression."
        )
    else:
        words.append("No 8-pixel grid of a compression was found in the window.")
    if found.grids is not None and found.grids[2]:
        inside, outside, _ = found.grids
        words.append(
            f"The grid inside the face, {inside.offset}, is not that outside, {outside.offset}: "
            "the face was put in from another compressed picture, or moved."
        )
    if found.double is not None:
        words.append(
            "The histograms show an earlier compression with other steps "
            f"(it explains {100 * found.double:.0f} % of their ripple)."
            if found.double >= SEEN_DOUBLE
            else "No earlier compression with other steps shows (a finer one cannot be seen)."
        )
    words.append(
        f"First digits of the coefficients deviate from Benford's law by {found.benford:.3f}; smooth and "
        "strongly compressed pictures deviate more than others."
    )
    return words


def _noise_words(found: Examination) -> list[str]:
    if found.noise_ratio is None:
        return ["There is no face with surroundings to compare: the map shows the noise level by place."]
    factor = 2 ** abs(found.noise_ratio)
    words = [
        f"The noise of the face is {factor:.1f} times {'stronger' if found.noise_ratio >= 0 else 'weaker'} "
        "than that of its background."
    ]
    if abs(found.noise_ratio) >= SEEN_NOISE:
        words.append(
            "A face put in from another source may differ so; a background out of focus, smooth skin and "
            "the codec's economies do, too."
        )
    return words


def numbers(found: Examination) -> dict[str, Any]:
    """Return the measurements as JSON-ready values."""
    return {
        "spectral_slope": round(found.slope, 4),
        "high_frequency_share": round(found.high, 6),
        "frequency_cycles_per_pixel": found.frequency.round(4).tolist(),
        "profile_db": found.profile.round(3).tolist(),
        "residual_peaks_db": {f"1/{k}": round(value, 3) for k, value in found.peaks.items()},
        "highest_peak": None
        if found.highest is None
        else {key: round(value, 4) for key, value in found.highest._asdict().items()},
        "step_peaks_db": {f"1/{k}": round(value, 3) for k, value in found.step_peaks.items()},
        "dct_mean_magnitudes": found.magnitudes.round(3).tolist(),
        "first_digit_shares": found.digits.round(4).tolist(),
        "benford_deviation": round(found.benford, 5),
        "quantisation_steps_seen": found.steps.tolist(),
        "grid": {"offset": list(found.grid.offset), "strength": round(found.grid.strength, 2)},
        "grids_of_face_and_surroundings_disagree": None if found.grids is None else found.grids[2],
        "jpeg_quality": found.quality,
        "earlier_compression": None if found.double is None else round(found.double, 4),
        "log2_noise_of_face_over_background": None
        if found.noise_ratio is None
        else round(found.noise_ratio, 4),
    }


def figures(seen: Subject, found: Examination, band: Band | None) -> dict[str, bytes]:
    """Draw the parts as PNG pictures, by name."""
    from matplotlib.figure import Figure

    def drawn(columns: int, draw: Any) -> bytes:
        figure = Figure(figsize=(4.6 * columns, 4.0), dpi=110, layout="constrained")
        draw(figure, np.atleast_1d(figure.subplots(1, columns)))
        data = io.BytesIO()
        figure.savefig(data, format="png")
        return data.getvalue()

    return {
        "spectrum": drawn(2, lambda figure, axes: _draw_spectrum(figure, axes, seen, found)),
        "profile": drawn(2, lambda figure, axes: _draw_profile(axes, found, band)),
        "dct": drawn(2, lambda figure, axes: _draw_blocks(figure, axes, found)),
        "noise": drawn(2, lambda figure, axes: _draw_noise(figure, axes, seen, found)),
    }


def _draw_spectrum(figure: Any, axes: Any, seen: Subject, found: Examination) -> None:
    place = seen.place
    axes[0].imshow(seen.pixels[place.top : place.top + place.side, place.left : place.left + place.side])
    axes[0].set_title("window examined, as stored")
    axes[0].set_axis_off()
    image = axes[1].imshow(
        spectrum.decibel(found.power), extent=(-0.5, 0.5, 0.5, -0.5), cmap="magma", vmin=-20
    )
    for k in (-3 / 8, -1 / 4, -1 / 8, 1 / 8, 1 / 4, 3 / 8):
        axes[1].plot([k, 0], [0, k], "c+", markersize=5, alpha=0.7)
    axes[1].set_title("spectrum (dB); + where up-sampling peaks lie")
    axes[1].set_xlabel("cycles per pixel across")
    axes[1].set_ylabel("cycles per pixel down")
    figure.colorbar(image, ax=axes[1], shrink=0.85)


def _draw_profile(axes: Any, found: Examination, band: Band | None) -> None:
    if band is not None:
        axes[0].fill_between(band.frequency, band.low, band.high, alpha=0.25, label="95 % of real faces")
        axes[0].plot(band.frequency, band.middle, "--", linewidth=1, label="their middle")
    axes[0].plot(found.frequency, found.profile, "k", label="this picture")
    axes[0].set_xlabel("cycles per pixel")
    axes[0].set_ylabel("power (dB)")
    axes[0].set_title("radial profile")
    axes[0].legend()
    digits = np.arange(1, 10)
    axes[1].bar(digits, found.digits, label="this picture")
    axes[1].plot(digits, dct.BENFORD, "ko--", label="Benford's law")
    axes[1].set_xticks(digits)
    axes[1].set_title("first digits of the coefficients")
    axes[1].legend()


def _draw_blocks(figure: Any, axes: Any, found: Examination) -> None:
    axes[0].bar(np.arange(-40, 41), found.histogram, width=1.0)
    axes[0].set_yscale("symlog")
    axes[0].set_xlabel("coefficient (grey levels)")
    axes[0].set_ylabel("blocks")
    axes[0].set_title("histogram of the coefficient (0, 1)")
    image = axes[1].imshow(np.log2(found.magnitudes + 0.05), cmap="viridis")
    axes[1].set_title("mean |coefficient| (log2 grey levels)")
    axes[1].set_xlabel("frequency across")
    axes[1].set_ylabel("frequency down")
    figure.colorbar(image, ax=axes[1], shrink=0.85)


def _draw_noise(figure: Any, axes: Any, seen: Subject, found: Examination) -> None:
    axes[0].imshow(_around(seen.pixels, seen.place))
    axes[0].set_title("picture")
    top = float(np.clip(np.percentile(found.noise, 98), 0.5, LOUDEST))
    image = axes[1].imshow(found.noise, cmap="inferno", vmin=0, vmax=top)
    axes[1].set_title("noise level (grey levels)")
    for axis in axes:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes[1], shrink=0.85)


PARTS = {
    "spectrum": "Spectrum",
    "profile": "Fall from coarse to fine",
    "dct": "8 x 8 blocks",
    "noise": "Noise by place",
}


def to_html(name: str, what: str, words: dict[str, list[str]], pictures: dict[str, bytes]) -> str:
    """Write one self-contained page. `what` says in a line which frame and face were examined."""
    return render(
        "frequency.html.j2",
        name=name,
        what=what,
        parts=[
            (title, words[part], base64.b64encode(pictures[part]).decode()) for part, title in PARTS.items()
        ],
    )
