"""The journal's memory of batches, kept while the database says that it is the truth."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from toolslot._domain._slot import (
    BatchKey,
    Decided,
    Delivered,
    Evidence,
    Fence,
    Finished,
    Manifest,
    Noted,
    Repeated,
    Row,
)
from toolslot._domain._state import BatchState
from toolslot.journal._disk._chunks import dumps
from toolslot.journal._format._row_codec import fence_to_json

#: bounds of what is kept in memory between transactions
_MOST_SLOTS = 20_000
_MOST_BYTES = 32 * 2**20
_MOST_ALIASES = 10_000
PER_ROW = 400


@dataclass(slots=True)
class Entry:
    """One batch in memory. `tally` is the sealed fence row it agrees with; equal bytes in the database mean that nobody
    has written the batch since. Nor has anybody while `seen` is the version of the database.
    """

    state: BatchState
    prefix: str
    tally: bytes
    segments: int
    rows: int
    size: int
    seen: int | None = None
    #: encoded rows that the current transaction adds
    pending: list[bytes] = field(default_factory=lambda: [])
    fence: Fence | None = None
    fence_body: bytes = b""

    def encode_tally(self) -> bytes:
        if self.fence is not self.state.fence:
            self.fence = self.state.fence
            self.fence_body = dumps(fence_to_json(self.fence))
        return b'{"fence":%b,"segments":%d,"rows":%d}' % (self.fence_body, self.segments, self.rows)


class States:
    """What is kept between transactions, least recently used first out. A transaction changes the entries themselves: what one that
    failed has touched is dropped.
    """

    def __init__(self, most_slots: int = _MOST_SLOTS, most_bytes: int = _MOST_BYTES) -> None:
        self.entries: OrderedDict[BatchKey, Entry] = OrderedDict()
        #: what each entry counts for
        self._weights: dict[BatchKey, tuple[int, int]] = {}
        self._most_slots = most_slots
        self._most_bytes = most_bytes
        self._slots = 0
        self._bytes = 0
        self.aliases: dict[BatchKey, BatchKey] = {}
        #: grows when another connection commits, and never by what this one does
        self.version: int | None = None
        #: runs without a tombstone, in that version of the database
        self.never_purged: set[str] = set()

    def begin(self, connection: sqlite3.Connection) -> None:
        """Called inside every transaction before anything is read."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self.version or len(self.never_purged) > _MOST_ALIASES:
            self.version = version
            self.never_purged.clear()

    def drop(self, keys: Iterable[BatchKey]) -> None:
        for key in keys:
            if self.entries.pop(key, None) is not None:
                slots, size = self._weights.pop(key)
                self._slots -= slots
                self._bytes -= size

    def keep(self, entries: Mapping[BatchKey, Entry | None]) -> None:
        """They are the truth until somebody else writes."""
        for key, entry in entries.items():
            if entry is not None:
                slots, size = self._weights.get(key, (0, 0))
                weight = self._weights[key] = (entry.state.size, entry.size)
                self._slots += weight[0] - slots
                self._bytes += weight[1] - size
                self.entries[key] = entry
                self.entries.move_to_end(key)
        while len(self.entries) > 1 and (self._slots > self._most_slots or self._bytes > self._most_bytes):
            self.drop([next(iter(self.entries))])

    def keep_aliases(self, aliases: Mapping[BatchKey, BatchKey]) -> None:
        if len(self.aliases) >= _MOST_ALIASES:
            self.aliases.clear()
        self.aliases.update(aliases)

    def forget_run(self, run_id: str) -> None:
        self.never_purged.discard(run_id)
        self.drop([key for key in self.entries if key.run_id == run_id])
        for key in [key for key in self.aliases if key.run_id == run_id]:
            del self.aliases[key]

    def clear(self) -> None:
        self.entries.clear()
        self._weights.clear()
        self.aliases.clear()
        self.never_purged.clear()
        self.version = None
        self._slots = self._bytes = 0

    def __len__(self) -> int:
        return len(self.entries)


def payload_size(row: Row) -> int:
    """The bytes of the result it carries."""
    if isinstance(row, (Finished, Decided, Evidence, Delivered, Repeated)) and row.outcome is not None:
        return len(row.outcome.data)
    if isinstance(row, Noted):
        return len(row.note.data)
    return 0


def weight_of_row(row: Row) -> int:
    """Roughly, its bytes in memory."""
    return PER_ROW + payload_size(row)


def weight_of_manifest(manifest: Manifest) -> int:
    """Roughly, its bytes in memory."""
    return len(manifest.payload or b"") + sum(PER_ROW + len(spec.args.data) for spec in manifest.specs)
