"""Write a file whole or not at all: under a temporary name first, renamed when it is complete."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file grew larger than is allowed here; choose another folder",
    errno.EROFS: "the folder is on a read-only file system; choose another folder",
    errno.EACCES: "the folder may not be written to; choose another folder",
    errno.EPERM: "the folder may not be written to; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "the folder does not exist (part of the path is a file); create it first",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
    errno.EIO: "the disk reported an input/output error; choose another folder",
}
#: Errors that only writing can cause.
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class OutputError(Exception):
    """An output file cannot be written; the message names the file and the remedy in one line."""


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary file exists and is empty; it keeps the suffix of `path`, because writers go by it.
    Whatever ends the block otherwise (an error, Ctrl-C) removes it and leaves an older `path` as it was.

    Raises:
        OutputError: the folder is missing or not writable, `path` is a folder, or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file to write")
    temporary = path.with_name(f".{path.stem[:100]}-{secrets.token_hex(6)}.part{path.suffix}")
    try:
        temporary.open("xb").close()
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in DISK_ERRORS or str(error.filename) in {str(temporary), str(path)}:
            raise output_error(path, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def output_error(path: Path, error: OSError) -> OutputError:
    """Make the one-line error for an operating system error met while writing `path`."""
    remedy = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
    return OutputError(f"{path}: cannot be written: {remedy}")
