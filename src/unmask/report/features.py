"""Deep features of faces as a table, one row a face and moment, written row by row to CSV or NPZ."""

from __future__ import annotations

import csv
import tempfile
import zipfile
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TextIO

import numpy as np

from unmask.media.output import atomic_path
from unmask.report.csv import plain

SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True)
class FaceFeatures:
    """What a network makes of one face.

    `time` in seconds (None in a picture); `box` is x, y, width, height in displayed pixels; `values` (D,).
    """

    file: str
    time: float | None
    track: int
    person: int
    box: np.ndarray
    values: np.ndarray


class Table(Protocol):
    """Takes rows, all with as many features."""

    def add(self, row: FaceFeatures) -> None:
        """Write one row."""

    def describe(self, name: str, sha256: str) -> None:
        """Say by which network, where the format has a place for it."""


class CsvTable:
    """Columns file, time, track, person, x, y, width, height, f0, f1, ...; no time in a picture's rows."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._columns = ["file", "time", "track", "person", "x", "y", "width", "height"]
        self._rows = 0

    def add(self, row: FaceFeatures) -> None:
        """Write one row, the first with the header before it."""
        if self._rows == 0:
            self._writer.writerow(self._columns + [f"f{index}" for index in range(len(row.values))])
        self._rows += 1
        time = "" if row.time is None else f"{row.time:.6f}"
        box = [f"{value:.1f}" for value in row.box]
        features = [f"{value:.7g}" for value in row.values]
        self._writer.writerow([plain(row.file), time, row.track, row.person, *box, *features])

    def describe(self, name: str, sha256: str) -> None:
        """Write nothing: a CSV file has no place for it."""

    def finish(self) -> None:
        """Write a header also where there was no face."""
        if self._rows == 0:
            self._writer.writerow(self._columns)


class NpzTable:
    """Arrays of N rows: file, time (NaN in a picture), track, person, box (N, 4), features (N, D) float32.

    Also `network` and `sha256`, the network's name and that of its file.

    Args:
        path: the file to write.
        waiting: an empty file, where the features wait until all are known, so that memory does not grow
            with them.
    """

    def __init__(self, path: Path, waiting: BinaryIO) -> None:
        self._path = path
        self._waiting = waiting
        self._files: list[str] = []
        self._numbers = array("q")
        self._times = array("d")
        self._boxes = array("d")
        self._width = 0
        self._network = ("", "")

    def add(self, row: FaceFeatures) -> None:
        """Write one row."""
        self._width = len(row.values)
        self._waiting.write(np.ascontiguousarray(row.values, np.float32).tobytes())
        self._files.append(row.file)
        self._times.append(float("nan") if row.time is None else row.time)
        self._numbers.extend((row.track, row.person))
        self._boxes.extend(row.box)

    def describe(self, name: str, sha256: str) -> None:
        """Say by which network."""
        self._network = (name, sha256)

    def finish(self) -> None:
        """Write the file."""
        count = len(self._files)
        self._waiting.flush()
        features = np.zeros((0, 0), np.float32)
        if count:
            features = np.memmap(self._waiting, np.float32, "r", shape=(count, self._width))
        numbers = np.array(self._numbers, np.int64).reshape(count, 2)
        arrays = {
            "file": np.array(self._files, np.str_),
            "time": np.array(self._times, np.float64),
            "track": numbers[:, 0],
            "person": numbers[:, 1],
            "box": np.array(self._boxes, np.float32).reshape(count, 4),
            "features": features,
            "network": np.array(self._network[0]),
            "sha256": np.array(self._network[1]),
        }
        with zipfile.ZipFile(self._path, "w") as archive:  # np.savez takes no array named "file"
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)


@contextmanager
def feature_table(path: Path) -> Iterator[Table]:
    """Give a table that becomes the file `path` when the block ends well, and nothing otherwise.

    Raises:
        OutputError: the file cannot be written.
        ValueError: its name does not end in .npz or .csv.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: give a name that ends in {' or '.join(SUFFIXES)}")
    with atomic_path(path) as temporary, ExitStack() as stack:
        if suffix == ".csv":
            text = temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape")
            table: CsvTable | NpzTable = CsvTable(stack.enter_context(text))
        else:
            table = NpzTable(temporary, stack.enter_context(tempfile.TemporaryFile()))
        yield table
        table.finish()
