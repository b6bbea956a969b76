"""Journaling what was decided about a call of unknown outcome, and what the agent was told of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from typing_extensions import assert_never

from toolslot._batch._open_batch import LiveBatch
from toolslot._batch._steps import Await, Steps
from toolslot._codec import ErrorRecord, Payload, encode_error
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import EventKind
from toolslot._domain._operations import Decide
from toolslot._domain._plan import Standing
from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._slot import Delivered, SlotRecord, Verdict
from toolslot._errors import ToolFailed, UnknownOutcome
from toolslot._text import quoted


def deciding(
    live: LiveBatch, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int
) -> Steps[None]:
    """Journal a decision about an UNKNOWN slot. Raises `DecisionRefused` when it came too late."""
    tool = live.slots[index].spec.tool
    engine = live.engine
    verdict, outcome, error = spelled(answer, lambda value: engine.encode(tool, value))
    operation = Decide(
        key=live.key,
        index=index,
        verdict=verdict,
        by=by,
        why=why,
        decision_id=secrets.token_hex(8),
        version=version,
        at=engine.clock(),
        outcome=outcome,
        error=error,
        epoch=live.own_epoch,
    )
    reach(CrashPoint.BEFORE_DECIDE)
    future = engine.journal.submit(operation)
    slot: SlotRecord = yield Await(future)
    reach(CrashPoint.AFTER_DECIDE)
    live.saw(slot)
    engine.emit(EventKind.RECONCILED, live.key, slot, error=error, detail=f"{verdict.value}, says {by}")


def spelled(
    answer: Done | Failed | NotDone, encode: Callable[[object], Payload]
) -> tuple[Verdict, Payload | None, ErrorRecord | None]:
    """The answer as the journal keeps it."""
    match answer:
        case Done():
            return Verdict.DONE, encode(answer.value), None
        case Failed():
            raised = answer.error if isinstance(answer.error, BaseException) else ToolFailed(answer.error)
            return Verdict.FAILED, None, encode_error(raised)
        case NotDone():
            return Verdict.RERUN, None, None
        case _:
            assert_never(answer)


def delivering(live: LiveBatch, index: int, value: object) -> Steps[None]:
    """Record what the agent was told about a call that nobody settled, so that a closed batch repeats it."""
    if not (live.slots[index].final or live.closed):  # then what is on record is told again
        if live.standing() is Standing.FREE:
            yield from live.claiming()
        if live.standing() is Standing.MINE:  # another owner that works on the call will say more
            outcome = live.engine.encode(live.slots[index].spec.tool, value)
            yield from live.writing(live.row(Delivered, index, outcome=outcome))
    live.answered.add(index)


def unknown_outcome(live: LiveBatch, index: int, what: str, *, ask: bool) -> UnknownOutcome:
    """The error that names an undecided call, and all that is needed to decide about it."""
    slot, key = live.slots[index], live.key
    idempotency_key = live.engine.key_of(key, slot)
    reason = f" ({slot.reason.value})" if slot.reason is not None else ""
    return UnknownOutcome(
        f"nobody here can know whether call {index} ({quoted(slot.spec.tool)}) of batch {key} was done: {what}{reason}. It was not run"
        f" again. Find out with its idempotency key {idempotency_key} and decide: done, failed, or rerun.",
        run_id=key.run_id,
        batch_id=key.batch_id,
        index=index,
        tool=slot.spec.tool,
        idempotency_key=idempotency_key,
        version=slot.version,
        ask=ask,
    )
