"""Where results go: one file or a folder of them, tried before the long work, written whole or not at all."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from unmask.cli.inputs import Input
from unmask.media.output import OutputError, atomic_path, output_error

STDOUT = Path("-")
OPTIONS = {".json": "--output", ".html": "--html", ".csv": "--csv"}
"""The option of `unmask detect` that writes files with an extension."""


class UsageError(Exception):
    """The options do not fit together; the message says what to give instead."""


@dataclass(frozen=True)
class Target:
    """Where one kind of result goes: the file `path`, or one file for each input in the folder `path`."""

    path: Path
    is_folder: bool
    suffix: str

    @classmethod
    def of(cls, given: str, *, suffix: str, option: str, one_file: bool) -> Target:
        """Read what the user gave.

        "-" is the standard output. A name that has an extension and is no folder is one file, which takes a
        single input; any other name is a folder.

        Raises:
            UsageError: one file was named for several inputs, or one whose extension another option writes.
        """
        path = Path(given)
        names_file = (path.suffix or path.exists()) and not path.is_dir() and not given.endswith(("/", "\\"))
        other = OPTIONS.get(path.suffix.lower(), option)
        if names_file and other != option:
            raise UsageError(f"{option} writes {suffix[1:].upper()}; for {given} give {other} {given}")
        if path == STDOUT or (one_file and names_file):
            return cls(path, False, suffix)
        if names_file:
            raise UsageError(f"{option} {given}: several inputs need a folder here, not a file")
        return cls(path, True, suffix)

    def file(self, source: Input) -> Path:
        """Return the file for the result about `source`."""
        if not self.is_folder:
            return self.path
        return self.path / source.stem.with_name(source.stem.name + self.suffix)

    def check(self) -> None:
        """Make the folder and try to write in it.

        Raises:
            OutputError: this cannot be written.
        """
        if self.path == STDOUT or _is_device(self.path):
            return
        folder = self.path if self.is_folder else self.path.parent
        _make_folder(folder)
        trial = folder / ".unmask-trial"
        try:
            with atomic_path(trial):
                pass
            trial.unlink(missing_ok=True)
        except OutputError as error:
            raise OutputError(str(error).replace(str(trial), str(folder), 1)) from None

    def write(self, source: Input, text: str) -> None:
        """Write the result about `source`.

        Raises:
            OutputError: this cannot be written; nothing is left half-written.
        """
        write(self.file(source), text)


def write(path: Path, text: str) -> None:
    """Write `text` to a file, whole or not at all, or to the standard output ("-").

    Raises:
        OutputError: this cannot be written.
    """
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    data = text.encode("utf-8", "surrogateescape")
    if _is_device(path):  # a name such as /dev/null must not be replaced by a file
        try:
            path.write_bytes(data)
        except OSError as error:
            raise output_error(path, error) from None
        return
    write_bytes(path, data)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to a file, whole or not at all, making its folder.

    Raises:
        OutputError: this cannot be written.
    """
    _make_folder(path.parent)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from None


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
