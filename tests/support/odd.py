"""A journal that can be made to refuse, to hold back its answers, and to answer late: what a disk does on a bad day."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from typing_extensions import override

from toolslot import MemoryJournal
from toolslot._domain._slot import BatchKey, BatchRecord
from toolslot.journal import Append, MemoryStore, Operation

T = TypeVar("T")


class OddJournal(MemoryJournal):
    """`before` may return the error with which an operation fails; `after` may exchange the future of one that was done."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(store)
        self.before: Callable[[Any], BaseException | None] = lambda _: None
        self.after: Callable[[Any, Future[Any]], Future[Any]] = lambda _, future: future
        self.loaded: Callable[[Future[Any]], Future[Any]] = lambda future: future

    @override
    def submit(self, operation: Operation[T]) -> Future[T]:
        error = self.before(operation)
        if error is not None:
            refused: Future[T] = Future()
            refused.set_exception(error)
            return refused
        return self.after(operation, super().submit(operation))

    @override
    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        return self.loaded(super().load(key))


def writes(operation: object, *rows: type) -> bool:
    """Whether the operation appends a row of one of these kinds."""
    return isinstance(operation, Append) and isinstance(operation.row, rows)


def once(error: BaseException, when: Callable[[Any], bool]) -> Callable[[Any], BaseException | None]:
    """For `before`: the first such operation fails."""
    left = [error]
    return lambda operation: left.pop() if left and when(operation) else None


class Held:
    """For `after`: the answers to such operations are held back until `let_go`."""

    def __init__(self, when: Callable[[Any], bool]) -> None:
        self._when = when
        self._held: list[tuple[Future[Any], Future[Any]]] = []

    def __call__(self, operation: Any, future: Future[Any]) -> Future[Any]:
        if not self._when(operation):
            return future
        held: Future[Any] = Future()
        self._held.append((held, future))
        return held

    def __len__(self) -> int:
        return len(self._held)

    def let_go(self) -> None:
        waiting, self._held = self._held, []
        for held, future in waiting:
            complete(held, future)


def complete(held: Future[Any], future: Future[Any]) -> None:
    error = future.exception()
    if error is not None:
        held.set_exception(error)
    else:
        held.set_result(future.result())


class SlowCallbacks(Future[Any]):
    """Whoever waits for the result has it before the callbacks run, as it may happen with any future of another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    @override
    def _invoke_callbacks(self) -> None:  # type: ignore[misc]
        self.go_on.wait(0.05)
        super()._invoke_callbacks()  # type: ignore[misc]
