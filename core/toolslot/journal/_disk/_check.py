"""Examining a journal: every seal, every tally, every reference."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from toolslot._errors import JournalCorrupt
from toolslot._slot import BatchKey
from toolslot._text import quoted
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._loading import load
from toolslot.journal._disk._place import Place, check_safe
from toolslot.journal._disk._read_store import open_for_reading
from toolslot.journal._disk._reads import key_of_index, runs_being_deleted
from toolslot.journal._disk._states import Entry
from toolslot.journal._disk._table import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalReport:
    """What an examination found. `problems` are damages; `notes` are worth knowing and no damage."""

    path: str
    journal_id: str
    batches: int
    rows: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.problems


def examine(place: Place) -> JournalReport:
    """Read the whole journal through a connection of its own, from one snapshot.

    Raises:
        JournalError: it cannot be opened, or is none.
    """
    check_safe(place, read_only=True)
    try:
        with closing(open_for_reading(place)) as connection:
            connection.execute("BEGIN")
            return _examine(place, connection)
    except sqlite3.Error as error:
        raise translate(error, str(place.root)) from error


def _examine(place: Place, connection: sqlite3.Connection) -> JournalReport:
    reader = Reader(connection)
    problems = [f"SQLite: {line}" for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    indexed: set[BatchKey] = set()
    batches = rows = 0
    for name, body in reader.scan_by_age(keys.under(keys.BATCH_INDEX)):
        if body is None:
            problems.append(f"the row {name!r} of the list of batches is damaged.")
        try:
            key = key_of_index(name, body)
            indexed.add(key)
            found = load(reader, key)
        except JournalCorrupt as error:
            problems.append(str(error))
            continue
        if isinstance(found, Entry):
            batches += 1
            rows += found.rows
        else:
            problems.append(f"batch {key} is listed, but its rows are gone.")
    problems += _strays(reader, connection, indexed)
    return JournalReport(
        path=str(place.root),
        journal_id=(reader.get(keys.JOURNAL_ID) or b"").decode("ascii", "replace"),
        batches=batches,
        rows=rows,
        problems=tuple(problems),
        notes=tuple(_notes(reader)),
    )


def _strays(reader: Reader, connection: sqlite3.Connection, indexed: set[BatchKey]) -> Iterator[str]:
    """Rows of batches that are not listed, and rows that toolslot does not write."""
    dropped = tuple(f"{keys.BATCHES}{keys.component(run_id)}/" for run_id in runs_being_deleted(reader))
    known = {keys.batch_prefix(key) for key in indexed}
    strays: set[str] = set()
    for name in _names(connection, keys.under(keys.BATCHES)):
        prefix, _, last = name.rpartition("/")
        # Chunks of a batch that was never reserved, and aliases, have no entry in the list.
        if (
            prefix + "/" not in known
            and last != "#a"
            and not last.startswith("~")
            and not name.startswith(dropped)
        ):
            strays.add(prefix)
    for prefix in sorted(strays):
        yield f"the rows {prefix!r} belong to a batch that is not listed."
    query = "SELECT count(*) FROM Cache WHERE raw <> 1 OR mode <> 1 OR filename IS NOT NULL OR expire_time IS NOT NULL"
    (foreign,) = connection.execute(query).fetchone()
    if foreign:
        yield f"{foreign} rows are of a kind that toolslot never writes. They were not decoded."


def _names(connection: sqlite3.Connection, bounds: tuple[str, str]) -> Iterator[str]:
    for (name,) in connection.execute(
        "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key", bounds
    ):
        yield name


def _notes(reader: Reader) -> Iterator[str]:
    for run_id in runs_being_deleted(reader):
        yield f"run {quoted(run_id)} is purged; the next process that opens the journal goes on deleting its rows."
    if engine_loses_commits(sqlite3.sqlite_version_info):
        # No warning at every start: toolslot's own processes are safe, since they commit and checkpoint one at a time.
        yield (
            f"SQLite {sqlite3.sqlite_version} can damage a database when two checkpoints meet a commit (mended in 3.51.3)."
            " toolslot's own lock prevents that; do not let other programs write or checkpoint this database."
        )


def engine_loses_commits(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the defect of write-ahead logs that 3.51.3 mended (and 3.50.7 and 3.44.6 in their lines)."""
    if version[:2] in ((3, 44), (3, 50)):
        return version < ((3, 44, 6) if version[1] == 44 else (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3)
