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
from toolslot._domain._plan import Standing
from toolslot._domain._retry import delay_after
from toolslot._domain._slot import Reason, Regenerated, SlotRecord
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
        live, index = self.live, self.spec.index
        while True:
            if self._answered():
                return self._replay()
            mine = Active(index, live.lock)
            error: BaseException | None = None
            try:  # twice, for an interrupt may come at any line, in a `finally` too
                try:
                    active = live.enter(mine)
                    if active is mine:
                        return (yield from self._settle(mine))
                    yield from live.joining(active, self.engine.busy_until(), self.engine.limits.busy_timeout)
                except Exception as raised:
                    error = raised
                    raise
                finally:
                    self._leave(mine, error)
            finally:
                self._leave(mine, None)

    def _leave(self, mine: Active, error: BaseException | None) -> None:
        """Unless it was done before, or is left to the thread that runs on."""
        if self.live.active.get(mine.index) is mine and not mine.detached:
            self.live.leave(mine, error)

    def _answered(self) -> bool:
        live, slot, policy, index = self.live, self.slot, self.policy, self.spec.index
        return index not in live.unrecorded and _plan.answered(
            slot,
            self.spec,
            policy,
            closed=live.closed,
            ran_here=policy.on_resume != "rerun" or live.ran_here(slot),
            at_work=index in live.active,
        )

    # --- the loop -------------------------------------------------------------------------------------------------------

    def _settle(self, active: Active) -> Steps[T]:
        live, began, busy_until = self.live, self.engine.monotonic(), self.engine.busy_until()
        tries, looked = 0, False
        failed: _plan.FailedHere | None = None
        if self.spec.index in live.unrecorded:
            epoch = live.unrecorded[self.spec.index][0].epoch
            try:
                return cast("T", (yield from Attempt(self, active, epoch).record_again()))
            except Fenced:
                yield from self._after_fenced(epoch, tries)
        while True:
            if active.over:  # taken over by force meanwhile, from inside this process
                yield from self._after_fenced(0, tries)
            fence, standing = live.look()
            epoch, slot, policy = fence.epoch if standing is Standing.MINE else 0, self.slot, self.policy
            action = _plan.plan(
                slot,
                self.spec,
                policy,
                standing,
                closed=live.closed,
                ran_here=policy.on_resume != "rerun" or live.ran_here(slot),
                looked=looked,
                epoch=epoch,
                failed=failed,
            )
            looked, failed = True, None
            try:
                match action:
                    case _plan.Replay():
                        return self._replay()
                    case _plan.Run() | _plan.Rerun() | _plan.Repeat():
                        tries += 1
                        return cast("T", (yield from self._attempt(active, action, epoch)))
                    case _plan.Lose():
                        yield from live.losing(self.spec.index, Reason.OWNER_DIED)
                    case _:
                        yield from self._towards(action, standing, busy_until)
            except Escaped as escaped:
                if active.detached:
                    raise escaped.error from None  # a thread of it runs on
                # What is on record then: somebody may write to it while this waits to try again.
                recorded = _plan.FailedHere(epoch, self.slot.version)
                if (yield from self._before_retry(escaped.error, tries, began)):
                    failed = recorded
            except Fenced:
                if not isinstance(action, _FENCED):
                    raise
                yield from self._after_fenced(epoch, tries)

    def _towards(
        self,
        action: _plan.Reconcile
        | _plan.Ask
        | _plan.Fail
        | _plan.Wait
        | _plan.Claim
        | _plan.Mismatch
        | _plan.Closed
        | _plan.Look,
        standing: Standing,
        busy_until: float | None,
    ) -> Steps[None]:
        """Do what must come first; then the call is planned again. Raises where it must stop."""
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
            case _plan.Look():
                yield from self.live.refreshing()
            case _:
                assert_never(action)

    def _attempt(self, active: Active, action: _plan.Entering, epoch: int) -> Steps[object]:
        """What enters the code, as planned."""
        self.live.answered.discard(self.spec.index)
        if isinstance(action, _plan.Repeat):
            return Repetition(self, active, epoch).steps(self.slot.attempt)
        if isinstance(action, _plan.Rerun):
            tell_rerun(self, action)
        return Attempt(self, active, epoch).steps(action.attempt)

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

    def _before_retry(self, error: Exception, tries: int, began: float) -> Steps[bool]:
        """Return to try again, whether without asking the reconciler first; or raise the call's error."""
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
        return _plan.retries_failure(policy, type(error))

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

    def _mismatch(self, action: _plan.Mismatch, standing: Standing, busy_until: float | None) -> Steps[None]:
        names = self.engine.differing(self.slot.spec, self.spec)
        detail = another_call(self.live.key, self.slot.spec, self.spec, action.differs, names)
        if self.engine.strict:
            raise BatchMismatch(f"{detail}. {not_this_call(self.live.adapter)}")
        if standing is Standing.TAKEN:
            yield from self.live.waiting(busy_until, self.engine.limits.busy_timeout)
            return
        if standing is Standing.FREE:
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

#: what may find that somebody wrote to our batch, and is then planned again
_FENCED = (_plan.Run, _plan.Rerun, _plan.Repeat, _plan.Lose)


def _latency(slot: SlotRecord) -> float | None:
    if slot.started_at is None or slot.ended_at is None:
        return None
    return slot.ended_at - slot.started_at
