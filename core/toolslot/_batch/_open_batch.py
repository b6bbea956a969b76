"""A batch that is worked on in this process: its ownership, its slots as last seen, and the attempts under way.

All entrants of the process share one `LiveBatch`. It is written as steps (see `_steps`), so sync and async callers run the same logic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from toolslot._batch._active import Active
from toolslot._batch._engine import Engine
from toolslot._batch._messages import gone, held, still_running
from toolslot._batch._ownership import let_go
from toolslot._batch._pool import Demand
from toolslot._batch._reserving import Kept, reserving
from toolslot._batch._row_points import after_write, before_write, if_written
from toolslot._batch._steps import Await, Pause, Steps
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._append import Append
from toolslot._domain._events import EventKind
from toolslot._domain._identity import Owner
from toolslot._domain._operations import Adopt, Reserve, TakeOver
from toolslot._domain._plan import Standing
from toolslot._domain._port import OwnerState
from toolslot._domain._slot import (
    Batch,
    BatchKey,
    BatchRecord,
    Fence,
    Lost,
    Manifest,
    Reason,
    Row,
    SlotRecord,
    SlotSpec,
    SlotState,
    Tenure,
)
from toolslot._errors import BatchBusy

RowT = TypeVar("RowT")

#: how the waiting for another owner's result begins and grows, in seconds; another process can only be polled
_FIRST_POLL, _LAST_POLL = 0.005, 0.25


class LiveBatch:
    """Shared by all `BatchRun`s of one batch in one process."""

    def __init__(
        self,
        engine: Engine,
        batch: Batch,
        specs: tuple[SlotSpec, ...],
        max_parallel: int | None,
        *,
        partial: bool = False,
    ) -> None:
        self.engine: Engine = engine
        self.key: BatchKey = batch.key
        self.owner: Owner = engine.owner()
        self.opened_at: float = engine.clock()
        self.limit: int | None = min(filter(None, (engine.limits.batch, max_parallel)), default=None)
        self.slots: list[SlotRecord] = []
        self.fence: Fence | None = None
        self.manifest: Manifest | None = None
        self.tenures: tuple[Tenure, ...] = ()
        self.lock: threading.Lock = threading.Lock()
        self.active: dict[int, Active] = {}
        #: who has it open, and who of them it was made for
        self.entrants: set[object] = set()
        self.opener: object = None
        self.answered: set[int] = set()
        self.replayed: set[int] = set()
        #: outcomes the journal could not take (a full disk, say), with the live value: the call is done and must not run again
        self.unrecorded: dict[int, tuple[Row, object]] = {}
        #: completes once the batch is open: True, or False when whoever opened it was interrupted and others must open it anew
        self.ready: Future[bool] = Future()
        self.on_idle: Callable[[LiveBatch], None] = lambda _: None
        self.adapter = batch.adapter
        self._batch = batch
        self._specs = specs
        self._partial = partial
        self._demands: dict[str, Demand] = {}
        self._claiming: Future[None] | None = None
        self._released = False

    # --- ownership ------------------------------------------------------------------------------------------------------

    def opening(self, adopt: Adopt, kept: Kept | None = None) -> Steps[None]:
        """Reserve the slots, or find them. Who owns them is settled when somebody has to run one."""
        engine, batch = self.engine, self._batch
        engine.journal.enlist(self.owner)
        self._trace: str | None = engine.hooks.opening(batch.key, batch.adapter, self.opened_at)
        try:
            reach(CrashPoint.BEFORE_RESERVE)
            operation = Reserve(
                manifest=Manifest.of(batch, self._specs, self.opened_at),
                owner=self.owner,
                at=self.opened_at,
                adopt=adopt,
                run_payload=batch.run_payload,
                follows=batch.follows,
                former=batch.former,
                witness=batch.witness,
                refuse_missing=batch.refuse_missing,
                by_hand=batch.by_hand,
                limit=self.limit,
                trace=self._trace,
            )
            reservation = yield from reserving(engine.journal, operation, kept)
            reach(CrashPoint.AFTER_RESERVE)
        except BaseException:
            engine.hooks.opened(batch.key, None, self.opened_at)
            raise
        engine.hooks.opened(batch.key, reservation.key, self.opened_at)
        self.key = reservation.key
        self.see(reservation.record)
        engine.hooks.standing(self.key, self.slots)
        for slot in self.slots if reservation.fresh else ():
            engine.emit(EventKind.RESERVED, self.key, slot)

    def see(self, record: BatchRecord) -> None:
        """Take over what the journal says, unless something newer was seen meanwhile: a load may answer after a later write."""
        with self.lock:
            if self.fence is None or record.fence.epoch >= self.fence.epoch:
                self.fence, self.manifest, self.tenures = record.fence, record.manifest, record.tenures
            self.slots = self.slots or list(record.slots)
            for slot in record.slots:
                self._keep_newer(slot)

    def saw(self, slot: SlotRecord) -> None:
        """Take over one slot as the journal has it, unless something newer was seen."""
        with self.lock:
            self._keep_newer(slot)

    def _keep_newer(self, slot: SlotRecord) -> None:
        if slot.version >= self.slots[slot.index].version:
            self.slots[slot.index] = slot

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
        if fence.owner == self.owner:
            return fence, Standing.MINE
        if not fence.held or self.engine.journal.owner_state(fence.owner) is OwnerState.DEAD:
            return fence, Standing.FREE
        return fence, Standing.TAKEN

    def refreshing(self) -> Steps[None]:
        """Look at the journal again: an operator may have decided, or another owner recorded."""
        record = yield Await(self.engine.journal.load(self.key))
        if record is None:
            raise gone(self.key)
        self.see(record)

    def claiming(self, *, force: bool = False, why: str = "to go on with it") -> Steps[None]:
        """Take the batch over if it is free or `force` is given, once for all entrants. Then look at its standing again."""
        mine: Future[None] = Future()
        try:
            with self.lock:
                if self._claiming is None or self._claiming.done():
                    self._claiming = mine
                pending = self._claiming
            if pending is not mine:
                yield Await(pending)
                return
            # Whoever comes here saw it free; since then another entrant may have seen who has it now, and that one lives.
            fence, standing = self.look()
            if standing is Standing.FREE or (force and standing is Standing.TAKEN):
                yield from self._take_over(self.taking(fence.epoch, why, force=force))
        finally:
            mine.set_result(None)

    def dropping(self, why: str) -> Steps[None]:
        """What is under way in this batch of ours counts no more, whatever comes of it: a stuck thread, say."""
        yield from self._take_over(self.taking(self.epoch, why, force=True))

    def _take_over(self, taking: TakeOver) -> Steps[None]:
        record = yield Await(self.engine.journal.submit(taking))
        reach(CrashPoint.AFTER_TAKEOVER)
        self.see(record)
        self._drop_fenced()
        for slot in self.slots:
            if slot.epoch == self.epoch:
                self._tell_unknown(slot)

    def _tell_unknown(self, slot: SlotRecord) -> None:
        if slot.state is SlotState.UNKNOWN:
            detail = slot.reason.value if slot.reason is not None else ""
            self.engine.emit(EventKind.UNKNOWN, self.key, slot, detail=detail)

    def taking(self, epoch: int, why: str, *, force: bool = False) -> TakeOver:
        reach(CrashPoint.BEFORE_TAKEOVER)
        return TakeOver(
            key=self.key,
            owner=self.owner,
            expected_epoch=epoch,
            at=self.engine.clock(),
            why=why,
            force=force,
            limit=self.limit,
            trace=self._trace,
        )

    def waiting(self, until: float | None, limit: float | None) -> Steps[None]:
        """Look again until another owner has settled something or let go.

        Raises:
            BatchBusy: `until` (monotonic seconds), which is `limit` after the beginning, has passed.
        """
        before = [slot.version for slot in self.slots]
        poll = _FIRST_POLL
        while True:
            left = self.engine.left(until)
            if left <= 0:
                raise held(self.key, self.fence, limit)
            yield Pause(min(poll, left))
            poll = min(poll * 2, _LAST_POLL)
            yield from self.refreshing()
            if self.standing() is not Standing.TAKEN or before != [slot.version for slot in self.slots]:
                return

    def busy(self) -> BatchBusy:
        return held(self.key, self.fence)

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

    def write(self, row: Row) -> Future[SlotRecord]:
        """Submit a row and do not wait; the slot as seen here follows some time after the row is durable."""
        future = self._hand_in(row)
        future.add_done_callback(if_written(lambda _: after_write(row)))
        return future

    def _hand_in(self, row: Row) -> Future[SlotRecord]:
        before_write(row)
        future = self.engine.journal.submit(Append(key=self.key, row=row))
        future.add_done_callback(if_written(self.saw))
        return future

    def writing(self, row: Row, under_way: Callable[[], None] = lambda: None) -> Steps[None]:
        """Submit a row and wait until it is durable and seen here. What `under_way` causes to be submitted is not durable before it."""
        submitted = self._hand_in(row)
        under_way()
        slot: SlotRecord = yield Await(submitted)
        after_write(row)
        self.saw(slot)  # a future wakes those who wait before it calls back

    def losing(self, index: int, reason: Reason) -> Steps[None]:
        """Mark the newest attempt as one whose outcome nobody knows, unless it is known by now."""
        yield from self.writing(self.row(Lost, index, reason=reason))
        self._tell_unknown(self.slots[index])

    def demand(self, tool: str) -> Demand:
        """What a call of this tool needs to run; calls of one tool share it."""
        demand = self._demands.get(tool)
        if demand is None:
            demand = self._demands[tool] = self.engine.demand(self.key, tool, self.limit)
        return demand

    # --- entrants -------------------------------------------------------------------------------------------------------

    def enter(self, mine: Active) -> Active:
        """The attempt on this slot that is under way: `mine`, unless there is another."""
        with self.lock:
            return self.active.setdefault(mine.index, mine)

    def running(self) -> list[Active]:
        """The attempts under way, those whose entrant has gone included."""
        with self.lock:
            return list(self.active.values())

    def leave(self, active: Active, error: BaseException | None) -> None:
        """The entrant is through, or the thread it left behind has ended."""
        with self.lock:
            if self.active.get(active.index) is active:
                del self.active[active.index]
        active.end(error)
        self.maybe_release()

    def joining(self, active: Active, until: float | None, limit: float | None) -> Steps[None]:
        """Wait for the attempt that is under way; its error is ours too, its question is not: we may have been entered with the answer.

        It ends when the batch is taken over by force: what comes of the attempt then counts no more.

        Raises:
            BatchBusy: `until` (monotonic seconds), which is `limit` after the beginning, has passed.
        """
        while True:
            left = self.engine.left(until)
            if left <= 0:
                raise still_running(self.key, active.index, self.slots[active.index].spec.tool, limit)
            try:
                error = yield Await(active.done(), min(left, _LAST_POLL))
            except TimeoutError:
                yield from self.refreshing()
                self._drop_fenced()
                continue
            if error is not None and not isinstance(error, self.engine.pauses):
                raise error
            return

    def _drop_fenced(self) -> None:
        """Stop waiting for attempts of an earlier epoch: what comes of them does not count."""
        for active in self.running():
            if active.epoch is not None and active.epoch < self.epoch:
                self.leave(active, None)

    def attach(self, entrant: object) -> bool:
        """One more has it open, unless the batch was let go already: then a new `LiveBatch` must be made."""
        with self.lock:
            if not self._released:
                self.entrants.add(entrant)
            return not self._released

    def detach(self, entrant: object) -> None:
        """Once or more often, and whether or not it was attached."""
        with self.lock:
            self.entrants.discard(entrant)
        self.maybe_release()

    def discard(self) -> None:
        """It could not be opened, or be let go in order: nobody here may get it. In the journal it may have our owner; now it is free."""
        self.engine.journal.retire(self.owner)
        with self.lock:
            self._released = True
        self.on_idle(self)

    def maybe_release(self) -> None:
        """Let the batch go once nobody works on it here: nobody has it open, nothing waits to be recorded, and no thread runs on.

        A thread that runs on does not hold up the end of a batch whose answers were all handed over: what it returns changes nothing.
        """
        release = False
        try:
            with self.lock:
                answered = self._all_answered()
                busy = bool(self.entrants or self.unrecorded or (self.active and not answered))
                release = not (busy or self._released or self.fence is None)
                self._released = self._released or release
                idle = self._released and not self.active
            if idle:
                self.on_idle(self)
            if release:
                let_go(self, closed=self.closed or answered)
        except BaseException:
            if release:
                self.discard()  # an interrupt: an owner that looks dead is as good as none
            raise

    def _all_answered(self) -> bool:
        """Whether every answer was handed over.

        Where each entrant enters only some of the calls, those that others entered before, here or elsewhere, count by their record.
        """
        if not self._partial:
            return len(self.answered) == len(self.slots)
        return all(
            slot.index in self.answered or slot.final or slot.delivered is not None for slot in self.slots
        )
