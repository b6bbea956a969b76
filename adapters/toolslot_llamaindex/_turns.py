"""The runs of an agent that are under way in this process, and the turn each of them is at."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import ToolCall, ToolCallResult

from toolslot import (
    Batch,
    BatchKey,
    BatchMismatch,
    BatchRun,
    DurableExecutor,
    ToolslotError,
    UnreadablePayload,
)
from toolslot_llamaindex._compat import mark, marked
from toolslot_llamaindex._records import TurnRecord

log = logging.getLogger("toolslot")


class Turn:
    """One answer of the model whose calls are being made. Holds its batch open from the reservation until all calls have settled."""

    def __init__(self, number: int, record: TurnRecord, run: BatchRun | None) -> None:
        self.number = number
        self.record = record
        self.calls = record.calls
        #: what stops the run once all calls have settled, by index
        self.failures: dict[int, BaseException] = {}
        self._run = run
        self._claimed: set[int] = set()
        self._collected: dict[int, object] = {}

    @property
    def run(self) -> BatchRun:
        assert self._run is not None, "calls are made only in a turn that has some"
        return self._run

    def claim(self, ev: ToolCall) -> int | None:
        """The slot of a call that is about to be made; None for a call that is none of this turn's."""
        index = marked(ev)
        selections = self.record.output.tool_calls[: len(self.calls)]
        if index is None or index >= len(selections) or not _named_alike(selections[index], ev):
            # The event was stored and read in between, or the agent's class left a call out. Equal calls are the same call twice, so
            # either may take either slot.
            equal = [i for i, call in enumerate(selections) if _same(call, ev)]
            index = next((i for i in equal if i not in self._claimed), None)
        if index is not None:
            self._claimed.add(index)
        return index

    def unclaim(self, index: int) -> None:
        """The call stopped at a question and is going to be entered again."""
        self._claimed.discard(index)

    def collect(self, result: object) -> bool:
        """Whether this is the one result of its call that counts: an answer that is sent twice makes the framework enter the call twice."""
        index = marked(result)
        if index is None:
            return True
        # The very same result may come again: the framework repeats the step when several results come at once.
        return self._collected.setdefault(index, result) is result

    def ordered(self, results: list[Any]) -> list[Any]:
        """The results in the model's order."""
        free = list(range(len(self.calls)))
        places: list[tuple[int, Any]] = []
        for result in results:
            index = marked(result)
            if index is None:
                index = next(
                    (i for i in free if _same(self.record.output.tool_calls[i], result)), len(self.calls)
                )
            if index in free:
                free.remove(index)
            places.append((index, result))
        return [result for _, result in sorted(places, key=lambda place: place[0])]

    def release(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.release()


class Run:
    """One run of an agent in this process. `durable` is False for a run without an id: it is not recorded."""

    def __init__(
        self, run_id: str, executor: DurableExecutor, *, durable: bool, max_parallel: int | None
    ) -> None:
        self.run_id = run_id
        self.durable = durable
        #: written with the first turn
        self.payload: bytes | None = None
        self.turn: Turn | None = None
        self._executor = executor
        self._max_parallel = max_parallel
        self._finding = asyncio.Lock()

    async def prepare(self) -> None:
        """Open the journal; that takes locks and reads files, which must not hold up the event loop."""
        if self.durable:
            await asyncio.to_thread(getattr, self._executor, "journal")

    async def began(self) -> bytes | None:
        """How the run began, if it is recorded."""
        if not self.durable:
            return None
        return await asyncio.wrap_future(self._executor.journal.run_payload(self.run_id))

    async def recorded(self, number: int) -> TurnRecord | None:
        """The turn, if it is recorded. It becomes the current one, its calls entered by `turn.run`."""
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
                f"turn {number} of run {self.run_id!r} holds no answer of the model: something else recorded it. Use a new run_id."
            )
        record = TurnRecord.decode(payload)
        await self._enter(number, record, payload)
        return record

    async def reserve(self, number: int, record: TurnRecord) -> TurnRecord | None:
        """Record the turn and reserve its slots, in one transaction. None: done; else what somebody else recorded in the meantime."""
        payload = record.encode()
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
            self.turn = Turn(number, record, None)
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
        self.turn = Turn(number, record, run if held == payload and calls else None)
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
                        f"turn {number} of run {self.run_id!r} is not in the journal, so its calls cannot be made durable: the run was"
                        " begun with another journal. Start it again with its run_id."
                    )
            assert self.turn is not None
            return self.turn

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
            run.release()


def result_event(ev: ToolCall, index: int, **fields: Any) -> ToolCallResult:
    """The event that carries a call's result, marked with its slot."""
    event = ToolCallResult(tool_name=ev.tool_name, tool_kwargs=kwargs_of(ev), tool_id=ev.tool_id, **fields)
    mark(event, index)
    return event


def kwargs_of(ev: ToolCall) -> dict[str, Any]:
    """The arguments of a call."""
    return cast("dict[str, Any]", cast("Any", ev).tool_kwargs)


def _batch_id(number: int) -> str:
    return f"turn-{number}"


def _same(a: Any, b: Any) -> bool:
    return (a.tool_id, a.tool_name, a.tool_kwargs) == (b.tool_id, b.tool_name, b.tool_kwargs)


def _named_alike(a: Any, b: Any) -> bool:
    return (a.tool_id, a.tool_name) == (b.tool_id, b.tool_name)
