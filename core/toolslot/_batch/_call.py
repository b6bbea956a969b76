"""Entering one call of a batch: plan, then replay, run, reconcile, ask or wait, until there is an answer.

The comments marked "dies here" say what a crash on that line leaves in the journal, and why that is right.
"""

from __future__ import annotations

from typing import TypeVar, cast

from typing_extensions import assert_never

from toolslot._batch._active import Active
from toolslot._batch._attempt import Attempt, Escaped
from toolslot._batch._messages import another_call, closed, not_this_call
from toolslot._batch._repetition import Repetition
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Pause, Steps
from toolslot._batch._unknown import reconciling, stopping, tell_rerun
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain import _plan
from toolslot._domain._events import EventKind
from toolslot._domain._retry import delay_after
from toolslot._domain._slot import Reason, Regenerated, SlotRecord, SlotState
from toolslot._errors import (
    BatchMismatch,
    Fenced,
    ResultNotStorable,
    ToolFailed,
)
from toolslot._text import shown

T = TypeVar("T")


class Entry(CallRequest[T]):
    """One entrance of one call, on its way from the plan to the answer."""

    __slots__ = ()

    def steps(self) -> Steps[T]:
        """The call's answer, from the journal or from its code."""
        while True:
            if self._replayable():
                return self._replay()
            mine = Active(self.index, self.live.lock)
            try:  # twice, for an interrupt may come at any line, in a `finally` too
                answer = yield from self._entered(mine)
            finally:
                self._leave(mine, None)
            if answer is not None:
                return answer[0]

    def _entered(self, mine: Active) -> Steps[tuple[T] | None]:
        """The answer; None when somebody else was at work and is through."""
        error: BaseException | None = None
        try:
            active = self.live.enter(mine)
            if active is mine:
                return ((yield from self._settle(active)),)
            yield from self.live.joining(active, self.engine.busy_until(), self.engine.limits.busy_timeout)
        except Exception as raised:
            error = raised
            raise
        finally:
            self._leave(mine, error)
        return None

    def _leave(self, mine: Active, error: BaseException | None) -> None:
        """Unless it was done before, or is left to the thread that runs on."""
        if self.live.active.get(mine.index) is mine and not mine.detached:
            self.live.leave(mine, error)

    def _replayable(self) -> bool:
        slot = self.slot
        if slot.state is not SlotState.FAILED and not slot.final and slot.delivered is None:
            return False  # the usual case, decided cheaply
        if not slot.final and self.index in self.live.active:
            return False  # it may say more than what was told of it
        action = self._next(_plan.Standing.TAKEN)
        return isinstance(action, _plan.Replay) and self.index not in self.live.unrecorded

    def _next(self, standing: _plan.Standing) -> _plan.Action:
        slot, policy = self.slot, self.policy
        here = policy.on_resume != "rerun" or self.live.ran_here(slot)
        return _plan.plan(slot, self.spec, policy, standing, closed=self.live.closed, ran_here=here)

    # --- the loop -------------------------------------------------------------------------------------------------------

    def _settle(self, active: Active) -> Steps[T]:
        began = self.engine.monotonic()
        busy_until = self.engine.busy_until()
        tries = 0
        again: _plan.Rerun | None = None
        again_at = (0, 0)
        if self.index in self.live.unrecorded:
            epoch = self.live.unrecorded[self.index][0].epoch
            try:
                return cast("T", (yield from Attempt(self, active, epoch).record_again()))
            except Fenced:
                yield from self._after_fenced(epoch, tries)
        if self.slot.state is SlotState.UNKNOWN:
            yield from self.live.refreshing()  # somebody may have decided it from outside
        while True:
            if active.over:  # taken over by force meanwhile, from inside this process
                yield from self._after_fenced(0, tries)
            fence, standing = self.live.look()
            epoch = fence.epoch if standing is _plan.Standing.MINE else 0
            action = self._next(standing)
            if self.slot.state is SlotState.RUNNING and isinstance(action, _UNSETTLED):
                yield from self._end_of_nobody(epoch, tries)
                continue
            if again is not None and again_at == (epoch, self.slot.version):
                action = action if isinstance(action, _plan.Repeat) else again
            again = None
            match action:
                case _plan.Replay():
                    return self._replay()
                case _plan.Run() | _plan.Rerun() | _plan.Repeat():
                    tries += 1
                    try:
                        return (yield from self._run(active, action, epoch))
                    except Escaped as escaped:
                        if active.detached:
                            raise escaped.error from None  # a thread of it runs on
                        again_at = epoch, self.slot.version
                        again = yield from self._before_retry(escaped.error, tries, began)
                    except Fenced:
                        yield from self._after_fenced(epoch, tries)
                case _:
                    yield from self._towards(action, standing, busy_until)

    def _towards(
        self,
        action: _plan.Reconcile
        | _plan.Ask
        | _plan.Fail
        | _plan.Wait
        | _plan.Claim
        | _plan.Mismatch
        | _plan.Closed,
        standing: _plan.Standing,
        busy_until: float | None,
    ) -> Steps[None]:
        """Do what must come first; then the call is planned anew. Raises where it must stop."""
        match action:
            case _plan.Reconcile():
                yield from reconciling(self, action.doubt)
            case _plan.Ask() | _plan.Fail():
                yield from stopping(self, action)
            case _plan.Wait():
                yield from self.live.waiting(busy_until, self.engine.limits.busy_timeout)
            case _plan.Claim():
                yield from self.live.claiming()
            case _plan.Mismatch():
                yield from self._mismatch(action, standing, busy_until)
            case _plan.Closed():
                raise closed(self.live.key, self.index, self.spec.tool)
            case _:
                assert_never(action)

    def _end_of_nobody(self, epoch: int, tries: int) -> Steps[None]:
        """The call began under our epoch and nobody runs it any more: its end was not recorded, or is on its way. Make that clear first."""
        try:
            yield from self.live.losing(self.index, Reason.OWNER_DIED)
        except Fenced:
            yield from self._after_fenced(epoch, tries)

    def _run(self, active: Active, action: _plan.Entering, epoch: int) -> Steps[T]:
        self.live.answered.discard(self.index)
        if isinstance(action, _plan.Repeat):
            return cast("T", (yield from Repetition(self, active, epoch).steps(self.slot.attempt)))
        if isinstance(action, _plan.Rerun):
            tell_rerun(self, action)
        return cast("T", (yield from Attempt(self, active, epoch).steps(action.attempt)))

    # --- answers from the record ----------------------------------------------------------------------------------------

    def _replay(self) -> T:
        reach(CrashPoint.BEFORE_REPLAY)
        slot = self.slot
        self.live.replayed.add(self.index)
        outcome, error = slot.outcome, slot.error
        if not slot.final and slot.delivered is not None:
            outcome, error = slot.delivered.outcome, slot.delivered.error
        self.engine.emit(EventKind.REPLAYED, self.live.key, slot, latency=_latency(slot))
        if outcome is not None:
            value = self.engine.decode(self.spec.tool, outcome)
            reach(CrashPoint.AFTER_REPLAY)
            if outcome.lossy and not self.engine.lossy_replay:
                raise ResultNotStorable(
                    f"call {self.index} ({shown(self.spec.tool)}) of batch {self.live.key} is done and will not run again, but its result"
                    " could not be stored; only a text of it is left in the journal. Give the tool a codec: ToolPolicy(codec=...)."
                )
            self.live.answered.add(self.index)
            return cast("T", value)
        type_name = error.type_name if error is not None else "an unnamed error"
        message = error.message if error is not None else "no message was recorded"
        raise ToolFailed(
            f"{shown(self.spec.tool)} failed: {message} [{type_name}, recorded; not run again]",
            error_type=type_name,
        )

    # --- going on after something happened ------------------------------------------------------------------------------

    def _before_retry(self, error: Exception, tries: int, began: float) -> Steps[_plan.Rerun | None]:
        """Return to try again, at once or as planned (the reconciler is asked first), or raise the call's error."""
        policy = self.policy
        if not _plan.may_try_again(policy, type(error)):
            raise error
        delay = delay_after(error, policy.retry, tries=tries, began=began, now=self.engine.monotonic())
        if delay is None or self.engine.draining.is_set():
            raise error
        if self.deadline is not None and self.engine.monotonic() + delay >= self.deadline:
            raise error
        if delay > 0:
            yield Pause(delay)
        harmless = _plan.retries_failure(policy, type(error))
        return _plan.Rerun(self.slot.attempt + 1, undeclared=False) if harmless else None

    def _after_fenced(self, epoch: int, tries: int) -> Steps[None]:
        """Somebody wrote to our batch. If it still is ours under the epoch we wrote with (an operator decided, a withdrawal was late), plan
        anew; else stop: another entrant of this process may have seen the takeover before us, so what we see now tells nothing.
        """
        yield from self.live.refreshing()
        if self.live.own_epoch != epoch or not epoch or tries > _MAX_REPLANS:
            holder = self.live.fence.owner if self.live.fence else "another owner"
            raise Fenced(
                f"batch {self.live.key} is held by {holder} (epoch {self.live.epoch}): it was taken over, or this is a forked copy"
                " of the process that works on it. Nothing was changed here; stop working on it."
            )

    def _mismatch(
        self, action: _plan.Mismatch, standing: _plan.Standing, busy_until: float | None
    ) -> Steps[None]:
        names = self.engine.differing(self.slot.spec, self.spec)
        detail = another_call(self.live.key, self.slot.spec, self.spec, action.differs, names)
        if self.engine.strict:
            raise BatchMismatch(f"{detail}. {not_this_call(self.live.adapter)}")
        if standing is _plan.Standing.TAKEN:
            yield from self.live.waiting(busy_until, self.engine.limits.busy_timeout)
            return
        if standing is _plan.Standing.FREE:
            yield from self.live.claiming()
            return
        self.engine.emit(EventKind.MISMATCH, self.live.key, self.slot, detail=detail)
        row = Regenerated(
            index=self.index,
            generation=self.slot.generation + 1,
            attempt=0,
            epoch=self.live.own_epoch,
            at=self.engine.clock(),
            spec=self.spec,
        )
        yield from self.live.writing(row)


_MAX_REPLANS = 5

#: what is planned for a call that began and has no end
_UNSETTLED = (_plan.Rerun, _plan.Reconcile, _plan.Ask, _plan.Fail)


def _latency(slot: SlotRecord) -> float | None:
    if slot.started_at is None or slot.ended_at is None:
        return None
    return slot.ended_at - slot.started_at
