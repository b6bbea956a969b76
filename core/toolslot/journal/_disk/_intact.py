"""Whether the files of an open journal still are those that were opened, and whole."""

from __future__ import annotations

import os
import sqlite3

from toolslot._errors import JournalReplaced
from toolslot.journal._disk._place import Place


class Intact:
    """Remembers the files of a journal that has just been opened. For the thread that has the connection."""

    def __init__(self, place: Place) -> None:
        self._place = place
        lock, base, log = _files(place)
        #: device and inode of each
        self._identity = (lock.st_dev, lock.st_ino, base.st_dev, base.st_ino, log.st_dev, log.st_ino)
        self._size = 0
        self.resized()

    def resized(self) -> None:
        """A checkpoint of this process may have made the database shorter."""
        self._size = os.stat(self._place.database).st_size

    def check(self, connection: sqlite3.Connection) -> None:
        """Costs a few system calls, unless the database became shorter than it was.

        Raises:
            JournalReplaced: a file was deleted, exchanged, emptied or cut.
        """
        lock, base, log = _files(self._place)
        if (lock.st_dev, lock.st_ino, base.st_dev, base.st_ino, log.st_dev, log.st_ino) != self._identity:
            raise JournalReplaced(
                f"the files of the journal {self._place.root} were exchanged while it was open. What this process recorded"
                " since then may be lost, and nothing more is taken. Restart it, and find out who moves files there."
            )
        size = base.st_size
        if size < self._size:
            if not _gave_back(connection, size):
                raise JournalReplaced(
                    f"{self._place.database} was cut from {self._size} to {size} bytes while the journal was open. Nothing more is"
                    " taken. End all processes that use it and restore a backup; `toolslot doctor --salvage DIR` tells what is left."
                )
            self._size = size

    def log_is_gone(self) -> bool:
        """Whether the write-ahead log was deleted, and nothing else happened to the files."""
        try:
            lock, base = os.stat(self._place.commit_lock), os.stat(self._place.database)
        except FileNotFoundError:
            return False
        same = (lock.st_dev, lock.st_ino, base.st_dev, base.st_ino) == self._identity[:4]
        return same and not os.path.exists(self._place.wal)

    def save_log(self, connection: sqlite3.Connection) -> JournalReplaced:
        """Bring the log, which this connection still has although its name is gone, into the database. Only under the commit lock, and
        before anybody has made a new one. Returns the error to raise.
        """
        (busy, pages, moved) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        kept = (
            "All that was recorded has been brought into the database, and nothing more is taken: restart this process, and find out"
            " who deletes files there."
            if not busy and pages == moved
            else "What was recorded last may be lost, and nothing more is taken. Restart this process and those that read the"
            " journal, and find out who deletes files there."
        )
        return JournalReplaced(f"{self._place.wal} was deleted while the journal was open. {kept}")


def _files(place: Place) -> tuple[os.stat_result, os.stat_result, os.stat_result]:
    """The files that must stay the same while the journal is open.

    Raises:
        JournalReplaced: one of them is gone.
    """
    try:
        return os.stat(place.commit_lock), os.stat(place.database), os.stat(place.wal)
    except FileNotFoundError as error:
        raise JournalReplaced(
            f"{error.filename} was deleted while the journal {place.root} was open. What this process recorded since then"
            " is lost with it, and nothing more is taken. Restore the directory, or begin a new journal, and restart."
        ) from error


def _gave_back(connection: sqlite3.Connection, size: int) -> bool:
    """Whether the database is shorter because another process gave free pages back to the system."""
    if not size:
        return False
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if pages * page_size == size:
            return True  # all of it lies in the file
        connection.execute("PRAGMA shrink_memory")  # what it holds in memory says nothing of the file
        return connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False
