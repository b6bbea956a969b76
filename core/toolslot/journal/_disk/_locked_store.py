"""The database under the locks that its writers share. Made and used by one thread only, the writer's."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from typing_extensions import override

from toolslot._crashpoints import CrashPoint, reach
from toolslot._errors import JournalBusy, JournalCorrupt, JournalError, JournalIOError, JournalReplaced
from toolslot.journal._disk import _opening
from toolslot.journal._disk._cache import open_cache
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._intact import Intact
from toolslot.journal._disk._key_row import secrecy_for_writing
from toolslot.journal._disk._log_frames import unread_commits
from toolslot.journal._disk._migrations import migrate
from toolslot.journal._disk._options import Options
from toolslot.journal._disk._owner_lock import OwnerLock, look, sweep
from toolslot.journal._disk._place import Place, check_safe, why_not_writable
from toolslot.journal._disk._read_store import ReadStore
from toolslot.journal._disk._table import Table
from toolslot.journal._disk._view import OwnerLook
from toolslot.journal._queue._items import log

_SQLITE_TIMEOUT = 10.0

#: seconds between looks at our owner lock
_LOOK_EVERY = 1.0


class LockedStore(ReadStore):
    """The open database with its one connection, the commit lock, and this process's owner lock."""

    def __init__(self, place: Place, look: OwnerLook, options: Options, token: str) -> None:
        self._options = options
        self._token = token
        self._broken = False
        #: the files may have been exchanged
        self._suspect = False
        self.place = place
        with self._translated():
            self.lock = CommitLock.shared(place.commit_lock, place.commit_holder)
        try:
            super().__init__(place, look)
        except BaseException:
            self.lock.drop()
            raise

    @override
    def _open(self) -> None:
        with self.locked():
            if not self.lock.in_place():
                raise JournalReplaced(
                    f"{self.place.commit_lock} was exchanged while this process had the journal open, or is just being made by"
                    " another. Try again; if that does not help, restart, and find out who moves files there."
                )
            check_safe(self.place)
            _opening.create_if_missing(self.place, self.lock, self._options.encryption)
            self._look_for_log()
            _opening.refuse_missing(self.place)
            migrate(self.place, self.lock)
            self._connect()
            try:
                sweep(self.place.owners)
                self._owner = OwnerLock(self.place.owners, self._token)
            except BaseException:
                self._cache.close()
                raise

    def _look_for_log(self) -> None:
        """SQLite takes a missing log for an empty one, and a damaged part for its end. Where a process died that may hide records."""
        if not look(self.place.owners).dead:
            return
        wal = self.place.wal
        if not os.path.exists(wal):
            log.warning(
                "%s is missing although a process died with the journal open. If somebody deleted it, the records of the last commits"
                " went with it; if another program has opened and closed the database since then, all is well.",
                wal,
            )
            return
        unread = unread_commits(Path(wal).read_bytes())
        if unread <= 1:  # one that was not acknowledged may be torn
            return
        if self._options.durability == "power":
            raise JournalCorrupt(
                f"{wal} is damaged, and {unread} commits behind the damaged part cannot be read: calls that are recorded there would look"
                " as if they had no record, and might run again. Nothing was changed. Restore a backup, or find out what these calls did:"
                " `toolslot doctor --salvage DIR` brings the rest into a new journal."
            )
        log.warning(
            "%s is damaged: %d commits cannot be read. After a power cut that is what durability='process' allows.",
            wal,
            unread,
        )

    def _connect(self) -> None:
        check_safe(self.place)
        _opening.verify(self.place)
        self._cache, self.connection = open_cache(
            str(self.place.directory),
            timeout=min(_SQLITE_TIMEOUT, self._options.lock_timeout),
            synchronous=self._options.synchronous,
        )
        try:
            self.table = self.reader = Table(self.connection)
            _opening.check_id(self.place, self.lock, self.table)
            self.table.secrecy = secrecy_for_writing(
                self.table,
                self._options.encryption,
                connection=self.connection,
                place=str(self.place.root),
            )
            check_safe(self.place)
            self._intact = Intact(self.place)
            self._next_look = 0.0
        except BaseException:
            self._cache.close()
            raise

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
    def _told(self, error: sqlite3.Error | OSError) -> JournalError:
        """To SQLite a quota and a disk that became read-only are I/O errors; trying to write tells them apart."""
        told = super()._told(error)
        if isinstance(told, JournalIOError) and (reason := why_not_writable(self.place)) is not None:
            return translate(reason, str(self.place.root))
        return told

    @override
    def _ready(self) -> None:
        self._reopen()
        self._check_files()

    def _reopen(self) -> None:
        """diskcache-community closes the connection of a thread that forks, as the writer does when a future's callback forks."""
        try:
            _ = self.connection.in_transaction
        except sqlite3.ProgrammingError:
            self._broken = True
        if self._broken:
            self.reconnect()

    def _hold_owner_lock(self) -> None:
        """Now and then, not in every commit: each look is a system call that lets go of the interpreter's lock."""
        self._next_look = time.monotonic() + _LOOK_EVERY
        self._owner.assert_held()

    def _check_files(self, *, held: bool = False) -> None:
        """Refuse to go on when files were deleted or exchanged; `held` tells that the commit lock is ours."""
        try:
            self._intact.check(self.connection)
        except JournalReplaced as error:
            if not self._intact.log_is_gone():
                raise
            with nullcontext() if held else self.locked():
                raise self._intact.save_log(self.connection) from error

    @override
    def reconnect(self) -> None:
        """Open the database again after an I/O error: what it really holds is only known then."""
        self.states.clear()
        self._broken = True
        with self._translated(), self.locked():
            with suppress(sqlite3.Error):
                self._cache.close()
            self._connect()
        self._broken = False

    def _checkpoint(self, *, truncate: bool) -> None:
        reach(CrashPoint.BEFORE_CHECKPOINT)
        self._empty_log(truncate=truncate)
        self._intact.resized()
        reach(CrashPoint.AFTER_CHECKPOINT)

    def _empty_log(self, *, truncate: bool) -> None:
        if not truncate:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return
        self.connection.execute("PRAGMA busy_timeout=0")  # readers must not hold up the writer
        try:
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout={int(_SQLITE_TIMEOUT * 1000)}")

    @override
    def close(self) -> None:
        """Empty the write-ahead log and let go of everything. An error is told after that."""
        try:
            with self._translated(), self._locked_if_possible() as locked:
                try:
                    if locked and not self._broken:
                        self._check_files(held=True)
                        self._checkpoint(truncate=True)
                        sweep(
                            self.place.owners
                        )  # or their lock files would seem to miss a log that is not needed any more
                    reach(CrashPoint.IN_CLOSE)
                finally:
                    self._cache.close()
                    self._owner.release()
        finally:
            self.lock.drop()
            reach(CrashPoint.AFTER_CLOSE)

    @contextmanager
    def _locked_if_possible(self) -> Generator[bool]:
        """SQLite empties the write-ahead log when the last connection closes, which must not be outside the lock. If the
        lock is not free, its holder has a connection, and this is not the last.
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
