"""Entering one call of a batch: plan, then replay, run, reconcile, ask or wait, until there is an answer.

The comments marked "dies here" say what a crash on that line leaves in the journal, and why that is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

from typing_extensions import assert_never

from toolslot._batch._active import Active
from toolslot._batch._attempt import Attempt
from toolslot._batch._effects import NotClaimed, clearing
from toolslot._batch._messages import another_call, closed, not_this_call
from toolslot._batch._recording import Escaped
from toolslot._batch._repetition import Repetition, Unrecorded
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
    EffectConflict,
    EffectRefused,
    Fenced,
    ResultNotStorable,
    ToolFailed,
)
from toolslot._text import shown

T = TypeVar("T")


@dataclass(kw_only=True, slots=True, eq=False)
class CallRun(CallRequest[T]):
    """One call on its way from the plan to the answer. What follows `held` is what has come of it so far."""

    #: that the code was entered so often, and since when (monotonic seconds)
    tries: int = 0
    looked: bool = False
    cleared: bool = False
    failed: _plan.FailedHere | None = None
    #: what is being done, and under which epoch that was decided
    action: _plan.Action | None = None
    epoch: int = 0

    def steps(self) -> Steps[T]:
        """The call's answer, from the journal or from its code."""
        live = self.live
        while not self._answered():
            mine = Active(self.spec.index, live.lock)
            error: BaseException | None = None
            try:  # twice, for an interrupt may come at any line, in a `finally` too
                try:
                    active = live.enter(mine)
                    if active is not mine:
                        yield from live.joining(
                            active, self.engine.busy_until(), self.engine.limits.busy_timeout
                        )
                        continue
                    self.since, self.tries, self.looked, self.failed = self.engine.monotonic(), 0, False, None
                    self.cleared, self.anyway, self.spared = self.spec.effect is None, None, False
                    while (work := self._next(mine)) is not None:
                        try:
                            answer = yield from work
                            if isinstance(self.action, _ENTERS):
                                return cast("T", answer)
                        except NotClaimed:
                            self.cleared = False
                        except Escaped as escaped:
                            if mine.detached:
                                raise escaped.error from None  # a thread of it runs on
                            yield from self._before_retry(escaped.error)
                        except Fenced:
                            if not isinstance(self.action, _FENCED):
                                raise
                            yield from self._after_fenced()
                    return self._replay()
                except Exception as raised:
                    error = raised
                    raise
                finally:
                    self._leave(mine, error)
            finally:
                if not mine.over:
                    self._leave(mine, None)
        return self._replay()

    def _leave(self, mine: Active, error: BaseException | None) -> None:
        """Unless it was done before, or is left to the thread that runs on."""
        if mine.detached:
            mine.leave_behind()
        elif self.live.active.get(mine.index) is mine:
            self.live.leave(mine, error)

    def _answered(self) -> bool:
        live, policy, index = self.live, self.policy, self.spec.index
        slot = live.slots[index]
        return index not in live.unrecorded and _plan.answered(
            slot,
            self.spec,
            policy,
            closed=live.closed,
            ran_here=policy.on_resume != "rerun" or live.ran_here(slot),
            at_work=index in live.active,
        )

    def _busy_until(self) -> float | None:
        """Until when this waits for another owner, in monotonic seconds."""
        limit = self.engine.limits.busy_timeout
        return None if limit is None else self.since + limit

    # --- one thing after the other --------------------------------------------------------------------------------------

    def _next(self, mine: Active) -> Steps[object] | None:
        """What is to be done now; None when there is an answer on record."""
        live, index, policy = self.live, self.spec.index, self.policy
        if index in live.unrecorded:
            kept, _ = live.unrecorded[index]
            self.action, self.epoch = _plan.Run(kept.attempt), kept.epoch
            return Attempt(self, mine, kept.epoch, kept.attempt).record_again()
        if mine.over:  # taken over by force meanwhile, from inside this process
            self.epoch = 0
            return self._after_fenced()
        fence, standing = live.look()
        self.epoch = fence.epoch if standing is Standing.MINE else 0
        slot = live.slots[index]
        self.action = action = _plan.plan(
            slot,
            self.spec,
            policy,
            standing,
            closed=fence.closed,
            ran_here=policy.on_resume != "rerun" or live.ran_here(slot),
            looked=self.looked,
            begun=index in live.begun,
            epoch=self.epoch,
            failed=self.failed,
            cleared=self.cleared,
        )
        self.looked, self.failed = True, None
        return self._doing(action, mine, standing)

    def _doing(self, action: _plan.Action, mine: Active, standing: Standing) -> Steps[object] | None:
        live = self.live
        match action:
            case _plan.Replay():
                return None
            case _plan.Run() | _plan.Rerun():
                if isinstance(action, _plan.Rerun):
                    tell_rerun(self, action)
                self.tries += 1
                live.answered.discard(self.spec.index)
                return Attempt(self, mine, self.epoch, action.attempt).steps()
            case _plan.RunUnrecorded():
                if self.index in live.handed:
                    return _handed(live.handed[self.index])
                self.tries += 1
                return Unrecorded(self, mine, self.epoch, self.tries).steps()
            case _plan.Repeat():
                self.tries += 1
                live.answered.discard(self.spec.index)
                return Repetition(self, mine, self.epoch, self.slot.attempt).steps()
            case _plan.Lose():
                return live.losing(self.spec.index, Reason.OWNER_DIED)
            case _plan.Reconcile():
                return reconciling(self, action.doubt)
            case _plan.Ask() | _plan.Fail():
                return stopping(self, action)
            case _plan.Wait():
                return live.waiting(self._busy_until(), self.engine.limits.busy_timeout)
            case _plan.Claim():
                return live.claiming()
            case _plan.Mismatch():
                return self._mismatch(action, standing)
            case _plan.Closed():
                raise closed(live.key, self.index, self.spec.tool)
            case _plan.Look() | _plan.Clear():
                self.cleared = self.cleared or isinstance(action, _plan.Clear)
                return live.refreshing() if isinstance(action, _plan.Look) else clearing(self, self.epoch)
            case _:
                assert_never(action)

    # --- answers from the record ----------------------------------------------------------------------------------------

    def _replay(self) -> T:
        reach(CrashPoint.BEFORE_REPLAY)
        slot = self.slot
        self.live.replayed.add(self.index)
        outcome, error = slot.outcome, slot.error
        if not slot.final and slot.delivered is not None:
            outcome, error = slot.delivered.outcome, slot.delivered.error
        if not self.spared:
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
        if slot.refused and error is not None:
            raise (EffectConflict if error.is_any_of((EffectConflict,)) else EffectRefused)(error.message)
        if slot.holder is not None:
            told = (
                f"call {self.index} ({shown(self.spec.tool)}) of batch {self.live.key} is done: its effect was had by {slot.holder}, whose"
                " result is purged. It was not run again."
            )
            if not self.engine.lossy_replay:
                raise ResultNotStorable(told)
            self.live.answered.add(self.index)
            return cast("T", told)
        type_name = error.type_name if error is not None else "an unnamed error"
        message = error.message if error is not None else "no message was recorded"
        raise ToolFailed(
            f"{shown(self.spec.tool)} failed: {message} [{type_name}, recorded; not run again]",
            error_type=type_name,
        )

    # --- going on after something happened ------------------------------------------------------------------------------

    def _before_retry(self, error: Exception) -> Steps[None]:
        """Return to try again, without asking the reconciler first where nothing can have happened; or raise the call's error."""
        policy, engine = self.policy, self.engine
        # What is on record now: somebody may write to it while this waits to try again.
        recorded = _plan.FailedHere(self.epoch, self.slot.version)
        if not _plan.may_try_again(policy, type(error)):
            raise error
        delay = delay_after(error, policy.retry, tries=self.tries, began=self.since, now=engine.monotonic())
        if delay is None or engine.draining.is_set():
            raise error
        if self.deadline is not None and engine.monotonic() + delay >= self.deadline:
            raise error
        if delay > 0:
            yield Pause(delay)
        if _plan.retries_failure(policy, type(error)):
            self.failed = recorded

    def _after_fenced(self) -> Steps[None]:
        """Somebody wrote to our batch. If it still is ours under the epoch we wrote with (an operator decided, a withdrawal was late), the
        call is planned again; else stop: another caller in this process may have seen the takeover before us, so what we see now tells
        nothing.
        """
        live = self.live
        live.loaded((yield self.engine.journal.load(live.key)))
        if live.own_epoch != self.epoch or not self.epoch or self.tries > _MAX_REPLANS:
            holder = live.fence.owner if live.fence else "another owner"
            raise Fenced(
                f"batch {live.key} is held by {holder} (epoch {live.epoch}): it was taken over, or this is a forked copy"
                " of the process that works on it. Nothing was changed here; stop working on it."
            )

    def _mismatch(self, action: _plan.Mismatch, standing: Standing) -> Steps[None]:
        live, slot = self.live, self.slot
        names = self.engine.differing(slot.spec, self.spec)
        detail = another_call(live.key, slot.spec, self.spec, action.differs, names)
        if self.engine.strict:
            raise BatchMismatch(f"{detail}. {not_this_call(live.adapter)}")
        if standing is Standing.TAKEN:
            yield from live.waiting(self._busy_until(), self.engine.limits.busy_timeout)
            return
        if standing is Standing.FREE:
            yield from live.claiming()
            return
        self.engine.emit(EventKind.MISMATCH, live.key, slot, detail=detail)
        row = Regenerated(
            index=self.index,
            generation=slot.generation + 1,
            attempt=0,
            epoch=live.own_epoch,
            at=self.engine.clock(),
            spec=self.spec,
        )
        live.wrote(row, (yield live.hand_in(row)))


def _handed(answer: object) -> Steps[object]:
    return answer
    yield


_MAX_REPLANS = 5

#: what enters the tool's code: its answer is the call's
_ENTERS = (_plan.Run, _plan.RunUnrecorded, _plan.Rerun, _plan.Repeat)

#: what may find that somebody wrote to our batch, and is then planned again
_FENCED = (*_ENTERS, _plan.Lose)


def _latency(slot: SlotRecord) -> float | None:
    if slot.started_at is None or slot.ended_at is None:
        return None
    return slot.ended_at - slot.started_at
