"""What a weight file is: its card, and the check that file and card belong together.

A card is a JSON file beside the weight file (`visual.onnx` has `visual.card.json`). Nothing is run from
a weight file whose sha256, or that of a file it depends on, differs from its card.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
"""The folder of the embedded weight files."""
CARD_SUFFIX = ".card.json"
PACKED = ".gz"
"""Ending of weight files that are stored compressed."""
VISUAL = WEIGHTS / "visual.onnx.gz"
"""The embedded visual network."""


class WeightError(Exception):
    """A weight file or its card cannot be used; the message is one line and names the file."""


class Crop(BaseModel):
    """How faces are cut for a network: side in pixels, and as `unmask.faces.align.Framing` says."""

    model_config = ConfigDict(frozen=True)

    size: int
    margin: float
    upright: bool = False


class Metric(BaseModel):
    """One measured figure: on what, of how many items, its 95 % interval, the command that made it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    data_set: str
    manipulation: str | None = None
    metric: str
    value: float
    interval: tuple[float, float] | None = None
    n: int | None = None
    command: str | None = None


class Card(BaseModel):
    """What a weight file is.

    `input_size` in pixels; `mean` and `std` of RGB in 0..1 (part of the graph where the network takes
    0..255); `depends` maps the names of other weight files to their sha256. Hashes are 64 lower-case
    hexadecimal digits.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    file: str
    architecture: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    version: str = "1"
    created: str | None = None
    origin: str | None = None
    arithmetic: str = "float32"
    """What the network computes in: "float32", or "int8" where most of it does in 8 bits."""
    input_size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    crop: Crop | None = None
    outputs: list[str] = Field(default_factory=list)
    classes: list[str] = Field(default_factory=list)
    training_data: list[Any] = Field(default_factory=list)
    metrics: list[Metric] = Field(default_factory=list)
    trained_groups: list[str] = Field(default_factory=list)
    """Groups (persons, source clips) trained on, of data sets with so few that a test may meet them again."""
    calibration: dict[str, Any] | None = None
    depends: dict[str, str] = Field(default_factory=dict)
    companion: str | None = None
    """The weight file whose answer is added to this visual network's (`unmask.runtime.companion`)."""
    in_clips: float = Field(default=0.0, ge=0)
    """How much a companion's logit counts in clips, 1 being what it counts in pictures; 0: it has no say."""
    _folder: Path = PrivateAttr(default=WEIGHTS)

    @property
    def path(self) -> Path:
        """Where the weight file lies: beside the card."""
        return self._folder / self.file


def card_path(weight_file: Path) -> Path:
    """Return where the card of a weight file lies: `x.card.json` for `x.onnx` and for `x.onnx.gz`."""
    return weight_file.with_name(network_name(weight_file) + CARD_SUFFIX)


def network_name(path: Path) -> str:
    """Return the name of a weight file without its endings: `x` of `x.onnx` and of `x.onnx.gz`."""
    return Path(path.name.removesuffix(PACKED)).stem


def is_exported(path: Path) -> bool:
    """Return whether a file's name is that of an exported network: `x.onnx` or `x.onnx.gz`."""
    return path.name.lower().removesuffix(PACKED).endswith(".onnx")


def read_network(path: Path) -> bytes:
    """Return the content of an exported network, unpacked where it is stored compressed.

    Raises:
        OSError: the file cannot be read, or is damaged.
    """
    content = path.read_bytes()
    if path.suffix != PACKED:
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error) as error:
        raise gzip.BadGzipFile(str(error)) from None


def load_card(path: str | Path) -> Card:
    """Read a card from its own path or from that of its weight file (existence and hash are not checked).

    Raises:
        WeightError: the card is missing, unreadable, or not a card.
    """
    path = Path(path)
    if not path.name.endswith(CARD_SUFFIX):
        path = card_path(path)
    try:
        card = Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise WeightError(f"{path}: the card of this weight file is missing; export it again") from None
    except OSError as error:
        raise WeightError(f"{path}: cannot read the card ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise WeightError(f"{path}: not a card of unmask ({where}: {first['msg']})") from None
    if Path(card.file).name != card.file:
        raise WeightError(f"{path}: the card's weight file {card.file!r} must lie beside the card")
    card._folder = path.parent
    return card


def sha256(path: Path) -> str:
    """Return the sha256 of a file, read again only when its size or time of change differ.

    Raises:
        WeightError: the file is missing or cannot be read.
    """
    try:
        facts = path.stat()
        return _sha256(path, facts.st_size, facts.st_mtime_ns)
    except FileNotFoundError:
        raise WeightError(f"{path}: weight file missing; install unmask again or export it again") from None
    except OSError as error:
        raise WeightError(f"{path}: cannot read the weight file ({error.strerror})") from None


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(card: Card) -> None:
    """Check a card's weight file and every file that it depends on.

    A file named in `depends` is looked for beside the card, then among the embedded weights.

    Raises:
        WeightError: a file is missing or its sha256 differs from the card's.
    """
    if sha256(card.path) != card.sha256:
        raise WeightError(f"{card.path}: sha256 differs from its card; the file is damaged or was exchanged")
    for name, expected in card.depends.items():
        beside = card.path.with_name(name)
        if sha256(beside if beside.exists() else WEIGHTS / name) != expected:
            raise WeightError(
                f"{card.path}: made for another {name} (sha256 differs from the card); "
                "use the version of unmask that it was exported with, or export it again"
            )


def embedded() -> list[Card]:
    """Return the cards of the embedded weight files, by name."""
    return [load_card(path) for path in sorted(WEIGHTS.glob("*" + CARD_SUFFIX))]


def write_card(card: Card, folder: Path) -> Path:
    """Write a card beside its weight file in `folder` and return its path."""
    path = card_path(folder / card.file)
    text = json.dumps(card.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
    return path
