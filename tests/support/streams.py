"""One agent in several forms, plain and durable, and what it streams."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime, create_react_agent
from langgraph.types import Command

from toolslot import MemoryJournal
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, make_durable


@tool
def tells(i: int) -> str:
    """Writes to the stream."""
    get_stream_writer()({"telling": i})
    return f"told {i}"


@tool
def emits(runtime: ToolRuntime) -> str:
    """Emits parts of its output."""
    runtime.emit_output_delta("part")
    runtime.stream_writer({"from": "runtime"})
    return "whole"


@tool
def updates(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Updates the state."""
    return Command(update={"messages": [ToolMessage("updated", tool_call_id=tool_call_id)]})


@tool
def asks_a_model(config: RunnableConfig) -> str:
    """Runs a chat model of its own."""
    return str(Scripted(calls=[]).invoke("hi", config).content)


TOOLS = [tells, emits, updates, asks_a_model]
CALLS: list[Any] = [
    {"name": "tells", "args": {"i": 1}, "id": "c1", "type": "tool_call"},
    {"name": "emits", "args": {}, "id": "c2", "type": "tool_call"},
    {"name": "updates", "args": {}, "id": "c3", "type": "tool_call"},
    {"name": "asks_a_model", "args": {}, "id": "c4", "type": "tool_call"},
    {"name": "nowhere", "args": {}, "id": "c5", "type": "tool_call"},
]


class Scripted(BaseChatModel):
    """Asks for the calls once, then is content."""

    calls: list[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        done = not self.calls or any(isinstance(message, ToolMessage) for message in messages)
        message = AIMessage("done", id="a2") if done else AIMessage("", tool_calls=self.calls, id="a1")
        return ChatResult(generations=[ChatGeneration(message=message)])


def one_node(calls: list[Any], tools: Any, node: Callable[..., ToolNode], **options: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=calls, id="a1")]})
    graph.add_node("tools", node(tools, **options))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(checkpointer=InMemorySaver())


def react(version: Any) -> Any:
    def make(calls: list[Any], tools: Any, node: Callable[..., ToolNode], **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return create_react_agent(
                Scripted(calls=calls),
                node(tools, **options),
                checkpointer=InMemorySaver(),
                version=version,
            )

    return make


def agent(calls: list[Any], tools: Any, node: Callable[..., ToolNode], **options: Any) -> Any:
    made = create_agent(Scripted(calls=calls), tools, checkpointer=InMemorySaver())
    return made if node is ToolNode else make_durable(made, journal=MemoryJournal(), **options)


def behind_middleware(calls: list[Any], tools: Any, node: Callable[..., ToolNode], **options: Any) -> Any:
    middleware = [] if node is ToolNode else [DurableToolMiddleware(journal=MemoryJournal(), **options)]
    return create_agent(Scripted(calls=calls), tools, middleware=middleware, checkpointer=InMemorySaver())


def durable(tools: Any, **options: Any) -> ToolNode:
    return DurableParallelToolNode(tools, journal=MemoryJournal(), **options)


FORMS = {
    "one node": one_node,
    "react v1": react("v1"),
    "react v2": react("v2"),
    "create_agent": agent,
    "middleware": behind_middleware,
}
MODES = ["values", "updates", "messages", "custom", "tools", "tasks", "checkpoints", "debug"]
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
sync_and_async = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])

VOLATILE = {
    "id",
    "run_id",
    "parent_ids",
    "checkpoint_id",
    "checkpoint_ns",
    "langgraph_checkpoint_ns",
    "thread_id",
    "task_id",
    "timestamp",
    "ts",
}


def cleaned(value: Any) -> Any:
    """Without what differs between any two runs."""
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    if hasattr(value, "model_dump"):
        return cleaned(value.model_dump())
    if isinstance(value, Command):
        return ["Command", *(cleaned(getattr(value, item.name)) for item in fields(value))]
    return value


def chunks(graph: Any, mode: Any, *, asynchronous: bool, thread: str = "t", **config: Any) -> list[Any]:
    settings: Any = {"configurable": {"thread_id": thread}, **config}

    async def collect() -> list[Any]:
        return [chunk async for chunk in graph.astream({"messages": []}, settings, stream_mode=mode)]

    return (
        asyncio.run(collect())
        if asynchronous
        else list(graph.stream({"messages": []}, settings, stream_mode=mode))
    )


class Flaky:
    """Call 2 fails until it is mended; the others write to the stream."""

    def __init__(self) -> None:
        self.broken = True
        flaky = self

        @tool
        def work(i: int) -> str:
            """Works."""
            get_stream_writer()({"working": i})
            if i == 2 and flaky.broken:
                raise ConnectionError(f"call {i}")
            return f"did {i}"

        self.tool = work


def resumed(talk: Any, graph: Any, mode: Any) -> list[Any]:
    async def collect() -> list[Any]:
        return [chunk async for chunk in graph.astream(None, talk.config, stream_mode=mode)]

    return (
        asyncio.run(collect())
        if talk.asynchronous
        else list(graph.stream(None, talk.config, stream_mode=mode))
    )


def failed_once(talk: Any, ask: Any, **options: Any) -> Any:
    """A graph whose calls 0, 1 and 3 are recorded and whose call 2 is to run again."""
    flaky = Flaky()
    talk.calls = ask("work", 4)
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool], **options))
    flaky.broken = False
    return talk.graph([flaky.tool], **options)
