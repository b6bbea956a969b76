"""Bringing a journal of an older format up to this version's: named steps, all in one transaction, after a complete copy."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from toolslot._errors import JournalCorrupt, JournalTooOld
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk import _opening
from toolslot.journal._disk._alone import back_up, refuse_if_open
from toolslot.journal._disk._chunks import dumps
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._place import Place
from toolslot.journal._disk._seal import seal, unseal

log = logging.getLogger("toolslot")


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step, to format `to` from the one before. `apply` changes rows inside a transaction that it neither begins nor ends; it
    never drops a record, and must not depend on code that later versions change. A released step is never edited.
    """

    name: str
    to: int
    apply: Callable[[sqlite3.Connection], None]


def _tombstones_of_batches(connection: sqlite3.Connection) -> None:
    """A purge of format 1 forgot a run for ever, and deleted its rows by the run's name; what it had begun to delete goes now.

    And what every batch of format 1 is called is noted down: adapters named batches by other rules, so a resume would not find them.
    """
    for key, _ in _rows(connection, "d/"):
        part = key[2:]
        for kind in "blpi":
            _delete(connection, f"{kind}/{part}/")
        connection.execute("DELETE FROM Cache WHERE key = ? AND raw = 1", (key,))
    for key, _ in _rows(connection, "t/"):
        connection.execute("DELETE FROM Cache WHERE key = ? AND raw = 1", (key,))
        _put(connection, f"{key}/*", b"{}")
    for key, value in _rows(connection, "i/"):
        with suppress(JournalCorrupt):  # the doctor's; what the batch is called is then not known
            _put(connection, f"o/{key[2:]}", unseal(key, value))


def _rows(connection: sqlite3.Connection, kind: str) -> list[tuple[str, bytes]]:
    query = "SELECT key, value FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY rowid"
    return connection.execute(query, (kind, f"{kind[:-1]}0")).fetchall()


def _delete(connection: sqlite3.Connection, prefix: str) -> None:
    connection.execute(
        "DELETE FROM Cache WHERE key >= ? AND key < ? AND raw = 1", (prefix, f"{prefix[:-1]}0")
    )


#: in order; the last one leads to `SCHEMA`
MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        name="a purge forgets batches, and batches of older rules are known",
        to=2,
        apply=_tombstones_of_batches,
    ),
)


def migrate(place: Place, lock: CommitLock) -> None:
    """Bring an older journal up to this version's format; does nothing to any other. Only under the commit lock, and while no other
    process has the journal open, which might know the old format only. Killed or failing at any moment, it leaves the old format whole.

    Raises:
        JournalTooOld: there is no way from its format.
        JournalBusy: another process has it open.
        JournalError, sqlite3.Error, OSError: it is not a journal, or could not be copied or written.
    """
    to = _opening.SCHEMA
    target = _opening.uri(place.database, "rw")
    with closing(sqlite3.connect(target, uri=True, isolation_level=None)) as connection:
        found = _opening.verify_kind(place, connection)
        if found == to:
            return
        _opening.verify_contents(place, connection)
        steps = _path(place, found, to, MIGRATIONS)
        refuse_if_open(place)
        copy = back_up(place, connection, lock.read_id())
        connection.execute("PRAGMA synchronous=2")
        connection.execute("BEGIN IMMEDIATE")
        for step in steps:
            step.apply(connection)
            _put(connection, keys.migration(step.to), dumps({"name": step.name}))
        _put(connection, keys.SCHEMA, str(to).encode())
        connection.execute(f"PRAGMA user_version={to:d}")
        connection.execute("COMMIT")
    names = ", ".join(step.name for step in steps)
    log.info(
        "migrated the journal %s from format %d to %d (%s); as it was before: %s",
        place.root,
        found,
        to,
        names,
        copy,
    )


def _path(place: Place, found: int, to: int, known: Sequence[Migration]) -> list[Migration]:
    steps = [step for step in known if found < step.to <= to]
    if [step.to for step in steps] != list(range(found + 1, to + 1)):
        raise JournalTooOld(
            f"the journal {place.root} has format {found}, and this version of toolslot, which writes format {to}, knows no way from"
            " there. Nothing was changed: open it once with a version in between."
        )
    return steps


def _put(connection: sqlite3.Connection, key: str, body: bytes) -> None:
    value = seal(key, body)
    if not connection.execute("UPDATE Cache SET value = ? WHERE key = ? AND raw = 1", (value, key)).rowcount:
        connection.execute(
            "INSERT INTO Cache(key, raw, access_count, size, mode, value) VALUES (?, 1, 0, 0, 1, ?)",
            (key, value),
        )
