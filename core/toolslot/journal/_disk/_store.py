"""The open database and its locks. Made and used by one thread only, the writer's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from typing_extensions import override

from toolslot._errors import JournalBusy, JournalError, JournalReplaced
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk import _opening
from toolslot.journal._disk._cache import open_cache
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._faults import is_timeout
from toolslot.journal._disk._owner_lock import OwnerLock, sweep
from toolslot.journal._disk._place import Place, check_safe
from toolslot.journal._disk._read_store import ReadStore
from toolslot.journal._disk._reads import runs_being_deleted
from toolslot.journal._disk._table import Table
from toolslot.journal._disk._transaction import Transaction

#: a checkpoint is due when about so many pages were written to the write-ahead log
_CHECKPOINT_PAGES = 1000
_PAGE = 4096
#: pages that a small commit writes beside its data
_PAGES_PER_COMMIT = 6
_SQLITE_TIMEOUT = 10.0
#: what one commit of a purge deletes at most
_DELETE_ROWS = 500
_DELETE_BYTES = 2 * 2**20
_VACUUM_PAGES = 500
_LONG_LOG = 16 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What `DiskJournal.open` was given."""

    synchronous: int
    lock_timeout: float
    max_bytes: int


class Store(ReadStore):
    """The database with its one connection, its commit lock and this process's owner lock."""

    def __init__(self, place: Place, options: Options, token: str) -> None:
        self._options = options
        self._token = token
        self._pages = 0
        self._broken = False
        self.place = place
        with self._translated():
            self.lock = CommitLock.shared(place.commit_lock, place.commit_holder)
        try:
            super().__init__(place)
        except BaseException:
            self.lock.drop()
            raise

    @override
    def _open(self) -> None:
        with self.locked():
            if not self.lock.in_place():
                raise self._replaced()
            check_safe(self.place)
            _opening.create_if_missing(self.place, self.lock)
            self._connect()
            try:
                self._owner = OwnerLock(self.place.owners, self._token)
                sweep(self.place.owners)
            except BaseException:
                self._cache.close()
                raise

    def _connect(self) -> None:
        check_safe(self.place)
        _opening.verify(self.place)
        self._cache, self.connection = open_cache(
            str(self.place.directory),
            timeout=min(_SQLITE_TIMEOUT, self._options.lock_timeout),
            synchronous=self._options.synchronous,
        )
        try:
            self.table = self.reader = Table(self._cache, self.connection)
            _opening.check_id(self.place, self.lock, self.table)
            check_safe(self.place)
            self._identity = self.place.identity()
        except BaseException:
            self._cache.close()
            raise

    # --- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, timeout: float | None = None) -> Generator[None]:
        """Hold the commit lock.

        Raises:
            JournalBusy: it was not free in time.
        """
        self.lock.acquire(self._options.lock_timeout if timeout is None else timeout)
        try:
            yield
        finally:
            self.lock.release()

    @override
    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """Commit what the block applies, under the lock. On any failure nothing is written, and memory is as it was.

        Raises:
            JournalError: the database refused; foreign errors are its cause.
        """
        with self._translated():
            self._ready()
            with self.locked():
                self._owner.assert_held()
                view = Transaction(self.table, self.states, self._options.max_bytes)
                with self._transact():
                    yield view
                    view.flush()
                self._check_identity()
            view.keep()
            for run_id in view.dropped:
                self.states.forget_run(run_id)
            self._wrote(view.size)

    @override
    def add_chunks(self, chunks: tuple[tuple[str, bytes], ...]) -> None:
        """Write parts of a large value, in a commit of their own."""
        with self._translated():
            self._ready()
            with self.locked(), self._transact():
                for key, body in chunks:
                    self.table.add_once(key, body)
        self._wrote(sum(len(body) for _, body in chunks))

    @contextmanager
    def _transact(self) -> Generator[None]:
        try:
            with self._cache.transact(retry=False):
                yield
        except BaseException as error:
            # A failed COMMIT leaves the transaction open. A full disk has ended it already; then diskcache's own
            # ROLLBACK fails, and hides the reason.
            if self.connection.in_transaction:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
            if is_timeout(error):
                raise self._why_not_begun() from error
            if (
                isinstance(error, sqlite3.Error)
                and "no transaction is active" in str(error)
                and error.__context__
            ):
                raise error.__context__ from None
            raise

    def _why_not_begun(self) -> sqlite3.Error | JournalError:
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            return error
        self.connection.execute("ROLLBACK")
        return JournalBusy(
            f"the journal {self.place.root}: another program held SQLite's lock on it for too long. Nothing was"
            " recorded; try again."
        )

    @override
    def _ready(self) -> None:
        if self._broken or _is_closed(self.connection):
            self.reconnect()
        self._check_identity()

    def _check_identity(self) -> None:
        if self.place.identity() != self._identity:
            raise self._replaced()

    def _replaced(self) -> JournalReplaced:
        return JournalReplaced(
            f"the files of the journal {self.place.root} were exchanged while it was open. What this process recorded"
            " since then may be lost, and nothing more is taken. Restart it, and find out who moves files there."
        )

    @override
    def reconnect(self) -> None:
        """Open the database anew after an I/O error: what it really holds is only known then."""
        self.states.clear()
        self._broken = True
        with self._translated(), self.locked():
            with suppress(sqlite3.Error):
                self._cache.close()
            self._connect()
        self._broken = False

    # --- upkeep -------------------------------------------------------------------------------------------------

    @property
    @override
    def checkpoint_due(self) -> bool:
        return self._pages >= _CHECKPOINT_PAGES

    @property
    @override
    def checkpoint_wanted(self) -> bool:
        """Whether anything was written since the last checkpoint."""
        return self._pages > 0

    @property
    @override
    def log_is_long(self) -> bool:
        """Whether the write-ahead log has grown so much that its space should be given back. A short one is kept and written over:
        a sync that need not make the file grow is much cheaper.
        """
        with self._translated():
            return os.stat(self.place.wal).st_size > _LONG_LOG

    def _wrote(self, size: int) -> None:
        self._pages += _PAGES_PER_COMMIT + size // _PAGE

    @override
    def checkpoint(self, *, truncate: bool = False, timeout: float | None = None) -> None:
        """Move the write-ahead log into the database. Never outside the lock: SQLite up to 3.51.2 can lose commits
        when two checkpoints meet a commit. What readers still need is left for the next time.
        """
        with self._translated(), self.locked(timeout):
            self._checkpoint(truncate=truncate)

    def _checkpoint(self, *, truncate: bool) -> None:
        if not truncate:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._pages = 0
            return
        self.connection.execute("PRAGMA busy_timeout=0")  # readers must not hold up the writer
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout={int(_SQLITE_TIMEOUT * 1000)}")
        self._pages = 0

    @override
    def deletions(self) -> list[str]:
        """The runs whose rows are still being deleted."""
        with self._translated():
            return runs_being_deleted(self.reader)

    @override
    def delete_piece(self, run_id: str) -> bool:
        """Delete some rows of a dropped run; whether nothing was left to delete."""
        with self._translated():
            self._ready()
            with self.locked(), self._transact():
                self._wrote(_DELETE_BYTES)
                if any(
                    self.table.delete(bounds, _DELETE_ROWS, _DELETE_BYTES) for bounds in keys.of_run(run_id)
                ):
                    return False
                mark = keys.deletion(run_id)
                self.table.delete((mark, mark + "\0"), 1)
                return True

    @override
    def vacuum_piece(self) -> bool:
        """Give some free pages back to the system; whether that was the last of them."""
        with self._translated(), self.locked():
            # As a script: execute() would stop after the first page.
            self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
            self._wrote(_VACUUM_PAGES * _PAGE)
            (free,) = self.connection.execute("PRAGMA freelist_count").fetchone()
            return not free

    @override
    def close(self) -> None:
        """Empty the write-ahead log and let go of everything. An error is told after that."""
        try:
            with self._translated(), self._locked_if_possible() as locked:
                try:
                    if locked and not self._broken and self.place.identity() == self._identity:
                        self._checkpoint(truncate=True)
                finally:
                    self._cache.close()
                    self._owner.release()
        finally:
            self.lock.drop()

    @contextmanager
    def _locked_if_possible(self) -> Generator[bool]:
        """SQLite empties the write-ahead log when the last connection closes, which must not be outside the lock. If the
        lock cannot be had, whoever holds it has a connection, and this is not the last.
        """
        try:
            self.lock.acquire(self._options.lock_timeout)
        except JournalBusy:
            yield False
            return
        try:
            yield True
        finally:
            self.lock.release()


def _is_closed(connection: sqlite3.Connection) -> bool:
    """diskcache-community closes the connection of a thread that forks, as the writer does when a future's callback forks."""
    try:
        _ = connection.in_transaction
    except sqlite3.ProgrammingError:
        return True
    return False
