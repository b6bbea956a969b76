"""What a person does to a run from outside: settle a call, move batches on, end them. Each is journaled with who and why."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager

from toolslot._batch._unknown import spelled
from toolslot._codec import JsonCodec, encode
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._effect_standing import doubt_of
from toolslot._domain._identity import Owner
from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._port import records_of
from toolslot._domain._slot import BatchKey, BatchRecord, Reason, SlotRecord, SlotState
from toolslot._errors import BatchBusy, DecisionRefused, Fenced
from toolslot.journal import Decide, Journal, OwnerState, Release, TakeOver

Clock = Callable[[], float]


def resolve(
    journal: Journal,
    key: BatchKey,
    index: int,
    answer: Done | Failed | NotDone,
    *,
    by: str,
    why: str,
    version: int,
    clock: Clock = time.time,
) -> SlotRecord:
    """Settle call `index` of a batch whose outcome is unknown, or have it run again when the run goes on. The slot as it is then.

    A living owner keeps its batch. One that is certainly dead and left the call running is followed first, which makes the call unknown;
    the batch is let go again at once. A call with an effect key is decided without that, also one that failed or whose batch is closed:
    the next call with the key goes by it. `version` is the call's as views show it. A `Done(value)` holds what the tool would have
    returned: JSON-like values, and what else `JsonCodec` stores.

    Raises:
        DecisionRefused: there is nothing to decide, another decision came first, or something was recorded since `version`.
        BatchBusy: it timed out or was cancelled in a process that is or may be alive, where its code may still run.
        BatchClosed: it cannot run again, its batch is closed.
        NotStorable: the value of a `Done` cannot be stored.
        JournalError: the journal failed.
    """
    if isinstance(answer, Done):
        # A decision must not be kept as less than what was decided.
        encode(answer.value, JsonCodec(), fallback=False)
    record = journal.load(key).result()
    if record is None:
        raise DecisionRefused(
            f"there is no batch {key} in the journal {journal.location}: nothing was decided."
        )
    if not 0 <= index < len(record.slots):
        raise DecisionRefused(
            f"batch {key} has {len(record.slots)} calls, the first is 0: there is no call {index} to decide about."
        )
    slot = record.slots[index]
    _refuse_while_it_may_run(record, slot)
    left_by_the_dead = record.fence.held and not record.held
    if slot.effect is not None and doubt_of(record, slot) is not None:
        # Views count the loss that nobody has recorded yet.
        ahead = left_by_the_dead and slot.state is SlotState.RUNNING and version == slot.version + 1
        quoted = version - 1 if ahead else version
        return _decide(journal, record.key, index, answer, by=by, why=why, version=quoted, at=clock())
    if slot.state is not SlotState.RUNNING or not left_by_the_dead:
        return _decide(journal, record.key, index, answer, by=by, why=why, version=version, at=clock())
    lost = slot.version + 1
    if version != lost:
        raise DecisionRefused(
            f"call {index} of batch {key} is at version {lost}, the decision was made on version {version}: something was recorded"
            " meanwhile. Look at it again, then decide."
        )
    with _held(journal, record, by=by, why=f"to decide about call {index}", clock=clock) as taken:
        return _decide(journal, taken.key, index, answer, by=by, why=why, version=version, at=clock())


def _decide(
    journal: Journal,
    key: BatchKey,
    index: int,
    answer: Done | Failed | NotDone,
    *,
    by: str,
    why: str,
    version: int,
    at: float,
) -> SlotRecord:
    """One write: the batch keeps its owner, who finds the decision when it looks. Dying here, it may be recorded: look again."""
    verdict, outcome, error = spelled(answer, lambda value: encode(value, JsonCodec()))
    operation = Decide(
        key=key,
        index=index,
        verdict=verdict,
        by=by,
        why=why,
        decision_id=secrets.token_hex(8),
        version=version,
        at=at,
        outcome=outcome,
        error=error,
    )
    reach(CrashPoint.BEFORE_RESOLVE)
    slot = journal.submit(operation).result()
    reach(CrashPoint.AFTER_RESOLVE)
    return slot


def takeover(
    journal: Journal,
    run_id: str,
    *,
    by: str,
    why: str,
    force: bool = False,
    clock: Clock = time.time,
) -> tuple[BatchKey, ...]:
    """Take every batch of the run that an owner holds from it, and release it, so that a resume can go on. The batches that were taken.

    What the owner left running becomes unknown; if it lives after all, nothing that it writes counts any more.

    Raises:
        BatchBusy: an owner is or may be alive, and `force` is not given; no batch was taken.
        Fenced: another process took a batch over at the same moment. Look again.
        JournalError: the journal failed.
    """
    held = [record for record in records_of(journal, run_id) if record.fence.held and not record.fence.closed]
    if not force:
        _refuse_living(held, "toolslot takeover --force takes it from an owner that lives; it is fenced.")
    for record in held:
        with _held(journal, record, by=by, why=why, force=force, clock=clock):
            pass
    return tuple(record.key for record in held)


def abandon(
    journal: Journal,
    run_id: str,
    *,
    by: str,
    why: str,
    batch_ids: Collection[str] | None = None,
    clock: Clock = time.time,
) -> tuple[BatchKey, ...]:
    """Close the open batches of the run, or those of `batch_ids`: nothing of them runs any more. The batches that were closed.

    What is recorded still replays; a call without a result is refused with `BatchClosed`.

    Raises:
        BatchBusy: an owner is or may be alive; no batch was closed. Take it over first.
        Fenced: another process took a batch over at the same moment. Look again.
        JournalError: the journal failed.
    """
    records = [
        record
        for record in records_of(journal, run_id)
        if not record.fence.closed and (batch_ids is None or record.key.batch_id in batch_ids)
    ]
    _refuse_living(records, "Stop it, or take the batch from it first: toolslot takeover --force.")
    for record in records:
        with _held(journal, record, by=by, why=f"abandoned: {why}", closing=True, clock=clock):
            pass
    return tuple(record.key for record in records)


def _refuse_while_it_may_run(record: BatchRecord, slot: SlotRecord) -> None:
    """A thread that outlives its timeout or its caller will still report, to the owner that waits for that with the batch."""
    owner = record.fence.owner
    may_report = slot.state is SlotState.UNKNOWN and slot.reason in (Reason.TIMED_OUT, Reason.CANCELLED)
    if may_report and record.held and slot.epoch == record.fence.epoch:
        raise BatchBusy(
            f"call {slot.index} of batch {record.key} timed out or was cancelled in {owner}, which holds the batch and is or may be alive:"
            " its code may still run there, and what it returns is recorded. Nothing was decided. Wait until that owner has let the batch"
            " go, or take the batch from it first: toolslot takeover --force."
        )


def _refuse_living(records: Collection[BatchRecord], remedy: str) -> None:
    for record in records:
        if record.held:
            seems = (
                "alive"
                if record.owner_state is OwnerState.ALIVE
                else "perhaps alive (its machine cannot be asked from here)"
            )
            raise BatchBusy(
                f"batch {record.key} is held by {record.fence.owner}, which is {seems}. Nothing was changed. {remedy}"
            )


@contextmanager
def _held(
    journal: Journal,
    record: BatchRecord,
    *,
    by: str,
    why: str,
    clock: Clock,
    force: bool = False,
    closing: bool = False,
) -> Generator[BatchRecord]:
    """Hold the batch meanwhile. Dying in here leaves a dead owner, which is as good as none."""
    owner = Owner(process=journal.process, token=secrets.token_hex(8))
    journal.enlist(owner)
    try:
        operation = TakeOver(
            key=record.key,
            owner=owner,
            expected_epoch=record.fence.epoch,
            at=clock(),
            why=why,
            force=force,
            by=by,
        )
        reach(CrashPoint.BEFORE_TAKEOVER)
        taken = journal.submit(operation).result()
        reach(CrashPoint.AFTER_TAKEOVER)
        if taken.fence.epoch == record.fence.epoch:
            _refuse_living([taken], "Look at it again.")
        if taken.fence.owner != owner:
            raise Fenced(
                f"batch {record.key} was taken over by {taken.fence.owner} at the same moment; nothing was changed. Look at it again."
            )
        try:
            yield taken
        finally:
            reach(CrashPoint.BEFORE_RELEASE)
            journal.submit(Release(key=record.key, epoch=taken.fence.epoch, closed=closing)).result()
            reach(CrashPoint.AFTER_RELEASE)
    finally:
        journal.retire(owner)
