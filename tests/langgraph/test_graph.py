"""Inside a graph: streams, drawings, stores and prebuilt agents show nothing but a ToolNode."""

from __future__ import annotations

import asyncio
import warnings
from typing import Annotated, Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedStore, ToolNode, ToolRuntime, create_react_agent
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from toolslot import MemoryJournal
from toolslot_langgraph import DurableParallelToolNode


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
def remembers(store: Annotated[Any, InjectedStore()], config: RunnableConfig) -> str:
    """Uses the store and the config."""
    store.put(("seen",), "k", {"v": 1})
    return str(config["configurable"]["thread_id"])


@tool
def updates(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Updates the state."""
    return Command(update={"messages": [ToolMessage("updated", tool_call_id=tool_call_id)]})


TOOLS = [tells, emits, remembers, updates]
CALLS: Any = [
    {"name": "tells", "args": {"i": 1}, "id": "c1", "type": "tool_call"},
    {"name": "emits", "args": {}, "id": "c2", "type": "tool_call"},
    {"name": "remembers", "args": {}, "id": "c3", "type": "tool_call"},
    {"name": "updates", "args": {}, "id": "c4", "type": "tool_call"},
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
        done = any(isinstance(message, ToolMessage) for message in messages)
        message = AIMessage("done", id="a2") if done else AIMessage("", tool_calls=self.calls, id="a1")
        return ChatResult(generations=[ChatGeneration(message=message)])


def plain(tools: Any, **settings: Any) -> ToolNode:
    return ToolNode(tools, **settings)


def durable(tools: Any, **settings: Any) -> ToolNode:
    return DurableParallelToolNode(tools, journal=MemoryJournal(), **settings)


def graph(make: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=CALLS, id="a1")]})
    builder.add_node("tools", make(TOOLS))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    return builder.compile(checkpointer=InMemorySaver(), store=InMemoryStore())


def cleaned(value: Any) -> Any:
    """Without what differs between any two runs."""
    volatile = {
        "id",
        "run_id",
        "checkpoint_id",
        "checkpoint_ns",
        "langgraph_checkpoint_ns",
        "thread_id",
        "task_id",
        "ls_integration",
    }
    if isinstance(value, dict):
        return {
            key: cleaned(item)
            for key, item in value.items()
            if key not in volatile and not key.startswith("__")
        }
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    if hasattr(value, "model_dump"):
        return cleaned(value.model_dump())
    return value


def streamed(make: Any, stream_mode: Any, *, asynchronous: bool) -> list[Any]:
    compiled = graph(make)
    config: Any = {"configurable": {"thread_id": "t"}}

    async def collect() -> list[Any]:
        return [chunk async for chunk in compiled.astream({"messages": []}, config, stream_mode=stream_mode)]

    if asynchronous:
        chunks = asyncio.run(collect())
    else:
        chunks = list(compiled.stream({"messages": []}, config, stream_mode=stream_mode))
    return sorted(
        (cleaned(chunk) for chunk in chunks), key=repr
    )  # calls run in parallel: their order is no one's promise


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    "stream_mode",
    ["values", "updates", "messages", "custom", "tools", ["updates", "custom", "tools"]],
    ids=str,
)
def test_a_stream_shows_what_it_shows_of_a_tool_node(stream_mode: Any, asynchronous: bool) -> None:
    expected = streamed(plain, stream_mode, asynchronous=asynchronous)
    assert expected
    assert streamed(durable, stream_mode, asynchronous=asynchronous) == expected


def test_the_drawing_is_the_same() -> None:
    assert graph(durable).get_graph().draw_mermaid() == graph(plain).get_graph().draw_mermaid()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_prebuilt_agent_takes_it_for_its_tool_node(version: Any, asynchronous: bool) -> None:
    def run(make: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            agent = create_react_agent(
                Scripted(calls=CALLS),
                make(TOOLS),
                checkpointer=InMemorySaver(),
                store=InMemoryStore(),
                version=version,
            )
        config: Any = {"configurable": {"thread_id": "t"}}
        value: Any = {"messages": [("user", "go")]}
        outcome = asyncio.run(agent.ainvoke(value, config)) if asynchronous else agent.invoke(value, config)
        return cleaned(outcome), agent.get_graph().draw_mermaid()

    assert run(durable) == run(plain)


def test_callbacks_see_the_same_runs() -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Log(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
            self.seen.append(
                ("start", serialized["name"], input_str, sorted(kwargs["tags"]), kwargs.get("name"))
            )

        def on_tool_end(self, output: Any, **kwargs: Any) -> None:
            self.seen.append(("end", type(output).__name__))

        def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
            self.seen.append(("chain", kwargs.get("name")))

    def run(make: Any) -> Any:
        log = Log()
        graph(make).invoke({"messages": []}, {"configurable": {"thread_id": "t"}, "callbacks": [log]})
        return sorted(log.seen, key=repr)

    assert run(durable) == run(plain)
