"""Every error of SQLite and of the system is told as one of ours, with its cause, the path, and what to do."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from toolslot._errors import (
    JournalBusy,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalIOError,
    JournalReadOnly,
    JournalUnavailable,
    JournalUnsafe,
    JournalUnsupported,
)
from toolslot.journal._disk._faults import translate


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.OperationalError("database is locked"), JournalBusy),
        (sqlite3.OperationalError("database or disk is full"), JournalFull),
        (sqlite3.OperationalError("attempt to write a readonly database"), JournalReadOnly),
        (sqlite3.OperationalError("unable to open database file"), JournalUnavailable),
        (sqlite3.OperationalError("disk I/O error"), JournalIOError),
        (sqlite3.DatabaseError("database disk image is malformed"), JournalCorrupt),
        (sqlite3.DatabaseError("file is not a database"), JournalCorrupt),
        (sqlite3.OperationalError('no such column: "size"'), JournalUnsupported),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), JournalIOError),
        (OSError(errno.ENOSPC, "No space left on device", "f"), JournalFull),
        (OSError(errno.EROFS, "Read-only file system", "f"), JournalReadOnly),
        (OSError(errno.EACCES, "Permission denied", "f"), JournalReadOnly),
        (OSError(errno.EMFILE, "Too many open files", "f"), JournalUnavailable),
        (OSError(errno.ENOTDIR, "Not a directory", "f"), JournalUnavailable),
        (OSError(errno.EIO, "Input/output error", "f"), JournalIOError),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "f"), JournalUnsafe),
    ],
)
def test_an_error_is_told_by_kind_place_and_advice(
    error: sqlite3.Error | OSError, kind: type[JournalError]
) -> None:
    told = translate(error, "/the/journal")
    assert type(told) is kind
    assert "/the/journal" in str(told)
    assert str(error) in str(told)
    assert any(word in str(told) for word in ("recorded", "durable", "repaired"))


def test_real_errors_of_this_sqlite_are_known() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count=2")
    with pytest.raises(sqlite3.Error) as full:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert type(translate(full.value, "x")) is JournalFull
    connection.execute("PRAGMA query_only=1")
    with pytest.raises(sqlite3.Error) as read_only:
        connection.execute("INSERT INTO t VALUES (1)")
    assert type(translate(read_only.value, "x")) is JournalReadOnly
    connection.close()
    with pytest.raises(sqlite3.Error) as missing:
        sqlite3.connect("/no/such/directory/file")
    assert type(translate(missing.value, "x")) is JournalUnavailable
