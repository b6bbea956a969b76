"""When asked, the stream shows the events of the run's calls: as plain data, without values, each run its own."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.config import get_config
from langgraph.runtime import Runtime

from support.streams import (
    CALLS,
    TOOLS,
    chunks,
    durable,
    every_form,
    failed_once,
    one_node,
    resumed,
    sync_and_async,
)
from toolslot import BatchEvent, CallTimedOut, EventKind, ToolPolicy
from toolslot_langgraph._streaming import stream, streaming


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
        stream(event)
    stream(event)
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
