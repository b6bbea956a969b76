"""The journal's memory of batches, kept while the database says that it is the truth."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from toolslot._domain._slot import (
    BatchKey,
    Decided,
    Delivered,
    Evidence,
    Fence,
    Finished,
    Manifest,
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
_PER_ROW = 400


@dataclass(slots=True)
class Entry:
    """One batch in memory. `tally` is the sealed fence row it agrees with; equal bytes in the database mean that nobody
    has written the batch since.
    """

    state: BatchState
    prefix: str
    tally: bytes
    segments: int
    rows: int
    size: int
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
    """The entries and aliases kept between transactions, least recently used first out."""

    def __init__(self, most_slots: int = _MOST_SLOTS, most_bytes: int = _MOST_BYTES) -> None:
        self._entries: OrderedDict[BatchKey, Entry] = OrderedDict()
        self._most_slots = most_slots
        self._most_bytes = most_bytes
        self._slots = 0
        self._bytes = 0
        self.aliases: dict[BatchKey, BatchKey] = {}

    def take(self, key: BatchKey) -> Entry | None:
        """The entry, which is the caller's until it is put back: a transaction that fails must not leave its traces here."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._slots -= entry.state.size
            self._bytes -= entry.size
        return entry

    def put(self, key: BatchKey, entry: Entry) -> None:
        self.take(key)
        self._entries[key] = entry
        self._slots += entry.state.size
        self._bytes += entry.size
        while len(self._entries) > 1 and (self._slots > self._most_slots or self._bytes > self._most_bytes):
            self.take(next(iter(self._entries)))

    def put_alias(self, key: BatchKey, target: BatchKey) -> None:
        if len(self.aliases) >= _MOST_ALIASES:
            self.aliases.clear()
        self.aliases[key] = target

    def forget_run(self, run_id: str) -> None:
        for key in [key for key in self._entries if key.run_id == run_id]:
            self.take(key)
        for key in [key for key in self.aliases if key.run_id == run_id]:
            del self.aliases[key]

    def clear(self) -> None:
        self._entries.clear()
        self.aliases.clear()
        self._slots = self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)


def payload_size(row: Row) -> int:
    """The bytes of the result it carries."""
    if isinstance(row, (Finished, Decided, Evidence, Delivered, Repeated)) and row.outcome is not None:
        return len(row.outcome.data)
    return 0


def weight_of_row(row: Row) -> int:
    """Roughly, its bytes in memory."""
    return _PER_ROW + payload_size(row)


def weight_of_manifest(manifest: Manifest) -> int:
    """Roughly, its bytes in memory."""
    return len(manifest.payload or b"") + sum(_PER_ROW + len(spec.args.data) for spec in manifest.specs)
