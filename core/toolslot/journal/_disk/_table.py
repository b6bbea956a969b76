"""The rows of the database, sealed and unsealed on the way."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain

from toolslot._errors import JournalCorrupt
from toolslot.journal._disk._seal import seal, unseal
from toolslot.journal._format._secrecy import Secrecy

# raw = 1 and mode = 1 are diskcache's words for "as it is": the only kind of row that toolslot writes. Expiry and access
# columns are not looked at, so nothing can hide a row.
_GET = "SELECT value, mode, filename FROM Cache WHERE key = ? AND raw = 1"
_SCAN = "SELECT key, value, mode, filename FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key"
_SCAN_BY_AGE = (
    "SELECT key, value, mode, filename FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY rowid"
)
_FIRST = "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key LIMIT 1"
_SOME_NAMES = "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key LIMIT ?"
_NAMES = "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key"
# "+" keeps SQLite from walking the whole table backwards; so it looks at the range in the index alone.
_NEWEST = "SELECT max(+rowid) FROM Cache WHERE key >= ? AND key < ? AND raw = 1"
_BY_ROW = "SELECT key, value, mode, filename FROM Cache WHERE rowid = ?"
#: a row as diskcache writes one that never expires
_INSERT = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, 1, (julianday('now') - 2440587.5) * 86400.0, NULL, (julianday('now') - 2440587.5) * 86400.0, 0, NULL, 0, 1, NULL, ?)"
)
_INSERT_ONCE = f"{_INSERT} ON CONFLICT(key, raw) DO NOTHING"
_REPLACE = (
    f"{_INSERT} ON CONFLICT(key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL,"
    " access_time = excluded.access_time, access_count = 0, tag = NULL, size = 0, mode = 1, filename = NULL,"
    " value = excluded.value"
)
_SIZES = "SELECT rowid, length(value) FROM Cache WHERE key >= ? AND key < ? AND raw = 1 LIMIT ?"

# Each looks at many places at once: so many, numbered from 0, stand in for PLACES. CROSS JOIN keeps SQLite from walking the whole table.
_GET_MANY = (
    "WITH asked(name) AS (VALUES PLACES) SELECT key, value, mode, filename FROM Cache"
    " WHERE key IN (SELECT name FROM asked) AND raw = 1"
)
_SCAN_MANY = (
    "WITH asked(n, a, b) AS (VALUES PLACES) SELECT n, key, value, mode, filename FROM asked CROSS JOIN Cache"
    " WHERE key >= a AND key < b AND raw = 1 ORDER BY n, key"
)
_ANY = (
    "WITH asked(n, a, b) AS (VALUES PLACES)"
    " SELECT EXISTS (SELECT 1 FROM Cache WHERE key >= a AND key < b AND raw = 1) FROM asked ORDER BY n"
)


def _many(query: str, ranges: Sequence[tuple[str, str]]) -> str:
    return query.replace("PLACES", ", ".join(f"({number}, ?, ?)" for number in range(len(ranges))))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Commit what the block writes; on any failure nothing is written."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """A failed COMMIT leaves the transaction open; a full disk may have ended it already."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


class Reader:
    """Reading from one connection. Whether several reads see one snapshot is up to the transaction around them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        # Text where bytes belong is damage like any other. SQLite's own error about it would hold the text.
        connection.text_factory = _decode
        self._execute = connection.execute
        self._executemany = connection.executemany
        self.secrecy = Secrecy()

    def raw(self, key: str) -> bytes | None:
        """The value as it is stored, unchecked; for comparing with what was stored before."""
        found = self._execute(_GET, (key,)).fetchone()
        return None if found is None else _plain(key, *found)

    def get(self, key: str) -> bytes | None:
        value = self.raw(key)
        return None if value is None else unseal(key, value)

    def scan(self, bounds: tuple[str, str]) -> list[tuple[str, bytes]]:
        """Keys from the first bound on and before the second, in key order, with their unsealed values."""
        return [(key, unseal(key, _plain(key, *row))) for key, *row in self._execute(_SCAN, bounds)]

    def scan_raw(self, bounds: tuple[str, str]) -> list[tuple[str, bytes]]:
        """Like `scan`, but sealed."""
        return [(key, _plain(key, *row)) for key, *row in self._execute(_SCAN, bounds)]

    def raw_of(self, names: Sequence[str]) -> list[bytes | None]:
        """As `raw`, for each of many keys; None also for what is damaged."""
        rows = self._execute(_GET_MANY.replace("PLACES", ", ".join(["(?)"] * len(names))), names)
        found = {key: value for key, value, mode, filename in rows if mode == 1 and filename is None}
        return [found.get(name) for name in names]

    def scan_ranges(
        self, ranges: Sequence[tuple[str, str]]
    ) -> list[list[tuple[str, bytes]] | JournalCorrupt]:
        """As `scan_raw`, for each of many ranges; in the place of one it comes what is wrong there."""
        found: list[list[tuple[str, bytes]] | JournalCorrupt] = [[] for _ in ranges]
        for number, key, *row in self._execute(_many(_SCAN_MANY, ranges), list(chain(*ranges))):
            rows = found[int(number)]
            if isinstance(rows, JournalCorrupt):
                continue
            try:
                rows.append((key, _plain(key, *row)))
            except JournalCorrupt as error:
                found[number] = error
        return found

    def any_in(self, ranges: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether there is a key in each of many ranges."""
        return [bool(one) for (one,) in self._execute(_many(_ANY, ranges), list(chain(*ranges)))]

    def scan_by_age(self, bounds: tuple[str, str]) -> list[tuple[str, bytes | None]]:
        """Keys and unsealed values in the order in which the rows were first written; None for a damaged value."""
        return [(key, _readable(key, row)) for key, *row in self._execute(_SCAN_BY_AGE, bounds)]

    def first_key(self, bounds: tuple[str, str]) -> str | None:
        """The first key of a range."""
        found = self._execute(_FIRST, bounds).fetchone()
        return None if found is None else found[0]

    def names(self, bounds: tuple[str, str]) -> list[str]:
        """The keys of a range, in key order."""
        return [key for (key,) in self._execute(_NAMES, bounds)]

    def some_names(self, bounds: tuple[str, str], most: int) -> list[str]:
        """The first of them."""
        return [key for (key,) in self._execute(_SOME_NAMES, (*bounds, most))]

    def folders(self, bounds: tuple[str, str]) -> Generator[str]:
        """What the keys of a range have before their last part, each once."""
        begin, end = bounds
        while (key := self.first_key((begin, end))) is not None:
            folder = key[: key.rindex("/") + 1]
            yield folder
            begin = folder[:-1] + "0"

    def newest(self, bounds: tuple[str, str]) -> tuple[str, bytes | None]:
        """The row of a range, which has some, that was first written last; as in `scan_by_age`."""
        key, *row = self._execute(_BY_ROW, self._execute(_NEWEST, bounds).fetchone()).fetchone()
        return key, _readable(key, row)


class Table(Reader):
    """Reading and writing, inside a transaction that the caller has begun.

    Rows are written as diskcache's `add` and `set` leave them, with one statement each instead of two and three.
    """

    def add(self, key: str, body: bytes) -> None:
        """Write a row that must not exist yet.

        Raises:
            JournalCorrupt: it exists.
        """
        self.add_sealed([(key, seal(key, body))])

    def add_sealed(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """The same for many, sealed already."""
        try:
            self._executemany(_INSERT, rows)
        except sqlite3.IntegrityError as error:
            key = next((key for key, _ in rows if self.raw(key) is not None), rows[0][0])
            raise JournalCorrupt(
                f"the journal's row {key!r} exists although it was to be written now: somebody wrote without the journal's"
                " lock, or restored an older copy. Nothing was recorded. Run `toolslot doctor`."
            ) from error

    def add_once(self, key: str, body: bytes) -> None:
        """Write a row unless it exists."""
        self._execute(_INSERT_ONCE, (key, seal(key, body)))

    def put(self, key: str, body: bytes) -> None:
        """Write or replace a row."""
        self.put_sealed([(key, seal(key, body))])

    def put_sealed(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """The same for many, sealed already."""
        self._executemany(_REPLACE, rows)

    def delete(self, bounds: tuple[str, str], most_rows: int, most_bytes: int = 2**62) -> tuple[int, int]:
        """Delete rows of a range until one of the limits is reached; how many, and the bytes of their values."""
        rows: list[tuple[int]] = []
        size = 0
        for rowid, length in self._execute(_SIZES, (*bounds, most_rows)):
            rows.append((rowid,))
            size += length or 0
            if size >= most_bytes:
                break
        self._executemany("DELETE FROM Cache WHERE rowid = ?", rows)
        return len(rows), size


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _readable(key: str, row: Sequence[object]) -> bytes | None:
    try:
        return unseal(key, _plain(key, *row))
    except JournalCorrupt:
        return None


def _plain(key: object, value: object = None, mode: object = None, filename: object = None) -> bytes:
    if mode != 1 or filename is not None or type(value) is not bytes:
        raise JournalCorrupt(
            f"the journal's row {key!r} is of a kind that toolslot never writes: it was planted or damaged, and not decoded."
        )
    return value
