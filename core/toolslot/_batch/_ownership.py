"""Who owns a batch: taking it, waiting for who has it, and letting it go.

All users in the process share one `LiveBatch`. When the last one has left it, its end is told and one write gives it up, which nobody
waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from toolslot._batch._active import Active
from toolslot._batch._engine import Engine, log
from toolslot._batch._messages import held, still_running
from toolslot._batch._open_batch import NOT_ENTERED, Begun, OpenBatch
from toolslot._batch._reserving import Kept, reserving
from toolslot._batch._steps import Await, Pause, Steps
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._append import Append
from toolslot._domain._events import EventKind, batch_event
from toolslot._domain._operations import Adopt, Release, Reservation, Reserve, TakeOver
from toolslot._domain._plan import Standing, reruns
from toolslot._domain._port import Journal
from toolslot._domain._slot import (
    Batch,
    BatchRecord,
    Manifest,
    SlotRecord,
    SlotSpec,
    SlotState,
    Started,
    Withdrawn,
)
from toolslot._errors import BatchBusy, Fenced, ToolslotError
from toolslot._text import quoted

#: how the waiting for another owner's result begins and grows, in seconds; another process can only be polled
_FIRST_POLL, _LAST_POLL = 0.005, 0.25


class LiveBatch(OpenBatch):
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
        super().__init__(engine, batch, max_parallel)
        #: who has it open, and who of them it was made for
        self.users: set[object] = set()
        self.opener: object = None
        #: completes once the batch is open: True, or False when its opener was interrupted and others must open it once more
        self.ready: Future[bool] = Future()
        self.on_idle: Callable[[LiveBatch], None] = lambda _: None
        self._batch = batch
        self._specs = specs
        self._partial = partial
        self._claiming: Future[None] | None = None
        self._reservation: Future[Reservation] | None = None
        self._released = False

    # --- taking it ------------------------------------------------------------------------------------------------------

    def opening(self, adopt: Adopt, kept: Kept | None = None, entering: Collection[int] = ()) -> Steps[None]:
        """Reserve the slots, or find them. Who owns them is settled when somebody has to run one.

        `entering`: calls whose code is entered at once if the slots are new. Those for which there is a permit get their start marks in the
        commit of the reservation.
        """
        engine, batch = self.engine, self._batch
        engine.journal.enlist(self.owner)
        self._trace: str | None = engine.hooks.opening(batch.key, batch.adapter, self.opened_at)
        try:
            starts = self._begin(entering)
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
                starts=starts,
            )
            reservation = yield from reserving(engine.journal, operation, kept, self._submit)
            reach(CrashPoint.AFTER_RESERVE)
        except BaseException:
            engine.hooks.opened(batch.key, None, self.opened_at)
            raise
        if not reservation.fresh:
            self._give_back()  # they are in the journal as they were left, and planned like any call
        engine.hooks.opened(batch.key, reservation.key, self.opened_at)
        self.key = reservation.key
        self.see(reservation.record)
        engine.hooks.standing(self.key, self.slots)
        for slot in self.slots if reservation.fresh else ():
            engine.emit(EventKind.RESERVED, self.key, SlotRecord(spec=slot.spec))

    def _begin(self, entering: Collection[int]) -> tuple[Started, ...]:
        """Permits for the first of these calls, as far as there are permits now; and the start marks of those that may simply run again.

        Where somebody would be asked about a call, its mark is written when it is entered: dying here must not make it look begun.
        """
        for index in entering:
            spec = self._specs[index]
            if spec.effect is not None:
                continue  # whether it may be had is asked before there is a permit
            permit = self.free_permit(spec.tool)
            if permit is None:
                break  # later calls go behind earlier ones
            at, mark = self.engine.clock(), None
            if spec.recorded and not spec.idempotent and reruns(self.engine.policy(spec.tool)):
                mark = Started(index=index, generation=1, attempt=1, epoch=1, at=at, queued_at=self.opened_at)
            self.begun[index] = Begun(permit, mark)
        return tuple(begun.mark for begun in self.begun.values() if begun.mark is not None)

    def _submit(self, operation: Reserve) -> Future[Reservation]:
        self._reservation = self.engine.journal.submit(operation)
        return self._reservation

    def _give_back(self) -> None:
        """The permits of calls that were not entered."""
        for begun in self.begun.values():
            self.engine.pool.release(begun.permit)
        self.begun = {}

    def withdraw_begun(self) -> None:
        """Take back the marks of calls that were not entered; not waited for."""
        try:
            for index in self._marked():
                self.write(self._withdrawn(index))
                self.engine.emit(EventKind.WITHDRAWN, self.key, self.slots[index])
        finally:
            self._give_back()

    def _marked(self) -> list[int]:
        return [index for index, begun in self.begun.items() if begun.mark is not None]

    def _withdrawn(self, index: int) -> Withdrawn:
        return Withdrawn(
            index=index, generation=1, attempt=1, epoch=1, at=self.engine.clock(), why=NOT_ENTERED
        )

    def _retire(self) -> None:
        """Our owner is gone. If the reservation is still under way, the marks that come with it are taken back before."""
        indexes, reservation = self._marked(), self._reservation
        self._give_back()
        if indexes and reservation is not None:
            reservation.add_done_callback(partial(self._take_back, indexes))
        else:
            self.engine.journal.retire(self.owner)

    def _take_back(self, indexes: Sequence[int], reservation: Future[Reservation]) -> None:
        journal: Journal = self.engine.journal
        last: Future[Any] = reservation
        try:
            if not reservation.cancelled() and reservation.exception() is None and reservation.result().fresh:
                for index in indexes:
                    last = journal.submit(Append(key=self.key, row=self._withdrawn(index)))
        except ToolslotError as error:
            log.warning("toolslot.release_failed run=%s: %s", quoted(self.key.run_id), error)
        last.add_done_callback(lambda _: journal.retire(self.owner))

    def claiming(self, *, force: bool = False, why: str = "to go on with it") -> Steps[None]:
        """Take the batch over if it is free or `force` is given, once for all users. Then look at its standing again."""
        mine: Future[None] = Future()
        try:
            with self.lock:
                if self._claiming is None or self._claiming.done():
                    self._claiming = mine
                pending = self._claiming
            if pending is not mine:
                yield pending
                return
            # It was seen free; since then another user here may have seen who has it now, and that one lives.
            fence, standing = self.look()
            if standing is Standing.FREE or (force and standing is Standing.TAKEN):
                self._took_over((yield self._taking_over(fence.epoch, why, force=force)))
        finally:
            mine.set_result(None)

    def dropping(self, why: str) -> Steps[None]:
        """What is under way in this batch of ours counts no more, whatever comes of it: a stuck thread, say."""
        self._took_over((yield self._taking_over(self.epoch, why, force=True)))

    def _taking_over(self, epoch: int, why: str, *, force: bool) -> Future[BatchRecord]:
        return self.engine.journal.submit(self.taking(epoch, why, force=force))

    def _took_over(self, record: BatchRecord) -> None:
        reach(CrashPoint.AFTER_TAKEOVER)
        self.see(record)
        self._drop_fenced()
        for slot in self.slots:
            if slot.epoch == self.epoch:
                self.tell_unknown(slot)

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

    # --- waiting for who has it -----------------------------------------------------------------------------------------

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
            self.loaded((yield self.engine.journal.load(self.key)))
            if self.standing() is not Standing.TAKEN or before != [slot.version for slot in self.slots]:
                return

    def busy(self) -> BatchBusy:
        return held(self.key, self.fence)

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
                self.loaded((yield self.engine.journal.load(self.key)))
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

    # --- letting it go --------------------------------------------------------------------------------------------------

    def attach(self, user: object) -> bool:
        """One more has it open, unless the batch was let go already: then a new `LiveBatch` must be made."""
        with self.lock:
            if not self._released:
                self.users.add(user)
            return not self._released

    def detach(self, user: object) -> None:
        """Once or more often, and whether or not it was attached."""
        with self.lock:
            self.users.discard(user)
        self.maybe_release()

    def give_up(self, user: object, error: BaseException) -> None:
        """The user could not open it. Others must not wait for what it had begun: they get its error, an interrupt is its own alone."""
        if self.opener is user and not self.ready.done():
            self.discard()
            if isinstance(error, Exception):
                self.ready.set_exception(error)
            else:
                self.ready.set_result(False)
        self.detach(user)

    def leave(self, active: Active, error: BaseException | None) -> None:
        """The caller is through, or the thread it left behind has ended."""
        with self.lock:
            if self.active.get(active.index) is active:
                del self.active[active.index]
        active.end(error)
        self.maybe_release()

    def discard(self) -> None:
        """It could not be opened, or be let go in order: none here may get it. In the journal it may have our owner; now it is free."""
        self._retire()
        with self.lock:
            self._released = True
        self.on_idle(self)

    def maybe_release(self) -> None:
        """Let the batch go once it is not worked on here: no user has it open, nothing waits to be recorded, and no thread runs on.

        A thread that runs on does not hold up the end of a batch whose answers were all handed over: what it returns changes nothing.
        """
        release = False
        try:
            with self.lock:
                busy = bool(self.users or self.unrecorded or self._released) or self.fence is None
                answered = not busy and self._all_answered()
                release = not busy and (answered or not self.active)
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

        Where each user enters only some of the calls, those that others entered before, here or elsewhere, count by their record.
        """
        if not self._partial:
            return len(self.answered) == len(self.slots)
        return all(
            slot.index in self.answered or slot.settled or slot.delivered is not None for slot in self.slots
        )


def let_go(live: LiveBatch, *, closed: bool) -> None:
    """Release the batch, if it is ours; and close it, if all its answers were handed over."""
    engine = live.engine
    if engine.hooks.wants(None):
        # In the journal a call that is not recorded stays as it was reserved.
        made = (
            replace(slot, state=SlotState.SUCCEEDED) if slot.index in live.handed else slot
            for slot in live.slots
        )
        told = batch_event(
            live.key,
            tuple(made),
            live.replayed,
            epoch=live.epoch,
            span=(live.opened_at, engine.clock()),
            closed=closed,
            traces=[t.trace for t in live.tenures if t.trace is not None and t.owner != live.owner],
        )
        engine.tell(told)
    # Dying before it commits leaves a dead owner, which is as good as none.
    fence, standing = live.look()
    try:
        live.withdraw_begun()
        if standing is Standing.MINE and fence.held:
            _release(live, fence.epoch, closed=closed)
        elif standing is Standing.FREE and closed and not fence.closed:
            # All was replayed from an owner that died before it closed the batch: only an owner can.
            taking = live.taking(fence.epoch, "to close it")
            engine.journal.submit(taking).add_done_callback(partial(_close, live))
        else:
            engine.journal.retire(live.owner)
    except ToolslotError:
        engine.journal.retire(live.owner)


def _close(live: LiveBatch, taken: Future[BatchRecord]) -> None:
    fence = None if taken.cancelled() or taken.exception() is not None else taken.result().fence
    try:
        if fence is not None and fence.owner == live.owner:
            reach(CrashPoint.AFTER_TAKEOVER)
            _release(live, fence.epoch, closed=True)
            return
    except ToolslotError as error:
        log.warning("toolslot.release_failed run=%s: %s", quoted(live.key.run_id), error)
    live.engine.journal.retire(live.owner)


def _release(live: LiveBatch, epoch: int, *, closed: bool) -> None:
    release = Release(key=live.key, epoch=epoch, closed=closed)
    reach(CrashPoint.BEFORE_RELEASE)
    live.engine.journal.submit(release).add_done_callback(partial(_released, live))


def _released(live: LiveBatch, future: Future[None]) -> None:
    reach(CrashPoint.AFTER_RELEASE)
    live.engine.journal.retire(live.owner)
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, Fenced):
        log.warning("toolslot.release_failed run=%s: %s", quoted(live.key.run_id), error)
