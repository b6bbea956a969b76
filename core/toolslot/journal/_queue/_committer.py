"""Group commit: as many operations in one transaction as are waiting, and each alone when that fails."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._operations import Purge
from toolslot._errors import JournalCorrupt, JournalError, JournalFull, JournalIOError
from toolslot.journal._queue._items import WriteItem, answer, refuse
from toolslot.journal._queue._store import Group, Store

#: how long a record waits for room on a full disk, before each further try
_ROOM_DELAYS = (0.05, 0.2, 0.5, 1.0)
#: chunks in one commit: 1 MiB keeps the lock for some milliseconds
_CHUNKS_PER_COMMIT = 4


class Committer:
    """Commits operations in the order given, and completes their futures."""

    def __init__(self, store: Store[object]) -> None:
        self._store = store
        #: nothing is to be committed before this moment (monotonic): the disk was full
        self.not_before = 0.0
        #: runs that got their tombstone, with the futures that wait for their rows to be gone
        self.dropped: list[tuple[str, Future[object], object]] = []

    def commit(self, items: list[WriteItem], *, last_try: bool = False) -> list[WriteItem]:
        """Commit one group from the head of `items`. Returns what is left, to be committed next."""
        outcomes: list[_Outcome] = []
        try:
            rest = self._group(items, outcomes)
        except JournalError as error:
            return self._after_failure(items, error, last_try=last_try)
        except BaseException as error:
            # A defect, here or in the store. Nobody may be left waiting for it, nor pay for somebody else's.
            if len(items) > 1:
                return self._one_by_one(items)
            refuse(items[0].future, error)
            return []
        for outcome in outcomes:
            outcome.tell(self.dropped)
        if rest and rest[0].missing:
            return self._write_chunks(rest)
        return rest

    def _group(self, items: list[WriteItem], outcomes: list[_Outcome]) -> list[WriteItem]:
        faults, most = self._store.faults, self._store.group_bytes
        with self._store.transaction() as view:
            for number, item in enumerate(items):
                if view.size > most:
                    return items[number:]
                outcome = _run(view, item, faults)
                if outcome is None:
                    return items[number:]
                outcomes.append(outcome)
        return []

    def _write_chunks(self, items: list[WriteItem]) -> list[WriteItem]:
        first, missing = items[0], items[0].missing
        first.missing = ()
        try:
            for begin in range(0, len(missing), _CHUNKS_PER_COMMIT):
                self._store.add_chunks(missing[begin : begin + _CHUNKS_PER_COMMIT])
        except JournalError as error:
            return self._after_failure([first], error, last_try=True) + items[1:]
        reach(CrashPoint.AFTER_CHUNKS)
        first.chunks = frozenset(key for key, _ in missing)
        return items

    def _after_failure(
        self, items: list[WriteItem], error: JournalError, *, last_try: bool
    ) -> list[WriteItem]:
        if isinstance(error, JournalFull):
            return self._without_room(items, error)
        if isinstance(error, JournalIOError) and not last_try:
            with suppress(JournalError):
                self._store.reconnect()
            return self._one_by_one(items)
        if isinstance(error, (JournalCorrupt, JournalIOError)) and len(items) > 1:
            return self._one_by_one(items)
        for item in items:
            refuse(item.future, error)
        return []

    def _one_by_one(self, items: list[WriteItem]) -> list[WriteItem]:
        """Only what cannot be committed by itself fails."""
        for number, item in enumerate(items):
            rest = self.commit([item], last_try=True)
            while rest and not self.stalled:
                rest = self.commit(rest, last_try=True)
            if rest:
                return rest + items[number + 1 :]
        return []

    def _without_room(self, items: list[WriteItem], error: JournalFull) -> list[WriteItem]:
        if len(items) > 1:
            return self._one_by_one(items)
        (item,) = items
        with suppress(JournalError):
            self._store.checkpoint(truncate=True)  # gives back what the write-ahead log holds
        if not item.records or item.tries >= len(_ROOM_DELAYS):
            refuse(item.future, error)
            return []
        # The result stays in memory, and everything behind it waits with it: order is kept.
        self.not_before = time.monotonic() + _ROOM_DELAYS[item.tries]
        item.tries += 1
        return items

    @property
    def stalled(self) -> bool:
        return time.monotonic() < self.not_before


class _Outcome:
    """How an operation will be answered once the commit is done."""

    __slots__ = ("_dropped", "_error", "_future", "_result")

    def __init__(
        self, future: Future[object], result: object, error: BaseException | None, dropped: str | None
    ) -> None:
        self._future = future
        self._result = result
        self._error = error
        self._dropped = dropped

    def tell(self, dropped: list[tuple[str, Future[object], object]]) -> None:
        if self._error is not None:
            refuse(self._future, self._error)
        elif self._dropped is not None:
            dropped.append((self._dropped, self._future, self._result))
        else:
            answer(self._future, self._result)


def _run(view: Group, item: WriteItem, faults: tuple[type[BaseException], ...]) -> _Outcome | None:
    """Decide and apply one operation. None: its chunks must be written first, and nothing was applied."""
    try:
        change = item.operation.change(view)
        chunks, apply = view.prepare(change.writes, item.hidden)
    except faults:
        raise  # the journal could not be read, which is no answer to the operation
    except BaseException as error:
        return _Outcome(item.future, None, error, None)
    if chunks and not item.chunks.issuperset(key for key, _ in chunks):
        item.missing = chunks
        return None
    apply()
    # Also when it was purged before: an earlier purge may have died before all its rows were gone.
    dropped = item.operation.run_id if isinstance(item.operation, Purge) else None
    return _Outcome(item.future, change.result, change.refusal, dropped)
