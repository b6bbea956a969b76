"""The attempts of a slot, told from its rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import assert_never

from toolslot._domain._slot import (
    Decided,
    Deduplicated,
    Delivered,
    Evidence,
    Finished,
    Lost,
    Noted,
    Paused,
    Reason,
    Refused,
    Regenerated,
    Repeated,
    Row,
    SlotState,
    Started,
    Verdict,
    Withdrawn,
)
from toolslot._views._records import AttemptView

_DECIDED = {
    Verdict.DONE: SlotState.SUCCEEDED,
    Verdict.FAILED: SlotState.FAILED,
    Verdict.RERUN: SlotState.RESERVED,
}


def attempts(rows: Sequence[Row]) -> tuple[AttemptView, ...]:
    """In the order in which they began."""
    found: dict[tuple[int, int], AttemptView] = {}
    for row in rows:
        place = (row.generation, row.attempt)
        told = _told(found.get(place), row)
        if told is not None:
            found[place] = told
    return tuple(found.values())


def _told(attempt: AttemptView | None, row: Row) -> AttemptView | None:
    """What is known of the attempt once the row is read; None for rows that are about no attempt."""
    match row:
        case Started():
            return _begun(row, queued_at=row.queued_at, started_at=row.at)
        case Finished():
            known = attempt or _begun(row, queued_at=row.queued_at, started_at=row.started_at)
            state = SlotState.FAILED if row.failed else SlotState.SUCCEEDED
            error = row.error.type_name if row.error is not None else None
            return replace(known, state=state, ended_at=row.at, until=row.at, reason=None, error_type=error)
        case Lost():
            known = attempt or _begun(row)
            if row.reason is Reason.ESCAPED:  # it had ended, and what its failure means is in doubt
                return replace(known, state=SlotState.UNKNOWN, reason=row.reason)
            return replace(known, state=SlotState.UNKNOWN, ended_at=row.at, reason=row.reason)
        case Paused():
            return replace(attempt or _begun(row), state=SlotState.WAITING, ended_at=row.at, until=row.at)
        case Withdrawn():
            return replace(attempt or _begun(row), state=SlotState.RESERVED, ended_at=row.at, reason=None)
        case Decided():
            return None if attempt is None else replace(attempt, state=_DECIDED[row.verdict])
        case Noted():  # of an idempotent call it is the first that is recorded
            return attempt or _begun(row)
        case Deduplicated() | Refused() | Delivered() | Evidence() | Repeated() | Regenerated():
            return None
        case _:
            assert_never(row)


def _begun(row: Row, *, queued_at: float | None = None, started_at: float | None = None) -> AttemptView:
    return AttemptView(
        generation=row.generation,
        number=row.attempt,
        epoch=row.epoch,
        state=SlotState.RUNNING,
        queued_at=queued_at,
        started_at=started_at,
    )
