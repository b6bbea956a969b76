"""One attempt of one call: permit, start mark, the tool's code, record.

The order is the promise. The start mark is durable before the code is entered, so a call without one certainly did not run. The outcome is
durable before anybody gets it, so an answer that was handed over is never lost.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from toolslot._batch import _context
from toolslot._batch._active import Active
from toolslot._batch._engine import log
from toolslot._batch._messages import no_permit, not_returned, not_started
from toolslot._batch._outliving import Outliving
from toolslot._batch._pool import Permit, enter_permit
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Acquire, Invoke, Overstayed, Steps
from toolslot._codec import ErrorRecord, Payload, as_text, encode_error
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import EventKind
from toolslot._domain._slot import Finished, Lost, Paused, Reason, Row, Started, Withdrawn
from toolslot._errors import BatchTimedOut, Draining, Fenced, NotStorable, ToolslotError
from toolslot._text import quoted, shown

_RowT = TypeVar("_RowT")


class Escaped(Exception):
    """The tool's code raised and that is recorded; `error` is what it raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Attempt:
    """Runs the code once, under the epoch in which that was decided. Used for one attempt and thrown away."""

    def __init__(self, request: CallRequest[Any], active: Active, epoch: int) -> None:
        self._request = request
        self._live = request.live
        self._engine = request.engine
        self._index = request.spec.index
        self._active = active
        self._idempotent = request.spec.idempotent and request.slot.spec.idempotent
        self._generation = request.slot.generation
        self._owner, self._own_epoch = self._live.owner, epoch
        active.epoch = epoch
        self._number = 0
        self._queued_at = self._engine.clock()
        self._started_at = 0.0

    def steps(self, number: int) -> Steps[object]:
        """The value the code returned, once its record is durable.

        Raises:
            Escaped: the code raised, and that is recorded.
            CallTimedOut: it did not return in time.
            Fenced: another owner has taken over.
        """
        self._number = number
        permit = yield from self._permit()
        try:
            yield from self._start()
            queued = self._started_at - self._queued_at
            with self._engine.running(self._live.key, self._request.slot, self._number, queued):
                return (yield from self._run(permit))
        finally:
            if not self._active.detached:
                self._engine.pool.release(permit)

    # --- before the code ------------------------------------------------------------------------------------------------

    def _permit(self) -> Steps[Permit]:
        # Dies here: the slot is RESERVED, and is simply run on resume.
        live, engine, deadline = self._live, self._engine, self._request.deadline
        demand = live.demand(self._request.spec.tool)
        patience = engine.limits.busy_timeout
        try:
            permit: Permit = yield Acquire(engine.pool, demand, deadline, patience)
        except Overstayed as overstayed:
            tool, waited = self._request.spec.tool, patience or 0.0
            raise no_permit(live.key, self._index, tool, overstayed.holders, waited) from None
        except TimeoutError:
            raise self._too_late() from None
        if engine.draining.is_set():
            engine.pool.release(permit)
            raise Draining(
                f"call {self._index} ({shown(self._request.spec.tool)}) was not started: the executor is draining. It runs on resume."
            )
        if deadline is not None and engine.monotonic() >= deadline:
            engine.pool.release(permit)
            raise self._too_late()
        return permit

    def _too_late(self) -> BatchTimedOut:
        timeout = self._engine.limits.batch_timeout
        return not_started(self._live.key, self._index, self._request.spec.tool, timeout)

    def _start(self) -> Steps[None]:
        self._started_at = self._engine.clock()
        if self._idempotent:
            return
        row = Started(
            index=self._index,
            generation=self._generation,
            attempt=self._number,
            epoch=self._epoch,
            at=self._started_at,
            queued_at=self._queued_at,
        )
        try:
            yield from self._live.writing(row)
        except ToolslotError:
            raise
        except BaseException:
            # Cancelled while the mark was on its way: the code was not entered.
            self._withdraw()
            raise
        # Died in there, after the commit: the slot is RUNNING under a dead owner, so UNKNOWN, although the code was not entered.
        # Nobody can tell from outside.
        self._engine.emit(
            EventKind.STARTED, self._live.key, self._request.slot, queued=self._started_at - self._queued_at
        )

    # --- the code -------------------------------------------------------------------------------------------------------

    def _run(self, permit: Permit) -> Steps[object]:
        invoke = Invoke(self._request.fn, self._timeout(), self._request.offload)
        token = _context.current.set(self._call_context())
        leave_permit = enter_permit(permit)
        try:
            try:
                value = yield invoke
            finally:
                leave_permit()
                _context.current.reset(token)
        except self._engine.pauses:
            yield from self._pause()
            raise
        except self._engine.cancels:
            self._abandon(invoke, permit)
            raise
        except Exception as error:
            if invoke.refused:
                self._withdraw()
                raise
            if invoke.expired:
                yield from self._expire(invoke, permit)
                timeout = self._request.policy.timeout
                raise not_returned(self._live.key, self._index, self._request.spec.tool, timeout) from None
            yield from self._record_failure(error, self._given_back(invoke, permit))
            raise Escaped(error) from error
        except BaseException:
            # Cancelled or interrupted: whether it had its effect nobody knows. Not waited for; the journal takes work in order.
            self._abandon(invoke, permit)
            raise
        # Dies here: UNKNOWN. The effect has happened and no record says so; this is the window that reconcilers are for.
        reach(CrashPoint.AFTER_RETURN)
        failed = self._request.is_error is not None and self._request.is_error(value)
        row = self._finished(self._encode(value), failed=failed)
        yield from self._record(row, value, self._given_back(invoke, permit))
        return value

    def _given_back(self, invoke: Invoke, permit: Permit) -> Callable[[], None]:
        """What gives the permit back once the record is under way: the next call may begin then, its start mark may share the commit.

        Not sooner: a start mark that is durable before our record would let more calls than the limit be of unknown outcome. And later
        where the code gave up waiting for a thread of its own, which runs on: the call is over with that.
        """
        behind = invoke.left_behind
        if behind is None:
            return partial(self._engine.pool.release, permit)
        outliving = Outliving(live=self._live, active=self._active, permit=permit, outcome=lambda _: None)
        return lambda: outliving.begin(
            behind
        )  # not sooner: who enters when the thread has ended must find our record on its way

    def _timeout(self) -> float | None:
        """The policy's, cut short by the batch's deadline."""
        timeout, deadline = self._request.policy.timeout, self._request.deadline
        if deadline is None:
            return timeout
        left = max(deadline - self._engine.monotonic(), 0.001)
        return left if timeout is None else min(timeout, left)

    def _call_context(self) -> _context.CallContext:
        key, spec = self._live.key, self._request.spec
        return _context.CallContext(
            run_id=key.run_id,
            batch_id=key.batch_id,
            index=self._index,
            tool=spec.tool,
            call_id=spec.call_id,
            attempt=self._number,
            idempotency_key=self._engine.key_of(key, self._request.slot),
        )

    # --- after the code -------------------------------------------------------------------------------------------------

    def _record(self, row: Finished, value: object, under_way: Callable[[], None]) -> Steps[None]:
        try:
            try:
                yield from self._live.writing(row, under_way)
            except NotStorable as refused:
                row = self._as_text(row, value, refused)
                yield from self._live.writing(row)
        except Fenced:
            self._live.unrecorded.pop(self._index, None)
            self._engine.emit(
                EventKind.LATE_RESULT,
                self._live.key,
                self._request.slot,
                detail="it came after another owner took over",
            )
            raise
        except ToolslotError:
            # The call is done but the journal could not take it. Kept in memory: as long as this process lives it does not run again.
            self._live.unrecorded[self._index] = (row, value)
            raise
        # Dies here: the record is durable, the agent has not got it. It replays.
        self._live.unrecorded.pop(self._index, None)
        self._live.answered.add(self._index)
        kind = EventKind.FAILED if row.failed else EventKind.FINISHED
        self._tell_end(kind, row)
        reach(CrashPoint.BEFORE_DELIVERY)

    def _as_text(self, row: Finished, value: object, refused: NotStorable) -> Finished:
        """It is larger than this journal takes. The call is done all the same, and must not run again for that."""
        detail = f"kept only as text: {refused}"
        self._engine.emit(EventKind.NOT_STORABLE, self._live.key, self._request.slot, detail=detail)
        return replace(row, outcome=as_text(value))

    def record_again(self) -> Steps[object]:
        """Record what the journal could not take before; the call does not run again."""
        row, value = self._live.unrecorded[self._index]
        if not isinstance(row, Finished):  # pragma: no cover - only results are kept
            raise TypeError(type(row).__name__)
        yield from self._record(row, value, lambda: None)
        if row.escaped and isinstance(value, Exception):
            raise value
        return value

    def _record_failure(self, error: Exception, under_way: Callable[[], None]) -> Steps[None]:
        reach(CrashPoint.AFTER_RETURN)
        row = self._finished(None, failed=True, escaped=True, error=encode_error(error))
        try:
            yield from self._live.writing(row, under_way)
        except Fenced:
            raise
        except ToolslotError as unwritten:
            # The tool's own error is what the caller must see; without a record the slot is UNKNOWN on resume, which is the truth.
            log.warning(
                "toolslot.failure_not_recorded tool=%s call=%d: %s",
                quoted(self._request.spec.tool),
                self._index,
                unwritten,
            )
            raise Escaped(error) from unwritten
        self._tell_end(EventKind.FAILED, row)

    def _pause(self) -> Steps[None]:
        # Durable before the question propagates: killed afterwards, the call is known to wait and not to run.
        yield from self._live.writing(self._row(Paused))
        self._engine.emit(EventKind.WAITING, self._live.key, self._request.slot)

    def _expire(self, invoke: Invoke, permit: Permit) -> Steps[None]:
        try:
            yield from self._live.writing(self._row(Lost, reason=Reason.TIMED_OUT))
        finally:
            self._outlive(invoke, permit)
        self._engine.emit(EventKind.TIMED_OUT, self._live.key, self._request.slot)

    def _abandon(self, invoke: Invoke, permit: Permit) -> None:
        if invoke.withdraw():
            self._withdraw()
            return
        self._submit(self._row(Lost, reason=Reason.CANCELLED))
        self._engine.emit(
            EventKind.UNKNOWN, self._live.key, self._request.slot, detail=Reason.CANCELLED.value
        )
        self._outlive(invoke, permit)

    def _withdraw(self) -> None:
        """Take the start mark back: the code was not entered. Not waited for; the journal takes work in order."""
        if self._idempotent:
            return
        self._submit(self._row(Withdrawn, why="its code was not entered"))
        self._engine.emit(EventKind.WITHDRAWN, self._live.key, self._request.slot)

    def _outlive(self, invoke: Invoke, permit: Permit) -> None:
        """If the code runs on elsewhere, the permit and the slot stay taken until it ends; then its result is recorded after all."""
        if invoke.running is not None:
            late = Outliving(live=self._live, active=self._active, permit=permit, outcome=self._late_row)
            late.begin(invoke.running)

    def _late_row(self, running: Future[object]) -> Finished | None:
        if running.cancelled():
            return None
        error = running.exception()
        if error is None:
            value = running.result()
            failed = self._request.is_error is not None and self._request.is_error(value)
            return self._finished(self._encode(value), failed=failed)
        if isinstance(error, Exception) and not isinstance(
            error, (*self._engine.pauses, *self._engine.cancels)
        ):
            return self._finished(None, failed=True, escaped=True, error=encode_error(error))
        return None  # it was stopped, or asked a question to nobody: the slot stays UNKNOWN

    # --- rows -----------------------------------------------------------------------------------------------------------

    def _encode(self, value: object) -> Payload:
        payload = self._engine.encode(self._request.spec.tool, value)
        if payload.lossy:
            self._engine.emit(
                EventKind.NOT_STORABLE,
                self._live.key,
                self._request.slot,
                detail=f"a {type(value).__name__} is kept only as text",
            )
        return payload

    def _finished(
        self,
        outcome: Payload | None,
        *,
        failed: bool,
        escaped: bool = False,
        error: ErrorRecord | None = None,
    ) -> Finished:
        return self._row(
            Finished,
            outcome=outcome,
            error=error,
            failed=failed,
            escaped=escaped,
            queued_at=self._queued_at,
            started_at=self._started_at,
        )

    @property
    def _epoch(self) -> int:
        """0, which fences what it writes, in a forked child: there the batch is somebody else's."""
        return self._own_epoch if self._live.owner is self._owner else 0

    def _row(self, make: Callable[..., _RowT], **fields: object) -> _RowT:
        return make(
            index=self._index,
            generation=self._generation,
            attempt=self._number,
            epoch=self._epoch,
            at=self._engine.clock(),
            **fields,
        )

    def _submit(self, row: Row) -> None:
        """Hand a row to the journal without waiting; a journal that refuses leaves the slot as it is, which errs on the side of asking."""
        try:
            self._live.write(row)
        except ToolslotError as error:
            log.warning(
                "toolslot.not_recorded tool=%s call=%d: %s",
                quoted(self._request.spec.tool),
                self._index,
                error,
            )

    def _tell_end(self, kind: EventKind, row: Finished) -> None:
        self._engine.emit(
            kind,
            self._live.key,
            self._request.slot,
            queued=self._started_at - self._queued_at,
            latency=row.at - self._started_at,
            error=row.error,
        )
