"""The runs of an agent that are under way in this process, and the turn each of them is at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from toolslot import (
    Batch,
    BatchKey,
    BatchMismatch,
    Call,
    DurableExecutor,
    ToolslotError,
    UnreadablePayload,
)
from toolslot.hosting import ajournal, quoted
from toolslot_llamaindex._records import TurnRecord, foretell, restored_turn, writes_of
from toolslot_llamaindex._turn import Turn
from toolslot_llamaindex._values import ValueCodec
from toolslot_llamaindex._writes import Growing

log = logging.getLogger("toolslot")


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
        enters_at_once: bool = False,
    ) -> None:
        """`enters_at_once`: nothing but the framework's own code stands between a turn and its calls."""
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
        self._max_parallel, self._enters_at_once = max_parallel, enters_at_once
        self._finding = asyncio.Lock()

    async def prepare(self) -> None:
        """Open the journal; that takes locks and reads files, which must not hold up the event loop."""
        if self.durable:
            await ajournal(self._executor)

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
        """Have an effect of the framework's own, if the run has not had it. With the same digest it is had as often as in the plain run."""
        # Counted by digest: what a replayed call has had done is not asked for again, and must not shift the numbers of the others.
        effect = f"{what}-{digest[:16]}"
        number = self._onces[effect] = self._onces.get(effect, -1) + 1
        batch = Batch(
            run_id=self.run_id,
            batch_id=f"{effect}-{number}",
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
            self.turn = Turn(number, record, calls, self.values)
            return payload
        tools = [call.tool for call in calls]
        at_once = self._executor.workers(tools, self._max_parallel) if calls and self._enters_at_once else 0
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
            entering=range(min(at_once, len(calls))),
        )
        await run.__aenter__()
        held = run.record.manifest.payload
        if held != payload or not calls:
            run.release()
        mine = run if held == payload and calls else None
        self.turn = Turn(number, record, calls, self.values, mine)
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


def _batch_id(number: int) -> str:
    return f"turn-{number}"
