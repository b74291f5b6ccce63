"""Results are written whole or not at all, and trouble is noticed before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from unmask.cli.inputs import Input
from unmask.cli.outputs import Target, UsageError, write
from unmask.media.output import OutputError


def target(given, *, one_file):
    return Target.of(str(given), suffix=".json", option="--output", one_file=one_file)


SOURCE = Input(Path("in/clip.mp4"), Path("sub/clip"))


def test_one_input_and_a_name_with_extension_is_a_file(tmp_path):
    assert target(tmp_path / "report.json", one_file=True).file(SOURCE) == tmp_path / "report.json"


def test_an_existing_folder_or_a_name_without_extension_is_a_folder(tmp_path):
    assert target(tmp_path, one_file=True).file(SOURCE) == tmp_path / "sub" / "clip.json"
    assert target(tmp_path / "new", one_file=True).file(SOURCE) == tmp_path / "new" / "sub" / "clip.json"
    assert target(f"{tmp_path}/new.dir/", one_file=False).is_folder


def test_a_dot_in_the_name_of_an_input_is_kept(tmp_path):
    source = Input(Path("v1.2.mp4"), Path("v1.2"))
    assert target(tmp_path, one_file=False).file(source) == tmp_path / "v1.2.json"


def test_several_inputs_do_not_fit_into_one_file(tmp_path):
    with pytest.raises(UsageError, match=r"report\.json.*folder"):
        target(tmp_path / "report.json", one_file=False)


@pytest.mark.parametrize(("name", "option"), [("page.html", "--html"), ("TABLE.CSV", "--csv")])
def test_an_extension_that_another_option_writes_is_pointed_there(tmp_path, name, option):
    with pytest.raises(UsageError, match=rf"--output writes JSON; for .*{name} give {option}"):
        target(tmp_path / name, one_file=True)
    (tmp_path / "folder.html").mkdir()
    assert target(tmp_path / "folder.html", one_file=True).is_folder


def test_a_place_that_cannot_be_written_is_noticed_at_once_and_named(tmp_path):
    (tmp_path / "file").write_text("")
    for given in (tmp_path / "file" / "report.json", tmp_path / "file" / "folder"):
        with pytest.raises(OutputError, match="file"):
            target(given, one_file=True).check()


def test_trying_leaves_nothing_behind(tmp_path):
    target(tmp_path / "new" / "report.json", one_file=True).check()
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]


def test_writing_replaces_the_whole_file(tmp_path):
    place = tmp_path / "report.json"
    place.write_text("old and longer")
    target(place, one_file=True).write(SOURCE, "new é")
    assert place.read_text(encoding="utf-8") == "new é"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_that_names_the_file():
    with pytest.raises(OutputError, match=r"^/dev/full: .*disk is full") as caught:
        write(Path("/dev/full"), "text")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="this system has no /dev/null")
def test_a_device_is_written_to_and_not_replaced():
    target("/dev/null", one_file=True).check()
    write(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()
