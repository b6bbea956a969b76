"""A journal's port over a queue: what every back end that has a store has in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar, cast

from toolslot._domain._effects import EffectPage
from toolslot._domain._identity import ProcessIdentity
from toolslot._domain._operations import Operation
from toolslot._domain._port import Journal, OldRuns
from toolslot._domain._slot import BatchHistory, BatchKey, BatchRecord
from toolslot._domain._state import history_of, record_of
from toolslot._errors import JournalError
from toolslot.journal._queue._items import ReadItem
from toolslot.journal._queue._session import Session
from toolslot.journal._queue._store import View

T = TypeVar("T")


class QueuedJournal(Journal):
    """What is asked and written through a session's writer. A back end adds its location, its owners, and how it is closed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def process(self) -> ProcessIdentity:
        return self._session.live().process

    @property
    def digest_key(self) -> bytes | None:
        return self._session.live().writer.digest_key

    def submit(self, operation: Operation[T]) -> Future[T]:
        return cast("Future[T]", self._session.live().writer.submit(operation))

    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        return self._ask(lambda view: _record(view, key))

    def history(self, key: BatchKey) -> Future[BatchHistory | None]:
        return self._ask(lambda view: _history(view, key))

    def histories(self, keys: Sequence[BatchKey]) -> Future[tuple[BatchHistory | JournalError | None, ...]]:
        return self._ask(lambda view: _histories(view, keys))

    def keys(self, run_id: str | None = None) -> Future[tuple[BatchKey, ...]]:
        return self._ask(lambda view: view.keys(run_id))

    def old_runs(self, before: float, cursor: str | None = None) -> Future[OldRuns]:
        return self._ask(lambda view: view.old_runs(before, cursor))

    def run_payload(self, run_id: str) -> Future[bytes | None]:
        return self._ask(lambda view: view.run_payload(run_id))

    def effects(self, cursor: str | None = None) -> Future[EffectPage]:
        return self._ask(lambda view: view.effects(cursor))

    def _ask(self, read: Callable[[View], T]) -> Future[T]:
        item = ReadItem(read)
        self._session.live().writer.put(item)
        return cast("Future[T]", item.future)


def _record(view: View, key: BatchKey) -> BatchRecord | None:
    state = view.state(view.alias(key) or key)
    return None if state is None else record_of(view, state)


def _history(view: View, key: BatchKey) -> BatchHistory | None:
    state = view.state(view.alias(key) or key)
    return None if state is None else history_of(view, state)


def _histories(view: View, keys: Sequence[BatchKey]) -> tuple[BatchHistory | JournalError | None, ...]:
    view.fetch(keys)
    found: list[BatchHistory | JournalError | None] = []
    for key in keys:
        try:
            found.append(_history(view, key))
        except JournalError as error:
            found.append(error)
    return tuple(found)
