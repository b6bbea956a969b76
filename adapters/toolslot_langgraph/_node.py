"""The drop-in ToolNode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.pregel import Pregel
from typing_extensions import Unpack, override

from toolslot import (
    CallTimedOut,
    DurableExecutor,
    ToolFailed,
    UnknownOutcome,
)
from toolslot_langgraph._answers import numbered
from toolslot_langgraph._asking import WHY, decisions, refusable
from toolslot_langgraph._barrier import Barrier
from toolslot_langgraph._callbacks import Replay, atell_replayed, facts_of, tell_replayed
from toolslot_langgraph._code import Code, acalled
from toolslot_langgraph._compat import (
    DEFAULT_HANDLER,
    ToolRuntime,
    handled_text,
    outliving,
    wrappers_of,
)
from toolslot_langgraph._execution import Execution, apart, entered
from toolslot_langgraph._identity import Place, locate, read_response
from toolslot_langgraph._joining import opened
from toolslot_langgraph._marks import DurableNode
from toolslot_langgraph._nested import Inside, inside
from toolslot_langgraph._notices import NodeNotices
from toolslot_langgraph._outputs import is_error
from toolslot_langgraph._passing import let_pass
from toolslot_langgraph._saver_types import saver_types
from toolslot_langgraph._settings import DurableOptions, Settings
from toolslot_langgraph._step import beside
from toolslot_langgraph._streaming import streaming
from toolslot_langgraph._walk import nodes_in, walk

InputType: TypeAlias = Literal["list", "dict", "tool_calls"]

log = logging.getLogger("toolslot")


class DurableParallelToolNode(ToolNode, DurableNode):
    """A `ToolNode` whose parallel tool calls survive the process.

    Within its batch, a call whose result is recorded never runs again; a call that never started simply runs; a call that started and left
    no record follows its tool's policy. In every other respect it is a `ToolNode`. Without a checkpointer, or outside a graph, nothing says
    which run a call belongs to: then nothing is replayed.

    Args:
        tools, name, tags, handle_tool_errors, messages_key, wrap_tool_call, awrap_tool_call: As for `ToolNode`.
        **options: See `DurableOptions`: `journal`, `policies`, `default_policy`, `limits`, `on_fork`, `hooks`, `codec`, `allowed_types`,
            `replay_callbacks`, `stream_events`.

    Raises:
        InvalidSetting: an argument that means nothing.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        name: str = "tools",
        tags: list[str] | None = None,
        handle_tool_errors: Any = DEFAULT_HANDLER,
        messages_key: str = "messages",
        wrap_tool_call: Any = None,
        awrap_tool_call: Any = None,
        **options: Unpack[DurableOptions],
    ) -> None:
        base: Any = super()
        base.__init__(
            tools,
            name=name,
            tags=tags,
            handle_tool_errors=handle_tool_errors,
            messages_key=messages_key,
            wrap_tool_call=wrap_tool_call,
            awrap_tool_call=awrap_tool_call,
        )
        self._protect(Settings(**options))

    def _protect(self, settings: Settings, *, alone: bool = True) -> None:
        """What a node has beyond a `ToolNode`; for one that was made as such, too. `alone`: the settings are not those of other nodes too.

        Policies for tools that the node does not have count as well: a call of such a tool may have begun before it was taken away.
        """
        self._settings = settings
        self._notices = NodeNotices()
        node: Any = self
        self._wrapped = node._wrap_tool_call is not None or node._awrap_tool_call is not None
        #: tools that the wrapper was seen to serve
        self._seen_served: set[str] = set()
        unknown = sorted({*(settings.policies or ())} - {*self.tools_by_name})
        if unknown and alone and not self._wrapped:
            log.warning(
                "toolslot.policy_without_tool node=%r tools=%r: the node has no such tools",
                self.name,
                unknown,
            )
        self._executor = settings.executor(self.tools_by_name.values())

    @property
    def executor(self) -> DurableExecutor:
        """What runs the calls: its `journal`, and `drain()` for an orderly shutdown."""
        return self._executor

    @override
    def with_fallbacks(self, *args: Any, **settings: Any) -> Any:
        """As `Runnable.with_fallbacks`, but what stops the run is no failure: a question to a person reaches the person."""
        base: Any = super()
        return let_pass(base.with_fallbacks(*args, **settings))

    @override
    def with_retry(self, **settings: Any) -> Any:
        """As `Runnable.with_retry`, but what stops the run, as a question to a person does, is not tried again."""
        base: Any = super()
        return let_pass(base.with_retry(**settings))

    # --- one execution of the node --------------------------------------------------------------------------------------

    @override
    def _func(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        calls = self._own_calls(input, config)
        if not calls:
            return super()._func(input, config, runtime)
        place = self._located(input, calls, config, runtime)
        self._barrier(place, config).passed()
        execution = self._execution(place, calls, config, awaits=False)
        run = execution.run
        with streaming(runtime, config), saver_types(config), run:
            if self._as_upstream(execution):
                with apart():
                    return super()._func(input, config, runtime)
            widened = self._widened(config, execution.pending())
            token = entered.set(execution)
            try:
                while True:
                    execution.begin()
                    output = super()._func(input, widened, runtime)
                    execution.not_recorded(run.record_held())
                    if execution.answered_already():
                        continue
                    execution.raise_first()
                    questions = execution.questions()
                    if not questions:
                        return output
                    for asked, decision in decisions(execution.ask, questions, self.name):
                        with refusable(self.name):
                            run.decide(asked.index, decision, by="interrupt", why=WHY, version=asked.version)
            finally:
                entered.reset(token)

    @override
    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        calls = self._own_calls(input, config)
        if not calls:
            return await super()._afunc(input, config, runtime)
        place = self._located(input, calls, config, runtime)
        await self._barrier(place, config).apassed()
        execution = self._execution(place, calls, config, awaits=True)
        run = execution.run
        with streaming(runtime, config), saver_types(config):
            async with run:
                if self._as_upstream(execution):
                    with apart():
                        return await super()._afunc(input, config, runtime)
                token = entered.set(execution)
                try:
                    while True:
                        execution.begin()
                        output = await super()._afunc(input, config, runtime)
                        execution.not_recorded(await run.arecord_held())
                        if execution.answered_already():
                            continue
                        await execution.siblings_settled()
                        execution.raise_first()
                        questions = execution.questions()
                        if not questions:
                            return output
                        for asked, decision in decisions(execution.ask, questions, self.name):
                            with refusable(self.name):
                                await run.adecide(
                                    asked.index, decision, by="interrupt", why=WHY, version=asked.version
                                )
                finally:
                    entered.reset(token)
                    await execution.settled()

    def _own_calls(self, input: Any, config: RunnableConfig) -> Sequence[ToolCall]:
        """The calls that this node answers: not those of a node beside it which was given the same response and serves them."""
        calls, input_type = self._parse_input(input)
        if input_type == "tool_calls" or all(call["name"] in self.tools_by_name for call in calls):
            return calls
        # One may stand inside fallbacks, or be run by a function. The graphs and tools there answer other responses.
        found = walk(beside(config), through=lambda thing: not isinstance(thing, (Pregel, BaseTool)))
        others = {name for node in nodes_in(found).values() for name in node.tools_by_name}
        return [call for call in calls if call["name"] in self.tools_by_name or call["name"] not in others]

    def _located(self, input: Any, calls: Sequence[ToolCall], config: RunnableConfig, runtime: Any) -> Place:
        response = read_response(input, self._messages_key, calls, config)
        place = locate(response, config, runtime)
        self._notices.about(place, config, self.name)
        return place

    def _barrier(self, place: Place, config: RunnableConfig) -> Barrier:
        timeout = self._settings.answer_timeout
        return Barrier(place, config, self._executor, self._notices, timeout=timeout, node=self.name)

    def _as_upstream(self, execution: Execution) -> bool:
        """Whether all calls must run as a plain `ToolNode` runs them, again after each answer, for the answers to reach their calls."""
        if execution.shared():
            self._notices.once(
                "toolslot.unknown_langgraph node=%r: this version of LangGraph counts the questions and sub-graphs of a task in a way that"
                " this toolslot does not know. After a tool has asked a person, all calls of its response run again, as they do without"
                " toolslot, and two sub-agents in one node may be mixed up on resume. Use a supported version of LangGraph, or a newer"
                " toolslot.",
                self.name,
            )
        return execution.unanswerable()

    def _execution(
        self, place: Place, calls: Sequence[ToolCall], config: RunnableConfig, *, awaits: bool
    ) -> Execution:
        return Execution(
            node=self,
            run=opened(self._executor, place, config, self._settings, awaits=awaits),
            calls=calls,
            places=place.indices,
            config=config,
            askable=place.askable,
            messages_key=self._messages_key,
            ordinal=place.ordinal,
        )

    def _widened(self, config: RunnableConfig, tools: list[str]) -> RunnableConfig:
        """The config with a thread for every call that may run at once; without a number ToolNode has as few as there are processors."""
        threads = self._executor.workers(tools, config.get("max_concurrency"))
        return patch_config(config, max_concurrency=threads)

    # --- one call -------------------------------------------------------------------------------------------------------

    @override
    def _run_one(self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        if execution is None:
            return base._run_one(call, input_type, tool_runtime)
        if (known := execution.settled_here(index)) is not None:
            return known
        code = Code()
        execution.lend(index, tool_runtime)
        try:
            try:
                if (agent := self._agent_in(execution, index, tool_runtime)) and agent.ran():
                    execution.run.goes_on(execution.places[index])
                run = code.sync(lambda: base._run_one(call, input_type, tool_runtime))
                value = execution.run.call(
                    execution.places[index], run, is_error=is_error, unserved=self._unserved(call), held=True
                )
                live = code.made(value)
            except (CallTimedOut, ToolFailed, UnknownOutcome) as error:
                value, live = self._told(execution, index, error), True
                execution.run.deliver(execution.places[index], value)
            output = execution.answered(index, value, live=live)
            if not code.ran and self._settings.replay_callbacks:
                tell_replayed(self._replay(execution, index, tool_runtime), execution.outcome(index))
            return output
        except BaseException as error:
            return execution.failed(index, error)
        finally:
            self._saw(code, execution, index)

    @override
    async def _arun_one(
        self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]
    ) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        if execution is None:
            return await base._arun_one(call, input_type, tool_runtime)
        if (known := execution.settled_here(index)) is not None:
            return known
        code = Code()
        execution.lend(index, tool_runtime)
        execution.watch()
        try:
            try:
                if (agent := self._agent_in(execution, index, tool_runtime)) and await agent.aran():
                    execution.run.goes_on(execution.places[index])
                run = code.awaiting(lambda: base._arun_one(call, input_type, tool_runtime))
                value = await acalled(
                    execution.run, execution.places[index], run, unserved=self._unserved(call), held=True
                )
                live = code.made(value)
            except (CallTimedOut, ToolFailed, UnknownOutcome) as error:
                value, live = self._told(execution, index, error), True
                await execution.run.adeliver(execution.places[index], value)
            output = execution.answered(index, value, live=live)
            if not code.ran and self._settings.replay_callbacks:
                await atell_replayed(self._replay(execution, index, tool_runtime), execution.outcome(index))
            return output
        except Exception as error:
            return execution.failed(index, error)
        finally:
            self._saw(code, execution, index)

    def _saw(self, code: Code, execution: Execution, index: int) -> None:
        """Remember a tool that only the wrapper serves, once it did."""
        name = execution.calls[index]["name"]
        if (
            self._wrapped
            and code.ran
            and name not in self.tools_by_name
            and not is_error(execution.outcome(index))
        ):
            self._seen_served.add(name)

    def _unserved(self, call: ToolCall) -> bool:
        """Whether nothing here is known to serve the call's tool."""
        return call["name"] not in self.tools_by_name and call["name"] not in self._seen_served

    @override
    async def _execute_tool_async(
        self, request: ToolCallRequest, input_type: InputType, config: RunnableConfig
    ) -> Any:
        base: Any = super()
        return await base._execute_tool_async(outliving(request), input_type, config)

    def _agent_in(self, execution: Execution, index: int, runtime: ToolRuntime[Any, Any]) -> Inside | None:
        """Where an agent that the call may have run has its checkpoints; None where its policy decides alone."""
        name = execution.calls[index]["name"]
        if self._executor.declares(name) or not execution.askable:
            return None
        tool = self.tools_by_name.get(name)
        number = numbered(index, execution.ordinal)
        return inside(tool, execution.slot(index), runtime.config, number, wrappers_of(self))

    def _place(self, call: ToolCall) -> tuple[Execution, int] | tuple[None, int]:
        execution = entered.get()
        index = execution.index_of(self, call) if execution is not None else None
        return (None, 0) if execution is None or index is None else (execution, index)

    def _replay(self, execution: Execution, index: int, runtime: ToolRuntime[Any, Any]) -> Replay:
        call = execution.calls[index]
        return Replay(
            tool=self.tools_by_name.get(call["name"]),
            call=call,
            config=runtime.config,
            facts=facts_of(execution.run, execution.places[index]),
        )

    def _told(
        self, execution: Execution, index: int, error: CallTimedOut | ToolFailed | UnknownOutcome
    ) -> ToolMessage:
        """The answer that tells the model of the error, if that is what `handle_tool_errors` wants.

        Raises:
            Exception: the error; or what the handler raises.
        """
        if isinstance(error, UnknownOutcome) and error.ask:
            raise error
        # That a call has failed for good somebody has decided, so that the agent goes on: it is an answer whatever the setting.
        decided = isinstance(error, ToolFailed) and execution.slot(index).decision is not None
        try:
            text = handled_text(error, self._handle_tool_errors)
        except Exception:
            if not decided:
                raise
            text = None
        if text is None and not decided:
            raise error
        call = execution.calls[index]
        return ToolMessage(
            text if text is not None else str(error),
            name=call["name"],
            tool_call_id=call["id"] or "",
            status="error",
        )
