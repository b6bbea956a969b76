"""Durable tool calls for `langchain.agents.create_agent`, as a middleware."""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.prebuilt.tool_node import ToolCallRequest
from typing_extensions import Unpack, override

from toolslot import DurableExecutor, ToolPolicy
from toolslot.hosting import Consult, Steps, adrive, drive
from toolslot_langgraph._arguments import answered
from toolslot_langgraph._asking import WHY, decisions, refusable
from toolslot_langgraph._barrier import Barrier
from toolslot_langgraph._callbacks import telling_replayed
from toolslot_langgraph._compat import ToolRuntime
from toolslot_langgraph._entered import Entered
from toolslot_langgraph._execution import entered
from toolslot_langgraph._first_look import FirstLook
from toolslot_langgraph._hints import hinted_policies
from toolslot_langgraph._identity import Place, locate, own_task, respond
from toolslot_langgraph._marks import DurableAround
from toolslot_langgraph._notices import NodeNotices
from toolslot_langgraph._outputs import is_error
from toolslot_langgraph._saver_types import saver_types
from toolslot_langgraph._settings import DurableOptions, Settings
from toolslot_langgraph._siblings import messages_in
from toolslot_langgraph._streaming import streaming

_MESSAGES = "messages"
_NODE = "tools"


class DurableToolMiddleware(AgentMiddleware[AgentState[Any], Any], DurableAround):
    """A middleware by which the parallel tool calls of an agent survive the process.

    Within its batch, a call whose result is recorded never runs again; a call that never started simply runs; a call that started and left
    no record follows its tool's policy. The calls of one model response are one batch. Without a checkpointer nothing says which run a call
    belongs to: then nothing is replayed.

    Put it first in `middleware=[...]`. What stands behind it belongs to the call: its retries happen inside one slot, and its outcome is
    what is recorded. What stands in front sees a replay as if the tool had answered, and `Draining`, `BatchBusy` and `UnknownOutcome` as if
    the tool had failed (older versions of `ToolRetryMiddleware` a question to a person, too). If it changes the arguments of a call, the
    call still is the one that the model asked for. It must not call `interrupt()` after the call.

    `make_durable(agent)` does the same from outside, and changes nothing else. A middleware that wraps tool calls, this or any other, has
    LangChain change two things: the agent does not check whether every tool of the model's is its own (another middleware might serve it),
    and ToolNode gives every exception that leaves the middleware to `handle_tool_errors`, whatever types that names. In a node that runs
    several calls itself, use `DurableParallelToolNode`; there the middleware records nothing, and warns.

    Args:
        **options: See `DurableOptions`.

    Raises:
        InvalidSetting: an argument that means nothing.
    """

    def __init__(self, **options: Unpack[DurableOptions]) -> None:
        super().__init__()
        self._settings = Settings(**options)
        self._executor = self._settings.executor(())
        self._hinted: list[tuple[Mapping[str, ToolPolicy], DurableExecutor]] = [({}, self._executor)]
        #: the tools of the last calls, for looking at all of them takes time
        self._seen: deque[tuple[Sequence[BaseTool], DurableExecutor]] = deque(maxlen=8)
        self._lock = threading.Lock()
        self._notices = NodeNotices()
        #: tools that only a middleware behind this one serves, once it did
        self._seen_served: set[str] = set()

    @property
    def executor(self) -> DurableExecutor:
        """What runs the calls: its `journal`, and `drain()` for an orderly shutdown."""
        return self._executor

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        return _noted(handler(request))

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        return _noted(await handler(request))

    @override
    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        return drive(self._answering(request, handler, awaits=False))

    @override
    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        return await adrive(self._answering(request, handler, awaits=True))

    def _answering(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any], *, awaits: bool
    ) -> Steps[Any]:
        if (first := _first_look(request)) is not None:
            yield from first.reading(awaits=awaits)
        place = self._located(request)
        if place is None:
            return (yield Consult(partial(handler, request)))
        yield from self._barrier(request, place).passing(awaits=awaits)
        call = self._entering(request, handler, place, awaits=awaits)
        config = _runtime(request).config
        with streaming(_runtime(request), config), saver_types(config):
            try:
                yield from call.run.opening()
                return (yield from self._until_answered(request, call, awaits=awaits))
            finally:
                call.run.release()

    def _until_answered(self, request: ToolCallRequest, call: Entered, *, awaits: bool) -> Steps[Any]:
        run = call.run
        agent = call.agent()
        if agent is not None and (yield from agent.ran(awaits=awaits)):
            run.goes_on(call.index)
        while True:
            failure: Exception
            try:
                value = yield from call.code.called(run, call.index, unserved=self._unserved(request))
                return (yield from self._given(call, value, awaits=awaits))
            except Exception as error:
                failure = error
            self._saw(call, failure)
            told = call.told(failure)
            if told is not None:
                yield from run.delivering(call.index, told)
                return told
            questions = call.questions(failure)
            if not questions:
                shown = call.shown(failure)
                if awaits and not isinstance(shown, GraphBubbleUp):
                    yield from run.settling()  # LangGraph would cancel the siblings in the middle
                raise shown
            for asked, decision in decisions(call.ask, questions, _NODE):
                with refusable(_NODE):
                    yield from run.deciding(
                        asked.index, decision, by="interrupt", why=WHY, version=asked.version
                    )

    def _unserved(self, request: ToolCallRequest) -> bool:
        """Whether nothing here is known to serve the call's tool: the node has none, and no middleware was seen to have one."""
        return request.tool is None and request.tool_call["name"] not in self._seen_served

    def _saw(self, call: Entered, outcome: object) -> None:
        if call.ran and call.tool is None and not is_error(outcome):
            self._seen_served.add(call.name)

    def _given(self, call: Entered, value: object, *, awaits: bool) -> Steps[Any]:
        self._saw(call, value)
        output = call.answered(value)
        if self._settings.replay_callbacks and (replay := call.replay) is not None:
            yield from telling_replayed(replay, output, awaits=awaits)
        if isinstance(output, ParentCommand):
            raise output
        return output

    def _located(self, request: ToolCallRequest) -> Place | None:
        """Where the call is kept; None when a durable node runs it, which keeps it already."""
        execution = entered.get()
        if execution is not None and any(call is request.tool_call for call in execution.calls):
            return None
        runtime = _runtime(request)
        config = runtime.config
        response = respond(messages_in(request.state, _MESSAGES), [request.tool_call], config, sent=True)
        place = locate(response, config, runtime, numbered=False)
        if place.durable and not own_task(config) and (not response.shared or place.partial):
            self._notices.once(
                "toolslot.not_durable node=%r: it runs several calls in one task, which a middleware cannot tell apart: nothing is recorded"
                " and nothing can be replayed. Use DurableParallelToolNode in place of this node, or make_durable(graph).",
                _NODE,
            )
            place = replace(place, durable=False, askable=False)
        else:
            self._notices.about(place, config, _NODE)
        # What is not kept shares no batch with its siblings.
        return place if place.durable else replace(place, calls=[request.tool_call], indices=[0])

    def _barrier(self, request: ToolCallRequest, place: Place) -> Barrier:
        timeout, config = self._settings.answer_timeout, _runtime(request).config
        return Barrier(place, config, self._executor_for(request), self._notices, timeout=timeout, node=_NODE)

    def _entering(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Any],
        place: Place,
        *,
        awaits: bool,
    ) -> Entered:
        return Entered(
            request,
            handler,
            _runtime(request).config,
            place,
            self._executor_for(request),
            settings=self._settings,
            awaits=awaits,
            messages_key=_MESSAGES,
        )

    def _executor_for(self, request: ToolCallRequest) -> DurableExecutor:
        """The executor that knows what these tools say about themselves."""
        tools = [*_runtime(request).tools, *([request.tool] if request.tool is not None else [])]
        with self._lock:
            for known, executor in self._seen:
                if len(known) == len(tools) and all(map(operator.is_, known, tools)):
                    return executor
            hints = hinted_policies(tools)
            found = next((executor for said, executor in self._hinted if said == hints), None)
            if found is None:
                found = self._executor.with_policies(hints)
                self._hinted.append((hints, found))
            self._seen.append((tools, found))
            return found


def _noted(response: ModelResponse[Any]) -> ModelResponse[Any]:
    """The response, remembered as the model gave it: a middleware in front of this one may write into its calls before it sees them."""
    for message in response.result:
        if isinstance(message, AIMessage):
            answered(message)
    return response


def _first_look(request: ToolCallRequest) -> FirstLook | None:
    runtime = _runtime(request)
    return FirstLook.at(
        messages_in(request.state, _MESSAGES), _MESSAGES, runtime.config, runtime.execution_info
    )


def _runtime(request: ToolCallRequest) -> ToolRuntime[Any, Any]:
    found: Any = request  # which says nothing of the types of state and context
    return cast("ToolRuntime[Any, Any]", found.runtime)
