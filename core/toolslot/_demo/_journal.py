"""Reads the durable side's journal, as any other program may."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from toolslot._domain._slot import SlotRecord, SlotState
from toolslot.journal import open_journal


def journal_states(path: Path) -> Mapping[int, str]:
    """The state of each call of the one batch, by its place in the message; empty where there is no journal."""
    if not path.exists():
        return {}
    with closing(open_journal(path)) as journal:
        records = [journal.load(key).result() for key in journal.keys().result()]
    return {slot.index: _word(slot) for record in records if record is not None for slot in record.slots}


def _word(slot: SlotRecord) -> str:
    # The start of an idempotent call is not recorded: it may have begun.
    if slot.spec.idempotent and slot.state is SlotState.RESERVED:
        return "reserved/running"
    return slot.state.value
