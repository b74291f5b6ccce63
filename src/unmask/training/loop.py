"""The training run, from top to bottom, on Lightning's trainer (devices, number formats, logs).

A run lives in one folder: `configuration.json`, `log.csv`, `curve.png`, TensorBoard's events,
`best.safetensors`, `last.safetensors` (both with averaged weights) and `state.pt`, from which a run that was
stopped goes on with the next pair as if nothing had happened.

Batches come in stretches of `CHUNK`, which are Lightning's epochs: between two of them the phase and its
picture size may change, the state is saved, and the tune fold is looked at.
"""

from __future__ import annotations

import csv
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader

from unmask.data.manifest import Item, thin
from unmask.data.pairs import CropDataset, Faces, Numbers, PairDataset, said_plainly
from unmask.faces.align import Framing
from unmask.media.output import atomic_path
from unmask.models.registry import Preprocessing, architecture, create
from unmask.training import autoencoder, checkpoint
from unmask.training.begin import STATE, Start, origin
from unmask.training.config import Phase, TrainingConfig
from unmask.training.curve import draw_curve
from unmask.training.detector import DetectorModule, normalise
from unmask.training.optimiser import set_frozen
from unmask.training.precision import LIGHTNING, device_of, fastest_precision

FEW_GROUPS = 50
"""The groups of a data set with no more than these are named in the checkpoint: a test leaves them out."""
FEWEST_FAKES = 10
"""Kinds of which *tune* holds fewer fakes have no figure of their own."""
CHUNK = 200
"""Batches between two looks at the clock and the phase, at most."""
FIRST_CHUNK = 25
"""Batches before the first look at the clock, where it ends the run: how long they take is not known yet."""
TUNE_PICTURES = 300
"""Pictures of each data set and manipulation of *tune* that are looked at during the run."""


def train(
    config: TrainingConfig,
    items: Sequence[Item],
    faces: Faces,
    folder: Path,
    *,
    start: Start,
    report: Callable[[str], None],
) -> Path:
    """Train a detector and return its best checkpoint; goes on where an earlier run in `folder` stopped.

    Args:
        config: the run.
        items: items of the splits *train* and *tune*.
        faces: their found faces.
        folder: where the run lives.
        start: what it starts from, see `unmask.training.begin`.
        report: called with one line of progress at a time.

    Raises:
        CheckpointError: a checkpoint or the state of the run cannot be written.
        FloatingPointError: the loss is not a number; the last checkpoint stays as it was.
        OutputError: the folder cannot be written to.
        ValueError: no face was found in *tune*, or a setting asks for what the network lacks.
    """
    tune = thin([item for item in items if item.split == "tune"], TUNE_PICTURES, seed=config.seed)
    if not any(faces.get(item.place) for item in tune):
        raise ValueError(f"no face was found in any of the {len(tune)} pictures of the tune fold")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "configuration.json") as part:
        part.write_text(config.model_dump_json(indent=2))
    torch.set_num_threads(config.threads)
    # Loading processes are forked, and a forked copy of OpenCV's thread pool would wait for ever.
    cv2.setNumThreads(1)
    preprocessing = architecture(config.model).preprocessing
    train_items = [item for item in items if item.split == "train"]
    clock = _Clock(config, _length(config, train_items))
    state = start.state
    if state is not None:
        clock.step, clock.spent = state["step"], state["seconds"]
        report(f"going on at step {clock.step}")
    module = DetectorModule(
        config, start.network, preprocessing, progress=lambda: clock.progress, teacher=start.teacher
    )
    run = _Run(config, clock, module, train_items, faces, folder, report, preprocessing)
    run.tune, run.origin = tune, origin(config, items)
    if state is not None:
        run.restore(state)
    if not run.ended:
        run.precision = run.precision or _precision(config, start.network, report)
        _trainer(config, run, folder).fit(module, train_dataloaders=run.loader())
    draw_curve(folder / "log.csv", folder / "curve.png")
    return folder / "best.safetensors"


class _Clock:
    """How far the run has come: by steps, or by the time spent in it."""

    def __init__(self, config: TrainingConfig, steps: int) -> None:
        self.step, self.spent, self.steps = 0, 0.0, steps
        self._minutes, self._started = config.minutes, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds spent in the run, in earlier sittings too."""
        return self.spent + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1 and more."""
        if self._minutes is None:
            return self.step / self.steps
        return self.seconds / 60 / self._minutes

    @property
    def left(self) -> float:
        """Seconds left of a run that is ended by the clock."""
        return 0.0 if self._minutes is None else self._minutes * 60 - self.seconds


def stretch(left: float, pace: float) -> int:
    """Return how many batches a run ended by the clock takes before it looks at the clock again.

    Args:
        left: seconds left.
        pace: seconds a batch took so far, 0 where none was taken yet.
    """
    if pace <= 0:
        return FIRST_CHUNK
    return max(1, min(CHUNK, math.ceil(left / pace)))


class _Run(lightning.Callback):
    """What happens between and around the steps: phases, log, evaluation, checkpoints, the end."""

    def __init__(
        self,
        config: TrainingConfig,
        clock: _Clock,
        module: DetectorModule,
        items: Sequence[Item],
        faces: Faces,
        folder: Path,
        report: Callable[[str], None],
        preprocessing: Preprocessing,
    ) -> None:
        self.tune: list[Item] = []
        self.origin: dict[str, Any] = {}
        self.precision = ""
        self._config, self._clock, self._module = config, clock, module
        self._items, self._faces, self._folder, self._report = items, faces, folder, report
        self._preprocessing = preprocessing
        self._best, self._stale, self._tuned = -math.inf, 0, dict[str, float]()
        self._losses: list[Tensor] = []
        self._pending: tuple[float, float] | None = None
        """Loss and speed of the last stretch, while the network after it is still to be evaluated."""
        self._begun, self._pace = 0.0, 0.0
        self._optimiser: dict[str, Any] | None = None
        self._scaler: dict[str, Any] = {}
        self._averaged = create(config.model)

    @property
    def _phase(self) -> Phase:
        return self._config.phase(self._clock.progress)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be done: all steps are taken, or no gain was seen for too long."""
        return self._pending is None and (self._clock.progress >= 1 or self._out_of_patience)

    @property
    def _out_of_patience(self) -> bool:
        return self._config.patience is not None and self._stale >= self._config.patience

    def loader(self) -> Any:
        """Return what Lightning asks for a loader at every epoch: the next stretch of pairs."""
        return _Stretches(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what an earlier sitting saved."""
        self._module.average.state = dict(state["average"])
        self._module.steps_taken = state["step"]
        self._best, self._stale, self._tuned = state["best"], state["stale"], dict(state["tuned"])
        self._pending = state["pending"]
        self._optimiser = state["optimiser"]
        self.precision, self._scaler = state["precision"], state["scaler"]

    def batches(self, rank: int, ranks: int) -> DataLoader[tuple[Tensor, Tensor]]:
        """Return the batches of the next stretch for one of several devices."""
        config, step = self._config, self._clock.step
        pairs = config.batch_size // 2
        share = pairs // ranks
        if config.minutes is None:
            count = min(CHUNK, self._clock.steps - step)
        else:
            # Several devices differ in pace, and must take the same number.
            count = CHUNK if ranks > 1 else stretch(self._clock.left, self._pace)
        data = PairDataset(
            self._items,
            self._faces,
            size=self._phase.size,
            framing=config.framing,
            kinds=config.kinds,
            blend_sources=config.blend_sources,
            strength=config.augmentation,
            seed=config.seed,
            sampling=config.sampling,
            renderer=None if config.renderer is None else autoencoder.Renderer(Path(config.renderer)),
        )
        numbers = Numbers(step * pairs, count * pairs, batch=pairs, part=(rank * share, share))
        return DataLoader(data, batch_size=share, sampler=numbers, num_workers=config.workers)

    # Lightning calls the following.

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self._optimiser is not None:
            trainer.optimizers[0].load_state_dict(self._optimiser)
        if self._scaler:
            trainer.precision_plugin.load_state_dict(self._scaler)
        if trainer.is_global_zero:
            logged = self._clock.step if self._pending is None else self._clock.step - 1
            _rewind_log(self._folder / "log.csv", logged)
        if self._pending is not None:
            self._look(trainer)
            trainer.should_stop = bool(trainer.strategy.broadcast(self.ended))

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        phase = self._phase
        set_frozen(
            self._module.network,
            norm=phase.frozen_norm,
            parts=phase.frozen_parts,
            backbone=self._config.frozen_backbone,
        )
        self._losses, self._begun = [], time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._clock.step += 1
        self._losses.append(outputs["loss"] if isinstance(outputs, Mapping) else outputs)

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        phase = self._phase
        loss = float(torch.stack(self._losses).mean())
        self._pace = (time.monotonic() - self._begun) / len(self._losses)
        speed = self._config.batch_size / self._pace
        if trainer.is_global_zero:
            self._report(
                f"step {self._clock.step}  {self._clock.progress:6.1%}  loss {loss:.4f}  "
                f"{phase.size} px  {speed:.1f} pictures/s"
            )
        finished = self._clock.progress >= 1
        if self._clock.step % self._config.evaluate_every < len(self._losses) or finished:
            self._pending = loss, speed
        # Saved before the evaluation too: what ends the run there does not cost the steps.
        self._keep(trainer)
        self._look(trainer)
        trainer.should_stop = bool(trainer.strategy.broadcast(finished or self._out_of_patience))

    def _look(self, trainer: lightning.Trainer) -> None:
        """Evaluate the network where that is due, and keep what came out."""
        if self._pending is None:
            return
        if trainer.is_global_zero:
            self._evaluate(trainer, *self._pending)
        self._pending = None
        self._best, self._stale = trainer.strategy.broadcast((self._best, self._stale))
        self._keep(trainer)
        if self._out_of_patience and trainer.is_global_zero:
            self._report(f"no better tune figure in {self._stale} evaluations: the run ends")

    def _keep(self, trainer: lightning.Trainer) -> None:
        if trainer.is_global_zero:
            self._save("last.safetensors")
            self._save_state(trainer)

    def _evaluate(self, trainer: lightning.Trainer, loss: float, speed: float) -> None:
        phase = self._phase
        self._averaged.load_state_dict(self._module.average.state)
        self._averaged.to(self._module.device)
        items, logits = predict(
            self._averaged,
            self.tune,
            self._faces,
            size=phase.size,
            framing=self._config.framing,
            mean=self._preprocessing.mean,
            std=self._preprocessing.std,
        )
        self._tuned = auc_by_kind(items, logits)
        figures = dict(self._tuned)
        if self._tuned:
            mean = figures["tune AUC"] = float(np.mean(list(self._tuned.values())))
            self._report(f"tune AUC {mean:.4f}  " + "  ".join(f"{k} {v:.3f}" for k, v in self._tuned.items()))
        else:
            self._report(
                f"tune: too few pictures for a figure (of each kind at least {FEWEST_FAKES} fakes, and "
                "reals): the last network counts as the best"
            )
        _log(self._folder / "log.csv", self._clock.step, loss, speed, self._tuned)
        if trainer.logger is not None:
            values = {"loss": loss, "pictures per second": speed}
            trainer.logger.log_metrics(values | figures, step=self._clock.step)
        if phase.size != self._config.size:
            return
        if not self._tuned:
            self._save("best.safetensors")
            return
        self._stale += 1
        if mean > self._best:
            self._best, self._stale = mean, 0
            self._save("best.safetensors")

    def _save(self, name: str) -> None:
        self._averaged.load_state_dict(self._module.average.state)
        header = checkpoint.Header(
            architecture=self._config.model,
            input_size=self._config.size,
            mean=self._preprocessing.mean,
            std=self._preprocessing.std,
            crop_margin=self._config.framing.margin,
            upright=self._config.upright,
            classes=("real", "fake"),
            version=version("unmask"),
            step=self._clock.step,
            configuration=_without_folders(self._config),
            training_data=count(self._items),
            trained_groups=_few_groups(self._items),
            tune_metrics=self._tuned,
        )
        checkpoint.save(self._folder / name, self._averaged, header)

    def _save_state(self, trainer: lightning.Trainer) -> None:
        checkpoint.save_state(
            self._folder / STATE,
            {
                "model": self._module.network.state_dict(),
                "optimiser": trainer.optimizers[0].state_dict(),
                "average": self._module.average.state,
                "step": self._clock.step,
                "seconds": self._clock.seconds,
                "best": self._best,
                "stale": self._stale,
                "tuned": self._tuned,
                "pending": self._pending,
                "precision": self.precision,
                "scaler": trainer.precision_plugin.state_dict(),
            }
            | self.origin,
        )


class _Stretches:
    """Gives the trainer the next stretch of batches each time that it begins an epoch."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def __iter__(self) -> Any:
        ranks = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        rank = torch.distributed.get_rank() if ranks > 1 else 0
        return said_plainly(self._run.batches(rank, ranks))


def _precision(config: TrainingConfig, network: nn.Module, report: Callable[[str], None]) -> str:
    """Return the number format of a run, by measurement where it is left open."""
    if config.precision != "auto":
        return config.precision
    precision, seconds = fastest_precision(
        network.to(device_of(config)),
        size=config.phase(0.0).size,
        batch=config.batch_size,
        device=device_of(config),
        fp16=config.optimiser != "sam",
    )
    listed = ", ".join(f"{name} {second * 1000:.0f} ms" for name, second in seconds.items())
    report(f"precision {precision}: a step takes {listed}")
    return precision


def _trainer(config: TrainingConfig, run: _Run, folder: Path) -> lightning.Trainer:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    many = config.devices * config.nodes > 1
    return lightning.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp_find_unused_parameters_true" if many else "auto",
        precision=LIGHTNING[run.precision],  # type: ignore[arg-type]
        max_epochs=-1,
        logger=TensorBoardLogger(folder, name="", version="tensorboard"),
        callbacks=[run],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        sync_batchnorm=many and config.accelerator != "cpu" and torch.cuda.is_available(),
        default_root_dir=folder,
    )


@torch.inference_mode()
def predict(
    model: nn.Module,
    items: Sequence[Item],
    faces: Faces,
    *,
    size: int,
    framing: Framing,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[list[Item], np.ndarray]:
    """Return the items whose face was found and their logits (N,), from unchanged crops."""
    data = CropDataset(items, faces, size=size, framing=framing)
    model.eval()
    device = next(model.parameters()).device
    logits = [
        model(normalise(pixels.to(device), mean, std)).flatten().cpu()
        for pixels, _ in said_plainly(DataLoader(data, batch_size=64, num_workers=1))
    ]
    return data.items, torch.cat(logits).numpy()


def auc_by_kind(items: Sequence[Item], logits: np.ndarray) -> dict[str, float]:
    """Return the AUC of each kind of fake against the reals of its data set (all reals if none).

    Kinds with fewer than `FEWEST_FAKES` fakes are left out, and all where there are no reals.
    """
    label = np.array([item.label == "fake" for item in items])
    data_set = np.array([item.data_set for item in items])
    kind = np.array([item.manipulation for item in items])
    result: dict[str, float] = {}
    if label.all():
        return result
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


def _without_folders(config: TrainingConfig) -> dict[str, Any]:
    """Return a configuration for publication: files by their names alone."""
    settings = config.model_dump(mode="json")
    for name in ("initial", "weights", "teacher", "renderer"):
        if settings[name] is not None:
            settings[name] = Path(settings[name]).name
    return settings


def _length(config: TrainingConfig, items: Sequence[Item]) -> int:
    """Return the batches of a run that is not ended by the clock."""
    if config.epochs is None:
        return config.steps
    fakes = sum(item.label == "fake" for item in items)
    return max(1, round(config.epochs * 2 * (fakes or len(items)) / config.batch_size))


def count(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return how many items there are of each data set and manipulation, as a card states it."""
    counts: dict[tuple[str, str], int] = {}
    for item in items:
        key = (item.data_set, item.manipulation or "real")
        counts[key] = counts.get(key, 0) + 1
    return [{"data_set": d, "manipulation": m, "items": n} for (d, m), n in sorted(counts.items())]


def _few_groups(items: Sequence[Item]) -> list[str]:
    """Return the groups of the data sets that have at most `FEW_GROUPS`, such as a handful of clips."""
    groups: dict[str, set[str]] = {}
    for item in items:
        groups.setdefault(item.data_set, set()).add(item.group)
    return sorted(set().union(*(names for names in groups.values() if len(names) <= FEW_GROUPS)))


def _rewind_log(path: Path, step: int) -> None:
    """Leave out the rows after a step: of evaluations that a run which was killed did not keep."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    kept = [row for row in rows if int(row[0]) <= step]
    if not kept:
        path.unlink()
    elif len(kept) < len(rows):
        with atomic_path(path) as part, part.open("w", newline="") as file:
            csv.writer(file).writerows([names, *kept])


def _log(path: Path, step: int, loss: float, speed: float, metrics: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss", "pictures per second", *metrics])
        writer.writerow([step, f"{loss:.5f}", f"{speed:.1f}", *(f"{v:.4f}" for v in metrics.values())])
