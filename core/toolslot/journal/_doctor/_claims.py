"""Which effects a batch says that its calls have claimed."""

from __future__ import annotations

from toolslot._domain._slot import Deduplicated, Started
from toolslot._domain._state import BatchState


def claimed_in(state: BatchState) -> set[str]:
    """Their digests. Each has a record for as long as the journal exists, so one without a record has lost it."""
    return {
        row.effect.digest
        for index in range(state.size)
        for row in state.rows(index)
        if isinstance(row, (Started, Deduplicated)) and row.effect is not None
    }
