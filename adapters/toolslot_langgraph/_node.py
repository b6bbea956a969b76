"""The drop-in ToolNode."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
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
    EffectRefused,
    ToolFailed,
    UnknownOutcome,
)
from toolslot.hosting import Consult, Steps, adrive, drive, drive_all, settle
from toolslot_langgraph._answers import numbered
from toolslot_langgraph._asking import WHY, decisions, refusable
from toolslot_langgraph._barrier import Barrier
from toolslot_langgraph._callbacks import Replay, facts_of, telling_replayed
from toolslot_langgraph._code import Code
from toolslot_langgraph._compat import (
    DEFAULT_HANDLER,
    ToolRuntime,
    handled_text,
    outliving,
    wrappers_of,
)
from toolslot_langgraph._contents import watched
from toolslot_langgraph._execution import PLACEHOLDER, Execution, Ready, apart, entered
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
        upstream = partial(super()._func, input, runtime=runtime)
        return drive(self._answering(input, config, runtime, upstream, awaits=False))

    @override
    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        upstream = partial(super()._afunc, input, runtime=runtime)
        return await adrive(self._answering(input, config, runtime, upstream, awaits=True))

    def _answering(
        self, input: Any, config: RunnableConfig, runtime: Any, upstream: Callable[..., Any], *, awaits: bool
    ) -> Steps[Any]:
        """What the node gives; `upstream` runs it with a config as a `ToolNode` does."""
        calls, alone = self._own_calls(input, config)
        if not calls:
            return (yield Consult(partial(upstream, config=config)))
        place = self._located(input, calls, config, runtime)
        yield from self._barrier(place, config).passing(awaits=awaits)
        execution = self._execution(place, calls, config, alone=alone, awaits=awaits)
        run = execution.run
        with streaming(runtime, config), saver_types(config):
            try:
                yield from run.opening()
                if self._as_upstream(execution):
                    with apart():
                        return (yield Consult(partial(upstream, config=config)))
                return (yield from self._rounds(execution, config, upstream, awaits=awaits))
            finally:
                run.release()

    def _rounds(
        self, execution: Execution, config: RunnableConfig, upstream: Callable[..., Any], *, awaits: bool
    ) -> Steps[Any]:
        """Enter the calls, and those that a person has decided about once more, until all have answers."""
        run, token = execution.run, entered.set(execution)
        try:
            while True:
                execution.begin()
                if awaits:
                    output = yield Consult(partial(upstream, config=config))
                else:
                    output = yield Consult(partial(self._in_threads, execution, config, upstream))
                execution.not_recorded((yield from run.recording()))
                if execution.answered_already():
                    continue
                if awaits:
                    yield from execution.siblings_settled()
                execution.raise_first()
                questions = execution.questions()
                if not questions:
                    return output
                for asked, decision in decisions(execution.ask, questions, self.name):
                    with refusable(self.name):
                        yield from run.deciding(
                            asked.index, decision, by="interrupt", why=WHY, version=asked.version
                        )
        finally:
            entered.reset(token)
            if awaits:
                yield Consult(execution.settled)

    def _in_threads(
        self, execution: Execution, config: RunnableConfig, upstream: Callable[..., Any]
    ) -> object:
        """Have ToolNode make its calls ready, one after the other, and run them then with no more threads than they use."""
        workers = self._executor.workers(execution.pending(), config.get("max_concurrency"))
        output: object = upstream(config=patch_config(config, max_concurrency=1))
        ready, execution.ready = execution.ready, []
        if not ready:
            return output
        outcomes = drive_all([each.steps for each in ready], workers)
        node: Any = self
        return node._combine_tool_outputs(settle(outcomes), ready[0].input_type)

    def _own_calls(self, input: Any, config: RunnableConfig) -> tuple[Sequence[ToolCall], bool]:
        """The calls that this node answers: not those of a node beside it which was given the same response and serves them. And whether
        it was given one call alone.
        """
        calls, input_type = self._parse_input(input)
        if input_type == "tool_calls" or all(call["name"] in self.tools_by_name for call in calls):
            return calls, len(calls) == 1
        # One may stand inside fallbacks, or be run by a function. The graphs and tools there answer other responses.
        found = walk(beside(config), through=lambda thing: not isinstance(thing, (Pregel, BaseTool)))
        others = {name for node in nodes_in(found).values() for name in node.tools_by_name}
        own = [call for call in calls if call["name"] in self.tools_by_name or call["name"] not in others]
        return own, len(calls) == 1

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
        self,
        place: Place,
        calls: Sequence[ToolCall],
        config: RunnableConfig,
        *,
        alone: bool,
        awaits: bool,
    ) -> Execution:
        return Execution(
            node=self,
            run=opened(self._executor, place, config, self._settings, awaits=awaits),
            calls=calls,
            places=place.indices,
            alone=alone,
            config=config,
            askable=place.askable,
            messages_key=self._messages_key,
            ordinal=place.ordinal,
        )

    # --- one call -------------------------------------------------------------------------------------------------------

    @override
    def _run_one(self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        run = partial(base._run_one, call, input_type, tool_runtime)
        if execution is None:
            return run()
        ours = None if index is None else self._one(execution, index, tool_runtime, run, awaits=False)
        if ours is not None and execution.alone:
            return drive(ours)
        execution.ready.append(Ready(ours or _upstream(run), input_type))
        return PLACEHOLDER

    @override
    async def _arun_one(
        self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]
    ) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        run = partial(base._arun_one, call, input_type, tool_runtime)
        if execution is None or index is None:
            return await run()
        execution.watch()
        return await adrive(self._one(execution, index, tool_runtime, run, awaits=True))

    def _one(
        self,
        execution: Execution,
        index: int,
        runtime: ToolRuntime[Any, Any],
        run: Callable[[], Any],
        *,
        awaits: bool,
    ) -> Steps[Any]:
        """One call's output, before its answer is recorded; or what stands for it, with the error kept until all calls have settled."""
        if (known := execution.settled_here(index)) is not None:
            return known
        keyed = self._executor.policy(execution.calls[index]["name"]).effect_key is not None
        code, place = Code(run, awaits=awaits, keyed=keyed), execution.places[index]
        execution.lend(index, runtime)
        try:
            try:
                agent = self._agent_in(execution, index, runtime)
                if agent is not None and (yield from agent.ran(awaits=awaits)):
                    execution.run.goes_on(place)
                unserved = self._unserved(execution.calls[index])
                value = yield from code.called(execution.run, place, unserved=unserved, held=True)
                live = code.made(value)
            except (CallTimedOut, EffectRefused, ToolFailed, UnknownOutcome) as error:
                value, live = self._told(execution, index, error), True
                yield from execution.run.delivering(place, value)
            output = execution.answered(index, value, live=live)
            if not code.ran and self._settings.replay_callbacks:
                replay = self._replay(execution, index, runtime)
                yield from telling_replayed(replay, execution.outcome(index), awaits=awaits)
            return output
        except BaseException as error:
            if awaits and not isinstance(error, Exception):
                raise  # the task is cancelled
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
        return await base._execute_tool_async(watched(outliving(request)), input_type, config)

    @override
    def _execute_tool_sync(
        self, request: ToolCallRequest, input_type: InputType, config: RunnableConfig
    ) -> Any:
        base: Any = super()
        return base._execute_tool_sync(watched(request), input_type, config)

    def _agent_in(self, execution: Execution, index: int, runtime: ToolRuntime[Any, Any]) -> Inside | None:
        """Where an agent that the call may have run has its checkpoints; None where its policy decides alone."""
        name = execution.calls[index]["name"]
        if self._executor.declares(name) or not execution.askable:
            return None
        tool = self.tools_by_name.get(name)
        number = numbered(index, execution.ordinal)
        return inside(tool, execution.slot(index), runtime.config, number, wrappers_of(self))

    def _place(self, call: ToolCall) -> tuple[Execution | None, int | None]:
        """The execution that the current code belongs to, and which of its calls this is: none, where another node answers it."""
        execution = entered.get()
        if execution is None or execution.node is not self:
            return None, None
        return execution, execution.index_of(call)

    def _replay(self, execution: Execution, index: int, runtime: ToolRuntime[Any, Any]) -> Replay:
        call = execution.calls[index]
        return Replay(
            tool=self.tools_by_name.get(call["name"]),
            call=call,
            config=runtime.config,
            facts=facts_of(execution.run, execution.places[index]),
        )

    def _told(
        self,
        execution: Execution,
        index: int,
        error: CallTimedOut | EffectRefused | ToolFailed | UnknownOutcome,
    ) -> ToolMessage:
        """The answer that tells the model of the error, if that is what `handle_tool_errors` wants.

        Raises:
            Exception: the error; or what the handler raises.
        """
        if isinstance(error, UnknownOutcome) and error.ask:
            raise error
        # That a call has failed for good somebody has decided, so that the agent goes on: it is an answer whatever the setting. So is why a
        # call was not run for its effect key.
        decided = isinstance(error, EffectRefused) or (
            isinstance(error, ToolFailed) and execution.slot(index).decision is not None
        )
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


def _upstream(run: Callable[[], Any]) -> Steps[Any]:
    """A call of which nothing is kept here."""
    return (yield Consult(run))
