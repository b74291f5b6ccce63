"""The `visual` analyser: a convolutional network looks at single aligned face crops.

Per track it keeps the frames' logits and times only, and combines them at the end as `verdict.json`
says. Its companion, where the card names one, sees every picture, and a clip now and then if its own card
says so. Faces too small or too dark to be judged are counted, not guessed.
"""

from __future__ import annotations

import functools
import tempfile
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from unmask.evidence.base import Evidence, Features, Heat, Measurement, Needs
from unmask.evidence.registry import Options
from unmask.faces.align import Framing
from unmask.faces.face import Face
from unmask.media.events import Audio, Cut, Frame, Gap, Media
from unmask.runtime.card import VISUAL, Card, WeightError
from unmask.runtime.companion import add_maps, companion_of
from unmask.runtime.network import VisualNetwork
from unmask.signals.logistic import expit
from unmask.verdict.aggregate import AGGREGATIONS
from unmask.verdict.fusion import FRAMES, STANDARD_ERROR
from unmask.verdict.settings import load_settings

NETWORK = VISUAL
MIN_FACE = 32
"""The longer side of a face's box in pixels, below which it is not judged."""
MIN_EXPOSURE = 12
"""Mean brightness (0..255) of a face below which it is not judged: no *tune* picture is darker, and the 32
DFDC crops of *tune* between 12 and 20 are told apart as well as others (AUC .95)."""
MIN_FRAMES = 3
"""A track of a clip with fewer judged frames is too short."""
LOOK_EVERY = 2.0
"""Seconds between the companion's looks at a track of a clip, where it has a say; their mean counts. Of the
33 `open` clips it tells as much when it looks every 1, 2 or 3 s (AUC .785, .773, .785)."""
BATCH = 4
DECIMALS = 4
"""Measurements in logits are rounded, so that reports do not differ by the last bits of a sum."""
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors")


class Visual:
    """Judges every face frame by frame and concludes per track.

    Args:
        options: threads, device, and under `models["visual"]` another exported network or a checkpoint.

    Raises:
        WeightError: the weight file is missing or damaged.
    """

    name = "visual"
    needs = Needs(frames="spread")

    def __init__(self, options: Options) -> None:
        self._network = load_network(
            options.models.get(self.name, NETWORK), threads=options.threads, device=options.device
        )
        card = self._network.card
        self._companion = companion_of(card, threads=options.threads, device=options.device)
        self.cards: tuple[Card, ...] = (card,)
        self.settings = load_settings(card)
        self._weight_in_clips = 0.0 if self._companion is None else self._companion.card.in_clips
        self._combine = AGGREGATIONS[self.settings.aggregation]
        self._on_heat = options.on_heat
        self._on_features = options.on_features
        self._picture = False
        self._tracks: dict[int, _Track] = {}
        self._pending: list[_Crop] = []
        self._waiting: list[tuple[_Track, np.ndarray]] = []

    @property
    def framing(self) -> Framing:
        """How the crops that are judged are cut."""
        return self._network.framing

    def begin(self, media: Media) -> None:
        """Start a file."""
        self._picture = media.kind == "picture"
        self.cards = (self._network.card,)
        if self._companion is not None and (self._picture or self._weight_in_clips):
            self.cards += (self._companion.card,)
        self._tracks = {}
        self._pending = []
        self._waiting = []

    def observe(self, frame: Frame, faces: list[Face]) -> None:
        """Cut and judge the faces of one frame."""
        for face in faces:
            track = self._tracks.setdefault(face.track, _Track())
            reason = refusal(face)
            if reason is not None:
                track.refused[reason] += 1
                continue
            points = face.detection.points
            pixels = self._network.crop(frame.pixels, points)
            second = None
            if self._companion is not None and self._picture:
                second = self._companion.crop(frame.pixels, points)
            elif self._companion is not None and self._looks(track, face):
                self._companion.open_ahead()
                self._waiting.append((track, self._companion.crop(frame.pixels, points)))
                if len(self._waiting) == BATCH:
                    self._look()
            # The frame is kept only where a heat map is to be handed on: nothing may hold a video.
            self._pending.append(_Crop(pixels, second, face, frame if self._on_heat else None))
            if len(self._pending) == BATCH:
                self._judge()
        if self._on_heat is not None:  # heat maps come with their frame, not a batch later
            self._judge()

    def observe_other(self, event: Audio | Cut | Gap) -> None:
        """Pay no attention to sound, cuts and gaps: a cut ends tracks anyway."""

    def conclude(self) -> list[Evidence]:
        """End the file: evidence for every track that was seen."""
        self._judge()
        self._look()
        return [self._evidence(number, track) for number, track in sorted(self._tracks.items())]

    def _looks(self, track: _Track, face: Face) -> bool:
        """Tell whether the companion looks at this frame of a clip: every `LOOK_EVERY` seconds of a track."""
        time = 0.0 if face.time is None else face.time
        if not self._weight_in_clips or time - track.looked < LOOK_EVERY:
            return False
        track.looked = time
        return True

    def _look(self) -> None:
        """Let the companion see the crops of a clip that wait for it.

        They wait a while, because at first the network is still being opened: a clip takes a tenth less.
        """
        if self._companion is not None and self._waiting:
            told = self._companion.infer(np.stack([pixels for _, pixels in self._waiting]))
            for (track, _), logit in zip(self._waiting, told.logits, strict=True):
                track.second.append(float(logit))
            self._waiting = []

    def _judge(self) -> None:
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        crops = np.stack([item.pixels for item in pending])
        answer = self._network.infer(crops)
        logits, maps = answer.logits.astype(np.float64), answer.maps
        if self._picture:
            # A face in a picture is judged as it is and mirrored; a clip has frames enough to average. On
            # *tune* (at most 350 pictures of each data set and manipulation) the mean of both looks raises
            # the AUC of DFDC from .888 to .894, of all kinds from .908 to .914.
            mirrored = self._network.infer(crops[:, :, ::-1])
            logits = (logits + mirrored.logits) / 2
            maps = (maps + mirrored.maps[:, :, ::-1]) / 2
        if self._companion is not None and self._picture:
            seen = np.stack([item.second for item in pending if item.second is not None])
            told, turned = self._companion.infer(seen), self._companion.infer(seen[:, :, ::-1])
            logits += (told.logits.astype(np.float64) + turned.logits) / 2
            maps = add_maps(maps, (told.maps + turned.maps[:, :, ::-1]) / 2)
        for item, logit, heat, embedding in zip(pending, logits, maps, answer.embeddings, strict=True):
            self._tracks[item.face.track].add(float(logit), item.face.time, embedding)
            if self._on_features is not None:
                self._on_features(Features(self.name, item.face, embedding))
            if self._on_heat is not None and item.frame is not None:
                self._on_heat(self._heat(item.frame, item.face, float(logit), heat))

    def _heat(self, frame: Frame, face: Face, logit: float, values: np.ndarray) -> Heat:
        size = self._network.size
        matrix = cv2.invertAffineTransform(self.framing.matrix(face.detection.points, size))
        resized = cv2.resize(values.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        return Heat(self.name, frame, face, float(expit(logit)), resized, matrix)

    def _evidence(self, number: int, track: _Track) -> Evidence:
        count, refused = len(track.logits), track.refused.total()
        measurements = {FRAMES: Measurement(count), "frames refused": Measurement(refused)}
        if count < (1 if self._picture else MIN_FRAMES):
            if track.refused and refused >= count:
                reason = track.refused.most_common(1)[0][0]
            else:
                reason = (
                    f"The face was seen too briefly to be judged ({count} of at least {MIN_FRAMES} frames)."
                )
            return Evidence(
                self.name, number, "inconclusive", reason, reason=reason, measurements=measurements
            )
        logits = np.array(track.logits)
        error = standard_error(logits, np.array(track.times))
        if track.second:
            second = self._weight_in_clips * np.array(track.second)
            logits = logits + second.mean()
            error = float(np.hypot(error, standard_error(second, LOOK_EVERY * np.arange(len(second)))))
        combined = self._combine(logits)
        suspicious = int((logits > 0).sum())
        measurements |= {
            "logit": Measurement(round(combined, DECIMALS)),
            "spread": Measurement(round(float(logits.std(ddof=1)), DECIMALS) if count > 1 else 0.0),
            STANDARD_ERROR: Measurement(round(error, DECIMALS)),
            "frames above 0.5": Measurement(suspicious),
        }
        score = float(expit(combined))
        if self._picture:
            summary = f"The network's score for the face is {score:.2f} (0 real, 1 fake)."
        else:
            summary = (
                f"{suspicious} of {count} frames look more like fakes than like real faces to the network; "
                f"combined score {score:.2f} (0 real, 1 fake)."
            )
        timeline = () if self._picture else tuple(zip(track.times, map(float, expit(logits)), strict=True))
        return Evidence(
            self.name,
            number,
            "ok",
            summary,
            score=score,
            timeline=timeline,
            measurements=measurements,
            embedding=track.embedding / count,
        )


@dataclass(frozen=True)
class _Crop:
    """A face crop that waits for the batch to fill."""

    pixels: np.ndarray
    second: np.ndarray | None
    """The companion's crop, in pictures."""
    face: Face
    frame: Frame | None


@dataclass
class _Track:
    """What is kept of a track: 16 bytes a judged frame, 8 a look of the companion."""

    logits: array[float] = field(default_factory=lambda: array("d"))
    second: array[float] = field(default_factory=lambda: array("d"))
    looked: float = -np.inf
    times: array[float] = field(default_factory=lambda: array("d"))
    refused: Counter[str] = field(default_factory=Counter)
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(1))

    def add(self, logit: float, time: float | None, embedding: np.ndarray) -> None:
        """Take in one judged frame."""
        self.logits.append(logit)
        self.times.append(0.0 if time is None else time)
        self.embedding = self.embedding + embedding


def refusal(face: Face) -> str | None:
    """Return why a face cannot be judged, or None."""
    if face.quality.size < MIN_FACE:
        return f"The face is too small to be judged (below {MIN_FACE} pixels)."
    if face.quality.exposure < MIN_EXPOSURE:
        return f"The face is too dark to be judged (mean brightness below {MIN_EXPOSURE} of 255)."
    return None


def standard_error(logits: np.ndarray, times: np.ndarray) -> float:
    """Return the standard error of the mean of (N,) frame logits at times in seconds.

    Frames less than a second apart resemble each other and count as one look.
    """
    if len(logits) < 2:
        return 0.0
    looks, last = 0, -np.inf
    for time in np.sort(times):
        if time - last >= 1.0:
            looks, last = looks + 1, time
    return float(np.std(logits, ddof=1) / np.sqrt(looks))


def heat_in_frame(heat: Heat) -> np.ndarray:
    """Return the heat map laid over its frame, (H, W) float32: 0 outside the face crop."""
    height, width = heat.frame.pixels.shape[:2]
    return cv2.warpAffine(heat.values, heat.matrix, (width, height), flags=cv2.INTER_LINEAR)


def load_network(path: Path, *, threads: int = 0, device: str = "auto") -> VisualNetwork:
    """Open an exported visual network, or a checkpoint, which is exported behind the scenes.

    Raises:
        WeightError: the file cannot be used; the message says how to mend it.
    """
    path = Path(path)
    if not path.is_file():
        remedy = "train and export one, or give --model" if path == NETWORK else "give an existing file"
        raise WeightError(f"{path}: weight file missing; {remedy}")
    return _load(path, path.stat().st_mtime_ns, threads, device)


@functools.lru_cache(maxsize=4)
def _load(path: Path, changed: int, threads: int, device: str) -> VisualNetwork:
    if path.suffix.lower() not in CHECKPOINTS:
        return VisualNetwork(path, threads=threads, device=device)
    try:
        from unmask.training.checkpoint import CheckpointError
        from unmask.training.export import export
    except ImportError:
        raise WeightError(
            f"{path}: a checkpoint needs the training extra (pip install 'unmask[train]'); "
            "or give a file made by unmask export"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            exported = export(path, Path(folder) / f"{path.stem}.onnx")
        except CheckpointError as error:
            raise WeightError(str(error)) from None
        return VisualNetwork(exported, threads=threads, device=device)
