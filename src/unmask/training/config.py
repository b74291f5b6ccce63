"""Everything that a training run is made of, typed, checked, and saved beside its checkpoints."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unmask.data.augment import Strength
from unmask.faces.align import MARGIN, Framing


class Phase(BaseModel):
    """A stretch of the run, up to the given share of it, with its picture size.

    `frozen_norm`: batch normalisation keeps its averages and only learns its scales: a quarter faster.
    `frozen_parts`: that many first parts of the network (`Network.parts`) keep their weights and averages;
    they hold the largest maps and, once trained, change least. The stem and three blocks of
    EfficientNet-Lite0, five parts, make a run a third faster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: float = Field(gt=0, le=1)
    size: int = Field(ge=32)
    frozen_norm: bool = False
    frozen_parts: int = Field(default=0, ge=0)


class Optimising(BaseModel):
    """How a network is trained, whatever it sees: optimiser, rate, decay, average and loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimiser: Literal["adamw", "sgd", "sam"] = "adamw"
    learning_rate: float = Field(default=6e-4, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["cosine", "linear"] = "cosine"
    warm_up: float = Field(default=0.04, ge=0, lt=1)
    flat: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run, after the warm-up, at the full rate before it falls."""
    weight_decay: float = Field(default=0.02, ge=0)
    clip: float = Field(default=5.0, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(default=0.999, ge=0, lt=1)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    focal: float = Field(default=0.0, ge=0)
    """Exponent of the focal loss; 0 is plain cross-entropy."""


class TrainingConfig(Optimising):
    """One run: the network, what it sees, what it minimises, and on what machine.

    The run lasts `steps` batches; or `epochs`, each with as many pairs as there are fakes (reals, where all
    fakes are self-blends); or `minutes` of the clock.
    """

    model: str = "efficientnet_lite0"
    pretrained: bool | None = None
    """Start from the ImageNet weights that are packaged for the architecture; None: where there are some."""
    weights: str | None = None
    """A file in one of the well-known public formats to start from instead."""
    initial: str | None = None
    """A checkpoint of this project to start from instead."""
    frozen_backbone: bool = False
    """Train the last layer alone."""

    archives: list[str] = Field(default_factory=list)
    kinds: dict[str, float] = Field(default_factory=dict)
    blend_sources: dict[str, float] = Field(default_factory=dict)
    renderer: str | None = None
    """The autoencoder that draws self-swaps (`unmask.training.autoencoder`)."""
    margin: float | None = Field(default=None, ge=1.5, le=4)
    """Side of the crops as a multiple of the distance between the eyes; None: the architecture's."""
    upright: bool = False
    """Crops that are not turned, and not scaled where that goes (`unmask.faces.align.crop_matrix`)."""
    leave_out: list[str] = Field(default_factory=list)
    """Kinds of fakes left out, with the real pictures of their data sets: what is learned of other kinds?"""
    permute_labels: bool = False
    """Deal the labels out anew: the run must end at chance, or something of *tune* is seen in training."""
    tune_share: float = Field(default=0.06, gt=0, lt=0.5)
    tune_seed: int = 0
    """Cuts the *tune* fold; a run that starts from another run's checkpoint must keep that one's."""
    sampling: Literal["paired", "balanced", "natural"] = "paired"
    """A real and the fake made from it; a real and a fake of any source; or all pictures as they come."""
    augmentation: Strength = Strength()

    phases: list[Phase] | None = Field(default=None, min_length=1)
    """None: one, at the architecture's size."""
    steps: int = Field(default=5000, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, ge=2)

    sam_radius: float = Field(default=0.05, gt=0)
    mix_up: float = Field(default=0.0, ge=0)
    """Both parameters of the beta distribution that pictures are mixed by; 0 mixes none."""
    teacher: str | None = None
    """A checkpoint whose answers are learned beside the labels (knowledge distillation)."""
    distillation: float = Field(default=0.5, gt=0, le=1)
    """Share of the teacher's answers in the loss."""
    temperature: float = Field(default=2.0, gt=0)
    """The teacher's log-odds are divided by this."""

    evaluate_every: int = Field(default=1500, ge=1)
    patience: int | None = Field(default=None, ge=1)
    """End the run after so many evaluations without a better one."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """`auto` measures which of them is fastest here."""
    workers: int = Field(default=1, ge=0)
    threads: int = Field(default=2, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> TrainingConfig:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError("epochs and minutes both end the run: give one of them")
        if self.batch_size % (2 * self.devices * self.nodes):
            raise ValueError(
                f"batch_size {self.batch_size} is not a whole number of pairs on each of "
                f"{self.devices * self.nodes} devices"
            )
        if self.optimiser == "sam" and self.precision == "fp16":
            raise ValueError("sam takes two gradients a step, which the scaling of fp16 does not allow")
        return self

    def phase(self, progress: float) -> Phase:
        """Return the phase at a share of the run (0..1).

        Raises:
            ValueError: it is still left to the architecture (`unmask.training.begin.fill_in`).
        """
        if not self.phases:
            raise ValueError("phases: not chosen yet")
        return next((p for p in self.phases if progress < p.until), self.phases[-1])

    @property
    def framing(self) -> Framing:
        """How the faces are cut; the product's plain crop where no margin is given."""
        return Framing(round(MARGIN, 4) if self.margin is None else self.margin, self.upright)

    @property
    def size(self) -> int:
        """Side of the crops that the finished network sees."""
        return self.phase(1.0).size


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a JSON file.

    Raises:
        ValueError: the file is missing or holds no JSON object; the message names it.
    """
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: holds no settings by name, as configs/visual.json does")
    return settings


def checked(kind: type[Settings], settings: Mapping[str, Any]) -> Settings:
    """Make a configuration of settings.

    Raises:
        ValueError: a setting is unknown or wrong; one line names each.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise ValueError("; ".join(_said(kind, each) for each in error.errors())) from None


def _said(kind: type[BaseModel], error: Any) -> str:
    """Say in words what one error of pydantic's says."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, kind.model_fields, n=1)
        return f"{place}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
    words = error["msg"].removeprefix("Value error, ")
    return f"{place}: {words}, not {error['input']!r}" if place else words
