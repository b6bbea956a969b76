"""What processes were told is durable, and whether a journal holds it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from support.batches import reserve
from toolslot import BatchKey
from toolslot._domain._slot import SlotState
from toolslot._errors import RunPurged
from toolslot.journal import DiskJournal, OwnerState

PATIENCE = 60.0


@dataclass
class Acknowledged:
    """What the victims were told is durable."""

    slots: dict[BatchKey, dict[int, str | None]] = field(default_factory=lambda: defaultdict(dict))
    purging: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)

    def take(self, lines: Iterable[list[str]]) -> None:
        for line in lines:
            match line:
                case ["reserved", run, batch]:
                    self.slots[BatchKey(run, batch)]
                case ["started", run, batch, index]:
                    self.slots[BatchKey(run, batch)][int(index)] = None
                case ["finished", run, batch, index, digest]:
                    self.slots[BatchKey(run, batch)][int(index)] = digest
                case ["purging", run]:
                    self.purging.add(run)
                case ["purged", run]:
                    self.purged.add(run)
                case _:
                    assert line == ["open"], line


def verify(journal: DiskJournal, acknowledged: Acknowledged) -> int:
    """Compare every batch; how many records were compared."""
    compared = 0
    listed = set(journal.keys().result(PATIENCE))
    for key, slots in acknowledged.slots.items():
        record = journal.load(key).result(PATIENCE)
        if key.run_id in acknowledged.purged:
            assert record is None
            assert key not in listed
            with pytest.raises(RunPurged):
                reserve(journal, 4, run=key.run_id, batch=key.batch_id)
            continue
        if record is None:
            assert key.run_id in acknowledged.purging, f"{key} is lost"
            continue
        assert key in listed
        for index, digest in slots.items():
            slot = record.slots[index]
            if digest is None:
                assert slot.state in (SlotState.RUNNING, SlotState.SUCCEEDED), (key, index)
            else:
                assert slot.state is SlotState.SUCCEEDED, (key, index)
                assert slot.outcome is not None
                assert hashlib.sha256(slot.outcome.data).hexdigest() == digest
            compared += 1
        assert record.owner_state is OwnerState.DEAD
    return compared
