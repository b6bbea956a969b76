"""A batch that is worked on in this process: its slots as last seen, the rows written to it, and the attempts under way.

It is written as steps (see `_steps`), so sync and async callers run the same logic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from toolslot._batch._active import Active
from toolslot._batch._engine import Engine
from toolslot._batch._messages import gone
from toolslot._batch._pool import Demand, Permit
from toolslot._batch._steps import Steps
from toolslot._crashpoints import CrashPoint, armed, reach
from toolslot._domain._append import Append
from toolslot._domain._events import EventKind
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._plan import Standing
from toolslot._domain._slot import (
    Batch,
    BatchKey,
    BatchRecord,
    Delivered,
    Fence,
    Finished,
    Lost,
    Manifest,
    Noted,
    Paused,
    Reason,
    Refused,
    Regenerated,
    Repeated,
    Row,
    SlotRecord,
    SlotState,
    Started,
    Tenure,
    Withdrawn,
)

RowT = TypeVar("RowT")

#: where a test may kill the process around the write of a row; decisions and evidence are written by verbs of their own
_POINTS: dict[type, tuple[CrashPoint, CrashPoint]] = {
    Started: (CrashPoint.BEFORE_START, CrashPoint.AFTER_START),
    Withdrawn: (CrashPoint.BEFORE_WITHDRAW, CrashPoint.AFTER_WITHDRAW),
    Noted: (CrashPoint.BEFORE_NOTE, CrashPoint.AFTER_NOTE),
    Paused: (CrashPoint.BEFORE_WAIT, CrashPoint.AFTER_WAIT),
    Lost: (CrashPoint.BEFORE_UNKNOWN, CrashPoint.AFTER_UNKNOWN),
    Finished: (CrashPoint.BEFORE_FINISH, CrashPoint.AFTER_FINISH),
    Repeated: (CrashPoint.BEFORE_FINISH, CrashPoint.AFTER_FINISH),
    Delivered: (CrashPoint.BEFORE_TELLING, CrashPoint.AFTER_TELLING),
    Refused: (CrashPoint.BEFORE_EFFECT, CrashPoint.AFTER_EFFECT),
    Regenerated: (CrashPoint.BEFORE_REGENERATE, CrashPoint.AFTER_REGENERATE),
}

#: why a start mark is taken back
NOT_ENTERED = "its code was not entered"


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that has its permit before anybody enters it; `mark`: its start mark, if that is durable too."""

    permit: Permit
    mark: Started | None


class OpenBatch:
    """What this process knows of a batch, and what it writes to it."""

    def __init__(
        self,
        engine: Engine,
        batch: Batch,
        max_parallel: int | None,
    ) -> None:
        self.engine: Engine = engine
        self.key: BatchKey = batch.key
        self.owner: Owner = engine.owner()
        self.opened_at: float = engine.clock()
        self.limit: int | None = min(filter(None, (engine.limits.batch, max_parallel)), default=None)
        self.slots: list[SlotRecord] = []
        self.fence: Fence | None = None
        #: of the fence's owner, when it was looked at
        self.owner_state: OwnerState = OwnerState.UNKNOWN
        self.manifest: Manifest | None = None
        self.tenures: tuple[Tenure, ...] = ()
        self.lock: threading.Lock = threading.Lock()
        self.active: dict[int, Active] = {}
        self.answered: set[int] = set()
        self.replayed: set[int] = set()
        #: outcomes the journal could not take (a full disk, say), with the live value: the call is done and must not run again
        self.unrecorded: dict[int, tuple[Row, object]] = {}
        #: answers of calls that are not recorded, for whoever enters them while the batch is open
        self.handed: dict[int, object] = {}
        #: calls that got their permits with the reservation, most of them their start marks too, and that were not entered
        self.begun: dict[int, Begun] = {}
        #: calls that cannot go on because nobody knows what became of another one with the same effect key: that one's batch and record
        self.doubts: dict[int, tuple[BatchKey, SlotRecord]] = {}
        self.adapter = batch.adapter
        self._demands: dict[str, Demand] = {}

    # --- what was seen of it --------------------------------------------------------------------------------------------

    def see(self, record: BatchRecord) -> None:
        """Take over what the journal says, unless something newer was seen meanwhile: a load may answer after a later write."""
        with self.lock:
            if self.fence is None or record.fence.epoch >= self.fence.epoch:
                self.fence, self.owner_state = record.fence, record.owner_state
                self.manifest, self.tenures = record.manifest, record.tenures
            self.slots = self.slots or list(record.slots)
            for slot in record.slots:
                if slot.version >= self.slots[slot.index].version:
                    self.slots[slot.index] = slot

    def saw(self, slot: SlotRecord) -> None:
        """Take over one slot as the journal has it, unless something newer was seen."""
        index = slot.spec.index
        with self.lock:
            if slot.version >= self.slots[index].version:
                self.slots[index] = slot

    @property
    def epoch(self) -> int:
        return self.fence.epoch if self.fence is not None else 0

    @property
    def own_epoch(self) -> int:
        """What our rows carry; 0, which fences them, once another owner was seen: its epoch is not ours to write with."""
        fence = self.fence
        return fence.epoch if fence is not None and fence.owner == self.owner else 0

    @property
    def closed(self) -> bool:
        return self.fence is not None and self.fence.closed

    def ran_here(self, slot: SlotRecord) -> bool:
        """Whether this process is one that ran the call to its recorded end."""
        here = self.engine.journal.process
        ran = slot.decision is None and any(
            tenure.epoch == slot.epoch and tenure.owner.process == here for tenure in self.tenures
        )
        return ran or here.token in slot.repeated_in

    def standing(self) -> Standing:
        return self.look()[1]

    def look(self) -> tuple[Fence, Standing]:
        """The fence as last seen, and what it means."""
        fence = self.fence
        assert fence is not None, "a batch is opened before it is worked on"
        if fence.owner is self.owner or fence.owner == self.owner:
            return fence, Standing.MINE
        if not fence.held or self.owner_state is OwnerState.DEAD:
            return fence, Standing.FREE
        return fence, Standing.TAKEN

    def refreshing(self) -> Steps[None]:
        """Look at the journal again: an operator may have decided, or another owner recorded."""
        self.loaded((yield self.engine.journal.load(self.key)))

    def looking_again(self) -> Steps[None]:
        """Load it where another owner had it: that one may be dead by now, or have let go."""
        if self.standing() is Standing.TAKEN:
            yield from self.refreshing()

    def loaded(self, record: BatchRecord | None) -> None:
        """Take over what was loaded. Raises `Fenced` when it is purged."""
        if record is None:
            raise gone(self.key)
        self.see(record)

    def tell_unknown(self, slot: SlotRecord) -> None:
        if slot.state is SlotState.UNKNOWN:
            detail = slot.reason.value if slot.reason is not None else ""
            self.engine.emit(EventKind.UNKNOWN, self.key, slot, detail=detail)

    # --- the journal ----------------------------------------------------------------------------------------------------

    def row(self, make: Callable[..., RowT], index: int, **fields: object) -> RowT:
        """A row about the newest attempt of a slot, as of now and under our epoch."""
        slot = self.slots[index]
        return make(
            index=index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=self.own_epoch,
            at=self.engine.clock(),
            **fields,
        )

    def hand_in(self, row: Row) -> Future[SlotRecord]:
        """Submit a row. Who waits for it calls `wrote`."""
        if armed.trap is not None:
            reach(_POINTS[type(row)][0])
        return self.engine.journal.submit(Append(key=self.key, row=row))

    def wrote(self, row: Row, slot: SlotRecord) -> None:
        """The row is durable, and the slot is this now."""
        if armed.trap is not None:
            reach(_POINTS[type(row)][1])
        with self.lock:  # as `saw`, of which it is the most frequent case
            if slot.version >= self.slots[row.index].version:
                self.slots[row.index] = slot

    def write(self, row: Row) -> Future[SlotRecord]:
        """Submit a row that is not waited for; the slot as seen here follows some time after the row is durable."""
        future = self.hand_in(row)
        future.add_done_callback(partial(self._written, row))
        return future

    def _written(self, row: Row, future: Future[SlotRecord]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.wrote(row, future.result())

    def losing(self, index: int, reason: Reason) -> Steps[None]:
        """Mark the newest attempt as one whose outcome is not known, unless it is known by now."""
        row = self.row(Lost, index, reason=reason)
        self.wrote(row, (yield self.hand_in(row)))
        self.tell_unknown(self.slots[index])

    def demand(self, tool: str) -> Demand:
        """What a call of this tool needs to run; calls of one tool share it."""
        demand = self._demands.get(tool)
        if demand is None:
            demand = self._demands[tool] = self.engine.demand(self.key, tool, self.limit)
        return demand

    def free_permit(self, tool: str) -> Permit | None:
        """A permit for a call of this tool, unless it has to wait for one."""
        return self.engine.pool.at_once(self.demand(tool))

    # --- the attempts under way -----------------------------------------------------------------------------------------

    def enter(self, mine: Active) -> Active:
        """The attempt on this slot that is under way: `mine`, unless there is another."""
        with self.lock:
            return self.active.setdefault(mine.index, mine)

    def running(self) -> list[Active]:
        """The attempts under way, those whose caller has gone included."""
        with self.lock:
            return list(self.active.values())
