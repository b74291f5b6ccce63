"""Reads a little ahead, and works beside, in threads of their own, so that every core is kept busy."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

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


class Beside(Generic[T]):
    """Does `work` with each item, in order, in a thread of its own; up to `depth` items wait.

    Leaving the block waits until all is done; where an error leaves it, what waits is dropped. An error of
    `work` is raised by the next `give`, or on leaving.
    """

    def __init__(self, work: Callable[[T], None], *, depth: int = DEPTH) -> None:
        self._work = work
        self._waiting: queue.Queue[tuple[T] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._dropped = False
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread, and raise its error where no other is being raised."""
        self._dropped = error is not None
        self._waiting.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def give(self, item: T) -> None:
        """Hand over an item; waits while `depth` of them wait."""
        if self._error is not None:
            raise self._error
        self._waiting.put((item,))

    def _run(self) -> None:
        while (given := self._waiting.get()) is not None:
            # After an error items are still taken, so that nobody waits for room.
            if self._error is None and not self._dropped:
                try:
                    self._work(*given)
                except BaseException as error:  # raised again in the caller's thread
                    self._error = error
            del given
