"""What the user named as input: files, folders and patterns, as a list of files to analyse."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PICTURES = {
    ".jpg",
    ".jpeg",
    ".jpe",
    ".png",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
}
_VIDEOS = {
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".wmv",
    ".flv",
    ".mpg",
    ".mpeg",
    ".ts",
    ".3gp",
    ".ogv",
}
_SOUNDS = {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma"}
SUFFIXES = frozenset(_PICTURES | _VIDEOS | _SOUNDS | {".m2ts", ".mts", ".mxf", ".vob"})
"""File names that a folder is searched for. A file named by itself may have any name."""


@dataclass(frozen=True)
class Input:
    """One file to analyse; `stem` (a relative path without suffix) names what is written about it."""

    path: Path
    stem: Path


def expand(arguments: Iterable[str]) -> tuple[list[Input], list[str]]:
    """Turn arguments into (files, one line for each argument that gave none); each file comes once.

    A folder gives its media files, also those in folders below, in order of name; a pattern that the shell
    left alone (`*.mp4`, `**/*.mp4`) gives its matches.
    """
    found: dict[Path, Input] = {}
    failures: list[str] = []
    for argument in arguments:
        files = list(_files(argument))
        if not files:
            failures.append(_nothing(argument))
        for file in files:
            found.setdefault(file.path.resolve(), file)
    return _unique(list(found.values())), failures


def is_one_file(arguments: list[str]) -> bool:
    """Whether the user named exactly one file, rather than a list, a folder or a pattern."""
    return len(arguments) == 1 and not Path(arguments[0]).is_dir() and not _is_pattern(arguments[0])


def _files(argument: str) -> Iterator[Input]:
    path = Path(argument)
    if path.is_dir():
        yield from _folder(path)
    elif path.exists():
        yield Input(path, Path(path.stem))
    elif _is_pattern(argument):
        for match in sorted(map(Path, glob.glob(argument, recursive=True))):
            if match.is_dir():
                yield from _folder(match)
            elif "**" not in argument or match.suffix.lower() in SUFFIXES:
                yield Input(match, Path(match.stem))


def _folder(folder: Path) -> Iterator[Input]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield Input(path, path.relative_to(folder).with_suffix(""))


def _is_pattern(argument: str) -> bool:
    return glob.has_magic(argument) and not Path(argument).exists()


def _nothing(argument: str) -> str:
    if Path(argument).is_dir():
        return f"{argument}: no video, picture or sound file in this folder; name the files themselves"
    if _is_pattern(argument):
        return f"{argument}: no file matches this pattern; check it"
    return f"{argument}: no such file; check the path"


def _unique(files: list[Input]) -> list[Input]:
    """Tell apart the files whose stems are alike: by their suffix, then by a number."""
    alike: dict[Path, int] = {}
    for file in files:
        alike[file.stem] = alike.get(file.stem, 0) + 1
    taken: set[Path] = set()
    result = []
    for file in files:
        stem = file.stem
        if alike[stem] > 1:
            stem = stem.with_name(file.path.name)
        numbered, number = stem, 2
        while numbered in taken:
            numbered, number = stem.with_name(f"{stem.name}-{number}"), number + 1
        taken.add(numbered)
        result.append(Input(file.path, numbered))
    return result
