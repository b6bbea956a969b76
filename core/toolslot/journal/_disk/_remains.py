"""Reading what is left of a damaged database: from a copy, row by row, around the pages that cannot be read.

What SQLite hands out here is not believed: each row is only taken with its seal, and each batch only with its tally.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from toolslot._errors import JournalCorrupt
from toolslot.journal._disk._place import DATABASE, Place
from toolslot.journal._disk._seal import unseal

_BLOCK = 4096
#: rows asked for at once while nothing is damaged
_PIECE = 512
#: how many rowids are looked at when nothing tells which is the last
_MOST_ROWIDS = 2**20
#: the index from either end
_NAMES = (
    "SELECT rowid, key FROM Cache INDEXED BY Cache_key_raw WHERE raw = 1 ORDER BY key ASC",
    "SELECT rowid, key FROM Cache INDEXED BY Cache_key_raw WHERE raw = 1 ORDER BY key DESC",
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
        JournalCorrupt: not even a table is left.
        OSError: the copy could not be made.
    """
    remains = Remains()
    copied = scratch / DATABASE
    for name in (place.database, place.wal):
        if os.path.exists(name):
            unreadable = _copy(Path(name), scratch / Path(name).name)
            if unreadable:
                remains.notes.append(f"{unreadable} blocks of {name} could not be read from the disk.")
                remains.nameless = True
    try:
        connection = _open(copied)
    except sqlite3.DatabaseError as error:
        remains.notes.append(
            f"the first page of {place.database} is damaged ({error}), so a new one was put in its place."
        )
        _exchange_first_page(copied, fresh)
        try:
            connection = _open(copied)
        except sqlite3.DatabaseError as again:
            raise JournalCorrupt(
                f"nothing of {place.database} can be read: {again}. The files were left as they are: restore a backup."
            ) from again
    with closing(connection):
        _read(connection, remains)
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


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise sqlite3.DatabaseError("it is missing")
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for setting in ("trusted_schema=0", "cell_size_check=1", "mmap_size=0", "query_only=1"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("SELECT key FROM Cache NOT INDEXED WHERE rowid = 0").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _exchange_first_page(path: Path, fresh: Path) -> None:
    """The first page holds the file's header and the names of its tables, which all journals have alike."""
    page = bytearray(fresh.read_bytes()[:_BLOCK])
    with path.open("r+b" if path.exists() else "w+b") as file:
        size = max(file.seek(0, os.SEEK_END), _BLOCK)
        page[28:32] = (-(-size // _BLOCK)).to_bytes(4, "big")  # the number of pages
        file.seek(0)
        file.write(page)


def _read(connection: sqlite3.Connection, remains: Remains) -> None:
    named, complete = _named(connection)
    gaps = False
    found: dict[str, bytes] = {}
    for rowid, row in _rows(connection, _last(connection, named)):
        if row is None:
            gaps = True
            continue
        key, value = row
        if key is None or not isinstance(value, bytes) or not _is_sealed(key, value):
            remains.lost.add(key or named.get(rowid, ""))
        elif found.setdefault(key, value) != value:
            remains.lost.add(key)  # two rows claim to be this one
    remains.lost |= set(named.values()) - found.keys()
    remains.lost.discard("")
    remains.nameless |= gaps and not complete
    remains.rows = [(key, value) for key, value in found.items() if key not in remains.lost]


def _named(connection: sqlite3.Connection) -> tuple[dict[int, str], bool]:
    """The keys that the index knows, by rowid, and whether these are all: read from both ends, up to where it is damaged."""
    named: dict[int, str] = {}
    complete = False
    for query in _NAMES:
        try:
            for rowid, key in connection.execute(query):
                named[rowid] = str(key)
            complete = True
            break
        except sqlite3.DatabaseError:
            continue
    return named, complete and _index_is_sound(connection, len(named))


def _index_is_sound(connection: sqlite3.Connection, number: int) -> bool:
    try:
        (counted,) = connection.execute("SELECT value FROM Settings WHERE key = 'count'").fetchone()
    except (sqlite3.DatabaseError, TypeError):
        return False
    return bool(counted == number)


def _last(connection: sqlite3.Connection, named: dict[int, str]) -> int:
    try:
        (last,) = connection.execute("SELECT max(rowid) FROM Cache NOT INDEXED").fetchone()
    except sqlite3.DatabaseError:
        last = None
    if type(last) is int and 0 < last < 2**40:
        return max(last, *named, 0) if named else last
    return max(named) + _PIECE if named else _MOST_ROWIDS


def _rows(
    connection: sqlite3.Connection, last: int
) -> Iterator[tuple[int, tuple[str | None, object] | None]]:
    """Rowids and rows in order; None for a place that cannot be read, where a row may be or none."""
    pieces = [(low, min(low + _PIECE, last + 1)) for low in range(1, last + 1, _PIECE)]
    pieces.reverse()
    while pieces:
        low, high = pieces.pop()
        try:
            rows = connection.execute(
                "SELECT rowid, key, value, raw, mode FROM Cache NOT INDEXED WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
                (low, high),
            ).fetchall()
        except sqlite3.DatabaseError:
            if high - low == 1:
                yield low, None
            else:
                middle = (low + high) // 2
                pieces += [(middle, high), (low, middle)]
            continue
        for rowid, key, value, raw, mode in rows:
            known = type(key) is str and raw == 1 and mode == 1
            yield rowid, (key if known else None, value)


def _is_sealed(key: str, value: bytes) -> bool:
    try:
        unseal(key, value)
    except (JournalCorrupt, UnicodeEncodeError):
        return False
    return True
