"""Items judged by several processes: as by one, in order, errors and temporary files included."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unmask.evaluation.spread import ENOUGH, cores, spread


@contextmanager
def squares(threads: int) -> Iterator[Callable[[int], tuple[int, int, int]]]:
    yield lambda number: (number**2, threads, os.getpid())


@contextmanager
def leaving(threads: int) -> Iterator[Callable[[int], Path]]:
    """Leaves a file of every item, as a process that is killed would."""
    folder = Path(tempfile.mkdtemp())

    def judge(number: int) -> Path:
        path = folder / str(number)
        path.touch()
        return path

    yield judge


@contextmanager
def failing(threads: int) -> Iterator[Callable[[int], int]]:
    yield lambda number: 1 // (number - ENOUGH // 2)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_answers_come_in_order_and_the_threads_are_shared_out(processes):
    said = list(spread(squares, range(ENOUGH), threads=6, processes=processes))
    assert [answer for answer, *_ in said] == [number**2 for number in range(ENOUGH)]
    assert {threads for _, threads, _ in said} == {6 // processes}
    others = {process for *_, process in said}
    assert (others == {os.getpid()}) == (processes == 1)
    assert len(others) <= processes


def test_few_items_start_no_process():
    said = list(spread(squares, range(ENOUGH - 1), threads=4, processes=4))
    assert {(threads, process) for _, threads, process in said} == {(4, os.getpid())}


def test_nothing_to_judge_says_nothing():
    assert list(spread(squares, [], processes=2)) == []


def test_an_error_in_another_process_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(spread(failing, range(ENOUGH), processes=2))


def test_no_temporary_file_of_another_process_is_left():
    paths = list(spread(leaving, range(ENOUGH), processes=2))
    assert len(set(paths)) == ENOUGH
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize(("device", "expected"), [("cpu", 3), ("auto", 3), ("cuda", 1), ("openvino", 1)])
def test_only_processors_are_asked_by_several_processes(device, expected):
    assert cores(3, device) == expected


def test_without_a_number_all_cores_are_taken():
    assert cores(0) == os.cpu_count()
