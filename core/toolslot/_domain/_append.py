"""The verb that adds one fact about one attempt, and the rules that say whether it may."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import assert_never

from toolslot._domain._operations import check_epoch, existing, slot_at
from toolslot._domain._slot import (
    BatchKey,
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
    SlotPlace,
    SlotRecord,
    SlotState,
    Started,
    Withdrawn,
)
from toolslot._domain._state import AppendRow, BatchState, Change, JournalView
from toolslot._errors import BatchClosed, Fenced, InvalidSetting, NotStorable
from toolslot._text import shown

#: notes of a call that are written at most; fewer are kept
_MOST_WRITTEN = 1000

#: losses that a late result of the same owner settles; after the others somebody else may have run it again
_MAY_STILL_REPORT = (Reason.TIMED_OUT, Reason.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """Write `row`, if the slot's state allows it and `row.epoch` is the batch's epoch.

    The result is the slot as it is afterwards. A row that says nothing new (a repeated write, a loss of
    what is settled already) changes nothing and is no error. A late result that cannot count any more is
    kept as evidence, and `Fenced` is raised. `Decided` and `Evidence` rows have verbs of their own and are
    refused.
    """

    key: BatchKey
    row: Row

    def change(self, view: JournalView) -> Change[SlotRecord]:
        row = self.row
        state = view.state(self.key) or existing(view, self.key)
        slot = slot_at(state, row.index)
        if isinstance(row, Finished):
            return _finish(view, state, slot, row)
        if isinstance(row, Repeated):
            return write(state, row) if _may_repeat(state, slot, row) else Change((), slot)
        if row.epoch != state.fence.epoch:
            check_epoch(state, row.epoch)
        return write(state, row) if _allowed(state, slot, row) else Change((), slot)


def write(state: BatchState, row: Row, refusal: Fenced | None = None) -> Change[SlotRecord]:
    """One more row, and the slot as it is with it."""
    fold = state.folded_with(row)
    return Change((AppendRow(key=state.key, row=row, fold=fold),), fold, refusal)


def _finish(view: JournalView, state: BatchState, slot: SlotRecord, row: Finished) -> Change[SlotRecord]:
    counts = state.fence.epoch == row.epoch and not state.fence.closed and _counts(slot, row)
    if counts and (slot.effect is None or _holds(view, state, slot)):
        return write(state, row)  # a row that is there already would have settled it
    if row in state.rows(row.index):
        return Change((), slot)
    evidence = Evidence(
        index=row.index,
        generation=row.generation,
        attempt=row.attempt,
        epoch=row.epoch,
        at=row.at,
        outcome=row.outcome,
        error=row.error,
        failed=row.failed,
    )
    closed = " and its batch is closed" if state.fence.closed else ""
    refusal = Fenced(
        f"the result of attempt {row.attempt} of call {row.index} ({shown(slot.spec.tool)}) in batch {state.key}"
        f" came too late: the slot is {slot.state.value} at attempt {slot.attempt}, epoch"
        f" {state.fence.epoch}{closed} (the result has epoch {row.epoch}). It is kept as evidence and changes"
        " nothing."
    )
    if evidence in state.rows(row.index):
        return Change((), slot, refusal)
    return write(state, evidence, refusal)


def _holds(view: JournalView, state: BatchState, slot: SlotRecord) -> bool:
    """Whether the call still holds its effect: nobody knew what had become of it, and another call may have had the effect since."""
    effect = view.effect(slot.effect.digest) if slot.effect is not None else None
    place = SlotPlace(state.key, slot.index, slot.generation)
    return effect is not None and effect.holder is not None and effect.holder.place == place


def _may_repeat(state: BatchState, slot: SlotRecord, row: Repeated) -> bool:
    """Whether there is an answer in whose place it can come."""
    same = (row.generation, row.attempt) == (slot.generation, slot.attempt)
    return same and slot.final and row not in state.rows(row.index)


def _standing(slot: SlotRecord, row: Row) -> SlotState | None:
    """The state of the attempt that `row` is about; None when it is not the newest one.

    An idempotent call leaves no start mark, so whatever is recorded first about its next attempt says that
    it ran.
    """
    if row.generation != slot.generation:
        return None
    if row.attempt == slot.attempt:
        return slot.state
    unmarked = slot.spec.idempotent and row.attempt > slot.attempt and not slot.final
    return SlotState.RUNNING if unmarked else None


def _counts(slot: SlotRecord, row: Finished) -> bool:
    """Whether a result of this attempt still settles the slot."""
    standing = _standing(slot, row)
    if standing is SlotState.UNKNOWN:
        return slot.reason in _MAY_STILL_REPORT
    return standing is SlotState.RUNNING


def _allowed(state: BatchState, slot: SlotRecord, row: Row) -> bool:
    """Whether the row says something new. Raises where going on would run something that must not run."""
    if isinstance(row, Started):
        return may_start(state, slot, row)
    standing = _standing(slot, row)
    match row:
        case Regenerated():
            return _may_regenerate(state, slot, row)
        case Withdrawn():
            return row.attempt == slot.attempt and standing in (SlotState.RUNNING, SlotState.UNKNOWN)
        case Paused():
            return standing is SlotState.RUNNING
        case Lost():
            escaped = standing is SlotState.FAILED and slot.escaped and row.reason is Reason.ESCAPED
            return escaped or standing is SlotState.RUNNING
        case Delivered():
            # RESERVED: it waits for another call with the same effect key, of which nobody knows whether it was done.
            return standing in (SlotState.UNKNOWN, SlotState.RESERVED) and slot.delivered is None
        case Noted():
            return _may_note(state, slot, row)
        case Refused():
            if not slot.final:
                may_spare(state, slot)
            return not slot.final
        case Finished() | Decided() | Deduplicated() | Evidence() | Repeated():
            raise InvalidSetting(f"a {type(row).__name__} row is not appended: its own verb writes it.")
        case _:
            assert_never(row)


def _may_note(state: BatchState, slot: SlotRecord, row: Noted) -> bool:
    standing, rows = _standing(slot, row), state.rows(row.index)
    if row in rows:
        return False
    late = standing is SlotState.UNKNOWN and slot.reason in _MAY_STILL_REPORT
    what = f"attempt {row.attempt} of call {row.index} ({shown(slot.spec.tool)}) in batch {state.key} cannot be noted of"
    if not (late or standing is SlotState.RUNNING) or state.fence.closed:
        raise Fenced(f"{what}: it runs no more, the slot is {slot.state.value} at attempt {slot.attempt}.")
    if sum(isinstance(each, Noted) for each in rows) >= _MOST_WRITTEN:
        raise NotStorable(
            f"{what}: {_MOST_WRITTEN} notes of it are written already. Note what tells whether it was done, and not every step."
        )
    return True


def may_spare(state: BatchState, slot: SlotRecord) -> None:
    """Raises where the call cannot get an answer instead of being entered."""
    what = f"call {slot.index} ({shown(slot.spec.tool)}) in batch {state.key} gets no answer"
    if state.fence.closed:
        raise BatchClosed(f"{what}: the batch is closed, nothing of it runs any more.")
    if not state.fence.held or slot.state is SlotState.RUNNING:
        raise Fenced(f"{what}: somebody else has worked on it; open the batch again.")


def may_start(state: BatchState, slot: SlotRecord, row: Started) -> bool:
    """Whether the mark says something new.

    Raises:
        BatchClosed, Fenced: the call must not start.
    """
    fence = state.fence
    busy = slot.final or slot.state is SlotState.RUNNING
    is_next = row.generation == slot.generation and row.attempt == slot.attempt + 1
    if is_next and fence.held and not busy and not fence.closed:
        return True
    what = f"attempt {row.attempt} of call {row.index} ({shown(slot.spec.tool)}) in batch {state.key} must not start"
    if fence.closed:
        raise BatchClosed(f"{what}: the batch is closed, nothing of it runs any more.")
    if not fence.held:
        raise Fenced(
            f"{what}: its owner has let the batch go. Take the batch over before running anything of it."
        )
    if slot.state is SlotState.RUNNING and row in state.rows(row.index):
        return False  # the very same mark again: its first commit was not acknowledged
    raise Fenced(
        f"{what}: the slot is {slot.state.value} at attempt {slot.attempt}, generation {slot.generation}."
        " Somebody else has worked on it; open the batch again."
    )


def _may_regenerate(state: BatchState, slot: SlotRecord, row: Regenerated) -> bool:
    what = (
        f"call {row.index} ({shown(slot.spec.tool)}) in batch {state.key} must not give way to another call"
    )
    if row in state.rows(row.index):
        return False
    if state.fence.closed:
        raise BatchClosed(f"{what}: the batch is closed, nothing of it runs any more.")
    if row.generation != slot.generation + 1:
        raise Fenced(
            f"{what}: generation {row.generation} was asked for, the slot is at {slot.generation}. Somebody"
            " else has worked on it; open the batch again."
        )
    return True
