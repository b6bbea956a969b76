"""Repairing what can be repaired without guessing. No record of a call is ever made, changed or deleted here."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from toolslot._errors import JournalError
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._alone import alone, back_up
from toolslot.journal._disk._cache import open_cache
from toolslot.journal._disk._chunks import dumps
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._loading import key_of_prefix
from toolslot.journal._disk._opening import uri
from toolslot.journal._disk._owner_lock import sweep
from toolslot.journal._disk._place import Place
from toolslot.journal._disk._table import Table, transaction
from toolslot.journal._doctor._diagnosis import diagnose
from toolslot.journal._doctor._findings import Finding, FindingKind, JournalReport
from toolslot.journal._doctor._reindexing import rebuild
from toolslot.journal._doctor._survey import Survey, survey
from toolslot.journal._format._row_codec import key_to_json
from toolslot.journal._format._secrecy import Secrecy

_PIECE_ROWS = 500
_PIECE_BYTES = 2 * 2**20

#: while one of these stands, the database is not written: what it really holds is not certain, or not ours to change
_BLOCKING = frozenset(
    {
        FindingKind.ENGINE,
        FindingKind.UNREADABLE,
        FindingKind.REPLACED,
        FindingKind.TOO_NEW,
        FindingKind.OLD_FORMAT,
        FindingKind.UNSAFE,
    }
)
#: repaired outside the database, so without a copy of it
_BESIDE = frozenset({FindingKind.STALE_OWNERS, FindingKind.UNFINISHED})


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairReport:
    """What was repaired. `backup` is a complete journal as it was before; None when the database was not touched."""

    before: JournalReport
    after: JournalReport
    done: tuple[str, ...] = ()
    backup: str | None = None


def repair(place: Place, *, lock_timeout: float = 30.0) -> RepairReport:
    """Repair what `diagnose` finds, as far as that needs no guess, while nobody else has the journal open.

    Killed on the way it leaves a journal that is repaired in part: every step is one commit, and can be done again.

    Raises:
        JournalBusy: another process has it open.
        JournalError: it cannot be examined or written, or there is no room for the copy. The message tells what was done.
    """
    before = diagnose(place)
    wanted = {finding.kind for finding in before.findings if finding.repairable}
    if not wanted or any(finding.kind in _BLOCKING for finding in before.findings):
        return RepairReport(before=before, after=before)
    done: list[str] = []
    backup: str | None = None
    try:
        with alone(place, lock_timeout):
            if wanted - _BESIDE:
                backup = _back_up(place, before.journal_id)
                done += _in_database(place, before)
            done += _beside(place, wanted)
    except (sqlite3.Error, OSError) as error:
        raise translate(error, str(place.root)) from error
    return RepairReport(before=before, after=diagnose(place), done=tuple(done), backup=backup)


def _back_up(place: Place, journal_id: str) -> str:
    with closing(_connect(place)) as connection:
        return str(back_up(place, connection, journal_id))


def _connect(place: Place) -> sqlite3.Connection:
    connection = sqlite3.connect(uri(place.database, "rw"), uri=True, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=0")
    return connection


def _beside(place: Place, wanted: set[FindingKind]) -> Iterator[str]:
    if FindingKind.STALE_OWNERS in wanted:
        yield f"removed the lock files of {sweep(place.owners)} processes that have ended"
    if FindingKind.UNFINISHED in wanted:
        shutil.rmtree(place.unfinished)
        yield f"removed {place.unfinished}, which never became a journal"


def _in_database(place: Place, before: JournalReport) -> list[str]:
    done: list[str] = []
    if before.of(FindingKind.INDEX):
        with closing(_connect(place)) as connection:
            done.append(rebuild(place, connection))
    cache, connection = open_cache(str(place.directory), timeout=10, synchronous=2)
    with closing(cache):
        if before.of(FindingKind.SETTINGS):
            done.append("put the settings in the database right")
        table = Table(connection)
        table.secrecy = Secrecy(lenient=True)  # whole or not can be seen without any key
        found = survey(table, connection)
        with transaction(connection):
            done += _list(table, connection, found)
            done += _drop_orphans(table, found)
        for finding in found.findings:
            if finding.kind is FindingKind.DELETION:
                _delete_run(connection, table, finding.subject)
                done.append(f"finished deleting the rows of the purged run {finding.subject!r}")
        connection.executescript("PRAGMA incremental_vacuum")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if before.of(FindingKind.LONG_LOG) and not busy:
            done.append("moved SQLite's log into the database and emptied it")
    return done


def _delete_run(connection: sqlite3.Connection, table: Table, run_id: str) -> None:
    """Its mark goes last: killed before, the deletion is still known to be unfinished."""
    while (mark := table.first_key(keys.under(keys.deletions(run_id)))) is not None:
        for bounds in (keys.under(keys.of_deletion(mark)), (mark, mark + "\0")):
            left = True
            while left:
                with transaction(connection):
                    left = table.delete(bounds, _PIECE_ROWS, _PIECE_BYTES)[0] > 0


def _list(table: Table, connection: sqlite3.Connection, found: Survey) -> Iterator[str]:
    """Let the list of batches say what the sealed manifests, and the tombstones, say."""
    for finding in found.findings:
        if finding.kind is FindingKind.UNLISTED:
            yield _enlist(table, connection, finding)
        elif finding.kind is FindingKind.LISTING:
            prefix = keys.BATCHES + finding.subject.removeprefix(keys.BATCH_INDEX) + "/"
            key = key_of_prefix(table, prefix)
            if key is not None:
                table.put(finding.subject, dumps(key_to_json(key)))
                yield f"rewrote the row of batch {key} in the list of batches"
        elif finding.kind is FindingKind.PURGED_LISTING:
            table.delete((finding.subject, finding.subject + "\0"), 1)
            yield f"removed the row {finding.subject!r} of a purged run from the list of batches"


def _enlist(table: Table, connection: sqlite3.Connection, finding: Finding) -> str:
    key = key_of_prefix(table, finding.subject)
    if key is None:
        raise JournalError(f"the manifest of {finding.subject!r} could be read, and now it cannot.")
    name = keys.index(key)
    table.put(name, dumps(key_to_json(key)))
    # Reserving writes it right behind the manifest. There it goes again if it can: the list is in the order of reservation.
    connection.execute(
        "UPDATE Cache SET rowid = (SELECT rowid + 1 FROM Cache WHERE key = :manifest) WHERE key = :name AND NOT EXISTS"
        " (SELECT 1 FROM Cache WHERE rowid = (SELECT rowid + 1 FROM Cache WHERE key = :manifest))",
        {"manifest": keys.manifest(finding.subject), "name": name},
    )
    return f"put batch {key} into the list of batches again"


def _drop_orphans(table: Table, found: Survey) -> Iterator[str]:
    for name in found.orphans:
        table.delete((name, name + "\0"), 1)
    if found.orphans:
        yield f"removed {len(found.orphans)} parts of large values that belong to no row"
