"""The open database as the writer uses it: transactions, and the upkeep between them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from typing_extensions import override

from toolslot._crashpoints import CrashPoint, reach
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._locked_store import LockedStore
from toolslot.journal._disk._options import Options
from toolslot.journal._disk._place import Place
from toolslot.journal._disk._reads import runs_being_deleted
from toolslot.journal._disk._table import roll_back, transaction
from toolslot.journal._disk._transaction import Transaction
from toolslot.journal._disk._view import OwnerLook
from toolslot.journal._queue._store import Chunks, Group

#: a checkpoint is due when about so many pages were written to the write-ahead log. It holds the lock until all of them are in their places
#: in the database, which may lie far apart.
_CHECKPOINT_PAGES = 500
_PAGE = 4096
#: pages that a small commit writes beside its data
_PAGES_PER_COMMIT = 6
_LONG_LOG = 16 * 2**20
#: what one commit of a purge deletes at most
_DELETE_ROWS = 500
_DELETE_BYTES = 2 * 2**20
#: what deleting a row writes beside its value, roughly: its place in the index and in the table
_ROW = 256
_VACUUM_PAGES = 200


class Store(LockedStore):
    """What a process that writes has of a journal."""

    def __init__(self, place: Place, look: OwnerLook, options: Options, token: str) -> None:
        self._pages = 0
        super().__init__(place, look, options, token)

    @override
    def commit(self, work: Callable[[Group], None]) -> None:
        """Run `work` and commit what it wrote, under the lock. On any failure nothing is written, and memory is as it was.

        Raises:
            JournalError: the database refused; foreign errors are its cause.
        """
        try:
            self._reopen()
            self.lock.acquire(self._options.lock_timeout)
            try:
                if time.monotonic() >= self._next_look:
                    self._hold_owner_lock()
                if self._suspect:
                    self._check_files(held=True)
                view = Transaction(self.table, self.states, self._look, self._options.max_bytes)
                try:
                    self._commit(view, work)
                except BaseException:
                    roll_back(self.connection)
                    view.drop()
                    raise
                view.keep()
            finally:
                self.lock.release()
        except self.faults as error:
            raise self._told(error) from error
        self._wrote(view.size)

    def _commit(self, view: Transaction, work: Callable[[Group], None]) -> None:
        execute = self.connection.execute
        execute("BEGIN IMMEDIATE")
        reach(CrashPoint.AFTER_BEGIN)
        self.states.begin(self.connection)
        work(view)
        view.flush()
        reach(CrashPoint.BEFORE_COMMIT)
        execute("COMMIT")
        reach(CrashPoint.AFTER_COMMIT)
        # Whatever was exchanged before or meanwhile shows here, and nobody is told that it was recorded. After that nothing is written
        # before the files were looked at.
        self._suspect = True
        self._check_files(held=True)
        self._suspect = False

    @override
    def add_chunks(self, chunks: Chunks) -> None:
        """Write parts of a large value, in a commit of their own."""
        with self._translated():
            self._ready()
            with self.locked(), transaction(self.connection):
                for key, body in chunks:
                    self.table.add_once(key, body)
                reach(CrashPoint.IN_CHUNKS)
        self._wrote(sum(len(body) for _, body in chunks))

    # --- upkeep -------------------------------------------------------------------------------------------------

    def _wrote(self, size: int) -> None:
        self._pages += _PAGES_PER_COMMIT + size // _PAGE
        self.upkeep_wanted = True
        self.upkeep_due = self._pages >= _CHECKPOINT_PAGES

    @override
    def upkeep(self, *, idle: bool) -> None:
        self.checkpoint(truncate=idle and self._log_is_long(), timeout=0 if idle else None)

    @override
    def give_back(self) -> None:
        self.checkpoint(truncate=True)  # what was deleted still stands in the write-ahead log

    def _log_is_long(self) -> bool:
        """Whether the write-ahead log has grown so much that its space should be given back. A short one is kept and written over:
        a sync that need not make the file grow is much cheaper.
        """
        with self._translated():
            return os.stat(self.place.wal).st_size > _LONG_LOG

    def checkpoint(self, *, truncate: bool = False, timeout: float | None = None) -> None:
        """Move the write-ahead log into the database. Never outside the lock: SQLite up to 3.51.2 can lose commits
        when two checkpoints meet a commit. What readers still need is left for the next time.
        """
        with self._translated(), self.locked(timeout):
            self._checkpoint(truncate=truncate)
        self._pages, self.upkeep_due, self.upkeep_wanted = 0, False, False

    @override
    def deletions(self) -> list[str]:
        """The runs whose rows are still being deleted."""
        with self._translated():
            return runs_being_deleted(self.reader)

    @override
    def delete_piece(self, run_ids: Iterable[str]) -> list[str]:
        """Delete some rows of dropped runs, in this order; those of which nothing is left."""
        with self._translated():
            self._ready()
            with self.locked(), transaction(self.connection):
                gone = self._delete(run_ids)
                reach(CrashPoint.IN_DELETION)
                return gone

    def _delete(self, run_ids: Iterable[str]) -> list[str]:
        gone: list[str] = []
        most_rows, most_bytes = _DELETE_ROWS, _DELETE_BYTES
        for run_id in run_ids:
            while (mark := self.table.first_key(keys.under(keys.deletions(run_id)))) is not None:
                for bounds in (keys.under(keys.of_deletion(mark)), (mark, mark + "\0")):
                    rows, size = self.table.delete(bounds, most_rows, most_bytes)
                    most_rows, most_bytes = most_rows - rows, most_bytes - size
                    self._wrote(size + rows * _ROW)
                    if most_rows <= 0 or most_bytes <= 0:
                        return gone  # there may be more in this range; the mark goes last
            gone.append(run_id)
        return gone

    @override
    def give_back_piece(self) -> bool:
        """Give some free pages back to the system; whether that was the last of them."""
        with self._translated(), self.locked():
            reach(CrashPoint.BEFORE_VACUUM)
            # As a script: execute() would stop after the first page.
            self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            self._wrote(_VACUUM_PAGES * _PAGE)
            (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
            return not free
