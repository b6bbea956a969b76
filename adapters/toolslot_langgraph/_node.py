"""The drop-in ToolNode."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolNode
from typing_extensions import override

from toolslot import (
    Adopt,
    Batch,
    Call,
    CallTimedOut,
    Codec,
    DecisionRefused,
    Draining,
    DurableExecutor,
    Hook,
    InvalidSetting,
    Journal,
    Limits,
    ToolFailed,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot_langgraph._codec import AllowedType, LangGraphCodec
from toolslot_langgraph._compat import CANCELS, DEFAULT_HANDLER, ToolRuntime, durability, handled_text
from toolslot_langgraph._execution import Execution, drained, entered, guarded, is_error, undrained
from toolslot_langgraph._hints import hinted_policies
from toolslot_langgraph._identity import Place, locate, read_response
from toolslot_langgraph._questions import Decision, Question, payload, read

InputType: TypeAlias = Literal["list", "dict", "tool_calls"]
OnFork: TypeAlias = Literal["adopt_unfinished", "rerun", "replay"]

log = logging.getLogger("toolslot")


class DurableParallelToolNode(ToolNode):
    """A `ToolNode` whose parallel tool calls survive the process.

    Within its batch, a call whose result is recorded never runs again; a call that never started simply runs; a call that started and left
    no record follows its tool's policy. In every other respect it is a `ToolNode`. Without a checkpointer, or outside a graph, nothing says
    which run a call belongs to: then nothing is replayed.

    Args:
        tools, name, tags, handle_tool_errors, messages_key, wrap_tool_call, awrap_tool_call: As for `ToolNode`.
        journal: A path, a `Journal`, or None: the environment variable `TOOLSLOT_HOME`, else `./.toolslot`. Opened at first use.
        policies: What is known about each tool, by name. They come before what an MCP server says about its tools.
        default_policy: For every other tool.
        limits: How many calls may run at once, and for how long. The graph's own `max_concurrency` holds as well, also for async calls.
        on_fork: What to do with an earlier batch of the same model response under another checkpoint, as a resume that names a checkpoint
            and time travel make it: take it over if it is unfinished ("adopt_unfinished"), run everything again ("rerun"), or never
            repeat an effect ("replay").
        hooks: Called with every event. Default: one `LoggingHook`.
        codec: How results are stored. Default: `LangGraphCodec(allowed_types)`.
        allowed_types: Classes of artifacts and state that may be made again from stored data.

    Raises:
        InvalidSetting: an argument that means nothing.
    """

    def __init__(  # noqa: PLR0913 - ToolNode's own arguments, and one keyword per question about durability
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        name: str = "tools",
        tags: list[str] | None = None,
        handle_tool_errors: Any = DEFAULT_HANDLER,
        messages_key: str = "messages",
        wrap_tool_call: Any = None,
        awrap_tool_call: Any = None,
        journal: str | os.PathLike[str] | Journal | None = None,
        policies: Mapping[str, ToolPolicy] | None = None,
        default_policy: ToolPolicy | None = None,
        limits: Limits | None = None,
        on_fork: OnFork = "adopt_unfinished",
        hooks: Sequence[Hook] | None = None,
        codec: Codec | None = None,
        allowed_types: Iterable[AllowedType] = (),
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
        if on_fork not in [choice.value for choice in Adopt]:
            raise InvalidSetting(
                f"on_fork={on_fork!r} is not known: choose 'adopt_unfinished', 'rerun' or 'replay'."
            )
        self._on_fork = Adopt(on_fork)
        self._warned: set[str] = set()
        self._opened = False
        given = dict(policies or {})
        # A wrapper may serve tools of its own.
        wrapped = wrap_tool_call is not None or awrap_tool_call is not None
        if not wrapped and (unknown := sorted(given.keys() - self.tools_by_name.keys())):
            log.warning(
                "toolslot.policy_without_tool node=%r tools=%r: the node has no such tools", name, unknown
            )

        self._executor = DurableExecutor(
            journal,
            policies={**hinted_policies(self.tools_by_name.values()), **given},
            default_policy=default_policy,
            limits=limits,
            hooks=hooks,
            codec=codec if codec is not None else LangGraphCodec(allowed_types),
            pauses=(GraphBubbleUp,),
            cancels=CANCELS,
            lossy_replay=True,
        )

    @property
    def executor(self) -> DurableExecutor:
        """What runs the calls: its `journal`, and `drain()` for an orderly shutdown."""
        return self._executor

    # --- one execution of the node --------------------------------------------------------------------------------------

    @override
    def _func(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        calls, _ = self._parse_input(input)
        if not calls:
            return super()._func(input, config, runtime)
        place = self._located(input, calls, config, runtime)
        execution = self._execution(place, calls, config)
        run = execution.run
        with run:
            widened = self._widened(config, execution.pending())
            token = entered.set(execution)
            try:
                while True:
                    execution.begin()
                    output = super()._func(input, widened, runtime)
                    execution.raise_first()
                    questions = execution.questions()
                    if not questions:
                        return output
                    for asked, decision in self._decisions(execution, questions):
                        with self._refusable():
                            run.decide(asked.index, decision, by="interrupt", why=_WHY, version=asked.version)
            finally:
                entered.reset(token)

    @override
    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        calls, _ = self._parse_input(input)
        if not calls:
            return await super()._afunc(input, config, runtime)
        place = self._located(input, calls, config, runtime)
        if place.durable and not self._opened:
            # Opening a journal takes locks and reads files, which must not hold up the event loop.
            await asyncio.to_thread(getattr, self._executor, "journal")
            self._opened = True
        execution = self._execution(place, calls, config)
        run = execution.run
        async with run:
            token = entered.set(execution)
            try:
                while True:
                    execution.begin()
                    output = await super()._afunc(input, config, runtime)
                    execution.raise_first()
                    questions = execution.questions()
                    if not questions:
                        return output
                    for asked, decision in self._decisions(execution, questions):
                        with self._refusable():
                            await run.adecide(
                                asked.index, decision, by="interrupt", why=_WHY, version=asked.version
                            )
            finally:
                entered.reset(token)
                await execution.settled()

    def _located(self, input: Any, calls: Sequence[ToolCall], config: RunnableConfig, runtime: Any) -> Place:
        place = locate(read_response(input, self._messages_key, calls, config), config, runtime)
        self._warn(place, config)
        return place

    def _execution(self, place: Place, calls: Sequence[ToolCall], config: RunnableConfig) -> Execution:
        batch = Batch(
            run_id=place.run_id,
            batch_id=place.batch_id,
            calls=tuple(
                Call(tool=call["name"], args=call["args"], call_id=call["id"] or "") for call in calls
            ),
            lineage=place.lineage,
            adapter="langgraph",
        )
        run = self._executor.open(
            batch, max_parallel=config.get("max_concurrency"), durable=place.durable, adopt=self._on_fork
        )
        return Execution(
            node=self,
            run=run,
            calls=calls,
            config=config,
            askable=place.askable,
            messages_key=self._messages_key,
        )

    def _widened(self, config: RunnableConfig, tools: list[str]) -> RunnableConfig:
        """The config with a thread for every call that may run at once; without a number ToolNode has as few as there are processors.

        The host's own limit needs no threads taken away: it holds through the permits.
        """
        return patch_config(config, max_concurrency=self._executor.workers(tools))

    def _warn(self, place: Place, config: RunnableConfig) -> None:
        if not place.durable:
            self._warn_once(
                "toolslot.not_durable node=%r: it runs without a checkpointer, or outside a graph, so nothing says which run its calls"
                " belong to: nothing is recorded and nothing can be replayed. Compile the graph with a checkpointer and give a thread_id,"
                " or set config['configurable']['durable_run_key']."
            )
        elif durability(config) == "exit":
            self._warn_once(
                "toolslot.durability_exit node=%r: with durability='exit' LangGraph saves nothing before the end, so after a crash the"
                " model is asked again and no call is recognised. Use durability='sync' or 'async'."
            )

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning(text, self.name)

    # --- questions to a person ------------------------------------------------------------------------------------------

    def _decisions(
        self, execution: Execution, questions: list[Question]
    ) -> Iterable[tuple[Question, Decision]]:
        """What a person decides; raises `GraphInterrupt` until there is an answer that settles something."""
        problem = ""
        while True:
            reading = read(execution.ask(payload(questions, problem)), questions)
            for stale in reading.stale:
                log.warning(
                    "toolslot.answer_refused node=%r: question %s is not open (any more)", self.name, stale
                )
            if reading.decisions:
                return reading.decisions
            problem = reading.problem or "every question in the answer is settled already"
            log.warning("toolslot.answer_refused node=%r: %s", self.name, problem)

    @contextmanager
    def _refusable(self) -> Generator[None]:
        try:
            yield
        except DecisionRefused as refused:
            # Somebody else was quicker. Whatever it is now, the next round looks at it.
            log.warning("toolslot.answer_refused node=%r: %s", self.name, refused)

    # --- one call -------------------------------------------------------------------------------------------------------

    @override
    def _run_one(self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        if execution is None:
            return base._run_one(call, input_type, tool_runtime)
        if index in execution.outputs:
            return execution.outputs[index]
        live = False

        def code() -> object:
            nonlocal live
            live = True
            inside: list[Draining] = []
            token = drained.set(inside)
            try:
                return undrained(base._run_one(call, input_type, tool_runtime), inside)
            except Exception as error:
                return guarded(error)
            finally:
                drained.reset(token)

        execution.lend(index, tool_runtime)
        try:
            try:
                value = execution.run.call(index, code, is_error=is_error)
            except (CallTimedOut, ToolFailed, UnknownOutcome) as error:
                value, live = self._told(execution, index, error), True
                execution.run.deliver(index, value)
            return execution.answered(index, value, live=live)
        except BaseException as error:
            return execution.failed(index, error)

    @override
    async def _arun_one(
        self, call: ToolCall, input_type: InputType, tool_runtime: ToolRuntime[Any, Any]
    ) -> Any:
        execution, index = self._place(call)
        base: Any = super()
        if execution is None:
            return await base._arun_one(call, input_type, tool_runtime)
        if index in execution.outputs:
            return execution.outputs[index]
        live = False

        async def code() -> object:
            nonlocal live
            live = True
            inside: list[Draining] = []
            token = drained.set(inside)
            try:
                return undrained(await base._arun_one(call, input_type, tool_runtime), inside)
            except Exception as error:
                return guarded(error)
            finally:
                drained.reset(token)

        execution.lend(index, tool_runtime)
        execution.watch()
        try:
            try:
                value = await execution.run.acall(index, code, is_error=is_error)
            except (CallTimedOut, ToolFailed, UnknownOutcome) as error:
                value, live = self._told(execution, index, error), True
                await execution.run.adeliver(index, value)
            return execution.answered(index, value, live=live)
        except Exception as error:
            return execution.failed(index, error)

    def _place(self, call: ToolCall) -> tuple[Execution, int] | tuple[None, int]:
        execution = entered.get()
        index = execution.index_of(self, call) if execution is not None else None
        return (None, 0) if execution is None or index is None else (execution, index)

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
        decided = isinstance(error, ToolFailed) and execution.run.slot(index).decision is not None
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


_WHY = "answered at the interrupt in LangGraph"
