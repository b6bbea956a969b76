"""Bringing what is sound of a damaged journal into a new one. A batch that is not whole stays out, and the new journal says so: its
calls are refused there, never run as if nothing had been. That needs a name: what no readable row names any more can only be told.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolslot._errors import JournalError, JournalReadOnly, JournalUnavailable, NotAJournal
from toolslot.journal._disk._alone import alone
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._opening import create_database, note_id
from toolslot.journal._disk._place import DATABASE, Place, check_safe, prepare, sync_directory
from toolslot.journal._doctor._rebuilding import Rebuilt, rebuild_from
from toolslot.journal._doctor._remains import Remains, read_remains


@dataclass(frozen=True, kw_only=True, slots=True)
class SalvageReport:
    """What came over. `lost` names what did not, one text each; with `nameless` further records may be lost that nothing names any
    more: what a run of the old journal did, and the new one does not know, may have been done.
    """

    source: str
    target: str
    batches: int
    rows: int
    lost: tuple[str, ...]
    nameless: bool
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return not self.lost and not self.nameless


def salvage(place: Place, target: Place, *, lock_timeout: float = 30.0) -> SalvageReport:
    """Make a new journal at `target`, a new or empty directory, from the sound batches of the one at `place`, which is only read.

    Raises:
        JournalError: nobody's journal is there, somebody has it open, or the new one cannot be made.
    """
    try:
        if not os.path.isdir(place.root) or not os.path.lexists(place.directory):
            raise JournalUnavailable(f"there is no journal in {place.root} to salvage. Check the path.")
        if os.path.lexists(target.root) and any(target.root.iterdir()):
            raise NotAJournal(f"{target.root} is not empty. It was left alone; name a new directory.")
        check_safe(place, read_only=True)
        with _undisturbed(place, lock_timeout):
            try:
                return _salvage(place, target)
            except BaseException:
                shutil.rmtree(target.root, ignore_errors=True)  # there was nothing in it
                raise
    except (sqlite3.Error, OSError) as error:
        raise translate(error, str(target.root)) from error


@contextmanager
def _undisturbed(place: Place, timeout: float) -> Generator[None]:
    """Alone with the journal. Where nothing can be locked because nothing can be written, nobody writes."""
    with ExitStack() as held:
        try:
            held.enter_context(alone(place, timeout))
        except (OSError, JournalReadOnly):
            if os.access(place.root, os.W_OK):
                raise
        yield


def _salvage(place: Place, target: Place) -> SalvageReport:
    prepare(target)
    journal_id = str(uuid.uuid4())
    create_database(target.unfinished, journal_id)
    scratch = Path(tempfile.mkdtemp(prefix="salvage-", dir=target.root))
    try:
        remains = read_remains(place, scratch, target.unfinished / DATABASE)
        rebuilt = _fill(target.unfinished / DATABASE, remains, str(place.root))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _finish(target, journal_id)
    return SalvageReport(
        source=str(place.root),
        target=str(target.root),
        batches=rebuilt.batches,
        rows=rebuilt.rows,
        lost=tuple(rebuilt.lost),
        nameless=remains.nameless,
        notes=tuple(remains.notes),
    )


def _fill(path: Path, remains: Remains, source: str) -> Rebuilt:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=2")
        connection.execute("BEGIN IMMEDIATE")
        rebuilt = rebuild_from(connection, remains, source=source, at=time.time())
        connection.execute("COMMIT")
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise JournalError(f"{path} is in use by another program, so the new journal was not finished.")
    return rebuilt


def _finish(target: Place, journal_id: str) -> None:
    """The new journal comes into being in one step, like any other."""
    sync_directory(target.unfinished)
    lock = CommitLock.shared(target.commit_lock, target.commit_holder)
    try:
        os.replace(target.unfinished, target.directory)
        note_id(target, lock, journal_id)
    finally:
        lock.drop()
