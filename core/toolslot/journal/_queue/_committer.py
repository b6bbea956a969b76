"""Group commit: as many operations in one transaction as are waiting, and each alone when that fails."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._operations import Purge
from toolslot._errors import JournalCorrupt, JournalError, JournalFull, JournalIOError
from toolslot.journal._queue._items import WriteItem, answer, refuse
from toolslot.journal._queue._store import Group, Store

#: how long a record waits for room on a full disk, before each further try
_ROOM_DELAYS = (0.05, 0.2, 0.5, 1.0)
#: chunks in one commit: 1 MiB keeps the lock for some milliseconds
_CHUNKS_PER_COMMIT = 4

#: operations that were decided, each with what it is answered once the commit is done: a result, or an error
Decided: TypeAlias = list[tuple[WriteItem, object, BaseException | None]]


class Committer:
    """Commits operations in the order given, and completes their futures."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._faults = store.faults
        #: nothing is to be committed before this moment (monotonic), 0 for now: the disk was full
        self.not_before = 0.0
        #: runs that got their tombstone, with the futures that wait for their rows to be gone
        self.dropped: list[tuple[str, Future[object], object]] = []

    def commit(self, items: list[WriteItem], *, last_try: bool = False) -> list[WriteItem]:
        """Commit one group from the head of `items`. Returns what is left, to be committed next."""
        decided: Decided = []
        try:
            self._store.commit(partial(self._decide, items, decided))
        except JournalError as error:
            return self._after_failure(items, error, last_try=last_try)
        except BaseException as error:
            # A defect, here or in the store. Nobody may be left waiting for it, nor pay for somebody else's.
            if len(items) > 1:
                return self._one_by_one(items)
            refuse(items[0].future, error)
            return []
        for item, result, refusal in decided:
            if refusal is not None:
                refuse(item.future, refusal)
            elif isinstance(item.operation, Purge):
                # Also when it was purged before: an earlier purge may have died before all its rows were gone.
                self.dropped.append((item.operation.run_id, item.future, result))
            else:
                answer(item.future, result)
        if len(decided) == len(items):
            return []
        rest = items[len(decided) :]
        return self._write_chunks(rest) if rest[0].missing else rest

    def _decide(self, items: list[WriteItem], decided: Decided, group: Group) -> None:
        """Decide and apply one operation after the other, until the group is large or one needs chunks to be written first."""
        faults, most = self._faults, self._store.group_bytes
        for item in items:
            if group.size > most:
                return
            try:
                change = item.operation.change(group)
                chunks = group.write(change.writes, item.memo, item.chunks) if change.writes else ()
            except faults:
                raise  # the journal could not be read, which is no answer to the operation
            except BaseException as error:
                decided.append((item, None, error))
                continue
            if chunks and not item.chunks.issuperset(name for name, _ in chunks):
                item.missing = chunks
                return
            decided.append((item, change.result, change.refusal))

    def _write_chunks(self, items: list[WriteItem]) -> list[WriteItem]:
        first, missing = items[0], items[0].missing
        first.missing = ()
        try:
            for begin in range(0, len(missing), _CHUNKS_PER_COMMIT):
                self._store.add_chunks(missing[begin : begin + _CHUNKS_PER_COMMIT])
        except JournalError as error:
            return self._after_failure([first], error, last_try=True) + items[1:]
        reach(CrashPoint.AFTER_CHUNKS)
        first.chunks = frozenset(name for name, _ in missing)
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
            while rest and not self.stalled():
                rest = self.commit(rest, last_try=True)
            if rest:
                return rest + items[number + 1 :]
        return []

    def _without_room(self, items: list[WriteItem], error: JournalFull) -> list[WriteItem]:
        if len(items) > 1:
            return self._one_by_one(items)
        (item,) = items
        with suppress(JournalError):
            self._store.give_back()
        if not item.records or item.tries >= len(_ROOM_DELAYS):
            refuse(item.future, error)
            return []
        # The result stays in memory, and everything behind it waits with it: order is kept.
        self.not_before = time.monotonic() + _ROOM_DELAYS[item.tries]
        item.tries += 1
        return items

    def stalled(self) -> bool:
        """Whether a record waits for room, and everything behind it."""
        if self.not_before and time.monotonic() >= self.not_before:
            self.not_before = 0.0
        return self.not_before > 0
