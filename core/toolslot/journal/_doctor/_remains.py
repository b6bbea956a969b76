"""Reading what is left of a damaged database, from a copy of it.

What is found is not believed: each row is only taken with its seal, and each batch only with its tally.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from toolslot._errors import JournalCorrupt
from toolslot.journal._disk._log_frames import unread_commits
from toolslot.journal._disk._place import DATABASE, Place
from toolslot.journal._disk._seal import unseal
from toolslot.journal._doctor._pages import found_rows

_BLOCK = 4096
_MAGIC = b"SQLite format 3\0"
#: the index from either end
_NAMES = (
    "SELECT key FROM Cache INDEXED BY Cache_key_raw WHERE raw = 1 ORDER BY key ASC",
    "SELECT key FROM Cache INDEXED BY Cache_key_raw WHERE raw = 1 ORDER BY key DESC",
)


@dataclass(kw_only=True, slots=True)
class Remains:
    """The rows that could be read, sealed and in the order in which they were written, and what is known of the others."""

    rows: list[tuple[str, bytes]] = field(default_factory=lambda: [])
    #: keys of rows that were there and cannot be read, or not with their seal
    lost: set[str] = field(default_factory=lambda: set())
    #: whether further rows may be lost whose keys nobody knows
    nameless: bool = False
    #: what had to be done to read the file at all
    notes: list[str] = field(default_factory=lambda: [])


def read_remains(place: Place, scratch: Path, fresh: Path) -> Remains:
    """Copy the database into `scratch` and read it there. `fresh` is an empty database of this version, whose first page serves
    when that of the copy is damaged.

    Raises:
        JournalCorrupt: no row is left.
        OSError: the copy could not be made.
    """
    remains = Remains()
    copied = scratch / DATABASE
    for name in (place.database, place.wal):
        if os.path.exists(name) and (unreadable := _copy(Path(name), scratch / Path(name).name)):
            remains.notes.append(f"{unreadable} blocks of {name} could not be read from the disk.")
            remains.nameless = True
    _look_at_log(place, scratch / Path(place.wal).name, remains)
    names, count = _ask_sqlite(copied, fresh, place, remains)
    _take_rows(copied, names, count, remains)
    if not remains.rows:
        raise JournalCorrupt(
            f"no row of {place.database} can be read. The files were left as they are: restore a backup."
        )
    return remains


def _copy(source: Path, target: Path) -> int:
    """Copy a file block by block; how many blocks could not be read. They are zeros in the copy."""
    unreadable = 0
    size = source.stat().st_size
    descriptor = os.open(source, os.O_RDONLY)
    try:
        with target.open("xb") as copy:
            for place in range(0, size, _BLOCK):
                try:
                    copy.write(os.pread(descriptor, _BLOCK, place))
                except OSError:
                    unreadable += 1
                    copy.write(b"\0" * min(_BLOCK, size - place))
    finally:
        os.close(descriptor)
    return unreadable


def _look_at_log(place: Place, copied: Path, remains: Remains) -> None:
    """What SQLite passes over, nothing names: the rows before it look whole."""
    unread = unread_commits(copied.read_bytes()) if copied.exists() else 0
    if unread > 1:
        remains.notes.append(f"{place.wal} is damaged, and {unread} commits after that cannot be read.")
        remains.nameless = True


def _ask_sqlite(copied: Path, fresh: Path, place: Place, remains: Remains) -> tuple[set[str], int | None]:
    """Let SQLite bring its log into the copy, and tell the keys and the number of rows that there should be, as far as it can."""
    try:
        return _names_and_count(copied)
    except sqlite3.DatabaseError as error:
        remains.notes.append(
            f"SQLite cannot open {place.database} ({error}): its first page was taken from a new journal."
        )
    _exchange_first_page(copied, fresh)
    try:
        return _names_and_count(copied)
    except sqlite3.DatabaseError as error:
        remains.notes.append(f"SQLite cannot open it with that page either ({error}); its log was not read.")
        remains.nameless = True
        return set(), None


def _names_and_count(path: Path) -> tuple[set[str], int | None]:
    if not path.exists():
        raise sqlite3.DatabaseError("it is missing")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("trusted_schema=0", "cell_size_check=1", "mmap_size=0"):
            connection.execute(f"PRAGMA {setting}")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.DatabaseError("its log cannot be read")
        connection.execute("SELECT key FROM Cache NOT INDEXED WHERE rowid = 0").fetchall()
        return _names(connection), _count(connection)


def _names(connection: sqlite3.Connection) -> set[str]:
    """The keys that the index knows, read from both ends up to where it is damaged."""
    names: set[str] = set()
    for query in _NAMES:
        try:
            names.update(str(key) for (key,) in connection.execute(query))
            break
        except sqlite3.DatabaseError:
            continue
    return names


def _count(connection: sqlite3.Connection) -> int | None:
    """How many rows diskcache's triggers counted."""
    try:
        (count,) = connection.execute("SELECT value FROM Settings WHERE key = 'count'").fetchone()
    except (sqlite3.DatabaseError, TypeError):
        return None
    return count if type(count) is int else None


def _exchange_first_page(path: Path, fresh: Path) -> None:
    """The first page holds the file's header and the names of its tables, which all journals have alike."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        page_size = _page_size(fresh.read_bytes())
        page = bytearray(fresh.read_bytes()[:page_size])
        size = max(file.seek(0, os.SEEK_END), page_size)
        page[28:32] = (-(-size // page_size)).to_bytes(4, "big")  # the number of pages
        file.seek(0)
        file.write(page)


def _page_size(file: bytes) -> int:
    size = int.from_bytes(file[16:18], "big")
    return 65536 if size == 1 else size if file.startswith(_MAGIC) and size >= 512 else _BLOCK


def _take_rows(copied: Path, names: set[str], count: int | None, remains: Remains) -> None:
    file = copied.read_bytes()
    found: dict[str, tuple[int, bytes]] = {}
    for row in found_rows(file, _page_size(file)):
        if not _is_sealed(row.key, row.value):
            remains.lost.add(row.key)
        elif found.setdefault(row.key, (row.rowid, row.value))[1] != row.value:
            remains.lost.add(row.key)  # two rows claim to be this one
    remains.lost |= names - found.keys()
    whole = sorted((rowid, key, value) for key, (rowid, value) in found.items() if key not in remains.lost)
    remains.rows = [(key, value) for _, key, value in whole]
    if len(names) != count and len(whole) != count:
        remains.nameless = True


def _is_sealed(key: str, value: bytes) -> bool:
    try:
        unseal(key, value)
    except (JournalCorrupt, UnicodeEncodeError):
        return False
    return True
