"""Rebuilding damaged indexes from rows that are all there."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

from toolslot._errors import JournalCorrupt
from toolslot.journal._disk._opening import create_database
from toolslot.journal._disk._place import DATABASE, Place
from toolslot.journal._doctor._check import rows_are_whole

_ALL = (
    "SELECT rowid, key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"
    " FROM Cache NOT INDEXED ORDER BY rowid"
)
_INSERT = (
    "INSERT INTO Cache(rowid, key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def rebuild(place: Place, connection: sqlite3.Connection) -> str:
    """Rebuild the indexes from the rows; when the old ones cannot even be cleared away, all of the file. Each is one commit.

    Returns what was done.

    Raises:
        JournalCorrupt: it did not help, and the database is as it was.
    """
    if not rows_are_whole(connection):
        raise JournalCorrupt("the rows are not all there, so the index was not rebuilt from them.")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("REINDEX")
        if is_sound(connection):
            connection.execute("COMMIT")
            return "rebuilt the indexes of the database from its rows"
    except sqlite3.DatabaseError:
        pass
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    _write_anew(place, connection)
    return "rewrote the database from its rows, with new indexes"


def _write_anew(place: Place, connection: sqlite3.Connection) -> None:
    # Not VACUUM: it copies the pages of an index as they are.
    scratch = place.root / "db.rebuilt"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        create_database(scratch, "rebuilt")
        with closing(sqlite3.connect(scratch / DATABASE, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous=0")
            copy.execute("BEGIN")
            copy.execute("DELETE FROM Cache")
            copy.executemany(_INSERT, connection.execute(_ALL))
            copy.execute("COMMIT")
            (number,) = connection.execute("SELECT count(value) FROM Cache NOT INDEXED").fetchone()
            (copied,) = copy.execute("SELECT count(value) FROM Cache NOT INDEXED").fetchone()
            if not (is_sound(copy) and rows_are_whole(copy) and number == copied):
                raise JournalCorrupt(
                    "the rewritten rows do not make up a sound database. Nothing was changed."
                )
            copy.backup(connection)  # in one transaction
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def is_sound(connection: sqlite3.Connection) -> bool:
    """Whether SQLite's own check says so."""
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        return False
