"""Reading ahead changes nothing but who waits."""

import threading

import pytest

from unmask.media.ahead import read_ahead


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
