"""Streams: of live calls they show what they show of a plain ToolNode, in every mode; and, when asked, the events of the run's calls."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
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
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime, create_react_agent
from langgraph.runtime import Runtime
from langgraph.types import Command

from toolslot import BatchEvent, CallTimedOut, EventKind, MemoryJournal, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, make_durable
from toolslot_langgraph._streaming import StreamHook, streaming

# --- one agent in several forms, plain and durable --------------------------------------------------------------------------


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


# --- live calls: exactly as before --------------------------------------------------------------------------------------------


@sync_and_async
@pytest.mark.parametrize("mode", [*MODES, MODES], ids=[*MODES, "all at once"])
@every_form
def test_live_calls_stream_what_they_stream_from_a_plain_node(
    form: Any, mode: Any, asynchronous: bool
) -> None:
    def streamed(node: Any) -> list[Any]:
        # Calls run in parallel: their order is no one's promise.
        return sorted(
            map(cleaned, chunks(form(CALLS, TOOLS, node), mode, asynchronous=asynchronous)), key=repr
        )

    expected = streamed(ToolNode)
    assert expected
    assert streamed(durable) == expected


@sync_and_async
@every_form
def test_of_a_single_call_the_stream_has_the_same_order(form: Any, asynchronous: bool) -> None:
    for call in CALLS:

        def streamed(node: Any, call: Any = call) -> list[Any]:
            found = chunks(form([call], TOOLS, node), MODES, asynchronous=asynchronous)
            return [cleaned(chunk) for chunk in found]

        assert streamed(durable) == streamed(ToolNode)


@every_form
def test_the_events_of_langchain_are_the_same(form: Any) -> None:
    async def collect(graph: Any) -> list[Any]:
        config: Any = {"configurable": {"thread_id": "t"}, "tags": ["mine"], "metadata": {"k": "v"}}
        return [cleaned(each) async for each in graph.astream_events({"messages": []}, config, version="v2")]

    def events(node: Any) -> list[Any]:
        return sorted(asyncio.run(collect(form(CALLS, TOOLS, node))), key=repr)

    expected = events(ToolNode)
    assert {each["event"] for each in expected} >= {"on_tool_start", "on_tool_end"}
    assert events(durable) == expected


@sync_and_async
@every_form
def test_options_of_replays_and_events_leave_the_other_modes_of_live_calls_alone(
    form: Any, asynchronous: bool
) -> None:
    modes = [mode for mode in MODES if mode != "custom"]

    def streamed(node: Any, **options: Any) -> list[Any]:
        graph = form(CALLS, TOOLS, node, **options)
        return sorted(map(cleaned, chunks(graph, modes, asynchronous=asynchronous)), key=repr)

    assert streamed(durable, stream_events=True, replay_callbacks=True) == streamed(ToolNode)


# --- replays -------------------------------------------------------------------------------------------------------------------


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


def test_a_replayed_call_shows_in_messages_and_updates_marked_and_in_tools_and_custom_not_at_all(
    talk: Any, ask: Any
) -> None:
    found = resumed(talk, failed_once(talk, ask), ["messages", "updates", "tools", "custom"])
    messages = [chunk[0] for mode, chunk in found if mode == "messages"]
    (update,) = [chunk["tools"]["messages"] for mode, chunk in found if mode == "updates"]
    for seen in (messages, update):
        marks = {message.tool_call_id: message.response_metadata.get("toolslot") for message in seen}
        assert marks == {
            "c0": {"replayed": True},
            "c1": {"replayed": True},
            "c2": None,
            "c3": {"replayed": True},
        }
    assert {chunk["tool_call_id"] for mode, chunk in found if mode == "tools"} == {"c2"}
    assert [chunk for mode, chunk in found if mode == "custom"] == [{"working": 2}]


# --- events of the run's calls ----------------------------------------------------------------------------------------------------


def own(found: list[Any]) -> list[Any]:
    return [chunk for chunk in found if chunk.get("type") == "toolslot"]


@sync_and_async
@every_form
def test_events_are_not_streamed_unless_asked_for(form: Any, asynchronous: bool) -> None:
    assert own(chunks(form(CALLS, TOOLS, durable), "custom", asynchronous=asynchronous)) == []


@sync_and_async
@every_form
def test_every_event_of_the_run_is_streamed_as_plain_data(form: Any, asynchronous: bool) -> None:
    calls = CALLS[:4]
    graph = form(calls, TOOLS, durable, stream_events=True)
    found = own(chunks(graph, "custom", asynchronous=asynchronous))
    assert json.loads(json.dumps(found)) == found
    for index, call in enumerate(calls):
        mine = [each for each in found if each.get("index") == index]
        assert [each["event"] for each in mine] == ["reserved", "started", "finished"]
        assert {(each["tool"], each["tool_call_id"], each["run_id"]) for each in mine} == {
            (call["name"], call["id"], "t")
        }
        assert mine[-1]["latency"] >= 0
    assert found[-1]["event"] == "batch"
    assert [each["tool"] for each in found[-1]["calls"]] == [call["name"] for call in calls]
    assert found[-1]["closed"]


def test_neither_arguments_nor_results_are_streamed_even_where_arguments_are_logged(
    talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")

    @tool
    def login(password: str) -> str:
        """Logs in."""
        return f"token-of-{password}"

    talk.calls = [{"name": "login", "args": {"password": "s3cret"}, "id": "c"}]
    graph = talk.graph([login], stream_events=True)
    found = chunks(graph, "custom", asynchronous=talk.asynchronous)
    assert "finished" in [each["event"] for each in found]
    assert "s3cret" not in repr(found)


def test_a_replay_is_streamed_with_the_latency_of_the_call_that_ran(talk: Any, ask: Any) -> None:
    graph = failed_once(talk, ask, stream_events=True)
    lived = {each.index: each.latency for each in talk.world.events.calls(EventKind.FINISHED)}
    found = own(resumed(talk, graph, "custom"))
    replays = {each["index"]: each["latency"] for each in found if each.get("replayed") is True}
    assert replays == pytest.approx({index: lived[index] for index in (0, 1, 3)})
    assert [each["replayed"] for each in found[-1]["calls"]] == [True, True, False, True]


def test_hooks_are_called_as_well(talk: Any, ask: Any) -> None:
    @tool
    def work(i: int) -> str:
        """Works."""
        return f"did {i}"

    talk.calls = ask("work", 2)
    chunks(talk.graph([work], stream_events=True), "custom", asynchronous=talk.asynchronous)
    assert talk.world.events.kinds(0) == [EventKind.RESERVED, EventKind.STARTED, EventKind.FINISHED]


@every_form
def test_two_runs_at_once_each_stream_their_own_events(form: Any) -> None:
    both_inside = threading.Barrier(2)

    @tool
    def meets() -> str:
        """Waits for the other run."""
        both_inside.wait(20)
        return "met"

    graph = form(
        [{"name": "meets", "args": {}, "id": "c", "type": "tool_call"}], [meets], durable, stream_events=True
    )
    found: dict[str, list[Any]] = {}

    def run(thread: str) -> None:
        found[thread] = chunks(graph, "custom", asynchronous=False, thread=thread)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    for name in ("one", "two"):
        assert {each["run_id"] for each in found[name]} == {name}
        assert [each["event"] for each in found[name]] == ["reserved", "started", "finished", "batch"]


@pytest.mark.parametrize("inner_streams", [False, True])
@sync_and_async
def test_the_events_of_an_agent_inside_a_tool_stay_in_its_own_namespace(
    inner_streams: bool, asynchronous: bool
) -> None:
    inner = one_node([CALLS[0]], TOOLS, durable, stream_events=inner_streams)

    @tool
    def delegates() -> str:
        """Runs another agent."""
        return str(inner.invoke({"messages": []})["messages"][-1].content)

    @tool
    async def adelegates() -> str:
        """Runs another agent."""
        outcome = await inner.ainvoke({"messages": []})
        return str(outcome["messages"][-1].content)

    mine = adelegates if asynchronous else delegates
    outer = one_node(
        [{"name": mine.name, "args": {}, "id": "c", "type": "tool_call"}], [mine], durable, stream_events=True
    )
    config: Any = {"configurable": {"thread_id": "outer"}}

    async def collect() -> list[Any]:
        stream = outer.astream({"messages": []}, config, stream_mode="custom", subgraphs=True)
        return [chunk async for chunk in stream]

    found = (
        asyncio.run(collect())
        if asynchronous
        else list(outer.stream({"messages": []}, config, stream_mode="custom", subgraphs=True))
    )
    by_tool = {
        (bool(namespace), each["tool"])
        for namespace, each in found
        if each.get("type") == "toolslot" and "tool" in each
    }
    assert by_tool == {(False, mine.name), *([(True, "tells")] if inner_streams else [])}


def test_events_find_the_runs_namespace_where_no_config_was_handed_down() -> None:
    """As in the tasks of asyncio before Python 3.11."""
    spaces: list[str] = []
    event = BatchEvent(run_id="r", batch_id="b", epoch=1, opened_at=0, ended_at=1, closed=True, calls=())
    runtime = Runtime(stream_writer=lambda _: spaces.append(get_config()["configurable"]["checkpoint_ns"]))
    with streaming(runtime, {"configurable": {"checkpoint_ns": "tools:1"}}):
        StreamHook()(event)
    StreamHook()(event)
    assert spaces == ["tools:1"]


def test_a_writer_that_fails_is_logged_and_harms_no_call(talk: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("the stream is gone")

    config: Any = {
        "configurable": {"__pregel_runtime": Runtime(stream_writer=broken), "durable_run_key": "r"}
    }
    call = {"name": "tells", "args": {"i": 1}, "id": "c", "type": "tool_call"}

    @tool("tells")
    def quiet(i: int) -> str:
        """Tells nobody."""
        return f"told {i}"

    node = talk.node([quiet], stream_events=True)
    asked = [AIMessage("", tool_calls=[call], id="a1")]
    with caplog.at_level(logging.ERROR, "toolslot"):
        found = asyncio.run(node.ainvoke(asked, config)) if talk.asynchronous else node.invoke(asked, config)
    assert [message.content for message in found] == ["told 1"]
    assert "toolslot.hook_failed" in caplog.text


@every_form
def test_a_call_that_times_out_says_so_in_the_stream(form: Any) -> None:
    release = threading.Event()

    @tool
    def hangs() -> str:
        """Waits."""
        release.wait(20)
        return "late"

    options: dict[str, Any] = {"stream_events": True, "policies": {"hangs": ToolPolicy(timeout=0.05)}}
    graph = form([{"name": "hangs", "args": {}, "id": "c", "type": "tool_call"}], [hangs], durable, **options)
    found: list[Any] = []
    stream = graph.stream({"messages": []}, {"configurable": {"thread_id": "t"}}, stream_mode="custom")
    try:
        with pytest.raises(CallTimedOut):
            found.extend(stream)
    finally:
        release.set()
    assert "timed_out" in [each["event"] for each in found]
