"""What the operations of one transaction read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from toolslot._domain._effect_standing import known
from toolslot._domain._effects import Effect, EffectPage, EffectState, KnownEffect, damaged
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._port import OldRuns
from toolslot._domain._slot import BatchKey
from toolslot._domain._state import BatchState
from toolslot._errors import JournalCorrupt
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk import _reads
from toolslot.journal._disk._chunks import parse
from toolslot.journal._disk._loading import from_rows, load, unreadable
from toolslot.journal._disk._states import Entry, States
from toolslot.journal._disk._table import Reader
from toolslot.journal._format._fields import Fields
from toolslot.journal._format._row_codec import key_from_json
from toolslot.journal._queue._store import View

#: tells whether an owner can still be at work
OwnerLook: TypeAlias = Callable[[Owner], OwnerState]


class Snapshot(View):
    """One read or write transaction, which has begun with `states.begin`. `keep` once it is certain that what it saw and wrote is the
    truth; else `drop`.
    """

    def __init__(self, reader: Reader, states: States, look: OwnerLook) -> None:
        self.reader = reader
        self._look = look
        self._states = states
        self._entries: dict[BatchKey, Entry | None] = {}
        self._aliases: dict[BatchKey, BatchKey] = {}
        self._lineages: dict[tuple[str, str], BatchKey | None] = {}
        self._purged: dict[str, bool] = {}
        self._effects: dict[str, Effect | None] = {}
        #: of batches that are about to be asked for
        self._rows: dict[BatchKey, list[tuple[str, bytes]] | JournalCorrupt] = {}
        #: runs that got a tombstone in this transaction
        self.dropped: list[str] = []

    def state(self, key: BatchKey) -> BatchState | None:
        entry = self._entries.get(key)
        if entry is None and key not in self._entries:
            entry = self._open(key)
        return None if entry is None else entry.state

    def alias(self, key: BatchKey) -> BatchKey | None:
        if self.forgotten(key):
            return None
        known = self._aliases.get(key) or self._states.aliases.get(key)
        if known is None and key not in self._entries:
            self._open(key)
            known = self._aliases.get(key)
        return known

    def owner_state(self, owner: Owner) -> OwnerState:
        return self._look(owner)

    def lineage(self, run_id: str, lineage: str) -> BatchKey | None:
        place = (run_id, lineage)
        if place not in self._lineages:
            body = self.reader.get(keys.lineage(run_id, lineage))
            self._lineages[place] = None if body is None else _lineage_from_body(lineage, body)
        return self._lineages[place]

    def holds(self, run_id: str) -> bool:
        for prefix in (keys.index_of_run(run_id), keys.lineages(run_id), keys.payload_of_run(run_id)):
            if self.reader.first_key(keys.under(prefix)) is not None:
                return True
        # A lost batch is not in the list.
        batches = self.reader.folders(keys.under(keys.batches(run_id)))
        return any(self.reader.raw(keys.deletion(prefix)) is None for prefix in batches)

    def outdated(self, run_id: str) -> Sequence[BatchKey]:
        bounds = keys.under(keys.outdated(run_id))
        if self.reader.first_key(bounds) is None:  # the usual case
            return ()
        return [key_from_json(parse(body)) for _, body in self.reader.scan(bounds)]

    def purged(self, run_id: str) -> bool:
        if run_id in self._states.never_purged and run_id not in self.dropped:
            return False
        known = self._purged.get(run_id)
        if known is None:
            first = self.reader.first_key(keys.under(keys.tombstones(run_id)))
            known = self._purged[run_id] = first is not None
            if not known:
                self._states.never_purged.add(run_id)
        return known

    def forgotten(self, key: BatchKey, lineage: str | None = None) -> bool:
        return self.purged(key.run_id) and is_forgotten(self.reader, key, lineage)

    @property
    def journal_id(self) -> str:
        return _reads.journal_id(self.reader)

    def effect(self, digest: str) -> Effect | None:
        if digest not in self._effects:
            self._effects[digest] = _reads.effect(self.reader, digest)
        return self._effects[digest]

    def effects_of(self, run_id: str) -> Sequence[Effect]:
        names = self.reader.names(keys.under(keys.held_by(run_id)))
        found = (self.effect(name.rpartition("/")[2]) for name in names)
        return [effect for effect in found if effect is not None and effect.held_in(run_id)]

    def effects(self, cursor: str | None) -> EffectPage:
        digests, cursor = _reads.effect_digests(self.reader, cursor)
        now = time.time()
        found = (self._known(digest, now) for digest in digests)
        return EffectPage(effects=tuple(each for each in found if each is not None), cursor=cursor)

    def _known(self, digest: str, now: float) -> KnownEffect | None:
        try:
            found = self.effect(digest)
        except JournalCorrupt:
            return KnownEffect(effect=damaged(digest), state=EffectState.UNKNOWN)
        return None if found is None else known(self, found, now)

    def fetch(self, wanted: Sequence[BatchKey]) -> None:
        """Read what is not known here, or may have changed: one query for tombstones, one for fences, and one for rows."""
        states = self._states
        runs = list({key.run_id for key in wanted} - states.never_purged)
        if runs:
            found = self.reader.any_in([keys.under(keys.tombstones(run_id)) for run_id in runs])
            self._purged.update(zip(runs, found, strict=True))
            states.never_purged.update(run_id for run_id in runs if not self._purged[run_id])
        known = [(key, entry) for key in wanted if (entry := states.entries.get(key)) is not None]
        doubtful = [(key, entry) for key, entry in known if entry.seen != states.version]
        if doubtful:
            tallies = self.reader.raw_of([keys.fence(entry.prefix) for _, entry in doubtful])
            for (_, entry), tally in zip(doubtful, tallies, strict=True):
                if tally == entry.tally:
                    entry.seen = states.version
        fresh = {key for key, entry in known if entry.seen == states.version}
        missing = [key for key in dict.fromkeys(wanted) if key not in fresh and not self.forgotten(key)]
        if missing:
            rows = self.reader.scan_ranges([keys.small_rows(keys.batch_prefix(key)) for key in missing])
            self._rows.update(zip(missing, rows, strict=True))

    def keys(self, run_id: str | None) -> tuple[BatchKey, ...]:
        return _reads.batch_keys(self.reader, run_id)

    def old_runs(self, before: float, cursor: str | None) -> OldRuns:
        return _reads.old_runs(self.reader, before, cursor)

    def run_payload(self, run_id: str) -> bytes | None:
        return _reads.run_payload(self.reader, run_id)

    def keep(self) -> None:
        """The transaction is over and was no failure: what it read and wrote is the truth until somebody else writes."""
        self._states.keep(self._entries)
        if self._aliases:
            self._states.keep_aliases(self._aliases)
        for run_id in self.dropped:
            self._states.forget_run(run_id)

    def drop(self) -> None:
        """The transaction failed: what it touched is read again."""
        self._states.drop(self._entries)
        for run_id in self.dropped:
            self._states.forget_run(run_id)

    def _open(self, key: BatchKey) -> Entry | None:
        entry = self._states.entries.get(key)
        if entry is None or entry.seen != self._states.version or self.dropped:
            if self.forgotten(key):
                return None
            if entry is None or key in self._rows or self.reader.raw(keys.fence(entry.prefix)) != entry.tally:
                entry = self._load(key)
            if entry is not None:
                entry.seen = self._states.version
        self._entries[key] = entry
        return entry

    def _load(self, key: BatchKey) -> Entry | None:
        rows = self._rows.pop(key, None)
        if isinstance(rows, JournalCorrupt):
            raise unreadable(key, rows) from rows
        found = load(self.reader, key) if rows is None else from_rows(self.reader, key, rows)
        if isinstance(found, BatchKey):
            self._aliases[key] = found
            return None
        return found


def is_forgotten(reader: Reader, key: BatchKey, lineage: str | None = None) -> bool:
    """Whether there is a tombstone of the batch or of the lineage. Those from before encryption was turned on have plain digests."""
    names = [keys.batch_prefix(key)]
    if lineage is not None:
        names.append(keys.lineage(key.run_id, lineage))
    marks = [keys.tombstone_of_everything(key.run_id)]
    for secret in {None, reader.secrecy.digest_key}:
        marks += [keys.tombstone(name, secret) for name in names]
    return any(reader.raw(mark) is not None for mark in marks)


def _lineage_from_body(name: str, body: bytes) -> BatchKey:
    fields = Fields(parse(body), "lineage")
    stored, target = fields.text("lineage"), key_from_json(fields.take("target"))
    fields.done()
    if stored != name:
        raise JournalCorrupt(f"the journal's row of lineage {name!r} belongs to lineage {stored!r}.")
    return target
