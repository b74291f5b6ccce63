"""Trains networks that look along time on the stores of `unmask prepare`, from top to bottom.

Clips are few, so a run is a cross-validation: the groups are dealt into folds, each fold is judged by a
network that never saw its groups, and in the end one network learns from all clips. Nothing is chosen on the
held-out clips: every network takes the same number of steps, and its averaged weights at the end count.

A run lives in one folder: `configuration.json`, `held_out.csv` (what each clip was answered by the network
that never saw its group), `best.safetensors` (the network of all clips), and for each network a folder with
`log.csv`, `curve.png`, `last.safetensors` and `state.pt`, from which a run that was stopped goes on.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from pydantic import Field
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from unmask.data.augment import Strength
from unmask.data.sequences import (
    RATE,
    SPEED,
    Crops,
    FaceSequence,
    FrameFeatures,
    Looked,
    draw_moments,
    held,
    motion_of,
    padded,
    read_sequences,
    windows,
)
from unmask.faces.align import PLAIN
from unmask.faces.motion import MOTION
from unmask.media.output import atomic_path
from unmask.models.sequences import SequenceArchitecture, architecture, create
from unmask.runtime.card import VISUAL
from unmask.runtime.network import VisualNetwork
from unmask.training import checkpoint
from unmask.training.archives import find_archives
from unmask.training.config import Optimising, checked
from unmask.training.curve import draw_curve
from unmask.training.objective import focal_loss, smooth
from unmask.training.optimiser import Average, learning_rate, make_optimiser

STATE = "state.pt"
FRAME_NETWORK = VISUAL
COLUMNS = (
    "data_set", "clip", "person", "label", "group", "manipulation", "fold", "sequences", "logit",
    "frames_logit",
)  # fmt: skip
"""`logit`: the mean over the clip's sequences; `frames_logit`: of the frame network's, "" without one."""
MAY_CHANGE = ("steps", "epochs", "evaluate_every", "threads")
"""Settings in which a run that goes on may differ from how it was begun."""

PROGRESS_EVERY = 20
"""Clips between two lines of progress while features are taken."""

Inputs = tuple[Tensor, ...]


class SequenceConfig(Optimising):
    """One run: the network, the clips and how they are sampled, and what is minimised."""

    model: str
    frame_network: str | None = None
    """The exported network whose features a model reads that reads features; the embedded one without."""
    motion: bool = False
    """Whether eight numbers of optical flow stand beside the features of each moment (lstm and gru)."""
    archives: list[str] = Field(default_factory=list)
    splits: list[str] = Field(default_factory=lambda: ["train"])
    """The splits whose clips are used."""
    folds: int = Field(default=5, ge=2)

    length: int = Field(default=16, ge=2)
    """Moments of a sequence."""
    rate: float = Field(default=RATE, gt=0)
    """Moments a second at normal speed."""
    speed: tuple[float, float] = SPEED
    """Slowest and fastest that training sequences are played."""
    size: int | None = Field(default=None, ge=32)
    """Side of the crops of a model that takes frames; as its paper says without."""
    augmentation: Strength = Strength()
    self_blends: int = Field(default=0, ge=0)
    """Pairs of a real sequence and its self-blend, made of each real clip."""
    blend_share: float = Field(default=0.4, ge=0, le=1)
    """Share of these among the training sequences, where there are any."""
    permute_labels: bool = False
    """Shuffle the labels among the clips and leave self-blends out: what can the recipe not have learned?"""

    steps: int = Field(default=200, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training clips, in place of steps."""
    batch_size: int = Field(default=16, ge=2)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=5e-4, gt=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.05, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)

    evaluate_every: int = Field(default=100, ge=1)
    """Steps between two looks at the held-out clips, for the log alone; the state is saved as often."""
    threads: int = Field(default=2, ge=1)
    seed: int = 0

    @property
    def blends(self) -> bool:
        """Whether self-blends are among the training sequences."""
        return self.self_blends > 0 and not self.permute_labels


class FeatureMaterial:
    """Sequences of a frame network's features (M, D), each taken once.

    Args:
        config: the run.
        frames: gives and keeps the features.
        sequences: all clips; features are taken of them, and of the self-blends of the real ones.
        report: called with one line of progress at a time.
    """

    def __init__(
        self,
        config: SequenceConfig,
        frames: FrameFeatures,
        sequences: Sequence[FaceSequence],
        report: Callable[[str], None],
    ) -> None:
        self._config = config
        card = frames.network.card
        self.depends = {card.file: card.sha256}
        self.size, self.framing = frames.network.size, frames.network.framing
        self._looked: dict[FaceSequence, Looked] = {}
        self._motion: dict[FaceSequence, np.ndarray] = {}
        self._blends: dict[FaceSequence, list[np.ndarray]] = {}
        for number, sequence in enumerate(sequences, start=1):
            self._looked[sequence] = frames.of(sequence)
            if config.motion:
                self._motion[sequence] = frames.motion(sequence)
            if config.blends and not sequence.fake:
                self._blends[sequence] = frames.self_blends(
                    sequence,
                    config.self_blends,
                    length=config.length,
                    rate=config.rate,
                    augmentation=config.augmentation,
                    seed=config.seed,
                    motion=config.motion,
                )
            if number % PROGRESS_EVERY == 0:
                report(f"features of {number} of {len(sequences)} clips")
        self.motion = len(MOTION) if config.motion else 0
        self.features = self._looked[sequences[0]].features.shape[2] + self.motion

    def drawn(self, sequence: FaceSequence, rng: np.random.Generator) -> np.ndarray:
        """Draw a sequence, as it is or mirrored."""
        config = self._config
        chosen = draw_moments(sequence.times, rng, length=config.length, rate=config.rate, speed=config.speed)
        return self._rows(sequence, chosen, side=int(rng.integers(2)))

    def blended(self, sequence: FaceSequence, rng: np.random.Generator, *, fake: bool) -> np.ndarray:
        """Draw one of a real clip's self-blends, or its untouched partner."""
        pairs = self._blends[sequence]
        return pairs[int(rng.integers(len(pairs)))][int(fake)]

    def judged(self, sequence: FaceSequence) -> list[np.ndarray]:
        """Return the sequences by which a clip is judged, as they are and mirrored."""
        chosen = windows(sequence.times, length=self._config.length, rate=self._config.rate)
        return [self._rows(sequence, indices, side=side) for indices in chosen for side in (0, 1)]

    def _rows(self, sequence: FaceSequence, chosen: np.ndarray, *, side: int) -> np.ndarray:
        """Return the features of chosen moments, mirrored where `side` is 1, and the motion behind them."""
        features = self._looked[sequence].features[chosen, side]
        if not self.motion:
            return features
        moved = motion_of(self._motion[sequence], chosen, mirrored=bool(side))
        return np.concatenate([features, moved], axis=1)

    def frames_logit(self, sequence: FaceSequence) -> float | None:
        """Return the mean of the frame network's own logits."""
        return float(self._looked[sequence].frame_logits.mean())

    def joined(self, arrays: Sequence[np.ndarray]) -> Inputs:
        """Return sequences (N, T, D) and what is none of their padding (N, T)."""
        features, mask = padded(arrays)
        return torch.from_numpy(features), torch.from_numpy(mask)


class ClipMaterial:
    """Sequences of crops (T, S, S, 3) uint8, augmented alike and re-encoded for training.

    Args:
        config: the run.
        preprocessing: the model's.
    """

    depends: ClassVar[dict[str, str]] = {}
    features: int | None = None
    motion = 0
    framing = PLAIN

    def __init__(self, config: SequenceConfig, found: SequenceArchitecture) -> None:
        self._config, self._crops = config, Crops()
        self.size = config.size or found.preprocessing.input_size
        self._mean, self._std = (
            torch.tensor(values).view(1, 3, 1, 1, 1) * 255
            for values in (found.preprocessing.mean, found.preprocessing.std)
        )

    def _chosen(self, sequence: FaceSequence, rng: np.random.Generator) -> np.ndarray:
        config = self._config
        return draw_moments(sequence.times, rng, length=config.length, rate=config.rate, speed=config.speed)

    def drawn(self, sequence: FaceSequence, rng: np.random.Generator) -> np.ndarray:
        """Draw and augment a sequence."""
        chosen = self._chosen(sequence, rng)
        crops = self._crops.augmented(
            sequence, chosen, rng, size=self.size, augmentation=self._config.augmentation
        )
        return held(crops, self._config.length)

    def blended(self, sequence: FaceSequence, rng: np.random.Generator, *, fake: bool) -> np.ndarray:
        """Make a self-blend of a real clip, or its untouched partner."""
        chosen = self._chosen(sequence, rng)
        made = self._crops.self_blended(
            sequence, chosen, rng, size=self.size, augmentation=self._config.augmentation
        )
        return held(made.crops[int(fake)], self._config.length)

    def judged(self, sequence: FaceSequence) -> list[np.ndarray]:
        """Return the sequences by which a clip is judged."""
        chosen = windows(sequence.times, length=self._config.length, rate=self._config.rate)
        return [
            held(self._crops.aligned(sequence, indices, self.size), self._config.length) for indices in chosen
        ]

    def frames_logit(self, sequence: FaceSequence) -> float | None:
        """Return None: no frame network takes part."""
        return None

    def joined(self, arrays: Sequence[np.ndarray]) -> Inputs:
        """Return normalised clips (N, 3, T, S, S)."""
        clips = torch.from_numpy(np.stack(arrays)).permute(0, 4, 1, 2, 3).float()
        return ((clips - self._mean) / self._std,)


Material = FeatureMaterial | ClipMaterial
"""What a network is fed: drawn for training, and the sequences by which a clip is judged."""


@dataclass(frozen=True)
class Labelled:
    """A sequence with the label that it counts by."""

    sequence: FaceSequence
    fake: bool


def run(
    settings: dict[str, Any], paths: Sequence[Path], folder: Path, *, report: Callable[[str], None]
) -> Path:
    """Train on the stores at `paths`: a network for each fold, then one on all clips; returns its checkpoint.

    Features are kept beside the run, in `features/`, for other runs on the same stores.

    Raises:
        FloatingPointError: the loss is no number.
        ValueError: wrong settings or data, or the folder holds a run of other settings; one line.
        WeightError: the frame network cannot be used.
    """
    archives = find_archives(paths)
    config = checked(SequenceConfig, settings | {"archives": [path.name for path in archives]})
    found = architecture(config.model)
    sequences = [s for path in archives for s in read_sequences(path) if s.split in config.splits]
    _check_density(sequences, config)
    clips = _labelled(sequences, config)
    cv2.setNumThreads(config.threads)
    torch.set_num_threads(config.threads)
    material = _material(config, found, folder, sequences, report)
    _begin(config, material, folder)
    report(_counts(clips))
    rows = []
    groups = np.array([f"{c.sequence.data_set}:{c.sequence.group}" for c in clips])
    for fold, (kept, left) in enumerate(_deal(clips, groups, config)):
        training, apart = [clips[i] for i in kept], [clips[i] for i in left]
        network = train(config, material, training, apart, folder / f"fold{fold}", report=report)
        rows += [_row(network, material, clip, fold) for clip in apart]
    _write_rows(folder / "held_out.csv", rows)
    figures = {"held-out AUC": _auc([r["label"] == "fake" for r in rows], [r["logit"] for r in rows])}
    report(f"held-out AUC {figures['held-out AUC']:.3f} of {len(rows)} clips, {config.folds} folds")
    network = train(config, material, clips, [], folder / "whole", report=report)
    _save(folder / "best.safetensors", network, config, material, clips, figures)
    return folder / "best.safetensors"


def _check_density(sequences: Sequence[FaceSequence], config: SequenceConfig) -> None:
    """Refuse clips with too few crops a second: their sequences would be shorter, which tells long clips.

    Raises:
        ValueError: names the first such clip.
    """
    for sequence in sequences:
        apart = float(np.median(np.diff(sequence.times))) if len(sequence) > 1 else 0.0
        if apart > 0.75 / config.rate:
            raise ValueError(
                f"{sequence.clip}: its crops are {apart:.2f} s apart, too far for {config.rate:g} moments a "
                "second: prepare the store with more --frames, or set a lower rate"
            )


def _labelled(sequences: Sequence[FaceSequence], config: SequenceConfig) -> list[Labelled]:
    fakes = [sequence.fake for sequence in sequences]
    if len(set(fakes)) < 2:
        splits = ", ".join(config.splits)
        raise ValueError(f"real and fake clips are needed; the splits {splits} hold {len(sequences)} clips")
    if config.permute_labels:
        fakes = list(np.random.default_rng(config.seed).permutation(fakes))
    return [Labelled(s, bool(fake)) for s, fake in zip(sequences, fakes, strict=True)]


def _material(
    config: SequenceConfig,
    found: SequenceArchitecture,
    folder: Path,
    sequences: Sequence[FaceSequence],
    report: Callable[[str], None],
) -> Material:
    if config.motion and not found.motion:
        raise ValueError(f"{config.model} takes no motion beside what it reads: leave motion out")
    if found.takes == "clip":
        return ClipMaterial(config, found)
    if config.size is not None:
        raise ValueError(f"{config.model} reads features: the size of the crops is its frame network's")
    path = Path(config.frame_network) if config.frame_network is not None else FRAME_NETWORK
    network = VisualNetwork(path, threads=config.threads)
    return FeatureMaterial(config, FrameFeatures(network, folder.parent / "features"), sequences, report)


def _begin(config: SequenceConfig, material: Material, folder: Path) -> None:
    """Write down the settings, or check that a run that goes on was begun with the same.

    Raises:
        ValueError: it was not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "configuration.json"
    settings = json.loads(config.model_dump_json()) | {"depends": material.depends}
    if path.exists():
        begun = json.loads(path.read_text())
        other = [n for n, v in settings.items() if begun.get(n) != v and n not in MAY_CHANGE]
        if other:
            raise ValueError(
                f"{folder}: this run was begun with another {', '.join(other)}; choose another --output"
            )
    path.write_text(json.dumps(settings, indent=2) + "\n")


def _deal(
    clips: Sequence[Labelled], groups: np.ndarray, config: SequenceConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal the groups into folds of about equal shares of fakes: (kept, left out) indices of each fold."""
    labels = np.array([clip.fake for clip in clips])
    if config.folds > len(set(groups)):
        raise ValueError(f"{config.folds} folds need as many groups; there are {len(set(groups))}")
    dealer = StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed)
    folds = list(dealer.split(labels, labels, groups))
    for kept, _ in folds:
        if len(set(labels[kept])) < 2:
            raise ValueError(f"with {config.folds} folds, one is left without real or without fake clips")
    return folds


def train(
    config: SequenceConfig,
    material: Material,
    clips: Sequence[Labelled],
    apart: Sequence[Labelled],
    folder: Path,
    *,
    report: Callable[[str], None],
) -> nn.Module:
    """Train one network and return it with its averaged weights, in evaluation mode.

    Args:
        config: the run.
        material: what the network is fed.
        clips: what it learns from.
        apart: clips that are looked at for the log alone.
        folder: where this network's state lives; one that was stopped goes on from it.
        report: called with one line of progress at a time.

    Raises:
        FloatingPointError: the loss is no number; the last state stays as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = create(config.model, features=material.features, motion=material.motion)
    optimiser = make_optimiser(network, config)
    average = Average(network, config.ema)
    steps = _length(config, len(clips))
    step = _restore(folder / STATE, network, optimiser, average)
    if step:
        report(f"{folder.name}: going on at step {step}")
    losses: list[float] = []
    begun = time.monotonic()
    while step < steps:
        inputs, labels = _batch(config, material, clips, step)
        losses.append(_step(network, optimiser, config, inputs, labels, step=step, steps=steps))
        step += 1
        average.update(network, step)
        if step % config.evaluate_every == 0 or step == steps:
            speed = len(losses) * config.batch_size / (time.monotonic() - begun)
            figure = _look(config, material, average, apart)
            loss = float(np.mean(losses))
            seen = f"  held-out AUC {figure:.3f}" if math.isfinite(figure) else ""
            report(f"{folder.name}: step {step}  loss {loss:.4f}{seen}")
            _log(folder / "log.csv", step, loss, speed, figure)
            _save_state(folder / STATE, network, optimiser, average, step)
            losses, begun = [], time.monotonic()
    draw_curve(folder / "log.csv", folder / "curve.png")
    trained = _averaged(config, material, average)
    _save(folder / "last.safetensors", trained, config, material, clips, {})
    return trained


def _length(config: SequenceConfig, clips: int) -> int:
    if config.epochs is None:
        return config.steps
    return max(1, round(config.epochs * clips / config.batch_size))


def _batch(
    config: SequenceConfig, material: Material, clips: Sequence[Labelled], step: int
) -> tuple[Inputs, Tensor]:
    """Draw the batch of a step: real and fake by turns, some of both out of self-blends."""
    rng = np.random.default_rng((config.seed, step))
    by_label = [[clip for clip in clips if clip.fake == fake] for fake in (False, True)]
    arrays, labels = [], []
    for number in range(config.batch_size):
        fake = bool(number % 2)
        if config.blends and rng.random() < config.blend_share:
            source = by_label[0][int(rng.integers(len(by_label[0])))]
            arrays.append(material.blended(source.sequence, rng, fake=fake))
        else:
            source = by_label[fake][int(rng.integers(len(by_label[fake])))]
            arrays.append(material.drawn(source.sequence, rng))
        labels.append(float(fake))
    return material.joined(arrays), torch.tensor(labels)


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: SequenceConfig,
    inputs: Inputs,
    labels: Tensor,
    *,
    step: int,
    steps: int,
) -> float:
    """Take one step and return its loss. Each step has a seed of its own, so that a run can go on."""
    torch.manual_seed((config.seed << 32) + step)
    network.train()
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(step / steps, config)
    logits = network(*inputs).flatten()
    loss = focal_loss(logits, smooth(labels, config.label_smoothing), config.focal)
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"the loss at step {step} is {loss.item()}: lower --learning-rate")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), config.clip)
    optimiser.step()
    return loss.item()


def _averaged(config: SequenceConfig, material: Material, average: Average) -> nn.Module:
    network = create(config.model, features=material.features, motion=material.motion)
    network.load_state_dict(average.state)
    return network.eval()


@torch.inference_mode()
def judge(network: nn.Module, material: Material, sequence: FaceSequence) -> tuple[int, float]:
    """Return by how many sequences a clip was judged, and the mean of their logits."""
    arrays = material.judged(sequence)
    return len(arrays), float(network(*material.joined(arrays)).mean())


def _look(config: SequenceConfig, material: Material, average: Average, apart: Sequence[Labelled]) -> float:
    network = _averaged(config, material, average)
    logits = [judge(network, material, clip.sequence)[1] for clip in apart]
    return _auc([clip.fake for clip in apart], logits)


def _auc(fakes: Sequence[bool], logits: Sequence[float]) -> float:
    """Return the AUC; NaN where a class is missing."""
    return float(roc_auc_score(fakes, logits)) if len(set(fakes)) == 2 else math.nan


def _row(network: nn.Module, material: Material, clip: Labelled, fold: int) -> dict[str, Any]:
    sequence = clip.sequence
    count, logit = judge(network, material, sequence)
    frames = material.frames_logit(sequence)
    return {
        "data_set": sequence.data_set,
        "clip": sequence.clip,
        "person": sequence.person,
        "label": "fake" if clip.fake else "real",
        "group": sequence.group,
        "manipulation": sequence.manipulation,
        "fold": fold,
        "sequences": count,
        "logit": logit,
        "frames_logit": "" if frames is None else frames,
    }


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_path(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5f}" if isinstance(v, float) else v for k, v in row.items()})


def _restore(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: Average) -> int:
    if not path.exists():
        return 0
    state = checkpoint.load_state(path)
    network.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    average.state = dict(state["average"])
    return int(state["step"])


def _save_state(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: Average, step: int
) -> None:
    checkpoint.save_state(
        path,
        {
            "model": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average.state,
            "step": step,
        },
    )


def _save(
    path: Path,
    network: nn.Module,
    config: SequenceConfig,
    material: Material,
    clips: Sequence[Labelled],
    figures: dict[str, float],
) -> None:
    preprocessing = architecture(config.model).preprocessing
    named = None if config.frame_network is None else Path(config.frame_network).name
    header = checkpoint.Header(
        architecture=config.model,
        input_size=material.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        crop_margin=material.framing.margin,
        upright=material.framing.upright,
        classes=("real", "fake"),
        version=version("unmask"),
        step=_length(config, len(clips)),
        configuration=config.model_dump(mode="json")
        | {"frame_network": named, "features": material.features, "motion_features": material.motion},
        training_data=_kinds(clips),
        tune_metrics=figures,
        depends=material.depends,
    )
    checkpoint.save(path, network, header)


def _kinds(clips: Sequence[Labelled]) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], int] = {}
    for clip in clips:
        key = (clip.sequence.data_set, clip.sequence.manipulation or "real")
        counts[key] = counts.get(key, 0) + 1
    return [{"data_set": d, "manipulation": m, "items": n} for (d, m), n in sorted(counts.items())]


def _counts(clips: Sequence[Labelled]) -> str:
    fakes = sum(clip.fake for clip in clips)
    groups = len({(clip.sequence.data_set, clip.sequence.group) for clip in clips})
    return f"{len(clips) - fakes} real and {fakes} fake clips of {groups} groups"


def _log(path: Path, step: int, loss: float, speed: float, figure: float) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", "sequences per second", "held out"])
        writer.writerow([step, f"{loss:.5f}", f"{speed:.1f}", f"{figure:.4f}"])
