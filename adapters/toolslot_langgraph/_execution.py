"""One execution of a node: which call is which slot, what came of each, and what the node raises once all have settled."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand
from langgraph.prebuilt import ToolNode

from toolslot import BatchRun, Draining, SlotRecord, SlotState, ToolslotError, UnknownOutcome
from toolslot.hosting import Question, Steps
from toolslot_langgraph._answers import Answers, of_the_node
from toolslot_langgraph._asking import Asking
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import ToolRuntime, enter_config
from toolslot_langgraph._outputs import Reopened, replayed

#: stands for a call that has not been answered; the output it ends up in is thrown away
PLACEHOLDER = ToolMessage("", tool_call_id="")


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that ToolNode has made ready to run."""

    steps: Steps[Any]
    input_type: Any


class Execution:
    """Shared by the calls of one node execution, which run in threads or tasks of their own. Nothing of it outlives the node.

    An index here counts the calls that this node execution enters, which may be some of the batch.
    """

    def __init__(
        self,
        *,
        node: ToolNode,
        run: BatchRun,
        calls: Sequence[ToolCall],
        places: Sequence[int],
        alone: bool,
        config: RunnableConfig,
        askable: bool,
        messages_key: str,
        ordinal: int,
    ) -> None:
        self.run = run
        self.ordinal = ordinal
        #: the calls that are entered here, and where each stands in the batch
        self.calls = calls
        self.places = places
        #: whether the node was given one call alone, which then runs in the thread that ToolNode has for it
        self.alone = alone
        #: answers by index; a call that has one is not entered again in this execution
        self.outputs: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        #: calls of a sync node that were made ready in this round, in order, and not begun
        self.ready: list[Ready] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        skip = of_the_node(config) if askable else 0
        self.answers = Answers(config, len(calls), skip=skip, ordinal=ordinal) if askable else None
        #: False too where an answer to our question could be read by a tool as the answer to its own
        self.askable = self.answers is not None and self.answers.usable
        self.node = node
        self.ask = Asking(self.answers, config)
        self._host_limit = config.get("max_concurrency")
        self._messages_key = messages_key
        self._waiting: dict[int, deque[int]] = {}
        self._lock = threading.Lock()

    # --- finding the slot -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a round over all calls: those that have settled in this execution stay as they are, the others are entered."""
        if self.answers is not None:
            self.answers.expect(self._first_to_ask())
        places: dict[int, deque[int]] = {}
        for index, call in enumerate(self.calls):
            # By identity: ToolNode passes the very same objects on, while call ids may repeat. An object that stands there twice
            # is the same call twice, so either may take either slot.
            places.setdefault(id(call), deque()).append(index)
        self._waiting = places

    def _first_to_ask(self) -> int | None:
        """The call whose question comes first, as far as the records tell before the calls are entered."""
        open_ones = [index for index in range(len(self.calls)) if not self.slot(index).final]
        waiting = [index for index in open_ones if self.slot(index).state is SlotState.WAITING]
        alone = len(open_ones) == 1 and self.slot(open_ones[0]).state is SlotState.RESERVED
        return waiting[0] if waiting else open_ones[0] if alone else None

    def pending(self) -> list[str]:
        """The tools of the calls that may have to run."""
        return [call["name"] for index, call in enumerate(self.calls) if self.run.may_run(self.places[index])]

    def shared(self) -> bool:
        """Whether the calls share LangGraph's counters of questions and sub-graphs, because these have no shape that is known here."""
        return self.answers is not None and not self.answers.usable and len(self.calls) > 1

    def unanswerable(self) -> bool:
        """Whether a person's answer would reach the wrong call if those that are recorded were not run again.

        Raises:
            ToolslotError: the policy of one of them says that it must not run again.
        """
        indices = range(len(self.calls))
        if not self.shared() or all(self.slot(i).state is not SlotState.WAITING for i in indices):
            return False
        for index in indices:
            if not self.run.repeatable(self.places[index]):
                raise ToolslotError(
                    f"call {index} ({self.calls[index]['name']}) must not run again, and another call of the same task waits for a person."
                    " In this version of LangGraph, which this toolslot does not know, its answer cannot be kept for it unless all calls"
                    " run again. Nothing was run. Use a version of LangGraph that this toolslot supports, or a newer toolslot; or send"
                    " each call to a task of its own."
                )
        return True

    def slot(self, index: int) -> SlotRecord:
        """The slot of one of the calls entered here."""
        return self.run.slot(self.places[index])

    def index_of(self, call: ToolCall) -> int | None:
        """Which call it is that the node is about to run; None when it is none of this execution."""
        with self._lock:
            places = self._waiting.get(id(call)) or self._equal(call)
            return places.popleft() if places else None

    def _equal(self, call: ToolCall) -> deque[int] | None:
        """The places of an equal call that has not been entered: a state may make its messages again whenever it is read."""
        waiting = (places for places in self._waiting.values() if places)
        return next((places for places in waiting if self.calls[places[0]] == call), None)

    def lend(self, index: int, runtime: ToolRuntime[Any, Any]) -> None:
        """Make the call's config its own: the host's limit instead of ours, and the human answers that are this call's."""
        config = runtime.config
        if self._host_limit is None:
            config.pop("max_concurrency", None)
        else:
            config["max_concurrency"] = self._host_limit
        if self.answers is not None and self.answers.usable:
            self.answers.adopt(index, config)
            enter_config(config)  # this thread's or task's context is the call's alone

    # --- what came of a call --------------------------------------------------------------------------------------------

    def answered(self, index: int, value: object, *, live: bool) -> Any:
        """The call's output from its answer; `live` when its code has just run."""
        if isinstance(value, ToParent):
            return self.failed(index, ParentCommand(value.command))
        output = value if live else replayed(value, self.slot(index), self.calls[index], self._messages_key)
        self.outputs[index] = output
        return output

    def settled_here(self, index: int) -> Any:
        """The call's output, if it is not to be entered in this round; else None."""
        return PLACEHOLDER if index in self.failures else self.outputs.get(index)

    def outcome(self, index: int) -> object:
        """What became of an answered call: its output, or the exception that stands for it."""
        return self.failures.get(index, self.outputs.get(index))

    def failed(self, index: int, error: BaseException) -> ToolMessage:
        """Keep the error for later, so that no sibling is cancelled or left alone because of it."""
        if isinstance(error, Reopened) and error.__cause__ is not None:
            error = error.__cause__
        self.failures[index] = error
        return PLACEHOLDER

    def not_recorded(self, errors: Mapping[int, Exception]) -> None:
        """Calls whose answers the journal did not take, by their places in the batch: these must not leave the node."""
        for place, error in errors.items():
            index = self.places.index(place)
            self.outputs.pop(index, None)
            self.failed(index, error)

    # --- when all have settled ------------------------------------------------------------------------------------------

    def answered_already(self) -> bool:
        """Whether there is an answer for the call that asked first: it has to be entered once more, for it did not know that it was first.

        So it is when the answer was given to no question of this task, which the graph's state was updated for, say.
        """
        stops = [(index, error) for index, error in self._stops() if not isinstance(error, GraphBubbleUp)]
        first = self._first_to_ask()
        if stops or first is None or self.answers is None or not self.answers.awaited():
            return False
        return self.failures.pop(first, None) is not None

    def questions(self) -> list[Question]:
        """What a person must decide before these calls are entered again; empty when something else stops the node first."""
        asked = {i: error for i, error in self.failures.items() if self._asks(error)}
        if len(asked) < len(self.failures):
            return []
        self.failures.clear()
        questions: dict[
            str, Question
        ] = {}  # two calls may wait for the same one, which holds the effect that both name
        for i, error in sorted(asked.items()):
            place = self.places[i]
            about = Question.about(cast("UnknownOutcome", error), self.run.asked_about(place), index=place)
            questions.setdefault(about.id, about)
        return [*questions.values()]

    def watch(self) -> None:
        """Remember the current task as one that runs a call."""
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)

    def siblings_settled(self) -> Steps[None]:
        """Wait for the calls of the batch that run in other tasks, if one here failed: LangGraph would cancel them in the middle."""
        if any(
            not isinstance(error, GraphBubbleUp) and not self._asks(error) for error in self.failures.values()
        ) and len(self.places) < len(self.run.record.slots):
            yield from self.run.settling()

    async def settled(self) -> None:
        """Wait for the calls that still run: gather() leaves them alone when one of them was cancelled."""
        pending = [task for task in self.tasks if not task.done() and task is not asyncio.current_task()]
        if pending:
            await asyncio.wait(pending)

    def _asks(self, error: BaseException) -> bool:
        return self.askable and isinstance(error, UnknownOutcome) and error.ask

    def _stops(self) -> list[tuple[int, BaseException]]:
        """What stops the node, in call order; our own questions come after all of it."""
        return [(i, error) for i, error in sorted(self.failures.items()) if not self._asks(error)]

    def raise_first(self) -> None:
        """Raise what stops the node, if anything: real errors first, then interrupts and the like, each in call order."""
        stops = self._stops()
        for _, error in stops:
            if not isinstance(error, GraphBubbleUp):
                if isinstance(error, Draining) and (outer := drained.get()) is not None:
                    outer.append(error)
                raise error
        for index, error in stops:
            if isinstance(error, GraphInterrupt) and self.answers is not None and self.answers.usable:
                self.answers.surface(index)
            raise error


#: where a node that runs inside a call says that it was not allowed to start all of its own calls
drained: ContextVar[list[Draining] | None] = ContextVar("toolslot_langgraph_drained", default=None)

#: the execution that the current code belongs to
entered: ContextVar[Execution | None] = ContextVar("toolslot_langgraph_execution", default=None)


@contextmanager
def apart() -> Generator[None]:
    """A node inside runs its calls itself: they belong to no execution."""
    token = entered.set(None)
    try:
        yield
    finally:
        entered.reset(token)
