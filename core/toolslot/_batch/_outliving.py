"""An attempt whose code runs on in a thread or process after its entrance has gone: it holds its permit, and its result is recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from toolslot._batch._active import Active
from toolslot._batch._engine import log
from toolslot._batch._ownership import LiveBatch
from toolslot._batch._pool import Permit
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import EventKind
from toolslot._domain._port import Holdable
from toolslot._domain._slot import Finished, SlotRecord
from toolslot._errors import Fenced, ToolslotError
from toolslot._text import quoted


@dataclass(frozen=True, kw_only=True, slots=True)
class Outliving:
    """`outcome`: the row about what the code came to; None when that says nothing: it was stopped, or stopped itself at a question."""

    live: LiveBatch
    active: Active
    permit: Permit
    outcome: Callable[[Future[object]], Finished | None]

    def begin(self, running: Future[object]) -> None:
        """The entrance goes. Who enters the call meanwhile waits for what `running` comes to, and goes on once that is durable."""
        if running.done() and self.outcome(running) is None:
            return
        journal = self.live.engine.journal
        let_go = journal.hold() if isinstance(journal, Holdable) else lambda: None
        self.active.detached = True
        self.live.engine.pool.overstays(self.permit, self._name)
        running.add_done_callback(partial(self._ended, let_go))

    @property
    def _name(self) -> str:
        slot = self.live.slots[self.active.index]
        return f"call {slot.index} ({quoted(slot.spec.tool)}) of batch {self.live.key}"

    def _ended(self, let_go: Callable[[], None], running: Future[object]) -> None:
        engine, row = self.live.engine, None
        engine.pool.release(self.permit)
        try:
            row = self.outcome(running)
            if row is not None:
                reach(CrashPoint.BEFORE_LATE_RESULT)
                self.live.write(row).add_done_callback(partial(self._written, let_go, running, row))
        except ToolslotError as error:
            log.warning("toolslot.late_result_lost %s: %s", self._name, error)
            row = None
        finally:
            if row is None:
                self._over(let_go, None)

    def _written(
        self,
        let_go: Callable[[], None],
        running: Future[object],
        row: Finished,
        written: Future[SlotRecord],
    ) -> None:
        reach(CrashPoint.AFTER_LATE_RESULT)
        error = None if written.cancelled() else written.exception()
        raised = running.exception()
        detail = "it is the result now"
        if isinstance(error, Fenced):
            detail = "it came too late to count"
        elif error is not None:
            detail = str(error)
            # The call is done, and must not run again because the journal could not take its result: it gets it again.
            self.live.unrecorded[row.index] = (row, running.result() if raised is None else raised)
        try:
            slot = self.live.slots[row.index]
            self.live.engine.emit(EventKind.LATE_RESULT, self.live.key, slot, detail=detail)
        finally:
            self._over(let_go, raised if error is None and isinstance(raised, Exception) else None)

    def _over(self, let_go: Callable[[], None], error: Exception | None) -> None:
        try:
            self.live.leave(self.active, error)
        finally:
            let_go()
