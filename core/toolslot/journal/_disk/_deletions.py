"""Deleting the rows of purged runs, a little between other work."""

from __future__ import annotations

import time
from concurrent.futures import Future

from toolslot._crashpoints import CrashPoint, reach
from toolslot._errors import JournalClosed, JournalError
from toolslot._text import quoted
from toolslot.journal._disk._items import answer, log, refuse
from toolslot.journal._disk._read_store import ReadStore


class Deletions:
    """The runs that have their tombstone and still have rows, with the futures that wait for those to be gone."""

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._waiting: dict[str, list[tuple[Future[object], object]]] = {}
        self._emptied: set[str] = set()
        try:
            # Left over by processes that died.
            self._waiting.update({run_id: [] for run_id in store.deletions()})
        except JournalError as error:
            log.warning("rows of purged runs are left in %s: %s", store.place.root, error)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, run_id: str, future: Future[object], result: object) -> None:
        """Delete the run's rows from now on, then answer the future with the result."""
        self._waiting.setdefault(run_id, []).append((future, result))

    def piece(self) -> None:
        """One commit's worth of deleting.

        Raises:
            JournalError: it could not be done. The next opener, or a further purge of the run, tries again.
        """
        run_id, waiters = next(iter(self._waiting.items()))
        try:
            if not self._done(run_id):
                return
        except JournalError as error:
            del self._waiting[run_id]
            for future, _ in waiters:
                refuse(future, error)
            raise
        del self._waiting[run_id]
        for future, result in waiters:
            answer(future, result)

    def _done(self, run_id: str) -> bool:
        """Whether the last piece of work was done: rows first, then the space they took."""
        if run_id not in self._emptied:
            if self._store.delete_piece(run_id):
                self._emptied.add(run_id)
            reach(CrashPoint.AFTER_DELETION)
            return False
        if len(self._waiting) == 1:
            if not self._store.vacuum_piece():
                return False
            self._store.checkpoint(truncate=True)  # what was deleted still stands in the write-ahead log
        self._emptied.discard(run_id)
        return True

    def finish(self, seconds: float) -> None:
        """Go on for up to so many seconds."""
        deadline = time.monotonic() + seconds
        while self._waiting and time.monotonic() < deadline:
            try:
                self.piece()
            except JournalError as error:
                log.warning("rows of purged runs are left in %s: %s", self._store.place.root, error)

    def refuse_all(self) -> None:
        """The journal is closed: whoever waits learns what is left to be done."""
        for run_id, waiters in self._waiting.items():
            for future, _ in waiters:
                refuse(
                    future,
                    JournalClosed(
                        f"the journal {self._store.place.root} was closed. Run {quoted(run_id)} is purged; its rows are deleted"
                        " when the journal is opened again."
                    ),
                )
