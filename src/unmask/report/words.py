"""How a report's values are worded for people: the same on the terminal, in HTML and in pictures."""

from __future__ import annotations

from fractions import Fraction

from unmask.report.schema import Evidence, Label, MediaFacts, Report, Verdict

HEADLINES: dict[Label, str] = {
    "fake": "Manipulation found",
    "real": "No manipulation found",
    "inconclusive": "Could not be decided",
}
KINDS = {
    "swap": "face swap",
    "synthesis": "whole-face synthesis",
    "reenactment_or_lip_sync": "reenactment or lip sync",
    "edit": "edited by hand",
    "unknown": "kind unknown",
}


def percent(value: float | None) -> str:
    """Write a probability in whole per cent; never more certain than "> 99 %" or "< 1 %"."""
    return "not judged" if value is None else f"{_whole(value)} %"


def _whole(value: float) -> str:
    if value >= 0.995:
        return "> 99"
    return "< 1" if value < 0.005 else f"{100 * value:.0f}"


def share(value: float) -> str:
    """Write a measured rate in per cent with one decimal, such as "1.0 %"."""
    return f"{100 * value:.1f} %"


def between(interval: tuple[float, float], *, to: str = " to ") -> str:
    """Write an interval of probabilities, such as "82 to 97 %"; its ends as `percent` does."""
    low, high = map(_whole, interval)
    return f"{low} %" if low == high else f"{low}{to}{high} %"


def clock(seconds: float) -> str:
    """Write a time as m:ss.s (h:mm:ss from an hour on)."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}"
    return f"{minutes}:{rest // 10:02}.{rest % 10}"


def printable(text: str) -> str:
    """Show `text` with control characters (a file name may hold any) as "?"."""
    return "".join(char if char.isprintable() else "?" for char in text)


def media_line(media: MediaFacts) -> str:
    """Describe the file in one line: kind, size, frame rate, duration, codecs, frames analysed."""
    parts: list[str] = [media.kind]
    if media.size:
        parts.append(f"{media.size[0]} x {media.size[1]}")
    if media.frame_rate and media.kind == "video":
        parts.append(f"{float(Fraction(media.frame_rate)):.4g} frames/s")
    if media.duration is not None:
        parts.append(clock(media.duration))
    codecs = [codec for codec in (media.codecs.video, media.codecs.audio) if codec]
    if codecs:
        parts.append("/".join(codecs))
    if media.kind == "video":
        parts.append(f"{media.frames_analysed} frames analysed")
    return ", ".join(parts)


def probability_line(verdict: Verdict) -> str:
    """State the probability with its interval and the prior that it assumes."""
    if verdict.probability is None:
        return "No probability: nothing could be judged."
    text = f"Probability of manipulation {percent(verdict.probability)}"
    if verdict.interval:
        text += f" ({between(verdict.interval)})"
    return f"{text}, at a prior of {100 * verdict.prior:.3g} %"


def caveat_lines(verdict: Verdict) -> list[str]:
    """Say what the verdict leaves open: missed fakes, and what the interval covers."""
    lines = []
    limits = verdict.thresholds
    if verdict.label == "real" and limits and limits.miss_rate is not None:
        lines.append(f"{share(limits.miss_rate)} of the fakes that it was tested on get this answer, too.")
    if verdict.interval and verdict.interval_meaning:
        lines.append(f"The interval covers {verdict.interval_meaning}")
    return lines


def seen(report: Report, person_index: int) -> str:
    """Say when a person is seen: "0:00.0 to 0:04.2, 0:06.0 to 0:09.9" ("" in a picture)."""
    spans = [
        f"{clock(track.start)} to {clock(track.end)}"
        for track in report.faces[person_index].tracks
        if track.start is not None and track.end is not None
    ]
    return ", ".join(spans[:2]) + (f" and {len(spans) - 2} more" if len(spans) > 2 else "")


def evidence_rows(report: Report) -> list[tuple[str, str, Evidence]]:
    """List all evidence as (of whom, analyser, evidence); what is a single person's and the file's, once."""
    rows = [
        (f"person {person.person}", name, entry)
        for person in report.faces
        for name, entry in person.evidence.items()
    ]
    told = [(name, entry) for _, name, entry in rows]
    return [("file", *item) for item in report.evidence.items() if item not in told] + rows


def settings_line(report: Report) -> str:
    """Name the settings that differ from "not set", such as "frames 32, end 6.0"."""
    return ", ".join(
        f"{name.replace('_', ' ')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in report.tool.settings.items()
        if value is not None
    )
