"""SQLite's and the system's errors as journal errors: the one place where they are told apart.

Every message says what happened, to which file, whether the record is durable, and what to do.
"""

from __future__ import annotations

import errno
import sqlite3

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

#: SQLite's texts, since Python 3.10 knows no error codes; they have been the same for many years.
_BY_TEXT: tuple[tuple[str, type[JournalError]], ...] = (
    ("database is locked", JournalBusy),
    ("database table is locked", JournalBusy),
    ("database or disk is full", JournalFull),
    ("attempt to write a readonly database", JournalReadOnly),
    ("unable to open database file", JournalUnavailable),
    ("disk i/o error", JournalIOError),
    ("malformed", JournalCorrupt),
    ("could not decode", JournalCorrupt),
    ("file is not a database", JournalCorrupt),
    ("no such column", JournalUnsupported),
)
_BY_ERRNO: dict[int | None, type[JournalError]] = {
    errno.ENOSPC: JournalFull,
    errno.EDQUOT: JournalFull,
    errno.EROFS: JournalReadOnly,
    errno.EACCES: JournalReadOnly,
    errno.EPERM: JournalReadOnly,
    errno.EIO: JournalIOError,
    errno.ELOOP: JournalUnsafe,
}
_ADVICE: dict[type[JournalError], str] = {
    JournalBusy: (
        "another program holds SQLite's own lock on it, beside the journal's lock. Nothing was recorded; try again, and close"
        " whatever else has the database open."
    ),
    JournalFull: "nothing of this was recorded; what was recorded before is safe and can be read. Make room, then try again.",
    JournalReadOnly: "nothing was recorded. Make it writable for this user, or look at it with read_only=True.",
    JournalUnavailable: (
        "nothing was recorded. Check that the directory exists, that it is a directory, and that the process may open more"
        " files."
    ),
    JournalIOError: (
        "whether the record is durable is unknown until the journal is opened again. Look at the system's log for disk errors."
    ),
    JournalCorrupt: "nothing was repaired, recreated or deleted. `toolslot doctor` tells what can still be read.",
    JournalUnsafe: "a file of the journal was exchanged for a symbolic link. It was not followed, and nothing was recorded.",
    JournalUnsupported: (
        "this SQLite was built without double-quoted text literals, which diskcache 5.6.3 needs: install diskcache-community."
        " Nothing was recorded."
    ),
}


def translate(error: sqlite3.Error | OSError, place: str) -> JournalError:
    """The journal error that `error` means at `place`. The caller raises it `from error`."""
    kind = _of_system(error) if isinstance(error, OSError) else _of_sqlite(error)
    return kind(f"the journal {place}: {error}: {_ADVICE[kind]}")


def _of_sqlite(error: sqlite3.Error) -> type[JournalError]:
    text = str(error).lower()
    for part, kind in _BY_TEXT:
        if part in text:
            return kind
    return JournalCorrupt if type(error) is sqlite3.DatabaseError else JournalIOError


def _of_system(error: OSError) -> type[JournalError]:
    return _BY_ERRNO.get(error.errno, JournalUnavailable)
