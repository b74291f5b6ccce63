"""Reading ahead changes nothing but who waits."""

import threading

import pytest

from unmask.media.ahead import Beside, read_ahead


def test_order_and_end():
    assert list(read_ahead(iter(range(50)))) == list(range(50))
    assert list(read_ahead(iter(()))) == []


def test_an_error_comes_after_what_was_read_before_it():
    def broken():
        yield 1
        raise ValueError("damaged")

    events = read_ahead(broken())
    assert next(events) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(events)


def test_it_reads_no_further_ahead_than_told():
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield number

    events = read_ahead(source(), depth=2)
    assert next(events) == 0
    events.close()
    # One was given, two wait, one is in the thread's hand.
    assert len(taken) <= 4


def test_closing_ends_the_thread_and_the_source():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()
    events = read_ahead(source())
    next(events)
    events.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_work_beside_is_done_in_order_before_the_block_is_left():
    done, threads = [], set()

    def work(number):
        threads.add(threading.get_ident())
        done.append(number)

    with Beside(work) as beside:
        for number in range(50):
            beside.give(number)
    assert done == list(range(50))
    assert threads != {threading.get_ident()}


def test_an_error_of_the_work_is_raised_by_the_next_item_or_on_leaving():
    failed = threading.Event()

    def work(number):
        if number == 1:
            failed.set()
            raise ValueError("damaged")

    def give_on() -> None:
        with Beside(work) as beside:
            beside.give(0)
            beside.give(1)
            failed.wait()
            for _ in range(100):  # the error is kept a moment after the work raised it
                beside.give(2)

    def give_one() -> None:
        with Beside(work) as beside:
            beside.give(1)

    before = threading.active_count()
    for giving in (give_on, give_one):
        with pytest.raises(ValueError, match="damaged"):
            giving()
    assert threading.active_count() == before


def test_where_the_block_fails_what_waits_is_dropped():
    begun, free, done = threading.Event(), threading.Event(), []

    def work(number):
        begun.set()
        free.wait()
        done.append(number)

    def give_and_fail() -> None:
        with Beside(work, depth=5) as beside:
            for number in range(4):
                beside.give(number)
            begun.wait()
            threading.Timer(0.05, free.set).start()
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        give_and_fail()
    assert done == [0]
