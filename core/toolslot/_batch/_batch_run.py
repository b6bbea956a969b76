"""A reserved batch whose calls are entered one by one: the unit that frameworks, which fan out themselves, can use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from types import TracebackType
from typing import TypeVar, overload

from typing_extensions import Self

from toolslot._batch._call import CallRun
from toolslot._batch._call_task import CallTask
from toolslot._batch._context import current
from toolslot._batch._crew import Crew
from toolslot._batch._ending import Held
from toolslot._batch._engine import Engine
from toolslot._batch._messages import other_size, still_running
from toolslot._batch._ownership import LiveBatch
from toolslot._batch._registry import registry_of
from toolslot._batch._reserving import Kept
from toolslot._batch._steps import Consult, Steps, adrive, drive
from toolslot._batch._unknown import deciding, delivering
from toolslot._domain._operations import Adopt
from toolslot._domain._plan import Standing, harmless
from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._port import Journal
from toolslot._domain._slot import Batch, BatchKey, BatchRecord, SlotRecord, SlotSpec
from toolslot._domain._view import Slot
from toolslot._errors import ToolslotError

T = TypeVar("T")


class BatchRun:
    """One entrance into a batch, made by `DurableExecutor.open`. Use it as a context manager, sync or async.

    Entering reserves the slots, or finds them. Leaving lets the batch go, and closes it when every answer was handed over. Calls may be
    entered from any thread or task while it is open, each at most usefully once; two entrants of the same call share one attempt.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        batch: Batch,
        *,
        at_hand: bool,
        max_parallel: int | None,
        adopt: Adopt,
        kept: Kept | None = None,
        partial: bool = False,
        answered: Collection[int] = (),
        entering: Collection[int] = (),
    ) -> None:
        self._find_engine = engine
        self._found: Engine | None = engine() if at_hand else None
        self._batch = batch
        self._max_parallel = max_parallel
        self._adopt = adopt
        self._kept = kept
        self._partial = partial
        self._answered = answered
        self._entering = entering
        self._held: list[Held] = []
        self._specs: tuple[SlotSpec, ...] | None = None
        self._deadline: float | None = None
        self._live: LiveBatch | None = None
        self._pid = 0
        #: the calls whose code goes on from where an earlier attempt stood
        self._going_on: set[int] = set()

    # --- opening and letting go -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            drive(self._opening())
            return self
        except BaseException:
            self.release()  # an interrupt at the last moment: without `with` nobody else would
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await adrive(self._opening())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the batch go. Returns at once: the one write is not waited for, and threads that still run keep the batch until they end."""
        live = self._live
        if live is not None and self._pid == os.getpid():
            try:
                live.detach(self)
            except BaseException:
                live.detach(self)  # an interrupt; nobody else would do it
                raise
        self._live = None

    def _opening(self) -> Steps[None]:
        if self._live is not None:
            raise ToolslotError(
                f"batch {self._batch.key} is open already in this BatchRun; open another one with executor.open(...)."
            )
        if self._found is None:
            # Opening the journal takes locks and reads files, which must not hold up an event loop.
            yield Consult(lambda _: self._engine, None)
        # With one entrance per call, specs of all calls at each would be N times N; only the first needs them all, to reserve.
        self._specs = None if self._partial else self._all_specs()
        timeout = self._engine.limits.batch_timeout
        self._deadline = None if timeout is None else self._engine.monotonic() + timeout
        while not (yield from self._attached()):
            pass

    def _attached(self) -> Steps[bool]:
        """Whether the batch is open now; it is not when whoever was opening it was interrupted."""
        met: list[LiveBatch] = []
        try:
            live = registry_of(self._engine.journal).attach(self._batch.key, self, self._make, met.append)
            first = live.opener is self and not live.ready.done()
            if first:
                yield from live.opening(self._adopt, self._kept, self._entering)
                live.ready.set_result(True)
            opened: bool = yield live.ready
            if opened:
                if len(live.slots) != len(self._batch.calls):
                    recorded = [slot.spec for slot in live.slots]
                    raise other_size(live.key, recorded, self._batch.calls, live.adapter)
                live.answered.update(self._answered)
                self._live, self._pid = live, os.getpid()
                return True
        except BaseException as error:
            self._live = None
            for live in met:
                live.give_up(self, error)
            raise
        live.detach(self)
        return False

    def _make(self) -> LiveBatch:
        specs = self._all_specs() if self._specs is None else self._specs
        return LiveBatch(self._engine, self._batch, specs, self._max_parallel, partial=self._partial)

    def _all_specs(self) -> tuple[SlotSpec, ...]:
        return tuple(self._engine.spec(index, call) for index, call in enumerate(self._batch.calls))

    def _spec(self, index: int) -> SlotSpec:
        specs = self._specs
        return self._engine.spec(index, self._batch.calls[index]) if specs is None else specs[index]

    # --- calls ----------------------------------------------------------------------------------------------------------

    def call(
        self,
        index: int,
        fn: Callable[[], T],
        *,
        is_error: Callable[[T], bool] | None = None,
        offload: Executor | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> T:
        """The answer of call `index`: from the journal if it is recorded, else by running `fn` in this thread.

        Args:
            index: The call's place in the batch, from 0.
            fn: The tool's code, arguments bound.
            is_error: Whether a returned value is a failure turned into an answer; it is then recorded as FAILED and still replays.
            offload: Run `fn` there; it must be something the executor can carry.
            unserved: The host has the call's tool no more, so `fn` only says that. A call that began is then not entered again: its
                reconciler is asked, else a person.
            held: Return as soon as the record is under way, unless a hook hears of the ends of calls. The answer must not leave the caller
                before `record_held` has said that it is durable.

        Raises:
            UnknownOutcome: nobody can know whether it was done, and its policy says fail or ask.
            BatchMismatch, BatchBusy, BatchClosed, BatchTimedOut, CallTimedOut, Draining, Fenced: as they say.
            ToolFailed, ResultNotStorable, JournalError: as they say.
            Exception: whatever `fn` raised.
        """
        return drive(self._entry(index, fn, is_error, offload, unserved, held).steps())

    @overload
    async def acall(
        self,
        index: int,
        fn: Callable[[], Awaitable[T]],
        *,
        is_error: Callable[[T], bool] | None = None,
        offload: CallTask | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> T: ...

    @overload
    async def acall(
        self,
        index: int,
        fn: Callable[[], T],
        *,
        is_error: Callable[[T], bool] | None = None,
        offload: Executor,
        unserved: bool = False,
        held: bool = False,
    ) -> T: ...

    async def acall(
        self,
        index: int,
        fn: Callable[[], object],
        *,
        is_error: Callable[[T], bool] | None = None,
        offload: Executor | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> T:
        """As `call`, for a `fn` that returns an awaitable, or for a sync one that runs in `offload`."""
        return await adrive(self._entry(index, fn, is_error, offload, unserved, held).steps())

    def _entry(
        self,
        index: int,
        fn: Callable[[], object],
        is_error: Callable[[T], bool] | None,
        offload: Executor | None,
        unserved: bool,
        held: bool,
    ) -> CallRun[T]:
        live = self._opened
        engine, spec = self._engine, self._spec(index)
        policy = engine.policy(spec.tool)
        if unserved:
            policy = policy.unserved
        elif index in self._going_on:
            policy = policy.going_on
        return CallRun(
            live=live,
            engine=engine,
            spec=spec,
            policy=policy,
            fn=fn,
            deadline=self._deadline,
            is_error=is_error,
            offload=offload,
            held=self._held if held else None,
        )

    def calls(
        self, fns: Sequence[Callable[[], object]], *, workers: int, offload: Executor | None = None
    ) -> list[object]:
        """Enter every call of the batch, and wait for all: each one's answer or exception, in call order, once it is recorded.

        Threads are used only by code that runs, `workers` at most; no thread waits for the journal or for a permit.
        """
        crew = Crew(
            [self._entry(i, fn, None, offload, False, True).steps() for i, fn in enumerate(fns)], workers
        )
        outcomes = crew.outcomes()
        for index, error in self.record_held().items():
            outcomes[index] = error
        return outcomes

    def record_held(self) -> dict[int, Exception]:
        """Wait until the answers that were held back are durable. Where the journal did not take one, its call has this error instead."""
        return drive(self._recording())

    async def arecord_held(self) -> dict[int, Exception]:
        """As `record_held`."""
        return await adrive(self._recording())

    def _recording(self) -> Steps[dict[int, Exception]]:
        live, failed = self._opened, dict[int, Exception]()
        while self._held:
            held = self._held.pop()
            try:
                yield from held.recording(live)
            except Exception as error:
                failed[held.index] = error
        return failed

    def goes_on(self, index: int) -> None:
        """Say that the code of call `index` goes on from where an earlier attempt stood: it is entered again, and nothing is asked.

        For hosts, about a call that runs an agent with checkpoints, where no policy is given for its tool.
        """
        self._going_on.add(index)

    async def asettled(self) -> None:
        """Wait until no call of this batch runs in this process, those that begin meanwhile included.

        Not waited for: threads that timed out, and the call from inside which this is awaited. For hosts that would cancel the others as
        soon as one has failed.
        """
        await adrive(self._settling())

    def _settling(self) -> Steps[None]:
        live = self._opened
        own = current.get()
        inside = own.index if own is not None and BatchKey(own.run_id, own.batch_id) == live.key else None
        while others := [a for a in live.running() if not a.detached and a.index != inside]:
            for active in others:
                yield active.settled()

    # --- looking and deciding -------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """The run it belongs to."""
        return self._batch.run_id

    @property
    def journal(self) -> Journal:
        """Where it is recorded."""
        return self._engine.journal

    @property
    def key(self) -> BatchKey:
        """Where the slots are in the journal; after adoption, the batch that was reserved first."""
        return self._opened.key

    @property
    def record(self) -> BatchRecord:
        """The batch as last seen by this process."""
        live = self._opened
        assert live.manifest is not None, "a batch is opened before it is looked at"
        assert live.fence is not None, "a batch is opened before it is looked at"
        slots = tuple(self.slot(index) for index in range(len(live.slots)))
        return BatchRecord(manifest=live.manifest, fence=live.fence, slots=slots, tenures=live.tenures)

    def slot(self, index: int) -> SlotRecord:
        """The slot's record as last seen by this process; a call whose mark came with the reservation is reserved until it is entered."""
        live = self._opened
        return SlotRecord(spec=live.slots[index].spec) if index in live.begun else live.slots[index]

    def view(self, index: int) -> Slot:
        """The slot as a reconciler sees it: arguments decoded, with its idempotency key."""
        return self._engine.view(self.key, self.slot(index))

    def repeatable(self, index: int) -> bool:
        """Whether running the call once more does no harm that its policy forbids; true of one that was not entered or asks a question."""
        slot = self.slot(index)
        return harmless(slot, self._engine.policy(slot.spec.tool))

    def may_run(self, index: int) -> bool:
        """Whether the call's code may be entered here: it has no answer on record, or one that `on_resume="rerun"` does not hand out."""
        slot = self.slot(index)
        resumed = self._engine.policy(slot.spec.tool).on_resume == "rerun" and not self._opened.ran_here(slot)
        return resumed or not slot.final

    def recorded(self, index: int) -> object | None:
        """The answer that entering the call hands out again; None where its code may be entered, or where there is an error instead."""
        slot = self.slot(index)
        if self.may_run(index) or slot.outcome is None:
            return None
        return self._engine.decode(slot.spec.tool, slot.outcome)

    def decide(self, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int) -> None:
        """Settle an UNKNOWN call: `Done(value)`, `Failed(error)`, or `NotDone()` to have it run.

        Raises:
            DecisionRefused: it is settled already, or changed since `version`.
            BatchBusy: its code still runs here, or another owner holds the batch.
        """
        drive(self._deciding(index, answer, by, why, version))

    async def adecide(
        self, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int
    ) -> None:
        """As `decide`."""
        await adrive(self._deciding(index, answer, by, why, version))

    def _deciding(
        self, index: int, answer: Done | Failed | NotDone, by: str, why: str, version: int
    ) -> Steps[None]:
        live = self._opened
        if live.standing() is Standing.FREE:
            yield from live.claiming()
        if live.standing() is not Standing.MINE:
            raise live.busy()
        if index in live.active:
            raise still_running(live.key, index, live.slots[index].spec.tool)
        yield from deciding(live, index, answer, by=by, why=why, version=version)

    def deliver(self, index: int, value: object) -> None:
        """Record what the agent was told about an UNKNOWN call, so that it is told the same again once the batch is closed."""
        drive(delivering(self._opened, index, value))

    async def adeliver(self, index: int, value: object) -> None:
        """As `deliver`."""
        await adrive(delivering(self._opened, index, value))

    def takeover(self, *, force: bool = False, why: str) -> None:
        """Become the owner although another one holds the batch; that one is fenced, what it left RUNNING becomes UNKNOWN.

        With `force` calls that are under way in this process count no more either, a thread that is stuck, say: who waits for one goes on.

        Raises:
            BatchBusy: its owner is or may be alive, and `force` is not given.
        """
        drive(self._taking(force=force, why=why))

    def _taking(self, *, force: bool, why: str) -> Steps[None]:
        live = self._opened
        if force and live.standing() is Standing.MINE and live.running():
            yield from live.dropping(why)
        # Until it is ours: what we knew of the owner may have been old.
        while (standing := live.standing()) is not Standing.MINE:
            if standing is Standing.TAKEN and not force:
                raise live.busy()
            yield from live.claiming(force=force, why=why)

    @property
    def _engine(self) -> Engine:
        if self._found is None:
            self._found = self._find_engine()
        return self._found

    @property
    def _opened(self) -> LiveBatch:
        if self._live is None:
            raise ToolslotError(
                f"batch {self._batch.key} is not open: use it inside `with executor.open(batch) as run:` (or `async with`)."
            )
        if self._pid != os.getpid():
            raise ToolslotError(
                f"batch {self._batch.key} was opened by process {self._pid}, which may still work on it; this is its forked child"
                f" {os.getpid()}. Open the batch here: executor.open(batch)."
            )
        return self._live

    def __repr__(self) -> str:
        live = self._live
        if live is None:
            return f"<BatchRun {self._batch.key} not open>"
        states = dict(Counter(slot.state.value for slot in live.slots))
        return f"<BatchRun {live.key} epoch={live.epoch} {states}>"
