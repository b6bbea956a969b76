"""Examining a journal: SQLite's own check, then every seal, every tally, every reference."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import cast

from toolslot._errors import JournalCorrupt
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._cache import settings
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._key_row import notes_on_keys, secrecy_for_reading, without_key_row
from toolslot.journal._disk._place import Place, check_safe
from toolslot.journal._disk._read_store import open_for_reading
from toolslot.journal._disk._seal import unseal
from toolslot.journal._disk._table import Reader
from toolslot.journal._doctor._findings import Finding, FindingKind, JournalReport
from toolslot.journal._doctor._survey import Survey, survey
from toolslot.journal._format._encryption import Encryption


def examine(place: Place, encryption: Encryption | None = None) -> JournalReport:
    """Read the whole journal through a connection of its own, from one snapshot.

    Raises:
        JournalError: it cannot be opened, or is none.
    """
    check_safe(place, read_only=True)
    try:
        with closing(open_for_reading(place)) as connection:
            connection.execute("BEGIN")
            return _examine(place, connection, encryption)
    except sqlite3.Error as error:
        raise translate(error, str(place.root)) from error


def _examine(place: Place, connection: sqlite3.Connection, encryption: Encryption | None) -> JournalReport:
    found = list(engine_findings(connection))
    surveyed = Survey()
    # Through a damaged index rows would seem to be missing that are not.
    if not any(finding.kind is FindingKind.INDEX for finding in found):
        try:
            reader = Reader(connection)
            reader.secrecy = secrecy_for_reading(reader, encryption, place=str(place.root))
            surveyed = survey(reader, connection)
            if closed := without_key_row(reader):
                text = f"the row {keys.ENCRYPTION!r} is missing, and without it no key opens the {closed} values that are encrypted."
                surveyed.findings.append(Finding(kind=FindingKind.ROW, text=text, subject=keys.ENCRYPTION))
            surveyed.findings += [
                Finding(kind=FindingKind.ENCRYPTION, text=text) for text in notes_on_keys(reader)
            ]
        except sqlite3.DatabaseError as error:
            found.append(
                Finding(kind=FindingKind.ENGINE, text=f"SQLite: the rows cannot be read to the end: {error}.")
            )
    stored, differences = _settings(connection)
    return JournalReport(
        path=str(place.root),
        journal_id=_journal_id(connection),
        batches=surveyed.batches,
        rows=surveyed.rows,
        findings=(*found, *surveyed.findings, *differences, *_engine_notes()),
        settings=stored,
    )


def engine_findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What SQLite's own check says of the file. A damaged index is told from a damaged table by reading the table."""
    lines: list[str] = []
    try:
        lines += [str(line) for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    except sqlite3.DatabaseError as error:
        lines.append(str(error))
    if lines and rows_are_whole(connection):
        yield Finding(
            kind=FindingKind.INDEX,
            text=f"SQLite: an index or the list of free pages is damaged; every row is there and sound, but the batches were not"
            f" examined. {len(lines)} complaints, the first: {_one_line(lines[0])}",
        )
        return
    for line in lines:
        yield Finding(kind=FindingKind.ENGINE, text=f"SQLite: {_one_line(line)}")


def rows_are_whole(connection: sqlite3.Connection) -> bool:
    """Whether the table, read without any index, holds as many rows as diskcache's triggers counted, each with its seal."""
    try:
        (counted,) = connection.execute(
            "SELECT value FROM Settings NOT INDEXED WHERE key = 'count'"
        ).fetchone()
        number = 0
        for key, value in connection.execute("SELECT key, value FROM Cache NOT INDEXED ORDER BY rowid"):
            unseal(str(key), value)
            number += 1
    except (sqlite3.DatabaseError, JournalCorrupt, TypeError):
        return False
    return bool(number == counted)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _journal_id(connection: sqlite3.Connection) -> str:
    try:
        return (Reader(connection).get(keys.JOURNAL_ID) or b"").decode("ascii", "replace")
    except (sqlite3.DatabaseError, JournalCorrupt):
        return ""


_PRAGMAS = ("journal_mode", "page_size", "auto_vacuum", "application_id", "user_version")


def _settings(connection: sqlite3.Connection) -> tuple[dict[str, int | str], list[Finding]]:
    """The settings that lie in the file, and those that are not a journal's: the next writer puts them right, but until then another
    program that opens it with diskcache would believe them.
    """
    try:
        stored = {str(name): value for name, value in connection.execute("SELECT key, value FROM Settings")}
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
    except sqlite3.DatabaseError:
        return {}, []
    wrong = {name: stored.get(name) for name, value in settings().items() if stored.get(name) != value}
    if pragmas["journal_mode"] != "wal":
        wrong["journal_mode"] = pragmas["journal_mode"]
    found: list[Finding] = []
    if wrong:
        text = f"the database holds settings that are not a journal's: {wrong}. The next process that opens it for writing puts them right."
        found.append(Finding(kind=FindingKind.SETTINGS, text=text))
    return cast("dict[str, int | str]", {**pragmas, **stored}), found


def _engine_notes() -> Iterator[Finding]:
    if engine_loses_commits(sqlite3.sqlite_version_info):
        # No warning at every start: toolslot's own processes are safe, since they commit and checkpoint one at a time.
        yield Finding(
            kind=FindingKind.ENGINE_DEFECT,
            text=f"SQLite {sqlite3.sqlite_version} can damage a database when two checkpoints meet a commit (mended in 3.51.3)."
            " toolslot's own lock prevents that; do not let other programs write or checkpoint this database.",
        )


def engine_loses_commits(version: tuple[int, ...]) -> bool:
    """Whether this SQLite has the defect of write-ahead logs that 3.51.3 mended (and 3.50.7 and 3.44.6 in their lines)."""
    if version[:2] in ((3, 44), (3, 50)):
        return version < ((3, 44, 6) if version[1] == 44 else (3, 50, 7))
    return (3, 7, 0) <= version < (3, 51, 3)
