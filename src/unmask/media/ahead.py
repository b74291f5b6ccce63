"""Reads a little ahead in a thread of its own, so that decoding and analysis each keep a core busy."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

DEPTH = 3
"""So many events may wait: enough to even out frames that decode slowly, little memory at any size."""


def read_ahead(events: Iterator[T], *, depth: int = DEPTH) -> Iterator[T]:
    """Yield the same events in the same order, up to `depth` of them taken before they are asked for.

    An error of `events` is raised where it would have been. Closing the iterator ends the thread.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(event: T | None, error: BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put((event, error), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for event in events:
                if not put(event, None):
                    return
        except BaseException as error:  # raised again in the reader's thread
            put(None, error)
        else:
            put(None, StopIteration())

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            event, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            assert event is not None
            yield event
    finally:
        stopped.set()
        thread.join()
        close = getattr(events, "close", None)
        if close is not None:
            close()
