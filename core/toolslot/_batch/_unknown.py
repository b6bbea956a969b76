"""A call of unknown outcome: asking its reconciler, journaling what was decided about it, and what the agent was told of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from typing_extensions import assert_never

from toolslot._batch._engine import Engine, log
from toolslot._batch._messages import unknown_outcome
from toolslot._batch._ownership import LiveBatch
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Consult, Pause, Steps
from toolslot._codec import ErrorRecord, Payload, encode_error
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain import _plan
from toolslot._domain._events import EventKind
from toolslot._domain._operations import Decide
from toolslot._domain._plan import Standing
from toolslot._domain._policy import Answer, CannotTell, Done, Failed, NotDone, StillRunning, ToolPolicy
from toolslot._domain._slot import BatchKey, Delivered, Reason, SlotRecord, SlotState, Verdict, Withdrawn
from toolslot._errors import DecisionRefused, ToolFailed
from toolslot._text import quoted

still_running_elsewhere = "its reconciler says that it is still running"

#: why it is not known, by whether the call failed in a way that crashed the run
_WHAT = {False: "it began and left no record", True: "it failed, perhaps after it had its effect"}


def reconciling(request: CallRequest[Any], doubt: bool) -> Steps[None]:
    """Ask until there is an answer. Afterwards the slot is settled, or RESERVED, or this raises or reruns by policy."""
    if doubt:
        yield from request.live.losing(request.index, Reason.ESCAPED)
    reconciler = request.policy.reconcile
    assert reconciler is not None, "planned only where there is a reconciler"
    deadline = request.deadline if request.deadline is not None else request.engine.busy_until()
    while request.slot.state is SlotState.UNKNOWN:
        version = request.slot.version
        answer = yield from consulting(request.engine, request.policy, request.live.key, request.slot)
        match answer:
            case Done() | Failed() | NotDone():
                yield from _believe(request, answer, version)
                return
            case StillRunning():
                left = request.engine.left(deadline)
                if left <= 0:
                    ask = request.policy.unknown_rule != "fail"
                    raise unknown_outcome(request.live.key, request.slot, still_running_elsewhere, ask=ask)
                yield Pause(min(answer.retry_after, left))
                yield from request.live.refreshing()  # somebody may have decided it meanwhile
            case CannotTell():
                yield from _without_reconciler(request)
                return
            case _:
                assert_never(answer)


def _believe(request: CallRequest[Any], answer: Done | Failed | NotDone, version: int) -> Steps[None]:
    """Settle the slot by the reconciler's answer, unless something was recorded while it thought: that it has not seen."""
    try:
        yield from deciding(
            request.live, request.index, answer, by="reconciler", why="asked on recovery", version=version
        )
    except DecisionRefused:
        yield from request.live.refreshing()
        if request.slot.version == version:
            raise


def consulting(engine: Engine, policy: ToolPolicy, key: BatchKey, slot: SlotRecord) -> Steps[Answer]:
    """What the tool's reconciler says about a call."""
    reconciler = policy.reconcile
    assert reconciler is not None, "planned only where there is a reconciler"
    tool = quoted(slot.spec.tool)
    try:
        reach(CrashPoint.BEFORE_RECONCILE)
        answer: object = yield Consult(partial(reconciler, engine.view(key, slot)))
        reach(CrashPoint.AFTER_RECONCILE)
    except Exception as error:
        # It could not tell; that says nothing about the call.
        log.warning(
            "toolslot.reconciler_raised tool=%s call=%d run=%s: %s",
            tool,
            slot.index,
            quoted(key.run_id),
            type(error).__name__,
        )
        return CannotTell(type(error).__name__)
    if isinstance(answer, (Done, Failed, NotDone, StillRunning, CannotTell)):
        return answer
    log.warning(
        "toolslot.reconciler_answer tool=%s: expected Done, Failed, NotDone, StillRunning or CannotTell, got %s",
        tool,
        type(answer).__name__,
    )
    return CannotTell(f"not an answer: {type(answer).__name__}")


def _without_reconciler(request: CallRequest[Any]) -> Steps[None]:
    action = _plan.settle_unknown(request.slot, request.policy)
    if isinstance(action, _plan.Rerun):
        tell_rerun(request, action)
        yield from _withdraw(request, "run again by policy: the reconciler could not tell")
        return
    yield from stopping(request, action)


def _withdraw(request: CallRequest[Any], why: str) -> Steps[None]:
    row = request.live.row(Withdrawn, request.index, why=why)
    request.live.wrote(row, (yield request.live.hand_in(row)))
    request.engine.emit(EventKind.RECONCILED, request.live.key, request.slot, detail=why)


def stopping(request: CallRequest[Any], action: _plan.Ask | _plan.Fail) -> Steps[None]:
    if action.doubt:
        yield from request.live.losing(request.index, Reason.ESCAPED)
    what, ask = _WHAT[request.slot.reason is Reason.ESCAPED], isinstance(action, _plan.Ask)
    raise unknown_outcome(request.live.key, request.slot, what, ask=ask)


def tell_rerun(request: CallRequest[Any], action: _plan.Rerun) -> None:
    detail = "run again by policy"
    if action.undeclared:
        detail = (
            "it began before and left no record, so its effect may happen twice. No policy is declared for"
            f" {quoted(request.spec.tool)}: give ToolPolicy(reconcile=...), on_unknown='ask' or 'fail', or idempotent=True if"
            " running it twice does no harm"
        )
    if request.slot.state is not SlotState.FAILED:
        request.engine.emit(EventKind.RERUN, request.live.key, request.slot, detail=detail)


def deciding(
    live: LiveBatch, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int
) -> Steps[None]:
    """Journal a decision about an UNKNOWN slot. Raises `DecisionRefused` when it came too late."""
    slot = live.slots[index]
    live.saw(
        (
            yield from deciding_on(
                live.engine, live.key, slot, answer, by=by, why=why, version=version, epoch=live.own_epoch
            )
        )
    )


def deciding_on(
    engine: Engine,
    key: BatchKey,
    slot: SlotRecord,
    answer: Done | Failed | NotDone,
    *,
    by: str,
    why: str,
    version: int,
    epoch: int | None = None,
) -> Steps[SlotRecord]:
    """The same for a call of any batch; the slot as it is then. Without `epoch` as somebody from outside, who does not have the batch and
    is perhaps another host than the one that will read the answer.
    """
    tool = slot.spec.tool
    verdict, outcome, error = spelled(answer, lambda value: engine.encode(tool, value))
    content = (
        engine.content(tool, answer.value) if isinstance(answer, Done) and slot.effect is not None else None
    )
    operation = Decide(
        key=key,
        index=slot.index,
        verdict=verdict,
        by=by,
        why=why,
        decision_id=secrets.token_hex(8),
        version=version,
        at=engine.clock(),
        outcome=outcome if epoch is not None else content or outcome,
        error=error,
        epoch=epoch,
        content=content,
    )
    reach(CrashPoint.BEFORE_DECIDE)
    decided: SlotRecord = yield engine.journal.submit(operation)
    reach(CrashPoint.AFTER_DECIDE)
    engine.emit(EventKind.RECONCILED, key, decided, error=error, detail=f"{verdict.value}, says {by}")
    return decided


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
    """Record what the agent was told about a call that is not settled, so that a closed batch repeats it."""
    if not (live.slots[index].final or live.closed):  # then what is on record is told again
        yield from live.looking_again()
        if live.standing() is Standing.FREE:
            yield from live.claiming()
        if live.standing() is Standing.MINE:  # another owner that works on the call will say more
            outcome = live.engine.encode(live.slots[index].spec.tool, value)
            row = live.row(Delivered, index, outcome=outcome)
            live.wrote(row, (yield live.hand_in(row)))
    live.answered.add(index)
