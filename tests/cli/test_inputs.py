"""Files, folders and patterns become one list, each file once."""

from __future__ import annotations

from pathlib import Path

import pytest

from unmask.cli.inputs import expand, is_one_file


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.mp4", "a.JPG", "notes.txt", "deep/er/c.mov", ".hidden/d.mp4", ".e.mp4", "deep/b.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(inputs) -> list[str]:
    return [file.path.as_posix() for file in inputs]


def test_a_folder_gives_its_media_files_in_order_also_those_below_but_no_hidden_ones(tree):
    files, failures = expand(["."])
    assert names(files) == ["a.JPG", "b.mp4", "deep/b.mp4", "deep/er/c.mov"]
    assert failures == []


def test_results_keep_the_folders_below_the_named_one(tree):
    files, _ = expand([str(tree)])
    assert [file.stem.as_posix() for file in files] == ["a", "b", "deep/b", "deep/er/c"]


def test_a_file_named_by_itself_may_have_any_name(tree):
    files, failures = expand(["notes.txt"])
    assert (names(files), failures) == (["notes.txt"], [])


def test_a_pattern_that_the_shell_left_alone_is_expanded(tree):
    assert names(expand(["*.mp4"])[0]) == ["b.mp4"]
    assert names(expand(["**/*.mp4"])[0]) == ["b.mp4", "deep/b.mp4"]
    assert names(expand(["d??p"])[0]) == ["deep/b.mp4", "deep/er/c.mov"]


def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(tree):
    Path("a[1].mp4").write_bytes(b"x")
    assert names(expand(["a[1].mp4"])[0]) == ["a[1].mp4"]
    assert is_one_file(["a[1].mp4"])


def test_each_file_comes_once(tree):
    assert names(expand(["b.mp4", ".", str(tree / "b.mp4")])[0]) == [
        "b.mp4",
        "a.JPG",
        "deep/b.mp4",
        "deep/er/c.mov",
    ]


def test_results_of_like_named_inputs_do_not_overwrite_each_other(tree):
    Path("b.png").write_bytes(b"x")
    files, _ = expand(["b.mp4", "deep/b.mp4", "b.png", "deep/er/c.mov"])
    assert [file.stem.as_posix() for file in files] == ["b.mp4", "b.mp4-2", "b.png", "c"]


@pytest.mark.parametrize(
    ("argument", "part"),
    [("no.mp4", "no such file"), ("*.webm", "no file matches"), ("empty", "no video, picture or sound file")],
)
def test_what_gives_no_file_is_one_line_that_names_it(tree, argument, part):
    Path("empty").mkdir()
    files, failures = expand([argument, "b.mp4"])
    assert names(files) == ["b.mp4"]
    assert len(failures) == 1
    assert failures[0].startswith(f"{argument}: ")
    assert part in failures[0]


@pytest.mark.parametrize(
    ("arguments", "one"), [(["b.mp4"], True), (["."], False), (["*.mp4"], False), (["b.mp4", "c"], False)]
)
def test_one_named_file_is_told_from_lists_folders_and_patterns(tree, arguments, one):
    assert is_one_file(arguments) is one
