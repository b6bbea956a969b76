"""The open database for reading: what the writing store is built on, and all that a read-only journal has."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from toolslot._errors import JournalError, JournalReadOnly, JournalUnavailable
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._key_row import secrecy_for_reading
from toolslot.journal._disk._opening import uri, verify_connection
from toolslot.journal._disk._place import Place, check_safe
from toolslot.journal._disk._states import States
from toolslot.journal._disk._table import Reader
from toolslot.journal._disk._view import OwnerLook, Snapshot
from toolslot.journal._format._encryption import Encryption
from toolslot.journal._queue import _store as queue

_SQLITE_TIMEOUT = 5.0


class ReadStore:
    """Reads from snapshots and refuses everything else. Made and used by one thread only, the writer's."""

    group_bytes = 4 * 2**20
    #: mapped by `_translated`, and nowhere else
    faults = (sqlite3.Error, OSError)

    def __init__(self, place: Place, look: OwnerLook, encryption: Encryption | None = None) -> None:
        self.place = place
        self._look = look
        self._encryption = encryption
        self.states = States()
        with self._translated():
            self._open()

    @property
    def name(self) -> str:
        return str(self.place.root)

    @property
    def digest_key(self) -> bytes | None:
        return self.reader.secrecy.digest_key

    def _open(self) -> None:
        check_safe(self.place, read_only=True)
        self.connection, self._still = connect_for_reading(self.place)
        self.reader = Reader(self.connection)
        self.reader.secrecy = secrecy_for_reading(self.reader, self._encryption, place=str(self.place.root))

    @contextmanager
    def snapshot(self) -> Generator[Snapshot]:
        """Read, without any lock: writers do not wait for it, nor it for them."""
        with self._translated():
            self._ready()
            view = Snapshot(self.reader, self.states, self._look)
            self.connection.execute("BEGIN")
            try:
                self.states.begin(self.connection)
                yield view
            finally:
                self.connection.execute("ROLLBACK")
            view.keep()

    def _ready(self) -> None:
        """Called before every transaction. SQLite never looks again at a file that it was told lies still."""
        if self._still is not None and (_size(self.place.wal) or _lying(self.place) != self._still):
            self.reconnect()

    def commit(self, work: Callable[[queue.Group], None]) -> None:
        """Refuses."""
        raise self._refusal()

    def add_chunks(self, chunks: queue.Chunks) -> None:
        """Refuses."""
        raise self._refusal()

    def _refusal(self) -> JournalReadOnly:
        return JournalReadOnly(
            f"the journal {self.place.root} was opened with read_only=True. Nothing was recorded; open it without, to write."
        )

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except self.faults as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error | OSError) -> JournalError:
        return translate(error, str(self.place.root))

    def reconnect(self) -> None:
        """Open the database again, after an error."""
        self.states.clear()
        with self._translated():
            self.connection.close()
            self._open()

    # --- upkeep, of which a reader has none ---------------------------------------------------------------------

    upkeep_due: bool = False
    upkeep_wanted: bool = False

    def upkeep(self, *, idle: bool) -> None:
        """Refuses."""
        raise self._refusal()

    def give_back(self) -> None:
        """Refuses."""
        raise self._refusal()

    def deletions(self) -> list[str]:
        """The runs whose rows this process must delete."""
        return []

    def delete_piece(self, run_ids: Iterable[str]) -> list[str]:
        """Refuses."""
        raise self._refusal()

    def give_back_piece(self) -> bool:
        """Refuses."""
        raise self._refusal()

    def close(self) -> None:
        """Let go of the database."""
        with self._translated():
            self.connection.close()


def open_for_reading(place: Place) -> sqlite3.Connection:
    """A connection that can change nothing, for the calling thread.

    Raises:
        JournalUnavailable: there is no journal.
    """
    connection, _ = connect_for_reading(place)
    return connection


_Still = tuple[int, int, int]


def connect_for_reading(place: Place) -> tuple[sqlite3.Connection, _Still | None]:
    """As `open_for_reading`, and what changes when the database is written, if it is read as it lies. SQLite does not look again then."""
    if not os.path.exists(place.database):
        raise JournalUnavailable(f"there is no journal in {place.root} to read. Check the path.")
    still = None if os.path.exists(place.wal) or os.access(place.directory, os.W_OK) else _lying(place)
    try:
        return _connect(place, still), still
    except sqlite3.OperationalError:
        # On a full disk there is no room for the files with which SQLite shares a database. When all is in the database, none are needed.
        still = None if still is not None or _size(place.wal) else _lying(place)
        if still is None:
            raise
        return _connect(place, still), still


def _connect(place: Place, still: _Still | None) -> sqlite3.Connection:
    target = uri(place.database, "ro") + ("" if still is None else "&immutable=1")
    connection = sqlite3.connect(target, uri=True, timeout=_SQLITE_TIMEOUT, isolation_level=None)
    try:
        for setting in ("trusted_schema=0", "cell_size_check=1", "mmap_size=0", "query_only=1"):
            connection.execute(f"PRAGMA {setting}")
        verify_connection(place, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _lying(place: Place) -> _Still | None:
    """What changes when the database is written, also by somebody who then opens it."""
    try:
        status = os.stat(place.database)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
