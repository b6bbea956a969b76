"""Going through the rows of a journal: which batches are sound, and what belongs to none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from typing_extensions import override

from toolslot._domain._slot import BatchKey
from toolslot._errors import JournalCorrupt
from toolslot._text import quoted
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import parse, resolve
from toolslot.journal._disk._loading import LostBatch, key_of_prefix, load
from toolslot.journal._disk._reads import check_run_payload, key_of_index, runs_being_deleted
from toolslot.journal._disk._states import Entry
from toolslot.journal._disk._table import Reader
from toolslot.journal._disk._view import is_forgotten
from toolslot.journal._doctor._claims import claimed_in
from toolslot.journal._doctor._findings import Finding, FindingKind
from toolslot.journal._format._secrecy import Secrecy


@dataclass(kw_only=True, slots=True)
class Survey:
    """What was found. `orphans` are the keys of parts of large values that no row refers to."""

    batches: int = 0
    rows: int = 0
    findings: list[Finding] = field(default_factory=lambda: [])
    orphans: list[str] = field(default_factory=lambda: [])


def survey(reader: Reader, connection: sqlite3.Connection) -> Survey:
    """Read every batch and whatever else there is, from the snapshot that the caller has begun."""
    return _Surveyor(reader, connection).go()


class _Following(Reader):
    """Remembers which rows were read one by one, as parts of large values are."""

    def __init__(self, connection: sqlite3.Connection, secrecy: Secrecy) -> None:
        super().__init__(connection)
        self.secrecy = secrecy
        self.followed: set[str] = set()

    @override
    def raw(self, key: str) -> bytes | None:
        self.followed.add(key)
        return super().raw(key)


class _Surveyor:
    def __init__(self, reader: Reader, connection: sqlite3.Connection) -> None:
        self._reader = reader
        self._connection = connection
        self._result = Survey()
        #: prefixes of the batches that the list names, and of those that are being deleted
        self._known: set[str] = set()
        self._dropped: tuple[str, ...] = ()
        #: digests of effects that calls have claimed
        self._claimed: set[str] = set()

    def go(self) -> Survey:
        runs = self._attempt(lambda: runs_being_deleted(self._reader), keys.DELETIONS) or []
        self._dropped = tuple(keys.of_deletion(mark) for mark in self._names(keys.under(keys.DELETIONS)))
        for run_id in runs:
            text = f"run {quoted(run_id)} is purged; the next process that opens the journal goes on deleting its rows."
            self._find(FindingKind.DELETION, text, run_id)
        for name, body in self._reader.scan_by_age(keys.under(keys.BATCH_INDEX)):
            self._listed(name, body)
        self._unlisted()
        self._others()
        self._effects()
        self._foreign()
        if self._result.orphans:
            text = (
                f"{len(self._result.orphans)} parts of large values belong to no row: a process that died left them, or one is just"
                " writing them."
            )
            self._find(FindingKind.ORPHAN_CHUNKS, text)
        return self._result

    def _find(self, kind: FindingKind, text: str, subject: str = "") -> None:
        self._result.findings.append(Finding(kind=kind, text=text, subject=subject))

    def _attempt(self, read: Callable[[], list[str]], subject: str) -> list[str] | None:
        try:
            return read()
        except JournalCorrupt as error:
            self._find(FindingKind.ROW, str(error), subject)
            return None

    def _listed(self, name: str, body: bytes | None) -> None:
        prefix = keys.BATCHES + name.removeprefix(keys.BATCH_INDEX) + "/"
        if prefix.startswith(self._dropped):
            return
        self._known.add(prefix)
        if body is None:
            self._find(FindingKind.LISTING, f"the row {name!r} of the list of batches is damaged.", name)
        try:
            key = key_of_index(name, body)
        except JournalCorrupt as error:
            found = key_of_prefix(self._reader, prefix)
            if found is None:
                self._find(FindingKind.BATCH, str(error), prefix)
                return
            key = found
        if self._read(key, prefix) is not None:
            return
        if is_forgotten(self._reader, key):
            text = f"batch {key} is listed, and a purge has deleted its rows."
            self._find(FindingKind.PURGED_LISTING, text, name)
        else:
            self._find(FindingKind.VANISHED, f"batch {key} is listed, but its rows are gone.", prefix)

    def _read(self, key: BatchKey, prefix: str) -> Entry | BatchKey | bool | None:
        """What is stored under the key; False when it is damaged, which is then told."""
        following = _Following(self._connection, self._reader.secrecy)
        try:
            found = load(following, key)
        except LostBatch as error:
            self._find(FindingKind.LOST, str(error), prefix)
            return False
        except JournalCorrupt as error:
            self._find(FindingKind.BATCH, str(error), prefix)
            return False
        except sqlite3.DatabaseError as error:
            self._find(
                FindingKind.BATCH, f"batch {key} cannot be read from the journal: SQLite: {error}.", prefix
            )
            return False
        if isinstance(found, Entry):
            self._result.batches += 1
            self._result.rows += found.rows
            self._claimed |= claimed_in(found.state)
        if found is not None:
            self._result.orphans += self._chunks(prefix, following.followed)
        return found

    def _chunks(self, prefix: str, used: set[str]) -> Iterator[str]:
        for name in self._names((prefix + "~", prefix[:-1] + "0")):
            if name not in used:
                yield name

    def _names(self, bounds: tuple[str, str]) -> Iterator[str]:
        query = "SELECT key FROM Cache WHERE key >= ? AND key < ? AND raw = 1 ORDER BY key"
        for (name,) in self._connection.execute(query, bounds):
            yield name

    def _unlisted(self) -> None:
        """Rows of batches that are not listed."""
        strays: dict[str, list[str]] = {}
        for name in self._names(keys.under(keys.BATCHES)):
            prefix, _, last = name.rpartition("/")
            if prefix + "/" not in self._known and not name.startswith(self._dropped):
                strays.setdefault(prefix + "/", []).append(last)
        for prefix, rows in strays.items():
            if all(last.startswith("~") for last in rows):
                self._result.orphans += [prefix + last for last in rows]
                continue
            key = key_of_prefix(self._reader, prefix)
            if key is None:
                text = f"the rows {prefix[:-1]!r} belong to a batch that nothing names any more."
                self._find(FindingKind.BATCH, text, prefix)
            elif isinstance(self._read(key, prefix), Entry):
                text = f"the rows {prefix[:-1]!r} belong to a batch that is not listed."
                self._find(FindingKind.UNLISTED, text, prefix)

    def _others(self) -> None:
        """Tombstones, lineages, effects and the payloads of runs."""
        for bounds in (("l/", "l0"), ("t/", "t0"), ("meta/", "meta0"), ("e/", "e0"), ("h/", "h0")):
            for name, body in self._reader.scan_by_age(bounds):
                if body is None:
                    self._find(FindingKind.ROW, f"the row {name!r} is damaged.", name)
        following = _Following(self._connection, self._reader.secrecy)
        damaged: set[str] = set()
        for name, body in self._reader.scan_by_age(("p/", "p0")):
            if name.endswith("/#p") and not self._payload(following, name, body):
                damaged.add(name)
        self._result.orphans += [
            name
            for name in self._names(("p/", "p0"))
            if not name.endswith("/#p")
            and name not in following.followed
            and f"{name.rpartition('/')[0]}/#p" not in damaged  # they may be its parts
        ]

    def _effects(self) -> None:
        """Each that a call has claimed has a record."""
        self._claimed |= {name.rpartition("/")[2] for name in self._names(keys.under(keys.HELD))}
        known = set(self._names(keys.under(keys.EFFECTS)))
        for name in sorted(keys.effect(digest) for digest in self._claimed):
            if name not in known:
                self._find(
                    FindingKind.ROW,
                    f"the record {name!r} of an effect that a call has claimed is gone.",
                    name,
                )

    def _payload(self, following: Reader, name: str, body: bytes | None) -> bool:
        """Whether the payload of a run is sound."""
        try:
            if body is None:
                raise JournalCorrupt("its checksum does not match.")
            check_run_payload(following, resolve(following, name, parse(body)))
        except JournalCorrupt as error:
            self._find(FindingKind.ROW, f"the run's payload {name!r} is damaged: {error}", name)
            return False
        return True

    def _foreign(self) -> None:
        query = "SELECT count(*) FROM Cache WHERE raw <> 1 OR mode <> 1 OR filename IS NOT NULL OR expire_time IS NOT NULL"
        (foreign,) = self._connection.execute(query).fetchone()
        if foreign:
            text = f"{foreign} rows are of a kind that toolslot never writes. They were not decoded."
            self._find(FindingKind.FOREIGN_ROWS, text)
