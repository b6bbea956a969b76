"""Running a call whose answer is recorded once more, for what it leaves in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from typing_extensions import override

from toolslot._batch._active import Active
from toolslot._batch._attempt import Attempt
from toolslot._batch._ending import Ending
from toolslot._batch._open_batch import Begun
from toolslot._batch._pool import Permit
from toolslot._batch._recording import Escaped
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Invoke
from toolslot._codec import Payload, as_text
from toolslot._domain._events import EventKind
from toolslot._domain._slot import Finished, Repeated, SlotRecord, SlotState
from toolslot._errors import ToolslotError


class Repetition(Attempt):
    """An attempt that leaves the call as it is recorded, but for the answer when it returns one: a death in it, or whatever stops
    it, leaves what was there. So it needs no start mark, and the batch may be another's, or closed.
    """

    def __init__(self, request: CallRequest[Any], active: Active, epoch: int, number: int) -> None:
        super().__init__(request, active, epoch, number)
        # Those who wait for it give up only when the batch is taken over meanwhile, whosever it is now.
        active.epoch = self._live.epoch

    @override
    def _mark(self, begun: Begun | None) -> None:
        self._started_at = self._engine.clock()

    @override
    def _started(self) -> float:
        live, slot, queued = self._live, self._request.slot, self._started_at - self._queued_at
        detail = (
            "run again on resume: its answer is recorded, what it left in the memory of its process is gone"
        )
        self._engine.emit(EventKind.REPEATED, live.key, slot, detail=detail)
        self._engine.emit(EventKind.STARTED, live.key, slot, queued=queued)
        return queued

    @override
    def _result(self, row: Finished, value: object, under_way: Callable[[], None] | None = None) -> Ending:
        made = self._row(
            Repeated,
            process=self._engine.journal.process.token,
            outcome=row.outcome,
            failed=row.failed,
        )
        over = partial(self._delivered, row, value)

        def refused(error: ToolslotError) -> Ending:
            # It has an answer on record; here it will run once more when it is entered again.
            self._warn("toolslot.not_recorded tool=%s call=%d: %s", error)
            return Ending(None, over, refused)

        ending = Ending(made, over, refused)
        if under_way is not None:
            ending.under_way = under_way
        return ending

    @override
    def _failure(self, error: Exception, under_way: Callable[[], None]) -> Ending:
        under_way()
        row = self._failed(error)
        self._tell_end(EventKind.FAILED, row)
        raise Escaped(error) from error

    @override
    def _paused(self, question: BaseException) -> NoReturn:
        raise question

    @override
    def _expired(self, invoke: Invoke, permit: Permit) -> NoReturn:
        self._outlive(invoke, permit)
        self._engine.emit(EventKind.TIMED_OUT, self._live.key, self._request.slot)
        raise self._not_returned()

    @override
    def _abandon(self, invoke: Invoke, permit: Permit) -> None:
        if not invoke.withdraw():
            self._outlive(invoke, permit)

    @override
    def _withdraw(self) -> None:
        pass

    @override
    def _note(self, text: str, ref: str) -> tuple[Future[None], Callable[[], None]]:
        """It is told, and not recorded: nothing of this attempt is."""
        written = Future[None]()
        written.set_result(None)
        return written, partial(self._tell_note, text, ref)

    @override
    def _late_row(self, running: Future[object]) -> None:
        return None


class Unrecorded(Repetition):
    """An attempt of which nothing is recorded, so that it is made again whenever the call is entered. What it came to is told by events."""

    @override
    def _started(self) -> float:
        queued = self._started_at - self._queued_at
        self._engine.emit(EventKind.STARTED, self._live.key, self._as(SlotState.RUNNING), queued=queued)
        return queued

    @override
    def _result(self, row: Finished, value: object, under_way: Callable[[], None] | None = None) -> Ending:
        if under_way is not None:
            under_way()
        return Ending(None, partial(self._delivered, row, value), _never)

    @override
    def _delivered(self, row: Finished, value: object) -> object:
        self._live.handed[self._index] = value
        return super()._delivered(row, value)

    @override
    def _encode(self, value: object) -> Payload:
        return _NOTHING  # it may be large, secret, or nothing that can be stored

    @override
    def _tell_end(self, kind: EventKind, row: Finished) -> None:
        self._tell(kind, row, self._as(SlotState.FAILED if row.failed else SlotState.SUCCEEDED))

    def _as(self, state: SlotState) -> SlotRecord:
        """The slot as an event tells of it. In the journal it stays as it was reserved."""
        return replace(self._request.slot, state=state, attempt=self._number)


#: what is kept of a result that is not recorded
_NOTHING = as_text(None)


def _never(refused: ToolslotError) -> Ending:  # pragma: no cover - nothing is submitted that could be refused
    raise refused
