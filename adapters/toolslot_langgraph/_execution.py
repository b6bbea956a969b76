"""One execution of a node: which call is which slot, what came of each, and what the node raises once all have settled."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, cast

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from toolslot import BatchRun, Draining, ResultNotStorable, SlotState, UnknownOutcome
from toolslot_langgraph._answers import NODE, Answers
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import ToolRuntime, as_content, enter_config, is_invalid_resume
from toolslot_langgraph._questions import Question

T = TypeVar("T")

#: stands for a call that has not been answered; the output it ends up in is thrown away
PLACEHOLDER = ToolMessage("", tool_call_id="")

#: how the text of an output begins that says where the graph goes next, and so cannot be replaced by a message
_NOT_A_MESSAGE = ("Command(", "ToParent(", "[Command(", "[ToolMessage(")


class Reopened(GraphBubbleUp):
    """The call goes on waiting: a human's answer did not fit its question, or calls inside it wait for another process.

    `__cause__` is the error to show.
    """


class Execution:
    """Shared by the calls of one node execution, which run in threads or tasks of their own. Nothing of it outlives the node."""

    def __init__(
        self,
        *,
        node: ToolNode,
        run: BatchRun,
        calls: Sequence[ToolCall],
        config: RunnableConfig,
        askable: bool,
        messages_key: str,
    ) -> None:
        self.run = run
        self.calls = calls
        self.askable = askable
        #: answers by index; a call that has one is not entered again in this execution
        self.outputs: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.answers = Answers(config, len(calls)) if askable else None
        self._node = node
        self._config = config
        self._asking: Context | None = None
        self._host_limit = config.get("max_concurrency")
        self._messages_key = messages_key
        self._places: dict[int, deque[int]] = {}
        self._lock = threading.Lock()

    # --- finding the slot -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start a round over all calls: those that are answered keep their answers, the others are entered."""
        self.failures.clear()
        places: dict[int, deque[int]] = {}
        for index, call in enumerate(self.calls):
            # By identity: ToolNode passes the very same objects on, while call ids may repeat. An object that stands there twice
            # is the same call twice, so either may take either slot.
            places.setdefault(id(call), deque()).append(index)
        self._places = places

    def pending(self) -> list[str]:
        """The tools of the calls that may have to run: those that are not recorded."""
        return [call["name"] for index, call in enumerate(self.calls) if not self.run.slot(index).final]

    def index_of(self, node: ToolNode, call: ToolCall) -> int | None:
        """The slot of a call that the node is about to run; None when it is none of this execution."""
        if node is not self._node:
            return None
        with self._lock:
            places = self._places.get(id(call)) or self._equal(call)
            return places.popleft() if places else None

    def _equal(self, call: ToolCall) -> deque[int] | None:
        """The places of an equal call that has not been entered: a state may make its messages anew whenever it is read."""
        waiting = (places for places in self._places.values() if places)
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
        output = value if live else self._replayed(index, value)
        self.outputs[index] = output
        return output

    def failed(self, index: int, error: BaseException) -> ToolMessage:
        """Keep the error for later, so that no sibling is cancelled or left alone because of it."""
        if isinstance(error, Reopened) and error.__cause__ is not None:
            error = error.__cause__
        self.failures[index] = error
        return PLACEHOLDER

    def _replayed(self, index: int, value: Any) -> Any:
        """The recorded value as the node's output: a fresh object, marked. What is no message or command was decided, or is a text."""
        slot, call = self.run.slot(index), self.calls[index]
        items = _items(value)
        if items and all(isinstance(item, (ToolMessage, Command)) for item in items):
            for item in items:
                if isinstance(item, ToolMessage) and slot.decision is not None:
                    item.tool_call_id, item.name = call["id"] or "", call["name"]
                self._mark(item)
            return value
        if slot.outcome is not None and slot.outcome.lossy and str(value).startswith(_NOT_A_MESSAGE):
            raise ResultNotStorable(
                f"call {index} ({call['name']}) is done and will not run again, but the command it returned could not be stored, so the"
                " graph cannot follow it. Name the classes in it in allowed_types=, or give the tool a codec: ToolPolicy(codec=...)."
            )
        message = ToolMessage(
            as_content(value),
            name=call["name"],
            tool_call_id=call["id"] or "",
            status="error" if slot.state is SlotState.FAILED else "success",
        )
        self._mark(message)
        return message

    def _mark(self, item: Any) -> None:
        """Say of the messages in an output that they were replayed; the artifact is the tool's own and stays as it is."""
        if isinstance(item, ToolMessage):
            item.response_metadata = {**item.response_metadata, "toolslot": {"replayed": True}}
        elif isinstance(item, Command):
            update: Any = cast("Command[Any]", item).update
            found: Any = (
                cast("dict[str, Any]", update).get(self._messages_key) if isinstance(update, dict) else update
            )
            for message in cast("list[object]", found) if isinstance(found, list) else ():
                if isinstance(message, ToolMessage):
                    self._mark(message)

    # --- when all have settled ------------------------------------------------------------------------------------------

    def questions(self) -> list[Question]:
        """What a person must decide before the node can go on; empty when something else stops it first."""
        asked = {i: error for i, error in self.failures.items() if self._asks(error)}
        if len(asked) < len(self.failures):
            return []
        return [Question.about(cast("UnknownOutcome", asked[i]), self.run.view(i)) for i in sorted(asked)]

    def ask(self, value: object) -> object:
        """Show a question to a person and return the answer; raises `GraphInterrupt` when there is none yet."""
        answers = self.answers
        if answers is None or not answers.usable:
            return interrupt(value)
        if self._asking is None:
            config: RunnableConfig = {**self._config}
            answers.adopt(NODE, config)
            self._asking = copy_context()
            self._asking.run(enter_config, config)
        try:
            return self._asking.run(interrupt, value)
        except GraphInterrupt:
            answers.surface(NODE)
            raise

    def watch(self) -> None:
        """Remember the current task as one that runs a call."""
        task = asyncio.current_task()
        if task is not None:
            self.tasks.add(task)

    async def settled(self) -> None:
        """Wait for the calls that still run: gather() leaves them alone when one of them was cancelled."""
        pending = [task for task in self.tasks if not task.done() and task is not asyncio.current_task()]
        if pending:
            await asyncio.wait(pending)

    def _asks(self, error: BaseException) -> bool:
        return self.askable and isinstance(error, UnknownOutcome) and error.ask

    def raise_first(self) -> None:
        """Raise what stops the node, if anything: real errors first, then interrupts and the like, each in call order."""
        stops = [(i, error) for i, error in sorted(self.failures.items()) if not self._asks(error)]
        for _, error in stops:
            if not isinstance(error, GraphBubbleUp):
                if isinstance(error, Draining) and (outer := drained.get()) is not None:
                    outer.append(error)
                raise error
        for index, error in stops:
            if isinstance(error, GraphInterrupt) and self.answers is not None and self.answers.usable:
                self.answers.surface(index)
            raise error


def guarded(error: Exception) -> ToParent:
    """What the journal is to know of an exception from a tool: a hand-over to the parent graph is an answer.

    Raises:
        Reopened: the tool's question goes on waiting.
        Exception: the error itself, in every other case.
    """
    if isinstance(error, ParentCommand):
        signal: Any = error
        return ToParent(signal.args[0])
    if is_invalid_resume(error) or isinstance(error, Draining):
        raise Reopened from error
    raise error


def undrained(value: T, inside: list[Draining]) -> T:
    """The call's output, unless it is what a handler of errors made of a call inside that was not started.

    Raises:
        Reopened: it is; the call is entered again on resume.
    """
    if inside and is_error(value):
        raise Reopened from inside[0]
    return value


def _items(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def is_error(value: object) -> bool:
    """Whether an output tells the model of a failure."""
    if isinstance(value, list):
        return any(is_error(item) for item in cast("list[object]", value))
    return isinstance(value, ToolMessage) and value.status == "error"


#: where a node that runs inside a call says that it was not allowed to start all of its own calls
drained: ContextVar[list[Draining] | None] = ContextVar("toolslot_langgraph_drained", default=None)

#: the execution that the current code belongs to
entered: ContextVar[Execution | None] = ContextVar("toolslot_langgraph_execution", default=None)
