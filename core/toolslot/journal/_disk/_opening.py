"""Making a journal's database, and recognising one. Everything here runs under the commit lock."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from toolslot._crashpoints import CrashPoint, reach
from toolslot._errors import JournalReplaced, JournalTooNew, JournalTooOld, JournalUnsafe, NotAJournal
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._cache import known_setting, made, open_cache
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._key_row import first_row
from toolslot.journal._disk._place import DATABASE, Place, sync_directory
from toolslot.journal._disk._table import Reader, Table, transaction
from toolslot.journal._format._encryption import Encryption

SCHEMA = 2
#: SQLite's application_id of a journal: "tslt"
APPLICATION = int.from_bytes(b"tslt", "big")

log = logging.getLogger("toolslot")

_TABLES = {"Settings", "Cache"}
#: the later ones belong to settings that a journal does not have, but that a stray opener may have tried
_INDEXES = {"Cache_key_raw", "Cache_expire_time"} | {
    "Cache_store_time",
    "Cache_access_time",
    "Cache_access_count",
    "Cache_tag_rowid",
}
_TRIGGER = re.compile(
    r"CREATE TRIGGER (?:IF NOT EXISTS )?Settings_\w+ AFTER (?:INSERT|DELETE|UPDATE) ON Cache FOR EACH ROW BEGIN "
    r"UPDATE Settings SET value = value (?:[+-] (?:1|NEW\.size|OLD\.size) ?)+WHERE key = ['\"](?:count|size)['\"]; END"
)


def create_if_missing(place: Place, lock: CommitLock, encryption: Encryption | None = None) -> None:
    """Make the database of a new journal. It comes into being in one step: killed before, the next opener begins again.

    Raises:
        JournalReplaced: there was a journal here, and its database is gone.
    """
    if place.directory.exists():
        return
    earlier = lock.read_id()
    if earlier:
        raise JournalReplaced(
            f"{place.directory} is gone, but journal {earlier} was kept in it. A new one would run every call of its runs again."
            f" Restore it from a backup; or, if its runs no longer matter, delete {place.root} and begin a new one."
        )
    if place.unfinished.exists():
        shutil.rmtree(place.unfinished)
    journal_id = str(uuid.uuid4())
    create_database(place.unfinished, journal_id, {} if encryption is None else first_row(encryption))
    reach(CrashPoint.IN_CREATION)
    os.replace(place.unfinished, place.directory)
    reach(CrashPoint.AFTER_CREATION)
    note_id(place, lock, journal_id)
    log.info("created the journal %s", place.root)


def create_database(
    directory: Path, journal_id: str, rows: Mapping[str, bytes] = MappingProxyType({})
) -> None:
    directory.mkdir(mode=0o700)
    # -wal and -shm get the mode of the database.
    path = directory / DATABASE
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=0")  # the database is made durable as a whole, at the end
        connection.execute("PRAGMA auto_vacuum=2")  # only before the first page is written
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={SCHEMA}")
    cache, connection = open_cache(str(directory), timeout=10, synchronous=0, making=True)
    with closing(cache):
        table = Table(connection)
        with transaction(connection):
            table.add(keys.JOURNAL_ID, journal_id.encode())
            table.add(keys.SCHEMA, str(SCHEMA).encode())
            for key, body in rows.items():
                table.add(key, body)
        made(connection)  # so closing it, which empties the write-ahead log, is durable
    sync_directory(directory)


def verify(place: Place) -> None:
    """Look at a database before diskcache does, which would believe whatever settings and triggers it finds there.

    Raises:
        JournalReplaced: the file is missing or empty.
        NotAJournal: it is somebody else's database.
        JournalTooNew, JournalTooOld: its rules are not known here, or not any more.
        JournalUnsafe: it holds things that a journal never holds, and that could act.
    """
    refuse_missing(place)
    with closing(sqlite3.connect(uri(place.database, "rw"), uri=True, isolation_level=None)) as connection:
        verify_connection(place, connection)


def refuse_missing(place: Place) -> None:
    """SQLite makes an empty database of an empty file, and of none.

    Raises:
        JournalReplaced: the database is missing or empty.
    """
    try:
        size = os.stat(place.database).st_size
    except FileNotFoundError:
        size = 0
    if not size:
        raise JournalReplaced(
            f"{place.database} is missing or empty: the journal's records are gone. Restore it from a backup; or, if its runs no"
            f" longer matter, delete {place.root} and begin a new one."
        )


def verify_connection(place: Place, connection: sqlite3.Connection) -> None:
    """`verify` on an open connection."""
    schema = verify_kind(place, connection)
    if schema < SCHEMA:
        raise JournalTooOld(
            f"the journal {place.root} has format {schema}, this version of toolslot reads format {SCHEMA}. Nothing was changed: open"
            " it for writing once, as any agent does, and it is migrated after a copy was made."
        )
    verify_contents(place, connection)


def verify_contents(place: Place, connection: sqlite3.Connection) -> None:
    """Refuse whatever in the schema and the settings is not diskcache's or a journal's."""
    for kind, name, text in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if not _is_diskcaches(kind, name, text):
            raise JournalUnsafe(
                f"{place.database} holds a {kind} {name!r} that neither toolslot nor diskcache makes. It was not run."
            )
    unknown = [name for (name,) in connection.execute("SELECT key FROM Settings") if not known_setting(name)]
    if unknown:
        raise JournalUnsafe(
            f"{place.database} holds settings that toolslot never writes: {sorted(map(str, unknown))}. They were not applied."
        )


def verify_kind(place: Place, connection: sqlite3.Connection) -> int:
    """The format of the journal, which is not newer than this version's."""
    connection.execute("PRAGMA trusted_schema=0")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION:
        raise NotAJournal(
            f"{place.database} is not a toolslot journal (application id {application}). It was left alone."
        )
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema > SCHEMA:
        raise JournalTooNew(
            f"the journal {place.root} has format {schema}, this version of toolslot knows up to {SCHEMA}. Nothing was changed:"
            " upgrade toolslot."
        )
    return int(schema)


def _is_diskcaches(kind: object, name: object, text: object) -> bool:
    """Whether diskcache made this part of the schema. Its triggers only count rows in its Settings table."""
    if text is None:
        return kind == "index" and str(name).startswith("sqlite_autoindex_")
    words = " ".join(str(text).split())
    match kind:
        case "table":
            return name in _TABLES and words.startswith("CREATE TABLE ")
        case "index":
            return name in _INDEXES
        case "trigger":
            return _TRIGGER.fullmatch(words) is not None
        case _:
            return False


def note_id(place: Place, lock: CommitLock, journal_id: str) -> None:
    """Note the id in the lock file, once every name that leads to the database is durable. Without it the next opener does so."""
    sync_directory(place.root)
    for directory in place.root.parents:
        with suppress(PermissionError):  # of one that may not be read nothing was made by us, as a rule
            sync_directory(directory)
    lock.write_id(journal_id)


def check_id(place: Place, lock: CommitLock, reader: Reader) -> str:
    """The journal's id, which must be the one in the lock file.

    Raises:
        JournalReplaced: another journal was put in this one's place.
    """
    stored = (reader.get(keys.JOURNAL_ID) or b"").decode("ascii", "replace")
    earlier = lock.read_id()
    if not earlier:
        note_id(place, lock, stored)  # its creator died after the last step but one
    elif earlier != stored:
        raise JournalReplaced(
            f"{place.directory} holds journal {stored}, but {place.commit_lock} belongs to journal {earlier}: one was put in the"
            " other's place. Put back what belongs together, or move the whole directory, never its parts."
        )
    return stored


def uri(path: str, mode: str) -> str:
    """A file name for SQLite that opens nothing new."""
    return f"file:{quote(os.fsencode(path))}?mode={mode}"
