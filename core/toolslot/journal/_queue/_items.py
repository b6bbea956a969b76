"""What waits in the writer's queue, and how it is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias, TypeVar

from toolslot._domain._append import Append
from toolslot._domain._operations import Operation, Reserve, TakeOver
from toolslot._domain._slot import Started
from toolslot.journal._format._secrecy import Memo
from toolslot.journal._queue._store import View

T = TypeVar("T")

log = logging.getLogger("toolslot")


class WriteItem:
    """An operation and who waits for it."""

    __slots__ = ("chunks", "future", "memo", "missing", "operation", "tries")

    def __init__(self, operation: Operation[object]) -> None:
        self.operation: Operation[object] = operation
        self.future: Future[object] = Future()
        #: keys of the chunk rows that were written for it
        self.chunks: frozenset[str] = frozenset()
        #: chunk rows that must be written before it can be
        self.missing: tuple[tuple[str, bytes], ...] = ()
        #: what was encrypted for it already
        self.memo: Memo = {}
        #: how often it met a full disk
        self.tries: int = 0

    @property
    def records(self) -> bool:
        """Whether it tells of something that has happened already, and so is worth holding on to when the disk is full. What
        merely prepares something fails at once: then that does not happen.
        """
        operation = self.operation
        if isinstance(operation, Append):
            return not isinstance(operation.row, Started)
        return not isinstance(operation, (Reserve, TakeOver))


class ReadItem:
    """A question about one snapshot, and who waits for the answer."""

    __slots__ = ("future", "read")

    def __init__(self, read: Callable[[View], object]) -> None:
        self.read: Callable[[View], object] = read
        self.future: Future[object] = Future()


class Park:
    """Asks the writer to commit everything before it, then to keep out of the store until `resume` is set."""

    __slots__ = ("parked", "resume")

    def __init__(self) -> None:
        self.parked: threading.Event = threading.Event()
        self.resume: threading.Event = threading.Event()


class Stop:
    """Asks the writer to commit everything before it, and to end."""

    __slots__ = ()


Item: TypeAlias = WriteItem | ReadItem | Park | Stop


def answer(future: Future[T], result: T) -> None:
    """Complete a future. That it was cancelled, or that a callback fails, does not concern the writer."""
    try:
        if future.set_running_or_notify_cancel():
            future.set_result(result)
    except BaseException:
        log.exception("a callback of a journal future failed")


def refuse(future: Future[T], error: BaseException) -> None:
    """Complete a future with an error."""
    try:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    except BaseException:
        log.exception("a callback of a journal future failed")
