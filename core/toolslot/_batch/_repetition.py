"""Running a call whose answer is recorded once more, for what it leaves in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from typing_extensions import override

from toolslot._batch._active import Active
from toolslot._batch._attempt import Attempt
from toolslot._batch._engine import log
from toolslot._batch._pool import Permit
from toolslot._batch._request import CallRequest
from toolslot._batch._steps import Invoke, Steps
from toolslot._codec import encode_error
from toolslot._domain._events import EventKind
from toolslot._domain._slot import Finished, Repeated
from toolslot._errors import ToolslotError
from toolslot._text import quoted


class Repetition(Attempt):
    """An attempt that leaves the call as it is recorded, but for the answer when it returns one: whoever dies in it, or whatever stops
    it, leaves what was there. So it needs no start mark, and the batch may be another's, or closed.
    """

    def __init__(self, request: CallRequest[Any], active: Active, epoch: int) -> None:
        super().__init__(request, active, epoch)
        # Whoever waits for it gives up only when the batch is taken over meanwhile, whosever it is now.
        active.epoch = self._live.epoch

    @override
    def _start(self) -> Steps[None]:
        self._started_at = self._engine.clock()
        live, slot = self._live, self._request.slot
        detail = (
            "run again on resume: its answer is recorded, what it left in the memory of its process is gone"
        )
        self._engine.emit(EventKind.REPEATED, live.key, slot, detail=detail)
        self._engine.emit(EventKind.STARTED, live.key, slot, queued=self._started_at - self._queued_at)
        yield from ()

    @override
    def _record(self, row: Finished, value: object, under_way: Callable[[], None]) -> Steps[None]:
        made = self._row(
            Repeated,
            process=self._engine.journal.process.token,
            outcome=row.outcome,
            failed=row.failed,
        )
        try:
            yield from self._live.writing(made, under_way)
        except (
            ToolslotError
        ) as error:  # it has an answer on record; here it will run once more when it is entered again
            log.warning(
                "toolslot.not_recorded tool=%s call=%d: %s",
                quoted(self._request.spec.tool),
                self._index,
                error,
            )
        self._live.answered.add(self._index)
        self._tell_end(EventKind.FAILED if row.failed else EventKind.FINISHED, row)

    @override
    def _record_failure(self, error: Exception, under_way: Callable[[], None]) -> Steps[None]:
        under_way()
        row = self._finished(None, failed=True, escaped=True, error=encode_error(error))
        self._tell_end(EventKind.FAILED, row)
        yield from ()

    @override
    def _pause(self) -> Steps[None]:
        yield from ()

    @override
    def _expire(self, invoke: Invoke, permit: Permit) -> Steps[None]:
        self._outlive(invoke, permit)
        self._engine.emit(EventKind.TIMED_OUT, self._live.key, self._request.slot)
        yield from ()

    @override
    def _abandon(self, invoke: Invoke, permit: Permit) -> None:
        if not invoke.withdraw():
            self._outlive(invoke, permit)

    @override
    def _withdraw(self) -> None:
        pass

    @override
    def _late_row(self, running: Future[object]) -> None:
        return None
