"""BatchState: one batch as a back end holds it."""

from __future__ import annotations

from toolslot._codec import Payload
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._slot import (
    BatchKey,
    Fence,
    Lost,
    Manifest,
    Reason,
    SlotSpec,
    SlotState,
    Started,
    Tenure,
)
from toolslot.journal import BatchState
from toolslot.journal._process import this_process

OWNER = Owner(process=this_process(), token="t")


def started(index: int) -> Started:
    return Started(index=index, generation=1, attempt=1, epoch=1, at=1.0, queued_at=0.0)


def lost(index: int) -> Lost:
    return Lost(index=index, generation=1, attempt=1, epoch=1, at=2.0, reason=Reason.TIMED_OUT)


def state(*rows: Started | Lost) -> BatchState:
    args = Payload(codec="j", data=b"{}")
    specs = tuple(SlotSpec(index=i, tool="pay", call_id="", digest=None, args=args) for i in range(2))
    manifest = Manifest(key=BatchKey("run", "batch"), specs=specs, created=0.0)
    return BatchState(manifest, Fence(epoch=1, owner=OWNER), (Tenure(epoch=1, owner=OWNER, at=0.0),), rows)


def states(batch: BatchState) -> list[SlotState]:
    return [slot.state for slot in batch.slots()]


def test_rows_of_all_slots_may_come_mixed() -> None:
    batch = state(started(1), started(0), lost(1))
    assert batch.rows(1) == (started(1), lost(1))
    assert states(batch) == [SlotState.RUNNING, SlotState.UNKNOWN]


def test_a_row_that_is_added_shows_at_once() -> None:
    batch = state(started(0))
    assert states(batch) == [SlotState.RUNNING, SlotState.RESERVED]
    batch.append(lost(0))
    batch.append(started(1))
    assert states(batch) == [SlotState.UNKNOWN, SlotState.RUNNING]


def test_a_row_that_is_added_with_its_fold_shows_that_fold() -> None:
    batch = state(started(0))
    fold = batch.folded_with(lost(0))
    batch.append(lost(0), fold)
    assert batch.slot(0) is fold
    assert batch.slot(0) == state(started(0), lost(0)).slot(0)


def test_looking_ahead_changes_nothing() -> None:
    batch = state(started(0))
    assert batch.folded_with(lost(0)).state is SlotState.UNKNOWN
    assert states(batch) == [SlotState.RUNNING, SlotState.RESERVED]
    assert batch.rows(0) == (started(0),)


def test_a_record_that_was_handed_out_does_not_change_later() -> None:
    batch = state(started(0))
    record = batch.record(OwnerState.ALIVE)
    batch.append(lost(0))
    batch.fence = Fence(epoch=2, owner=OWNER)
    assert (record.slots[0].state, record.fence.epoch) == (SlotState.RUNNING, 1)
