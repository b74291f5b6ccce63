"""`atomic_path`: a file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from unmask.media import OutputError, atomic_path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        temporary.write_text("{}")
        assert not target.exists()
    assert target.read_text() == "{}"
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.json.*create it first"), atomic_path(tmp_path / "no/a.json"):
        pass


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_forbidden_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not be written"), atomic_path(tmp_path / "a.json"):
        pass


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"a\.json.*disk is full") as caught,
        atomic_path(tmp_path / "a.json"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_errors_of_other_files_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.json"):
        (tmp_path / "other.txt").read_text()
