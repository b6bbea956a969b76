"""The runs of an agent that are under way in this process, and the turn each of them is at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import ToolCall, ToolCallResult
from llama_index.core.tools import ToolSelection
from llama_index.core.workflow import Context, Event

from toolslot import (
    Batch,
    BatchKey,
    BatchMismatch,
    BatchRun,
    Call,
    DurableExecutor,
    ToolslotError,
    UnreadablePayload,
)
from toolslot._text import quoted
from toolslot_llamaindex._codec import Answer
from toolslot_llamaindex._growing import Growing
from toolslot_llamaindex._ledger import Ledger
from toolslot_llamaindex._memory import MemoryLog
from toolslot_llamaindex._places import place_of
from toolslot_llamaindex._records import TurnRecord, writes_of
from toolslot_llamaindex._restoring import foretell, restored_turn
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a call came to whose code ran here: with the agent's own event of it, and what the agent wrote to the stream."""

    answer: Answer
    result: Any
    streamed: tuple[Event, ...]


class Turn:
    """One answer of the model whose calls are being made. Holds its batch open from the reservation until all calls have settled."""

    def __init__(
        self,
        number: int,
        record: TurnRecord,
        calls: Sequence[Call],
        ledger: Ledger,
        memory: MemoryLog,
        run: BatchRun | None = None,
    ) -> None:
        self.number = number
        self.record = record
        self.calls = calls
        #: what stops the run once all calls have settled, by index
        self.failures: dict[int, BaseException] = {}
        #: calls whose code ran here: the stream has them, and the state what they wrote
        self.ran: set[int] = set()
        self.made: dict[int, Made] = {}
        #: the results that everybody sees
        self.shown: dict[int, ToolCallResult] = {}
        #: what the calls change in the state
        self.ledger = ledger
        self._made_again: set[int] | None = None
        self._making = asyncio.Lock()
        #: what the calls change in the agent's memory
        self.memory = memory
        self._run = run
        self._answered: set[int] = set()
        self._collected: dict[int, Event] = {}
        self._collecting = False

    @property
    def run(self) -> BatchRun:
        assert self._run is not None, "calls are made only in a turn that has some"
        return self._run

    async def make_again(self, ctx: Context[Any], memory: Any, *, taken_up: bool) -> None:
        """Before any call of the turn is made here: what those that are recorded have changed in state and memory, in their order.

        Raises:
            NotRestorable: one of them put something there that cannot be made again here.
        """
        async with self._making:
            if self._made_again is None:
                found = [(index, self.run.recorded(index)) for index in range(len(self.calls))]
                answers = {index: each for index, each in found if isinstance(each, Answer)}
                await self._again(answers, ctx, memory, maybe_there=taken_up)
                self._made_again = set(answers)

    async def make_again_too(self, index: int, answer: Answer, ctx: Context[Any], memory: Any) -> None:
        """The same for a call that was recorded since then, by somebody else."""
        if self._made_again is not None and index not in self._made_again | self.ran:
            self._made_again.add(index)
            await self._again({index: answer}, ctx, memory)

    async def _again(
        self, answers: Mapping[int, Answer], ctx: Context[Any], memory: Any, *, maybe_there: bool = False
    ) -> None:
        edits = {index: answer.edits for index, answer in answers.items()}
        await self.ledger.make_again(edits, ctx, maybe_there=maybe_there)
        changes = [answer.memory for answer in answers.values() if answer.memory is not None]
        for change in sorted(changes, key=lambda change: change.number):
            await self.memory.again(memory, change)

    def find(self, ev: ToolCall, *, but: Collection[int]) -> int | None:
        """The first of the model's calls that this one is, without those in `but`. Of equal calls either is the other."""
        return next(
            (i for i, call in enumerate(self._selections) if i not in but and _same(call, ev)),
            None,
        )

    def check(self, ev: ToolCall, index: int) -> None:
        """Raises `BatchMismatch` when another call is recorded there."""
        recorded = self._selections[index] if index < len(self.calls) else None
        if recorded is None or (recorded.tool_id, recorded.tool_name) != (ev.tool_id, ev.tool_name):
            raise BatchMismatch(
                f"call {index} of turn {self.number} is {quoted(ev.tool_name)} with call id {quoted(ev.tool_id)} in the stored context, and"
                " another one or none in the journal. Nothing was replayed and nothing ran. Take the context up with the journal it"
                " belongs to."
            )

    @property
    def _selections(self) -> Sequence[ToolSelection]:
        return self.record.output.tool_calls[: len(self.calls)]

    def answer(self, index: int) -> bool:
        """Whether this is the first answer of the call: one that a person answers twice is entered twice by the framework."""
        first = index not in self._answered
        self._answered.add(index)
        return first

    def own_events(self, index: int, answer: Answer) -> Made | None:
        """The agent's own events of this answer, if it was made here."""
        made = self.made.get(index)
        return made if made is not None and made.answer is answer else None

    def collect(self, ev: Event, before: Callable[[], Sequence[ToolCallResult]]) -> bool:
        """Whether this result counts, and no other of the same call does. `before` gives those that a stored context has collected."""
        if not self._collecting:
            self._collecting = True
            for each in before():
                self._note(each)
        return self._note(ev)

    def _note(self, ev: Event) -> bool:
        place = place_of(ev)
        if place is None:
            return True
        return place.turn == self.number and self._collected.setdefault(place.index, ev) is ev

    def ordered(self, results: Sequence[Event]) -> list[Event]:
        """The results in the model's order, without their places, which are nobody else's business."""
        last = len(self.calls)
        placed = [(last if (place := place_of(ev)) is None else place.index, ev) for ev in results]
        placed.sort(key=lambda pair: pair[0])
        return [self.shown.get(index) or _plain(ev) for index, ev in placed]

    def release(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.release()


class Run:
    """One run of an agent in this process. `durable` is False for a run without an id: it is not recorded."""

    def __init__(
        self,
        run_id: str,
        executor: DurableExecutor,
        values: ValueCodec,
        *,
        durable: bool,
        max_parallel: int | None,
    ) -> None:
        self.run_id = run_id
        self.values = values
        self.durable = durable
        #: the workflow goes on from a stored state, which may hold some of what is replayed
        self.taken_up = False
        #: written with the first turn
        self.payload: bytes | None = None
        #: the framework made the memory, and for this run
        self.own_memory = False
        self.turn: Turn | None = None
        #: the turn whose results were handed to the model last; what comes later for it is a repetition
        self.handed = -1
        self._lists = Growing()
        self._foretold = False
        self._onces: dict[str, int] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._executor = executor
        self._max_parallel = max_parallel
        self._finding = asyncio.Lock()

    async def prepare(self) -> None:
        """Open the journal; that takes locks and reads files, which must not hold up the event loop."""
        if self.durable and not self._executor.opened:
            await asyncio.to_thread(getattr, self._executor, "journal")

    async def began(self) -> bytes | None:
        """How the run began, if it is recorded."""
        if not self.durable:
            return None
        return await asyncio.wrap_future(self._executor.journal.run_payload(self.run_id))

    async def begin(self, payload: bytes, *, now: bool) -> None:
        """How the run begins: written with the first turn, or `now`, because something that outlives the process is changed before that."""
        self.payload = payload
        if now:
            batch = Batch(
                run_id=self.run_id, batch_id="begin", calls=(), adapter="llamaindex", run_payload=payload
            )
            async with self._executor.open(batch, durable=True):
                pass

    async def once(self, what: str, digest: str, code: Callable[[], Awaitable[None]]) -> None:
        """Have an effect of the framework's own, if the run has not had it. The `n`th time is known by `n` and by the digest."""
        number = self._onces[what] = self._onces.get(what, -1) + 1
        batch = Batch(
            run_id=self.run_id,
            batch_id=f"{what}-{number}-{digest[:16]}",
            calls=(Call(tool=what, args={"messages": digest}, call_id=""),),
            adapter="llamaindex",
        )
        async with self._executor.open(batch, durable=True) as run:
            await run.acall(0, code)

    async def recorded(self, number: int) -> TurnRecord | None:
        """The turn, if it is recorded. It becomes the current one, its calls entered by `turn.run`."""
        payload = await self._payload(number)
        if payload is None:
            return None
        record = restored_turn(self.run_id, number, payload, self.values)
        await self._enter(number, record, payload)
        return record

    async def lists(self, number: int) -> Growing:
        """For the turn: the lists that those before it have recorded."""
        if self._lists.turn != number - 1:
            # A stored context was taken up in the middle of a run.
            lists = Growing()
            for earlier in range(number):
                payload, lists = await self._payload(earlier), lists.next()
                if payload is not None:
                    lists.whole(writes_of(payload))
            self._lists = lists
        return self._lists.next()

    def keep(self, lists: Growing) -> None:
        """The turn that these lists belong to is recorded."""
        self._lists = lists

    async def _payload(self, number: int) -> bytes | None:
        if not self.durable:
            return None
        found = await asyncio.wrap_future(
            self._executor.journal.load(BatchKey(self.run_id, _batch_id(number)))
        )
        if found is None:
            return None
        payload = found.manifest.payload
        if payload is None:
            raise UnreadablePayload(
                f"turn {number} of run {quoted(self.run_id)} holds no answer of the model: something else recorded it. Use a new run_id."
            )
        return payload

    async def reserve(self, number: int, record: TurnRecord) -> TurnRecord | None:
        """Record the turn and reserve its slots, in one transaction. None: done; else what somebody else recorded in the meantime."""
        kept = record.encode(self.values)
        payload = kept.data
        if kept.problem is not None and self.durable and not self._foretold:
            self._foretold = True
            foretell(self.run_id, kept.problem)
        with suppress(BatchMismatch):
            if await self._enter(number, record, payload, closing=True) in (payload, None):
                return None
        return await self.recorded(number)

    async def _enter(
        self, number: int, record: TurnRecord, payload: bytes, *, closing: bool = False
    ) -> bytes | None:
        """Open the turn's batch, and keep it open when it has calls. What the journal holds as its payload."""
        self.release()
        calls = record.calls
        if not calls and not closing:
            self.turn = Turn(number, record, calls, Ledger(self.values), MemoryLog(self.values))
            return payload
        run = self._executor.open(
            Batch(
                run_id=self.run_id,
                batch_id=_batch_id(number),
                calls=calls,
                adapter="llamaindex",
                payload=payload,
                run_payload=self.payload,
            ),
            max_parallel=self._max_parallel,
            durable=self.durable,
        )
        await run.__aenter__()
        held = run.record.manifest.payload
        if held != payload or not calls:
            run.release()
        mine = run if held == payload and calls else None
        self.turn = Turn(number, record, calls, Ledger(self.values), MemoryLog(self.values), mine)
        return held

    async def at(self, number: int) -> Turn | None:
        """The turn that runs now, also when the workflow was taken up from a stored context; None then for a run without an id.

        Raises:
            ToolslotError: it is not recorded.
        """
        turn = self.turn
        if turn is not None and turn.number == number:
            return turn
        if not self.durable:
            return None
        async with self._finding:
            if self.turn is None or self.turn.number != number:
                await self.prepare()
                if await self.recorded(number) is None:
                    raise ToolslotError(
                        f"turn {number} of run {quoted(self.run_id)} is not in the journal, so its calls cannot be made durable: the run"
                        " was begun with another journal. Start it again with its run_id."
                    )
            assert self.turn is not None
            return self.turn

    @contextmanager
    def calling(self) -> Generator[None]:
        """While the current task makes a call."""
        task = asyncio.current_task()
        assert task is not None, "calls are made in tasks"
        self._calls.add(task)
        try:
            yield
        finally:
            self._calls.discard(task)

    def stop(self) -> None:
        """The run ends: no call begins any more, and those under way are cancelled.

        The framework cancels its tasks too, but not the one that it has started last, which would go on, and might begin its call only now.
        """
        for task in self._calls:
            task.cancel()

    def release(self) -> None:
        """Let go of the current turn's batch."""
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.release()


class Runs:
    """The runs under way, by the id of the workflow run. What is left of one is released when it ends."""

    def __init__(self, make: Callable[[str, bool], Run]) -> None:
        self._make = make
        self._runs: dict[str, Run] = {}

    def begin(self, workflow_run: str, run_id: str | None) -> None:
        self._runs[workflow_run] = self._make(
            run_id if run_id is not None else workflow_run, run_id is not None
        )

    def rename(self, workflow_run: str, actual: str) -> None:
        """The framework chose another id than it was given."""
        run = self._runs.pop(workflow_run, None)
        if run is not None:
            self._runs[actual] = run

    def find(self, workflow_run: str) -> Run | None:
        return self._runs.get(workflow_run)

    def end(self, workflow_run: str) -> None:
        run = self._runs.pop(workflow_run, None)
        if run is not None:
            run.stop()
            run.release()


def kwargs_of(ev: ToolCall) -> dict[str, Any]:
    """The arguments of a call."""
    return cast("dict[str, Any]", cast("Any", ev).tool_kwargs)


def _batch_id(number: int) -> str:
    return f"turn-{number}"


def _same(a: Any, b: Any) -> bool:
    return (a.tool_id, a.tool_name, a.tool_kwargs) == (b.tool_id, b.tool_name, b.tool_kwargs)


def _plain(result: Event) -> Event:
    if place_of(result) is None or not isinstance(result, ToolCallResult):
        return result
    return ToolCallResult(**{name: getattr(result, name) for name in ToolCallResult.model_fields})
