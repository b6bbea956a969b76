"""What is written of one attempt: its rows, and what its caller gets once they are durable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, TypeVar

from toolslot._batch._active import Active
from toolslot._batch._ending import Ending
from toolslot._batch._engine import log
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Steps
from toolslot._codec import Payload, as_text, encode, encode_error
from toolslot._codec._text import one_line
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import EventKind
from toolslot._domain._notes import encode_note
from toolslot._domain._slot import Finished, Noted, Paused, Row, SlotRecord
from toolslot._errors import Fenced, NotStorable, ToolslotError
from toolslot._text import quoted

_RowT = TypeVar("_RowT")


class Escaped(Exception):
    """The tool's code raised and that is recorded; `error` is what it raised."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class AttemptRecord:
    """One attempt as the journal gets it, under the epoch in which it was decided."""

    def __init__(self, request: CallRequest[Any], active: Active, epoch: int, number: int) -> None:
        self._request = request
        self._live = live = request.live
        self._engine = request.engine
        self._index = index = request.spec.index
        self._active = active
        self._number = number
        slot = live.slots[index]
        self._idempotent = request.spec.idempotent and slot.spec.idempotent
        self._generation = slot.generation
        self._owner, self._own_epoch = live.owner, epoch
        active.epoch = epoch
        self._queued_at = self._engine.clock()
        self._started_at = 0.0

    # --- what it came to ------------------------------------------------------------------------------------------------

    def _result(self, row: Finished, value: object, under_way: Callable[[], None] | None = None) -> Ending:
        """The answer is `value`, once the row is durable."""
        ending = Ending(row, partial(self._delivered, row, value), partial(self._unrecorded, row, value))
        if under_way is not None:
            ending.under_way = under_way
        return ending

    def _unrecorded(self, row: Finished, value: object, refused: ToolslotError) -> Ending:
        if isinstance(refused, NotStorable) and not (row.outcome is not None and row.outcome.lossy):
            # It is larger than this journal takes. The call is done all the same, and must not run again for that.
            detail = f"kept only as text: {refused}"
            self._engine.emit(EventKind.NOT_STORABLE, self._live.key, self._request.slot, detail=detail)
            return self._result(replace(row, outcome=as_text(value), content=None), value)
        if isinstance(refused, Fenced):
            self._live.unrecorded.pop(self._index, None)
            detail = "it came after another owner took over"
            self._engine.emit(EventKind.LATE_RESULT, self._live.key, self._request.slot, detail=detail)
        else:
            # The call is done but the journal could not take it. Kept in memory: as long as this process lives it does not run again.
            self._live.unrecorded[self._index] = (row, value)
        raise refused

    def _delivered(self, row: Finished, value: object) -> object:
        # Dies here: the record is durable, the agent has not got it. It replays.
        self._live.unrecorded.pop(self._index, None)
        self._live.answered.add(self._index)
        if self._engine.hooks.present:
            self._tell_end(EventKind.FAILED if row.failed else EventKind.FINISHED, row)
        reach(CrashPoint.BEFORE_DELIVERY)
        if row.escaped and isinstance(value, Exception):
            raise value
        return value

    def record_again(self) -> Steps[object]:
        """Record what the journal could not take before; the call does not run again."""
        row, value = self._live.unrecorded[self._index]
        if not isinstance(row, Finished):  # pragma: no cover - only results are kept
            raise TypeError(type(row).__name__)
        ending = self._result(row, value)
        while ending.row is not None:
            try:
                self._live.wrote(ending.row, (yield self._live.hand_in(ending.row)))
                break
            except ToolslotError as refused:
                ending = ending.refused(refused)
        return ending.over()

    def _failure(self, error: Exception, under_way: Callable[[], None]) -> Ending:
        row = self._failed(error)

        def over() -> NoReturn:
            self._tell_end(EventKind.FAILED, row)
            raise Escaped(error) from error

        def refused(unwritten: ToolslotError) -> NoReturn:
            if isinstance(unwritten, Fenced):
                raise unwritten
            # The tool's own error is what the caller must see; without a record the slot is UNKNOWN on resume, which is the truth.
            self._warn("toolslot.failure_not_recorded tool=%s call=%d: %s", unwritten)
            raise Escaped(error) from unwritten

        return Ending(row, over, refused, under_way)

    def _paused(self, question: BaseException) -> Ending:
        """Durable before the question propagates: killed afterwards, the call is known to wait and not to run."""

        def over() -> NoReturn:
            self._engine.emit(EventKind.WAITING, self._live.key, self._request.slot)
            raise question

        return Ending(self._row(Paused), over, _raise)

    # --- rows -----------------------------------------------------------------------------------------------------------

    def _encode(self, value: object) -> Payload:
        payload = encode(value, self._request.policy.codec or self._engine.codec)
        if payload.lossy:
            self._engine.emit(
                EventKind.NOT_STORABLE,
                self._live.key,
                self._request.slot,
                detail=f"a {type(value).__name__} is kept only as text",
            )
        return payload

    def _failed(self, error: Exception) -> Finished:
        """The record of a failure that goes on to the run."""
        return self._row(
            Finished,
            outcome=None,
            error=encode_error(error),
            failed=True,
            escaped=True,
            queued_at=self._queued_at,
            started_at=self._started_at,
        )

    def _row(self, make: Callable[..., _RowT], **fields: object) -> _RowT:
        return make(
            index=self._index,
            generation=self._generation,
            attempt=self._number,
            # In a forked child the batch is somebody else's: 0 fences what it writes.
            epoch=self._own_epoch if self._live.owner is self._owner else 0,
            at=self._engine.clock(),
            **fields,
        )

    def _note(self, text: str, ref: str) -> tuple[Future[Any], Callable[[], None]]:
        # Dies here: the note is on record or not; its call is of unknown outcome either way.
        written = self._live.write(self._row(Noted, note=encode_note(text, ref)))
        return written, partial(self._tell_note, text, ref)

    def _tell_note(self, text: str, ref: str) -> None:
        detail = one_line(f"{text} [{ref}]" if ref else text, 500)
        self._engine.emit(EventKind.NOTED, self._live.key, self._request.slot, detail=detail)

    def _submit_row(self, row: Row) -> None:
        """Hand a row to the journal without waiting; a journal that refuses leaves the slot as it is, which errs on the side of asking."""
        try:
            self._live.write(row)
        except ToolslotError as error:
            self._warn("toolslot.not_recorded tool=%s call=%d: %s", error)

    def _warn(self, template: str, error: ToolslotError) -> None:
        log.warning(template, quoted(self._request.spec.tool), self._index, error)

    def _tell_end(self, kind: EventKind, row: Finished) -> None:
        self._tell(kind, row, self._live.slots[self._index])

    def _tell(self, kind: EventKind, row: Finished, slot: SlotRecord) -> None:
        self._engine.emit(
            kind,
            self._live.key,
            slot,
            queued=self._started_at - self._queued_at,
            latency=row.at - self._started_at,
            error=row.error,
        )


def _raise(refused: ToolslotError) -> NoReturn:
    raise refused
