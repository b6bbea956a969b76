"""One answer of the model whose calls are being made: which call is which slot, and what is known of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from llama_index.core.agent.workflow.workflow_events import ToolCall, ToolCallResult
from llama_index.core.tools import ToolSelection
from llama_index.core.workflow import Context, Event

from toolslot import BatchMismatch, BatchRun, Call
from toolslot.hosting import quoted
from toolslot_llamaindex._codec import Answer
from toolslot_llamaindex._ledger import Ledger
from toolslot_llamaindex._memory_log import MemoryLog
from toolslot_llamaindex._records import TurnRecord
from toolslot_llamaindex._values import ValueCodec

_PLACE = "toolslot_place"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A call of the run: the `index`th of the answer that the model gave as its `turn`th, both from 0.

    It is part of the events of the call, so that it is stored and read with them.
    """

    turn: int
    index: int


def put(event: Event, place: Place) -> None:
    """Say what the event is about."""
    event[_PLACE] = [place.turn, place.index]


def place_of(event: Event) -> Place | None:
    """What the event is about; None for one that no durable agent has sent."""
    found: object = event.get(_PLACE)
    if isinstance(found, list) and len(cast("list[Any]", found)) == 2:
        turn, index = cast("list[Any]", found)
        if isinstance(turn, int) and isinstance(index, int):
            return Place(turn=turn, index=index)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a call came to whose code ran here: with the agent's own event of it, and what the agent wrote to the stream."""

    answer: Answer
    result: Any
    streamed: tuple[Event, ...]


#: the agent's memory, if it has one
MemoryOf: TypeAlias = Callable[[Context[Any]], Awaitable[Any]]


class Turn:
    """One answer of the model whose calls are being made. Holds its batch open from the reservation until all calls have settled."""

    def __init__(
        self,
        number: int,
        record: TurnRecord,
        calls: Sequence[Call],
        values: ValueCodec,
        run: BatchRun | None = None,
    ) -> None:
        self.number = number
        self.record = record
        self.calls = calls
        #: what stops the run once all calls have settled, by index
        self.failures: dict[int, BaseException] = {}
        #: calls whose code ran here: the stream has them, and the state what they wrote
        self.ran: set[int] = set()
        #: calls whose code was certainly not entered, for its function does not take the arguments
        self.not_entered: set[int] = set()
        #: by the id of a question, the call that asks it
        self.asked_by: dict[str, int] = {}
        self.made: dict[int, Made] = {}
        #: the results that everybody sees
        self.shown: dict[int, ToolCallResult] = {}
        #: what the calls change in the state
        self.ledger = Ledger(values)
        self._made_again: set[int] | None = None
        self._making = asyncio.Lock()
        #: what the calls change in the agent's memory
        self.memory = MemoryLog(values)
        self._run = run
        self._answered: set[int] = set()
        self._collected: dict[int, Event] = {}
        self._collecting = False

    @property
    def run(self) -> BatchRun:
        assert self._run is not None, "calls are made only in a turn that has some"
        return self._run

    async def make_again(self, ctx: Context[Any], memory_of: MemoryOf, *, taken_up: bool) -> None:
        """Before any call of the turn is made here: what those that are recorded have changed in state and memory, in their order.

        Raises:
            NotRestorable: one of them put something there that cannot be made again here.
        """
        async with self._making:
            if self._made_again is None:
                found = [(index, self.run.recorded(index)) for index in range(len(self.calls))]
                answers = {index: each for index, each in found if isinstance(each, Answer)}
                if answers:
                    await self._again(answers, ctx, await memory_of(ctx), maybe_there=taken_up)
                self._made_again = set(answers)

    async def make_again_too(
        self, index: int, answer: Answer, ctx: Context[Any], memory_of: MemoryOf
    ) -> None:
        """The same for a call that was recorded since then, by somebody else."""
        if self._made_again is not None and index not in self._made_again | self.ran:
            self._made_again.add(index)
            await self._again({index: answer}, ctx, await memory_of(ctx))

    async def _again(
        self, answers: Mapping[int, Answer], ctx: Context[Any], memory: Any, *, maybe_there: bool = False
    ) -> None:
        edits = {index: answer.edits for index, answer in answers.items()}
        await self.ledger.make_again(edits, ctx, maybe_there=maybe_there)
        changes = [change for answer in answers.values() for change in answer.memory]
        for change in sorted(changes, key=lambda change: change.number):
            await self.memory.again(memory, change, maybe_there=maybe_there)

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
        """The results in the model's order, without their places, which only the durable steps use."""
        last = len(self.calls)
        placed = [(last if (place := place_of(ev)) is None else place.index, ev) for ev in results]
        placed.sort(key=lambda pair: pair[0])
        return [self.shown.get(index) or _plain(ev) for index, ev in placed]

    def release(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.release()


def kwargs_of(ev: ToolCall) -> dict[str, Any]:
    """The arguments of a call."""
    return cast("dict[str, Any]", cast("Any", ev).tool_kwargs)


def _same(a: Any, b: Any) -> bool:
    return (a.tool_id, a.tool_name, a.tool_kwargs) == (b.tool_id, b.tool_name, b.tool_kwargs)


def _plain(result: Event) -> Event:
    if place_of(result) is None or not isinstance(result, ToolCallResult):
        return result
    return ToolCallResult(**{name: getattr(result, name) for name in ToolCallResult.model_fields})
