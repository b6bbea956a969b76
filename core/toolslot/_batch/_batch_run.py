"""A reserved batch whose calls are entered one by one: the unit that frameworks, which fan out themselves, can use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar, overload

from toolslot._batch._call import CallRun
from toolslot._batch._call_task import CallTask
from toolslot._batch._context import current
from toolslot._batch._crew import drive_all
from toolslot._batch._messages import still_running
from toolslot._batch._opening import Opening
from toolslot._batch._steps import Steps, adrive, drive
from toolslot._batch._unknown import deciding, deciding_on, delivering
from toolslot._domain._plan import Standing, harmless
from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._port import Journal
from toolslot._domain._slot import BatchKey, BatchRecord, SlotRecord
from toolslot._domain._view import Slot

T = TypeVar("T")


class BatchRun(Opening):
    """One entrance into a batch, made by `DurableExecutor.open`. Use it as a context manager, sync or async.

    Entering reserves the slots, or finds them. Leaving lets the batch go, and closes it when every answer was handed over. Calls may be
    entered from any thread or task while it is open, each at most usefully once; two callers of the same call share one attempt.

    What waits has a sync, an async and a third form, `opening`, `calling` and so on: steps, for hosts that are written once for both sides
    (`toolslot.hosting.drive` and `adrive`).
    """

    # --- calls ----------------------------------------------------------------------------------------------------------

    def call(
        self,
        index: int,
        fn: Callable[[], T],
        *,
        is_error: Callable[[T], bool | BaseException] | None = None,
        offload: Executor | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> T:
        """The answer of call `index`: from the journal if it is recorded, else by running `fn` in this thread.

        Args:
            index: The call's place in the batch, from 0.
            fn: The tool's code, arguments bound.
            is_error: Whether a returned value is a failure turned into an answer; it is then recorded as FAILED and still replays. It may
                give the exception that the answer was made of, whose type is then recorded.
            offload: Run `fn` there; it must be something the executor can carry.
            unserved: The host has the call's tool no more, so `fn` only says that. A call that began is then not entered again: its
                reconciler is asked, else a person.
            held: Return as soon as the record is under way, unless a hook hears of the ends of calls. The answer must not leave the caller
                before `record_held` has said that it is durable.

        Raises:
            UnknownOutcome: it is not known whether it was done, and its policy says fail or ask.
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
        is_error: Callable[[T], bool | BaseException] | None = None,
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
        is_error: Callable[[T], bool | BaseException] | None = None,
        offload: Executor,
        unserved: bool = False,
        held: bool = False,
    ) -> T: ...

    async def acall(
        self,
        index: int,
        fn: Callable[[], object],
        *,
        is_error: Callable[[T], bool | BaseException] | None = None,
        offload: Executor | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> T:
        """As `call`, for a `fn` that returns an awaitable, or for a sync one that runs in `offload`."""
        return await adrive(self._entry(index, fn, is_error, offload, unserved, held).steps())

    def calling(
        self,
        index: int,
        fn: Callable[[], object],
        *,
        is_error: Callable[[Any], bool | BaseException] | None = None,
        offload: Executor | None = None,
        unserved: bool = False,
        held: bool = False,
    ) -> Steps[object]:
        """As `call`, as steps; `fn` is sync, or async, as they are driven."""
        return self._entry(index, fn, is_error, offload, unserved, held).steps()

    def _entry(
        self,
        index: int,
        fn: Callable[[], object],
        is_error: Callable[[T], bool | BaseException] | None,
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
        steps: list[Steps[object]] = [
            self._entry(index, fn, None, offload, unserved=False, held=True).steps()
            for index, fn in enumerate(fns)
        ]
        outcomes = drive_all(steps, workers)
        for index, error in self.record_held().items():
            outcomes[index] = error
        return outcomes

    def record_held(self) -> dict[int, Exception]:
        """Wait until the answers that were held back are durable. Where the journal did not take one, its call has this error instead."""
        return drive(self.recording())

    async def arecord_held(self) -> dict[int, Exception]:
        """As `record_held`."""
        return await adrive(self.recording())

    def recording(self) -> Steps[dict[int, Exception]]:
        """As `record_held`, as steps."""
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
        await adrive(self.settling())

    def settling(self) -> Steps[None]:
        """As `asettled`, as steps."""
        live = self._opened
        own = current.get()
        inside = own.index if own is not None and BatchKey(own.run_id, own.batch_id) == live.key else None
        while others := [a for a in live.running() if not a.gone and a.index != inside]:
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
        return BatchRecord(
            manifest=live.manifest,
            fence=live.fence,
            slots=slots,
            owner_state=live.owner_state,
            tenures=live.tenures,
        )

    def slot(self, index: int) -> SlotRecord:
        """The slot's record as last seen by this process; a call whose mark came with the reservation is reserved until it is entered."""
        live = self._opened
        return SlotRecord(spec=live.slots[index].spec) if index in live.begun else live.slots[index]

    def view(self, index: int) -> Slot:
        """The slot as a reconciler sees it: arguments decoded, with its idempotency key."""
        return self._engine.view(self.key, self.slot(index))

    def asked_about(self, index: int) -> Slot:
        """The slot that a question about call `index` is about: its own, or that of the call that holds the effect which both name."""
        key, slot = self._opened.doubts.get(index, (self.key, self.slot(index)))
        return self._engine.view(key, slot)

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
        drive(self.deciding(index, answer, by=by, why=why, version=version))

    async def adecide(
        self, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int
    ) -> None:
        """As `decide`."""
        await adrive(self.deciding(index, answer, by=by, why=why, version=version))

    def deciding(
        self, index: int, answer: Done | Failed | NotDone, *, by: str, why: str, version: int
    ) -> Steps[None]:
        """As `decide`, as steps."""
        live = self._opened
        if index in live.doubts:  # the question was about the call that holds its effect
            key, slot = live.doubts.pop(index)
            yield from deciding_on(self._engine, key, slot, answer, by=by, why=why, version=version)
            return
        yield from live.looking_again()
        if live.standing() is Standing.FREE:
            yield from live.claiming()
        if live.standing() is not Standing.MINE:
            raise live.busy()
        if index in live.active:
            raise still_running(live.key, index, live.slots[index].spec.tool)
        yield from deciding(live, index, answer, by=by, why=why, version=version)

    def deliver(self, index: int, value: object) -> None:
        """Record what the agent was told about an UNKNOWN call, so that it is told the same again once the batch is closed."""
        drive(self.delivering(index, value))

    async def adeliver(self, index: int, value: object) -> None:
        """As `deliver`."""
        await adrive(self.delivering(index, value))

    def delivering(self, index: int, value: object) -> Steps[None]:
        """As `deliver`, as steps."""
        return delivering(self._opened, index, value)

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
        yield from live.looking_again()
        # Until it is ours: what we knew of the owner may have been old.
        while (standing := live.standing()) is not Standing.MINE:
            if standing is Standing.TAKEN and not force:
                raise live.busy()
            yield from live.claiming(force=force, why=why)

    def __repr__(self) -> str:
        live = self._live
        if live is None:
            return f"<BatchRun {self._batch.key} not open>"
        states = dict(Counter(slot.state.value for slot in live.slots))
        return f"<BatchRun {live.key} epoch={live.epoch} {states}>"
