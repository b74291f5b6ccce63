"""Everything that a training run is made of, typed, checked, and saved beside its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Phase(BaseModel):
    """A stretch of the run, up to the given share of it, with its picture size.

    `frozen_norm`: batch normalisation keeps its averages and only learns its scales: a quarter faster.
    `frozen_blocks`: the stem and that many first blocks keep their weights and averages; they hold the
    largest maps and, once trained, change least. Three are a third faster.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    until: float = Field(gt=0, le=1)
    size: int = Field(ge=32)
    frozen_norm: bool = False
    frozen_blocks: int = Field(default=0, ge=0)


class TrainingConfig(BaseModel):
    """One run. `steps` counts batches; `minutes`, where given, ends the run by the clock instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "efficientnet_lite0"
    archives: list[str] = Field(default_factory=list)
    kinds: dict[str, float] = Field(default_factory=dict)
    blend_sources: dict[str, float] = Field(default_factory=dict)
    tune_share: float = Field(default=0.06, gt=0, lt=0.5)
    phases: list[Phase] = [Phase(until=1.0, size=160)]
    steps: int = Field(default=5000, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=6e-4, gt=0)
    warm_up: float = Field(default=0.04, ge=0, lt=1)
    weight_decay: float = Field(default=0.02, ge=0)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    ema: float = Field(default=0.999, ge=0, lt=1)
    pretrained: bool = True
    initial: str | None = None
    evaluate_every: int = Field(default=1500, ge=1)
    workers: int = Field(default=1, ge=0)
    threads: int = Field(default=2, ge=1)
    tune_seed: int = 0
    """Cuts the *tune* fold; a run that starts from another run's checkpoint must keep that one's."""
    seed: int = 0

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Read a JSON configuration.

        Raises:
            ValueError: the file is no valid configuration (the message names the field).
        """
        return cls.model_validate(json.loads(path.read_text()))

    def phase(self, progress: float) -> Phase:
        """Return the phase at a share of the run (0..1)."""
        return next((p for p in self.phases if progress < p.until), self.phases[-1])

    @property
    def size(self) -> int:
        """Side of the crops that the finished network sees."""
        return self.phases[-1].size
