"""One attempt of one call: permit, start mark, the tool's code, record.

The order is the promise. The start mark is durable before the code is entered, so a call without one certainly did not run. The outcome is
durable before anybody gets it, so an answer that was handed over is never lost.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn

from toolslot._batch import _context, _pool
from toolslot._batch._effects import NotClaimed, claiming_to_start
from toolslot._batch._ending import Ending, Held
from toolslot._batch._messages import no_permit, not_returned, not_started
from toolslot._batch._open_batch import NOT_ENTERED, Begun
from toolslot._batch._outliving import Outliving
from toolslot._batch._pool import Permit
from toolslot._batch._recording import AttemptRecord
from toolslot._batch._steps import Acquire, Invoke, Steps
from toolslot._codec import encode_error
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import EventKind
from toolslot._domain._slot import Finished, Lost, Reason, Row, Started, Withdrawn
from toolslot._errors import BatchTimedOut, CallTimedOut, Draining, ToolslotError
from toolslot._text import shown


class Attempt(AttemptRecord):
    """Runs the code once. Used for one attempt and thrown away."""

    def steps(self) -> Steps[object]:
        """The value the code returned, once its record is durable; or once that is under way, where the caller holds the answer back.

        Raises:
            NotClaimed: another call has claimed its effect meanwhile; the code was not entered.
            Escaped: the code raised, and that is recorded.
            CallTimedOut: it did not return in time.
            Fenced: another owner has taken over.
        """
        request, live, engine = self._request, self._live, self._engine
        # Dies here: the slot is RESERVED and is simply run on resume; or UNKNOWN, where its mark came with the reservation.
        begun = live.begun.pop(self._index, None)
        permit = (
            begun.permit
            if begun is not None
            else live.free_permit(request.spec.tool) or (yield self._in_turn())
        )
        try:
            self._check_time(begun)
            mark = self._mark(begun)
            if mark is not None:
                try:
                    if request.spec.effect is None:
                        live.wrote(mark, (yield live.hand_in(mark)))
                    else:
                        yield from claiming_to_start(request, mark)
                except (ToolslotError, NotClaimed):
                    raise
                except BaseException:
                    self._withdraw()  # cancelled while the mark was on its way: the code was not entered
                    raise
            with engine.running(live.key, live.slots[self._index], self._number, self._started()):
                timeout, deadline = request.policy.timeout, request.deadline
                timeout = timeout if deadline is None else self._cut_short(timeout, deadline)
                invoke = Invoke(request.fn, timeout, request.offload, partial(self._inside, permit))
                try:
                    value = yield invoke
                except BaseException as error:
                    ending = self._stopped(invoke, permit, error)
                else:
                    ending = self._returned(invoke, permit, value)
                    if request.held is not None and self._held_back(ending, request.held):
                        return value
                while ending.row is not None:
                    try:
                        live.wrote(ending.row, (yield self._submit(ending, ending.row)))
                        break
                    except ToolslotError as refused:
                        ending = ending.refused(refused)
                return ending.over()
        finally:
            if not (permit.released or self._active.detached):
                engine.pool.release(permit)

    # --- before the code ------------------------------------------------------------------------------------------------

    def _in_turn(self) -> Acquire:
        """The wait for a permit: to the batch's deadline, and not for ever where only calls are in the way that outlived their callers."""
        live, tool, patience = self._live, self._request.spec.tool, self._engine.limits.busy_timeout
        return Acquire(
            self._engine.pool,
            live.demand(tool),
            self._request.deadline,
            patience,
            late=self._too_late,
            stuck=lambda holders: no_permit(live.key, self._index, tool, holders, patience or 0.0),
        )

    def _check_time(self, begun: Begun | None) -> None:
        """Raises where it is too late to start anything."""
        engine, deadline = self._engine, self._request.deadline
        if engine.draining.is_set():
            refusal: ToolslotError = Draining(
                f"call {self._index} ({shown(self._request.spec.tool)}) was not started: the executor is draining. It runs on resume."
            )
        elif deadline is not None and engine.monotonic() >= deadline:
            refusal = self._too_late()
        else:
            return
        if begun is not None and begun.mark is not None:
            self._withdraw()
        raise refusal

    def _too_late(self) -> BatchTimedOut:
        timeout = self._engine.limits.batch_timeout
        return not_started(self._live.key, self._index, self._request.spec.tool, timeout)

    def _mark(self, begun: Begun | None) -> Started | None:
        """The start mark that is to be durable before the code is entered; None where it is, or where none is needed."""
        if begun is not None and begun.mark is not None:
            self._queued_at, self._started_at = begun.mark.queued_at, begun.mark.at
            reach(CrashPoint.AFTER_START)
            return None
        mark = self._row(Started, queued_at=self._queued_at)
        self._started_at = mark.at
        return None if self._idempotent else mark

    def _started(self) -> float:
        """Tell it; the seconds that it waited for its permit."""
        # Dies here: the slot is RUNNING under a dead owner, so UNKNOWN, although the code was not entered. Outside that is not seen.
        queued = self._started_at - self._queued_at
        if self._engine.hooks.present and not self._idempotent:
            self._engine.emit(EventKind.STARTED, self._live.key, self._live.slots[self._index], queued=queued)
        return queued

    # --- the code -------------------------------------------------------------------------------------------------------

    def _held_back(self, ending: Ending, held: list[Held]) -> bool:
        """Whether the caller holds the answer back until its record, which is under way now, is durable."""
        row = ending.row
        if row is None or self._engine.hooks.hear_ends:
            return False
        submitted = self._live.write(row)
        ending.under_way()
        held.append(Held(self._index, ending, submitted))
        return True

    def _submit(self, ending: Ending, row: Row) -> Future[Any]:
        submitted = self._live.hand_in(row)
        ending.under_way()
        return submitted

    def _inside(self, permit: Permit) -> Callable[[], None]:
        """Set what the code sees of its call; the returned function undoes it."""
        around, call = _pool.current.set(permit), _context.current.set(self._call_context())

        def leave() -> None:
            _pool.current.reset(around)
            _context.current.reset(call)

        return leave

    def _cut_short(self, timeout: float | None, deadline: float) -> float:
        """The policy's timeout, or less where the batch's deadline comes sooner."""
        left = max(deadline - self._engine.monotonic(), 0.001)
        return left if timeout is None else min(timeout, left)

    def _call_context(self) -> _context.CallContext:
        key, spec, slot = self._live.key, self._request.spec, self._live.slots[self._index]
        return _context.CallContext(
            run_id=key.run_id,
            batch_id=key.batch_id,
            index=self._index,
            tool=spec.tool,
            call_id=spec.call_id,
            attempt=self._number,
            generation=self._generation,
            _noting=_context.Noting(self._note),
            _effect_key=slot.effect.idempotency_key if slot.effect is not None else None,
            _around=_context.current.get(),
        )

    # --- what it came to ------------------------------------------------------------------------------------------------

    def _returned(self, invoke: Invoke, permit: Permit, value: object) -> Ending:
        # Dies here: UNKNOWN. The effect has happened and no record says so; this is the window that reconcilers are for.
        reach(CrashPoint.AFTER_RETURN)
        return self._result(self._outcome(value), value, self._given_back(invoke, permit))

    def _stopped(self, invoke: Invoke, permit: Permit, error: BaseException) -> Ending:
        """What is recorded before the error goes on. Raises it at once where nothing is waited for."""
        if isinstance(error, self._engine.pauses):
            return self._paused(error)
        if isinstance(error, self._engine.cancels) or not isinstance(error, Exception):
            # Whether it had its effect is not known. Not waited for; the journal takes work in order.
            self._abandon(invoke, permit)
            raise error
        if invoke.refused:
            self._withdraw()
            raise error
        if invoke.expired:
            return self._expired(invoke, permit)
        reach(CrashPoint.AFTER_RETURN)
        return self._failure(error, self._given_back(invoke, permit))

    def _given_back(self, invoke: Invoke, permit: Permit) -> Callable[[], None]:
        """What gives the permit back once the record is under way: the next call may begin then, its start mark may share the commit.

        Not sooner: a start mark that is durable before our record would let more calls than the limit be of unknown outcome. And later
        where the code gave up waiting for a thread of its own, which runs on: the call is over with that.
        """
        behind = None if invoke.offload is None else invoke.left_behind
        if behind is None:
            return partial(self._engine.pool.release, permit)
        outliving = Outliving(live=self._live, active=self._active, permit=permit, outcome=lambda _: None)
        return lambda: outliving.begin(
            behind
        )  # not sooner: who enters when the thread has ended must find our record on its way

    def _expired(self, invoke: Invoke, permit: Permit) -> Ending:
        def over() -> NoReturn:
            self._engine.emit(EventKind.TIMED_OUT, self._live.key, self._request.slot)
            raise self._not_returned() from None

        def refused(unwritten: ToolslotError) -> NoReturn:
            self._outlive(invoke, permit)
            raise unwritten

        # The code runs on once the row is on its way, so that what it comes to is recorded after that.
        return Ending(
            self._row(Lost, reason=Reason.TIMED_OUT), over, refused, partial(self._outlive, invoke, permit)
        )

    def _not_returned(self) -> CallTimedOut:
        return not_returned(
            self._live.key, self._index, self._request.spec.tool, self._request.policy.timeout
        )

    def _abandon(self, invoke: Invoke, permit: Permit) -> None:
        if invoke.withdraw():
            self._withdraw()
            return
        self._submit_row(self._row(Lost, reason=Reason.CANCELLED))
        detail = Reason.CANCELLED.value
        self._engine.emit(EventKind.UNKNOWN, self._live.key, self._request.slot, detail=detail)
        self._outlive(invoke, permit)

    def _withdraw(self) -> None:
        """Take the start mark back: the code was not entered. Not waited for; the journal takes work in order."""
        if self._idempotent:
            return
        self._submit_row(self._row(Withdrawn, why=NOT_ENTERED))
        self._engine.emit(EventKind.WITHDRAWN, self._live.key, self._request.slot)

    def _outlive(self, invoke: Invoke, permit: Permit) -> None:
        """If the code runs on elsewhere, the permit and the slot stay taken until it ends; then its result is recorded after all."""
        if invoke.running is not None and not self._active.detached:
            late = Outliving(live=self._live, active=self._active, permit=permit, outcome=self._late_row)
            late.begin(invoke.running)

    def _outcome(self, value: object) -> Finished:
        """The record of what the code returned: a result, or a failure that its framework has turned into an answer."""
        is_error = self._request.is_error
        failure = is_error(value) if is_error is not None else False
        return self._row(
            Finished,
            outcome=self._encode(value),
            failed=isinstance(failure, BaseException) or bool(failure),
            error=encode_error(failure) if isinstance(failure, BaseException) else None,
            content=None
            if self._request.spec.effect is None
            else self._engine.content(self._request.spec.tool, value),
            queued_at=self._queued_at,
            started_at=self._started_at,
        )

    def _late_row(self, running: Future[object]) -> Finished | None:
        if running.cancelled():
            return None
        error = running.exception()
        if error is None:
            return self._outcome(running.result())
        if isinstance(error, Exception) and not isinstance(
            error, (*self._engine.pauses, *self._engine.cancels)
        ):
            return self._failed(error)
        return None  # it was stopped, or asked a question that is not heard: the slot stays UNKNOWN
