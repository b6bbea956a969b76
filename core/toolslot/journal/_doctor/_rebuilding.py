"""Filling a new database with sound rows, and with marks where something was lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from toolslot._domain._slot import BatchKey
from toolslot._errors import JournalCorrupt, JournalKeyMissing
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import dumps, parse, resolve
from toolslot.journal._disk._loading import LostBatch, key_of_prefix, load, lost_to_json
from toolslot.journal._disk._reads import check_run_payload, effect
from toolslot.journal._disk._seal import seal
from toolslot.journal._disk._states import Entry
from toolslot.journal._disk._table import Reader
from toolslot.journal._doctor._claims import claimed_in
from toolslot.journal._doctor._remains import Remains
from toolslot.journal._format._row_codec import key_to_json
from toolslot.journal._format._secrecy import Secrecy

_INSERT = (
    "INSERT INTO Cache(key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value)"
    " VALUES (?, 1, ?, NULL, ?, 0, NULL, 0, 1, NULL, ?)"
)
#: what is brought over; the rest of a journal is made new
_KINDS = ("b/", "i/", "l/", "p/", "t/", "o/", keys.EFFECTS, keys.HELD, keys.ENCRYPTION)
_NEVER_OPENED = f"it is encrypted, and the row {keys.ENCRYPTION!r}, without which no key opens it, is lost."


@dataclass(kw_only=True, slots=True)
class Rebuilt:
    """What the new database holds, and one text for each thing that it does not."""

    batches: int = 0
    rows: int = 0
    lost: list[str] = field(default_factory=lambda: [])


def rebuild_from(connection: sqlite3.Connection, remains: Remains, *, source: str, at: float) -> Rebuilt:
    """Fill the empty database of `connection`, inside the transaction that the caller has begun. `at` is written as the time of the
    new rows; nothing depends on it.
    """
    return _Rebuilding(connection, remains, source, at).go()


class _Rebuilding:
    def __init__(self, connection: sqlite3.Connection, remains: Remains, source: str, at: float) -> None:
        self._connection = connection
        self._reader = Reader(connection)
        # Whole or not can be seen without any key, but without the row that a key opens none will ever help.
        opens = any(key == keys.ENCRYPTION for key, _ in remains.rows)
        self._reader.secrecy = Secrecy(lenient=opens)
        self._remains = remains
        self._tombstone_names: set[str] = set()
        self._at = at
        self._why = f"it was damaged in the journal {source}."
        self._result = Rebuilt()
        #: digests of effects that calls have claimed
        self._claimed: set[str] = set()
        #: what was purged and was being deleted, of which nothing but the tombstone comes over
        self._dropped = tuple(
            keys.of_deletion(name) for name in self._known() if name.startswith(keys.DELETIONS)
        )

    def _known(self) -> Iterable[str]:
        yield from (key for key, _ in self._remains.rows)
        yield from sorted(self._remains.lost)

    def go(self) -> Rebuilt:
        self._tombstones()
        for key, value in self._remains.rows:
            if key.startswith(_KINDS) and not key.startswith(keys.TOMBSTONES) and not self._is_purged(key):
                self._insert(key, value)
        for prefix in self._prefixes():
            self._batch(prefix)
        self._lineages()
        self._payloads()
        self._effects()
        return self._result

    def _is_purged(self, key: str) -> bool:
        prefix = key[: key.rindex("/") + 1]
        return key.startswith(self._dropped) or (
            key.startswith(keys.BATCHES) and keys.tombstone(prefix, None) in self._tombstone_names
        )

    def _insert(self, key: str, value: bytes) -> None:
        self._connection.execute(_INSERT, (key, self._at, self._at, value))

    def _add(self, key: str, data: object) -> None:
        self._insert(key, seal(key, dumps(data)))

    def _delete(self, bounds: tuple[str, str]) -> None:
        self._connection.execute("DELETE FROM Cache WHERE key >= ? AND key < ?", bounds)

    def _tombstones(self) -> None:
        """A purged batch stays purged, also when all that is left of its tombstone is the key, or the mark of its deletion."""
        kept = {key: value for key, value in self._remains.rows if key.startswith(keys.TOMBSTONES)}
        for name, value in kept.items():
            self._insert(name, value)
        lost = {name for name in self._remains.lost if name.startswith(keys.TOMBSTONES)}
        lost |= {keys.tombstone(prefix, None) for prefix in self._dropped}
        for name in sorted(lost - kept.keys()):
            self._add(name, {})
        self._tombstone_names = lost | kept.keys()

    def _prefixes(self) -> list[str]:
        """What the rows of a batch begin with, for every batch that anything names, in the order of reservation."""
        found: dict[str, None] = {}
        for key in self._known():
            if self._is_purged(key):
                continue
            if key.startswith(keys.BATCH_INDEX):
                found[keys.BATCHES + key.removeprefix(keys.BATCH_INDEX) + "/"] = None
            elif key.startswith(keys.BATCHES):
                found[key.rpartition("/")[0] + "/"] = None
        return list(found)

    def _batch(self, prefix: str) -> None:
        listed = keys.BATCH_INDEX + prefix.removeprefix(keys.BATCHES)[:-1]
        small = [name for name in self._of(prefix) if not name[len(prefix) :].startswith("~")]
        was_listed = self._has(listed) or listed in self._remains.lost
        if not small and not was_listed and not self._lost_under(prefix):
            self._delete((prefix, prefix[:-1] + "0"))  # parts of a large value that was never recorded
            return
        key = key_of_prefix(self._reader, prefix)
        try:
            if key is None:
                raise JournalCorrupt("nothing names it any more.")
            found = load(self._reader, key)
            if found is None:
                raise JournalCorrupt("its rows are gone.")
        except JournalCorrupt as error:
            self._lose(prefix, listed, key, error)
            return
        except JournalKeyMissing:
            self._lose(prefix, listed, key, JournalCorrupt(_NEVER_OPENED))
            return
        if isinstance(found, Entry):
            self._result.batches += 1
            self._result.rows += found.rows
            self._claimed |= claimed_in(found.state)
            if not self._has(listed):
                self._add(listed, key_to_json(key))

    def _lost_under(self, prefix: str) -> bool:
        return any(
            name.startswith(prefix) and not name[len(prefix) :].startswith("~") for name in self._remains.lost
        )

    def _lose(self, prefix: str, listed: str, key: BatchKey | None, error: JournalCorrupt) -> None:
        self._delete((prefix, prefix[:-1] + "0"))
        self._delete((listed, listed + "\0"))
        name = str(key) if key is not None else repr(prefix[:-1])
        why = str(error) if isinstance(error, LostBatch) else f"batch {name} is lost: {error}"
        self._result.lost.append(why)
        self._add(keys.lost(prefix), lost_to_json(self._why))

    def _of(self, prefix: str) -> list[str]:
        query = "SELECT key FROM Cache WHERE key >= ? AND key < ? ORDER BY key"
        return [name for (name,) in self._connection.execute(query, (prefix, prefix[:-1] + "0"))]

    def _has(self, key: str) -> bool:
        return self._connection.execute("SELECT 1 FROM Cache WHERE key = ?", (key,)).fetchone() is not None

    def _lineages(self) -> None:
        """Those that are lost are what the newest batch of that lineage says."""
        for (listed,) in self._connection.execute(
            "SELECT key FROM Cache WHERE key >= 'i/' AND key < 'i0' ORDER BY rowid"
        ).fetchall():
            key = key_of_prefix(self._reader, keys.BATCHES + listed.removeprefix(keys.BATCH_INDEX) + "/")
            found = None if key is None else load(self._reader, key)
            if key is None or not isinstance(found, Entry) or found.state.manifest.lineage is None:
                continue
            lineage = found.state.manifest.lineage
            name = keys.lineage(key.run_id, lineage)
            if name in self._remains.lost:
                self._delete((name, name + "\0"))
                self._add(name, {"lineage": lineage, "target": key_to_json(key)})
        for name in sorted(self._remains.lost):
            if name.startswith("l/") and not self._is_purged(name) and not self._has(name):
                self._mark(name, "a lineage")

    def _payloads(self) -> None:
        runs = {name.rpartition("/")[0] for name in self._known() if name.startswith("p/")}
        for run in sorted(runs):
            name = run + "/#p"
            if self._is_purged(name):
                continue
            try:
                body = self._reader.get(name)
                if body is not None:
                    check_run_payload(self._reader, resolve(self._reader, name, parse(body)))
            except (JournalCorrupt, JournalKeyMissing):
                self._delete((run + "/", run + "0"))
            else:
                if body is not None or name not in self._remains.lost:
                    continue
            self._mark(name, "a run's payload")

    def _effects(self) -> None:
        """One that is lost is refused: it may have been had. What lists those of a run is made again."""
        named = {key for key in self._known() if key.startswith(keys.EFFECTS)}
        held = (key for key in self._known() if key.startswith(keys.HELD))
        named |= {keys.effect(digest) for digest in self._claimed}
        named |= {keys.effect(key.rpartition("/")[2]) for key in held}
        for name in sorted(named):
            try:
                found = effect(self._reader, name.removeprefix(keys.EFFECTS))
                if found is None:
                    raise JournalCorrupt("it is gone.")
            except (JournalCorrupt, JournalKeyMissing):
                self._delete((name, name + "\0"))
                self._mark(name, "an effect")
                continue
            holder = found.holder if found.purged is None else None
            if holder is not None and not self._has(
                listed := keys.held(holder.place.batch.run_id, found.digest)
            ):
                self._insert(listed, seal(listed, b"{}"))

    def _mark(self, name: str, what: str) -> None:
        """A row that is refused by its reader."""
        self._result.lost.append(f"{what} is lost: the row {name!r}.")
        self._add(name, lost_to_json(self._why))
