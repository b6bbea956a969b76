"""Deleting the rows of purged runs, a little between other work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from itertools import islice

from toolslot._crashpoints import CrashPoint, reach
from toolslot._errors import JournalClosed, JournalCorrupt, JournalError, JournalIOError
from toolslot._text import quoted
from toolslot.journal._queue._items import answer, log, refuse
from toolslot.journal._queue._store import Store

#: runs whose rows are deleted, and whose space is then given back, together: that costs syncs of its own
_RUNS_TOGETHER = 64


class Deletions:
    """The runs that have their tombstone and still have rows, with the futures that wait for those to be gone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: who waits for each of these runs
        self.waiting: dict[str, list[tuple[Future[object], object]]] = {}
        #: the runs among them whose rows are gone, and the space of those not yet
        self._emptied: set[str] = set()
        #: whether that space is being given back; runs that come meanwhile wait, or they would put it off for ever
        self._clearing = False
        self._together = _RUNS_TOGETHER
        try:
            # Left over by processes that died.
            self.waiting.update({run_id: [] for run_id in store.deletions()})
        except JournalError as error:
            log.warning("rows of purged runs are left in %s: %s", store.name, error)

    def add(self, run_id: str, future: Future[object], result: object) -> None:
        """Delete the run's rows from now on, then answer the future with the result."""
        self.waiting.setdefault(run_id, []).append((future, result))

    def piece(self) -> None:
        """One commit's worth of work: rows first, then the space they took, for many runs together.

        Raises:
            JournalError: it could not be done. The next opener, or a further purge of the run, tries again.
        """
        try:
            if not self._clearing:
                self._emptied.update(self._store.delete_piece(self._next()))
                self._together = _RUNS_TOGETHER
                self._clearing = len(self._emptied) >= min(_RUNS_TOGETHER, len(self.waiting))
                reach(CrashPoint.AFTER_DELETION)
                return
            if not self._store.give_back_piece():
                return
            self._store.give_back()
        except JournalError as error:
            runs = tuple(self._emptied if self._clearing else self._next())
            if isinstance(error, (JournalCorrupt, JournalIOError)) and not self._clearing and len(runs) > 1:
                self._together = 1  # only the run whose rows cannot be deleted fails
                return
            for future, _ in self._end(runs):
                refuse(future, error)
            raise
        for future, result in self._end(tuple(self._emptied)):
            answer(future, result)

    def _next(self) -> list[str]:
        """The runs to delete in this piece."""
        left = (run_id for run_id in self.waiting if run_id not in self._emptied)
        return list(islice(left, self._together))

    def _end(self, run_ids: Iterable[str]) -> list[tuple[Future[object], object]]:
        """Forget these runs; returns who waited for them."""
        self._clearing = False
        self._emptied.difference_update(run_ids)
        return [waiter for run_id in run_ids for waiter in self.waiting.pop(run_id)]

    def finish(self, seconds: float) -> None:
        """Go on for up to so many seconds."""
        deadline = time.monotonic() + seconds
        while self.waiting and time.monotonic() < deadline:
            try:
                self.piece()
            except JournalError as error:
                log.warning("rows of purged runs are left in %s: %s", self._store.name, error)

    def refuse_all(self) -> None:
        """The journal is closed: tells those who wait what is left to be done."""
        for run_id, waiters in self.waiting.items():
            for future, _ in waiters:
                refuse(
                    future,
                    JournalClosed(
                        f"the journal {self._store.name} was closed. Run {quoted(run_id)} is purged; its rows are deleted"
                        " when the journal is opened again."
                    ),
                )
