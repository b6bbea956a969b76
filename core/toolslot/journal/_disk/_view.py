"""What the operations of one transaction read."""

from __future__ import annotations

from toolslot._errors import JournalCorrupt
from toolslot._slot import BatchKey
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import parse
from toolslot.journal._disk._loading import load
from toolslot.journal._disk._states import Entry, States
from toolslot.journal._disk._table import Reader
from toolslot.journal._fields import Fields
from toolslot.journal._row_codec import key_from_json
from toolslot.journal._state import BatchState


class Snapshot:
    """A `JournalView` over one read or write transaction.

    Entries are taken out of `states` when touched; `keep` puts them back once it is certain that they are the truth.
    """

    def __init__(self, reader: Reader, states: States) -> None:
        self.reader = reader
        self._states = states
        self._entries: dict[BatchKey, Entry | None] = {}
        self._aliases: dict[BatchKey, BatchKey] = {}
        self._lineages: dict[tuple[str, str], BatchKey | None] = {}
        self._purged: dict[str, bool] = {}

    def state(self, key: BatchKey) -> BatchState | None:
        entry = self._open(key)
        return None if entry is None else entry.state

    def alias(self, key: BatchKey) -> BatchKey | None:
        if self.purged(key.run_id):
            return None
        known = self._aliases.get(key) or self._states.aliases.get(key)
        if known is None:
            self._open(key)
            known = self._aliases.get(key)
        return known

    def lineage(self, run_id: str, lineage: str) -> BatchKey | None:
        if self.purged(run_id):
            return None
        place = (run_id, lineage)
        if place not in self._lineages:
            body = self.reader.get(keys.lineage(run_id, lineage))
            self._lineages[place] = None if body is None else _lineage_from_body(lineage, body)
        return self._lineages[place]

    def purged(self, run_id: str) -> bool:
        known = self._purged.get(run_id)
        if known is None:
            known = self._purged[run_id] = self.reader.get(keys.tombstone(run_id)) is not None
        return known

    def keep(self) -> None:
        """The transaction is over and was no failure: what it read and wrote is the truth until somebody else writes."""
        for key, entry in self._entries.items():
            if entry is not None:
                self._states.put(key, entry)
        for key, target in self._aliases.items():
            self._states.put_alias(key, target)

    def _open(self, key: BatchKey) -> Entry | None:
        try:
            return self._entries[key]
        except KeyError:
            pass
        if self.purged(key.run_id):
            return None
        entry = self._states.take(key)
        if entry is None or self.reader.raw(keys.fence(entry.prefix)) != entry.tally:
            found = load(self.reader, key)
            if isinstance(found, BatchKey):
                self._aliases[key] = found
                found = None
            entry = found
        self._entries[key] = entry
        return entry


def _lineage_from_body(name: str, body: bytes) -> BatchKey:
    fields = Fields(parse(body), "lineage")
    stored, target = fields.text("lineage"), key_from_json(fields.take("target"))
    fields.done()
    if stored != name:
        raise JournalCorrupt(f"the journal's row of lineage {name!r} belongs to lineage {stored!r}.")
    return target
