"""The single pass: media, faces, analysers, evidence, verdict, report."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import unmask
from unmask.evidence.base import Analyser, Evidence, Features, Heat, Signals
from unmask.evidence.registry import Options, create
from unmask.evidence.schedule import UNKNOWN_INTERVAL, Between, Spread, Ticks
from unmask.evidence.visual import Visual
from unmask.faces.detect import NETWORK, Detector
from unmask.faces.face import Face
from unmask.faces.landmarks import MESH_NETWORK, Landmarker, with_landmarks
from unmask.faces.persons import NETWORK as LIKENESS_NETWORK
from unmask.faces.persons import Persons
from unmask.faces.track import Tracker
from unmask.media.ahead import Beside, read_ahead
from unmask.media.events import Audio, Cut, End, Event, Frame, Gap, Media, MediaError
from unmask.media.reader import read
from unmask.report import schema
from unmask.runtime.card import WEIGHTS, load_card
from unmask.runtime.session import set_threads
from unmask.verdict.decide import Decision, Opinion, decide
from unmask.verdict.fusion import merge, weight_shares
from unmask.verdict.settings import VerdictSettings, uncalibrated

TRACK_RATE = 10.0
"""Frames per second that the tracker sees, whatever the analysers want, except as `SPARSE_RATE` says."""
SPARSE_RATE = 5.0
"""Frames per second that the tracker sees where those to be examined lie `SPARSE` apart or further."""
SPARSE = 0.31
"""Seconds."""
MAX_GAPS = 5
"""So many damaged stretches are listed one by one."""
SOUND_ONLY = "The file has sound but no picture; voices are not judged by this version."


def analyse(
    path: Path | str,
    *,
    frames: int = 32,
    every_frame: bool = False,
    start: float | None = None,
    end: float | None = None,
    threads: int = 0,
    device: str = "auto",
    prior: float | None = None,
    model: Path | str | Mapping[str, Path | str] | None = None,
    analysers: Sequence[str] | None = None,
    on_progress: Callable[[float], None] | None = None,
    on_heat: Callable[[Heat], None] | None = None,
    on_features: Callable[[Features], None] | None = None,
    on_signals: Callable[[Evidence, Signals], None] | None = None,
) -> schema.Report:
    """Analyse one video, picture or sound file.

    Args:
        path: the file.
        frames: samples spread evenly over a clip (at most those the tracker sees, 10 a second); a face
            that comes and goes between them gets up to six of its own.
        every_frame: examine every frame instead.
        start: leave out what lies before this time, in seconds from the first frame.
        end: leave out what lies at or after this time.
        threads: of decoder, OpenCV and inference together; 0 takes all cores.
        device: "auto", "cpu", "cuda", "tensorrt" or "openvino".
        prior: the share of fakes among such files that the probability assumes (0..1, both excluded);
            None takes that of the calibration.
        model: another network for the visual analyser (an exported file with its card, or a checkpoint),
            or a network for each analyser named.
        analysers: names of the analysers to use; None takes all, the thorough ones (see
            `unmask.evidence.registry`) only with `every_frame`.
        on_progress: called with the share done, 0..1.
        on_heat: called with the heat map of each face examined.
        on_features: called with the deep features of each face examined.
        on_signals: called at the end with the evidence on each track and the raw signals behind it.

    Raises:
        MediaError: the file is missing or cannot be analysed.
        WeightError: a weight file is missing, damaged or of the wrong kind.
        DeviceError: the device does not work here.
        ValueError: an argument is out of range.
    """
    if frames < 1:
        raise ValueError(f"frames must be 1 or more, not {frames}")
    if prior is not None and not 0 < prior < 1:
        raise ValueError(f"prior must lie strictly between 0 and 1, not {prior}")
    clock = _Clock()
    count = set_threads(threads)
    # Every frame: faces, visual and other analysers work side by side, each with half of the threads.
    share = max(1, count // 2) if every_frame else count
    with clock("load"):
        options = Options(
            threads=share,
            device=device,
            models=_models(model),
            on_heat=on_heat,
            on_features=on_features,
            on_signals=on_signals,
        )
        examiners = create(analysers, options, thorough=every_frame)
        landmarker = Landmarker(threads=share, device=device)
        tracker = Tracker(Detector(threads=share, device=device), landmarker)
        likeness = Persons(threads=share, device=device)
    events = read(
        path,
        rate=None if every_frame or any(a.needs.frames == "every" for a in examiners) else TRACK_RATE,
        start=start,
        end=end,
        audio=any(a.needs.audio for a in examiners),
        threads=count,
    )
    with clock("decode"):
        media = next(events)
    assert isinstance(media, Media)
    if count > 1 and media.kind == "video":
        events = read_ahead(events)
    length = _length(media, start, end)
    spread = None if every_frame else Spread(frames, start=start or 0.0, length=length)
    watch = _Watch(tracker, landmarker, likeness, examiners, spread, clock)
    run = _Pass(examiners, clock, every_frame=every_frame, beside=share < count)
    for analyser in examiners:
        analyser.begin(media)
    sights = watch.sights(events)
    if share < count and media.kind == "video":
        sights = read_ahead(sights)

    def tell(sight: _Sight) -> None:
        time = sight.frame.time
        if on_progress is not None and length and time is not None:
            on_progress(min(1.0, max(0.0, (time - (start or 0.0)) / length)))

    run.run(sights, tell)
    if media.kind == "video" and run.frames == 0:
        raise MediaError(f"{path}: no picture in the stretch asked for; choose another start or end")
    settings = _settings(examiners)
    with clock("verdict"):
        found = run.conclude()
        evidence: dict[int, list[Evidence]] = {track: [] for track in watch.boxes}
        for item in found:
            if item.track is not None:
                evidence[item.track].append(item)
        persons = dict(enumerate(likeness.join(), start=1))
        decision = decide(persons, evidence, kind=media.kind, settings=settings, prior=prior)
    people = tuple(
        _person(n, tracks, watch.boxes, evidence, decision, settings) for n, tracks in persons.items()
    )
    if on_progress is not None:
        on_progress(1.0)
    return schema.Report(
        media=schema.MediaFacts.of(media, frames_analysed=run.analysed),
        verdict=_verdict(decision, media),
        faces=people,
        evidence=schema.file_evidence(
            people, {e.analyser: schema.Evidence.of(e) for e in found if e.track is None}
        ),
        warnings=(
            *media.warnings,
            *_length_warning(media, spread),
            *run.warnings(),
            *decision.warnings,
        ),
        tool=schema.Tool(
            version=unmask.__version__,
            weights=_weights(examiners),
            settings={
                "frames": None if every_frame else frames,
                "every_frame": every_frame,
                "start": start,
                "end": end,
                "track_rate": watch.rate,
                "device": device,
                "prior": decision.prior,
                "analysers": [analyser.name for analyser in examiners],
                "aggregation": settings.aggregation,
            },
        ),
        timing=clock.timing(),
    )


@dataclass(frozen=True)
class _Sight:
    """A frame whose faces are known, and who is to see it: analysers of every frame, of some, or none."""

    frame: Frame
    faces: list[Face]
    shown: Literal["every", "some", "none"]


class _Watch:
    """First half of the pass: takes event after event, follows faces, and chooses the frames to be examined.

    Kept of a file: a likeness of each track, and five numbers a track and tick.
    """

    def __init__(
        self,
        tracker: Tracker,
        landmarker: Landmarker,
        likeness: Persons,
        analysers: Sequence[Analyser],
        spread: Spread | None,
        clock: _Clock,
    ) -> None:
        self.boxes: dict[int, array[float]] = {}
        """By track: time (NaN in a picture), x, y, width, height, one after the other."""
        self._tracker, self._likeness, self._spread, self._clock = tracker, likeness, spread, clock
        every = [a for a in analysers if spread is None or a.needs.frames == "every"]
        self._every = bool(every)
        self._landmarks = any(a.needs.landmarks for a in analysers)
        self._meshes = landmarker if any(a.needs.landmarks for a in every) else None
        sparse = spread is not None and spread.interval >= SPARSE and not every
        self.rate = SPARSE_RATE if sparse else TRACK_RATE
        """Frames per second that the tracker sees."""
        self._ticks = Ticks(self.rate)
        self._between = Between()

    def sights(self, events: Iterator[Event]) -> Iterator[_Sight | Audio | Cut | Gap | End]:
        """Give the frames with their faces, and all other events but the first in their places."""
        for event in self._clock.each("decode", events):
            if isinstance(event, Frame):
                yield from self._see(event)
                continue
            if isinstance(event, Cut):
                yield from self._meshed(self._between.cut())
                self._tracker.cut()
            elif isinstance(event, End):
                yield from self._meshed(self._between.hold())
            if isinstance(event, Audio | Cut | Gap | End):
                yield event

    def _see(self, frame: Frame) -> Iterator[_Sight]:
        if not self._ticks.due(frame.time):
            if self._every:
                yield from self._meshed(self._between.wait(frame))
            return
        with self._clock("faces"):
            faces = self._tracker.update(frame, landmarks=self._landmarks)
            self._likeness.observe(frame, faces)
        for face in faces:
            time = math.nan if face.time is None else face.time
            box = map(float, face.detection.box)
            self.boxes.setdefault(face.track, array("d")).extend((time, *box))
        chosen = None if self._spread is None else self._spread.choose(frame.time, faces)
        if self._every:
            yield from self._meshed(self._between.tick(frame, faces))
        if chosen is not None:
            yield _Sight(frame, chosen, "some")
        elif not self._every:
            yield _Sight(frame, faces, "none")

    def _meshed(self, seen: Iterator[tuple[Frame, list[Face]]]) -> Iterator[_Sight]:
        for frame, faces in seen:
            if self._meshes is not None:
                with self._clock("faces"):
                    faces = with_landmarks(frame, faces, self._meshes)
            yield _Sight(frame, faces, "every")


class _Pass:
    """Second half: shows each analyser the frames that it asks for. It keeps what these keep.

    With `beside`, all analysers but the visual one, which costs more than the others together, work in a
    thread of their own.
    """

    def __init__(
        self, analysers: Sequence[Analyser], clock: _Clock, *, every_frame: bool, beside: bool
    ) -> None:
        self.analysed = 0
        """Frames shown."""
        self.frames = 0
        """Frames of the file."""
        self._analysers, self._clock = analysers, clock
        self._every = [a for a in analysers if every_frame or a.needs.frames == "every"]
        self._gaps: list[Gap] = []
        self._own = [a for a in analysers if isinstance(a, Visual)] if beside else list(analysers)
        self._others = [a for a in analysers if a not in self._own]

    def run(
        self, sights: Iterator[_Sight | Audio | Cut | Gap | End], on_sight: Callable[[_Sight], None]
    ) -> None:
        """Take all frames and events; `on_sight` hears of each frame."""
        with ExitStack() as stack:
            others = None
            if self._others:
                others = stack.enter_context(Beside[_Sight | Audio | Cut | Gap](self._show_others))
            for sight in sights:
                if isinstance(sight, End):
                    self.frames = sight.frames
                    continue
                if isinstance(sight, Gap):
                    self._gaps.append(sight)
                if others is not None:
                    others.give(sight)
                self._show(self._own, sight)
                if isinstance(sight, _Sight):
                    # Samples of a file that is also seen frame by frame are counted once.
                    self.analysed += sight.shown == "every" or (sight.shown == "some" and not self._every)
                    on_sight(sight)

    def conclude(self) -> list[Evidence]:
        """End the file and return all evidence."""
        return [item for analyser in self._analysers for item in analyser.conclude()]

    def warnings(self) -> list[str]:
        """Name the damaged stretches."""
        listed = [_gap_warning(gap) for gap in self._gaps[:MAX_GAPS]]
        if len(self._gaps) > MAX_GAPS:
            listed.append(f"{len(self._gaps) - MAX_GAPS} further damaged stretches were skipped")
        return listed

    def _show_others(self, sight: _Sight | Audio | Cut | Gap) -> None:
        self._show(self._others, sight)

    def _show(self, analysers: Sequence[Analyser], sight: _Sight | Audio | Cut | Gap) -> None:
        for analyser in analysers:
            if not isinstance(sight, _Sight):
                analyser.observe_other(sight)
            elif sight.shown == ("every" if analyser in self._every else "some"):
                with self._clock(analyser.name):
                    analyser.observe(sight.frame, sight.faces)


class _Clock:
    """Adds up the seconds that each stage takes."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._stages[stage] = self._stages.get(stage, 0.0) + time.perf_counter() - begin

    def each(self, stage: str, events: Iterator[Event]) -> Iterator[Event]:
        """Count the time that an iterator takes to give its items."""
        while True:
            with self(stage):
                event = next(events, None)
            if event is None:
                return
            yield event

    def timing(self) -> schema.Timing:
        """Return the seconds so far."""
        stages = {name: round(seconds, 3) for name, seconds in self._stages.items()}
        return schema.Timing(seconds=round(time.perf_counter() - self._begin, 3), stages=stages)


def _models(model: Path | str | Mapping[str, Path | str] | None) -> dict[str, Path]:
    if model is None:
        return {}
    if isinstance(model, Mapping):
        return {name: Path(path) for name, path in model.items()}
    return {Visual.name: Path(model)}


def _settings(analysers: Sequence[Analyser]) -> VerdictSettings:
    for analyser in analysers:
        if isinstance(analyser, Visual):
            return analyser.settings
    return uncalibrated()


def _length(media: Media, start: float | None, end: float | None) -> float | None:
    """Return the seconds to be looked at, None where the file does not say."""
    if media.duration is None:
        return None
    length = min(media.duration, end if end is not None else math.inf) - (start or 0.0)
    return length if length > 0 else None


def _person(
    number: int,
    tracks: Sequence[int],
    boxes: Mapping[int, array[float]],
    evidence: Mapping[int, Sequence[Evidence]],
    decision: Decision,
    settings: VerdictSettings,
) -> schema.Person:
    opinion = decision.persons[number]
    by_name: dict[str, list[Evidence]] = {}
    for item in (item for track in tracks for item in evidence[track]):
        by_name.setdefault(item.analyser, []).append(item)
    merged = [merge(items) for items in by_name.values()]
    shares = weight_shares(merged, settings.weights)
    return schema.Person(
        person=number,
        label=opinion.label,
        probability=_rounded(opinion.probability),
        interval=_rounded_pair(opinion.interval),
        kind=opinion.kind,
        reasons=opinion.reasons,
        tracks=tuple(_track(track, boxes[track], decision.tracks[track]) for track in tracks),
        evidence={e.analyser: schema.Evidence.of(e, weight=shares[e.analyser]) for e in merged},
    )


def _track(number: int, boxes: array[float], opinion: Opinion) -> schema.Track:
    points = [
        (None if math.isnan(boxes[i]) else boxes[i], boxes[i + 1], boxes[i + 2], boxes[i + 3], boxes[i + 4])
        for i in range(0, len(boxes), 5)
    ]
    return schema.Track.of(number, points, probability=_rounded(opinion.probability), label=opinion.label)


def _verdict(decision: Decision, media: Media) -> schema.Verdict:
    opinion, thresholds = decision.file, decision.thresholds
    return schema.Verdict(
        label=opinion.label,
        probability=_rounded(opinion.probability),
        interval=_rounded_pair(opinion.interval),
        interval_meaning=decision.interval_meaning,
        kind=opinion.kind,
        thresholds=None
        if thresholds is None
        else schema.Thresholds(
            fake=round(thresholds.fake, 4),
            real=round(thresholds.real, 4),
            false_alarm_rate=thresholds.false_alarm_rate,
            miss_rate=_rounded(thresholds.miss_rate),
        ),
        prior=decision.prior,
        reasons=(SOUND_ONLY,) if media.kind == "audio" else opinion.reasons,
    )


def _length_warning(media: Media, spread: Spread | None) -> list[str]:
    if media.kind != "video" or media.duration is not None or spread is None:
        return []
    return [
        "the file does not state its duration: frames were sampled every "
        f"{UNKNOWN_INTERVAL:g} s at first, and further apart the longer it lasts"
    ]


def _gap_warning(gap: Gap) -> str:
    until = "the end" if gap.end is None else f"{gap.end:.2f} s"
    return f"damaged from {gap.start:.2f} s to {until}, not analysed there: {gap.reason}"


def _weights(analysers: Sequence[Analyser]) -> tuple[schema.Weight, ...]:
    faces = [load_card(WEIGHTS / name) for name in (NETWORK, MESH_NETWORK, LIKENESS_NETWORK)]
    return tuple(schema.Weight(name=card.name, sha256=card.sha256) for card in faces) + tuple(
        schema.Weight(name=card.name, sha256=card.sha256, analyser=analyser.name)
        for analyser in analysers
        for card in analyser.cards
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _rounded_pair(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if pair is None else (round(pair[0], 6), round(pair[1], 6))
