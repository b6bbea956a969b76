"""A call that names its effect: whether it may have it, or gets the result of the call that has had it.

Asked before the call queues for a permit, and claimed with its start mark. Who holds an effect is decided in the journal, so what is seen
here may be over when it is used: then it is asked again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from typing_extensions import assert_never

from toolslot._batch._active import Active
from toolslot._batch._context import current
from toolslot._batch._messages import inside_of, not_started, still_running, unknown_outcome
from toolslot._batch._registry import registry_of
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Await, Pause, Steps
from toolslot._batch._unknown import consulting, deciding_on, still_running_elsewhere
from toolslot._codec import encode_error
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain import _plan
from toolslot._domain._claim import Claim, Claimed
from toolslot._domain._effect_names import NamedEffect, NoKey
from toolslot._domain._effects import EffectState
from toolslot._domain._events import EventKind
from toolslot._domain._policy import CannotTell, Done, Failed, NotDone, StillRunning
from toolslot._domain._slot import BatchKey, Refused, SlotPlace, SlotRecord, SlotState, Started
from toolslot._errors import DecisionRefused, EffectRefused, UnknownOutcome

#: how the waiting for another call begins and grows, in seconds; one of another process can only be polled
_FIRST_POLL, _LAST_POLL = 0.005, 0.25


class NotClaimed(Exception):
    """Another call has claimed the effect meanwhile, or has had it."""


def clearing(request: CallRequest[Any], epoch: int) -> Steps[None]:
    """Return once the call may have its effect, or has an answer on record.

    Raises:
        UnknownOutcome: the call that holds the effect began and left no record, and nobody here can know whether it was had.
        BatchBusy, BatchTimedOut: it is under way, and cannot or must not be waited for any longer.
    """
    if isinstance(request.spec.effect, NoKey):
        yield from _refusing(request, EffectRefused(request.spec.effect.why))
        return
    poll = _FIRST_POLL
    while True:
        claimed: Claimed = yield from _claiming(request, epoch, None)
        request.live.doubts.pop(request.index, None)
        place, held = claimed.holder, claimed.held
        if place is None or held is None or request.engine.draining.is_set():
            return  # draining, it is refused where it would start
        if claimed.state is EffectState.RUNNING and not _is_over(request, place, held):
            yield from _waiting(request, place, poll)
            poll = min(poll * 2, _LAST_POLL)
        elif (yield from _settling(request, place, held)):
            request.anyway = (place, held.version)


def claiming_to_start(request: CallRequest[Any], mark: Started) -> Steps[None]:
    """Claim the effect with the start mark; both are durable then.

    Raises:
        NotClaimed: somebody else was faster.
    """
    claimed: Claimed = yield from _claiming(request, mark.epoch, mark)
    if claimed.holder is not None or claimed.slot.final:
        raise NotClaimed


def _claiming(request: CallRequest[Any], epoch: int, mark: Started | None) -> Steps[Claimed]:
    live, engine = request.live, request.engine
    assert isinstance(request.spec.effect, NamedEffect), "without a key it is refused before"
    claim = Claim(
        key=live.key,
        index=request.index,
        epoch=epoch,
        effect=request.spec.effect,
        policy=request.policy,
        at=engine.clock(),
        mark=mark,
        anyway=request.anyway,
    )
    reach(CrashPoint.BEFORE_EFFECT if mark is None else CrashPoint.BEFORE_START)
    claimed: Claimed = yield engine.journal.submit(claim)
    # Dies here: it has the other call's result on record, or its claim and start mark, or nothing; each is planned as it is.
    reach(CrashPoint.AFTER_EFFECT if mark is None else CrashPoint.AFTER_START)
    live.saw(claimed.slot)
    _tell(request, claimed.slot)
    return claimed


def _tell(request: CallRequest[Any], slot: SlotRecord) -> None:
    request.spared = slot.holder is not None or slot.refused
    if slot.holder is not None:
        detail = f"its effect is on record as done by {slot.holder}"
        request.engine.emit(EventKind.DEDUPLICATED, request.live.key, slot, detail=detail)
    elif slot.refused:
        request.engine.emit(EventKind.REFUSED, request.live.key, slot, error=slot.error)


def _refusing(request: CallRequest[Any], error: EffectRefused) -> Steps[None]:
    """Let `error` be the call's answer."""
    row = request.live.row(Refused, request.index, error=encode_error(error))
    request.live.wrote(row, (yield request.live.hand_in(row)))
    _tell(request, request.slot)


# --- another call holds it ----------------------------------------------------------------------------------------------


def _is_over(request: CallRequest[Any], place: SlotPlace, held: SlotRecord) -> bool:
    """Whether nobody is at it any more although the batch is open: it is ours, and would wait for us."""
    mine = place.batch == request.live.key and place.index not in request.live.active
    return mine and held.state is not SlotState.RUNNING


def _waiting(request: CallRequest[Any], place: SlotPlace, poll: float) -> Steps[None]:
    """Wait a little for the call that has the effect under way."""
    engine, live = request.engine, request.live
    around = current.get()
    while around is not None:
        if (BatchKey(around.run_id, around.batch_id), around.index) == (place.batch, place.index):
            raise inside_of(live.key, request.index, request.spec.tool, place)
        around = around.around
    left = engine.left(request.deadline)
    if left <= 0:
        raise not_started(live.key, request.index, request.spec.tool, engine.limits.batch_timeout)
    active = registry_of(engine.journal).at_work(place.batch, place.index)
    if active is None:
        yield Pause(min(poll, left))
        return
    if active.detached and place.batch == live.key and engine.left(_patience(request)) <= 0:
        raise still_running(live.key, place.index, request.spec.tool, engine.limits.busy_timeout)
    yield from _until_over(active, min(_LAST_POLL, left))


def _until_over(active: Active, seconds: float) -> Steps[None]:
    with suppress(TimeoutError):
        yield Await(active.done(), seconds)


def _patience(request: CallRequest[Any]) -> float | None:
    """Until when to wait for a thread of our own batch that has outlived its call; it may be stuck for ever."""
    limit = request.engine.limits.busy_timeout
    return None if limit is None else request.since + limit


def _settling(request: CallRequest[Any], place: SlotPlace, held: SlotRecord) -> Steps[bool]:
    """Find out whether the effect was had; what is decided is written to the call that holds it. Whether to have it again by policy.

    Raises:
        UnknownOutcome: as `clearing`.
    """
    engine, policy = request.engine, request.policy
    if policy.reconcile is not None:
        answer = yield from consulting(engine, policy, place.batch, held)
        match answer:
            case Done() | Failed() | NotDone():
                with suppress(DecisionRefused):  # something was recorded meanwhile: it is looked at again
                    yield from deciding_on(
                        engine,
                        place.batch,
                        held,
                        answer,
                        by="reconciler",
                        why=f"asked for call {request.index} of batch {request.live.key}, which has the same effect key",
                        version=held.version,
                    )
                return False
            case StillRunning():
                left = engine.left(request.deadline if request.deadline is not None else _patience(request))
                if left > 0:
                    yield Pause(min(answer.retry_after, left))
                    return False
                ask = policy.unknown_rule != "fail"
                raise _unknown(request, place, held, still_running_elsewhere, ask=ask)
            case CannotTell():
                pass
            case _:
                assert_never(answer)
    action = _plan.settle_unknown(held, policy)
    if isinstance(action, _plan.Rerun):
        detail = f"run by policy: {place} has begun its effect and left no record"
        engine.emit(EventKind.RERUN, request.live.key, request.slot, detail=detail)
        return True
    what = f"it began and left no record, and call {request.index} of batch {request.live.key} names the same effect"
    raise _unknown(request, place, held, what, ask=isinstance(action, _plan.Ask))


def _unknown(
    request: CallRequest[Any], place: SlotPlace, held: SlotRecord, what: str, *, ask: bool
) -> UnknownOutcome:
    request.live.doubts[request.index] = (place.batch, held)
    return unknown_outcome(place.batch, held, what, ask=ask)
