"""What LangChain's callbacks hear of replayed calls: nothing, unless asked for; then what the live call told, and its facts."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from support.hearing import Flaky, Heard, every_form, one_node, replay, start
from toolslot import EventKind


class AsyncHeard(AsyncCallbackHandler):
    """The same, for async runs."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.events.append(f"start {kwargs['tool_call_id']}")

    async def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.events.append(f"end {output.tool_call_id}")


@every_form
def test_of_a_replayed_call_nothing_is_told(talk: Any, ask: Any, form: Any) -> None:
    heard = Heard()
    flaky, _ = replay(talk, ask, form, heard)
    assert sorted(heard.metadata()) == sorted(f"c{i}" for i in flaky.ran)
    assert "c2" in heard.metadata()


@every_form
def test_when_asked_for_a_replayed_call_is_told_as_the_live_one_was(talk: Any, ask: Any, form: Any) -> None:
    heard, plain = Heard(), Heard()
    flaky, _ = replay(talk, ask, form, heard, replay_callbacks=True)
    asked = [AIMessage("", tool_calls=talk.calls, id="a1")]
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([flaky.tool]))
    graph.add_edge(START, "tools")
    graph.compile().invoke({"messages": asked}, {"callbacks": [plain]})
    told, live = heard.told(), plain.told()
    assert sorted(told) == ["c0", "c1", "c2", "c3"]
    for call_id, (serialized, text, kwargs, output) in live.items():
        ours = told[call_id]
        assert (ours[0], ours[1], ours[3]) == (serialized, text, output)
        tags, our_tags = kwargs.pop("tags"), ours[2].pop("tags")
        assert "a tag" in tags
        assert sorted(our_tags) == sorted(tags)
        assert ours[2] == kwargs
        assert set(kwargs["inputs"]) == {"i"}
    assert heard.errors == []


@every_form
def test_a_replay_is_marked_with_the_facts_of_the_attempt_that_ran(talk: Any, ask: Any, form: Any) -> None:
    heard = Heard()
    flaky, _ = replay(talk, ask, form, heard, replay_callbacks=True)
    finished = {event.call_id: event for event in talk.world.events.calls(EventKind.FINISHED)}
    replayed = [i for i in (0, 1, 3) if i not in flaky.ran]
    assert replayed
    for i in replayed:
        facts, event = heard.metadata()[f"c{i}"], finished[f"c{i}"]
        assert facts["durable_replayed"] is True
        assert facts["durable_state"] == "succeeded"
        assert facts["durable_attempt"] == 1
        assert facts["durable_idempotency_key"] == flaky.keys[i]
        began, ended = (datetime.fromisoformat(facts[f"durable_{end}_at"]) for end in ("started", "ended"))
        assert began.utcoffset() == timedelta(0)
        assert (ended - began).total_seconds() == pytest.approx(event.latency, abs=1e-5)
        assert facts["team"] == "billing"
        assert facts["langgraph_node"] == "tools"
    assert not [key for key in heard.metadata()["c2"] if key.startswith("durable_")]


@every_form
def test_the_tools_stream_is_complete_when_replays_are_told(talk: Any, ask: Any, form: Any) -> None:
    flaky = Flaky()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 4)]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], replay_callbacks=True))
    talk.saver.writes.clear()
    flaky.broken = False
    graph = form(talk, [flaky.tool], replay_callbacks=True)

    async def collect() -> list[Any]:
        return [chunk async for chunk in graph.astream(None, talk.config, stream_mode="tools")]

    found = (
        asyncio.run(collect())
        if talk.asynchronous
        else list(graph.stream(None, talk.config, stream_mode="tools"))
    )
    for i in range(4):
        events = [each for each in found if each["tool_call_id"] == f"c{i}"]
        assert [each["event"] for each in events] == ["tool-started", "tool-finished"]
        assert events[0]["input"] == {"i": i}
        assert events[1]["output"].content == f"did {i}"


@every_form
def test_the_events_of_langchain_are_complete_when_replays_are_told(talk: Any, ask: Any, form: Any) -> None:
    talk.asynchronous = True
    flaky = Flaky()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 4)]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], replay_callbacks=True))
    talk.saver.writes.clear()
    flaky.broken = False
    graph = form(talk, [flaky.tool], replay_callbacks=True)

    async def collect() -> list[Any]:
        return [each async for each in graph.astream_events(None, talk.config, version="v2")]

    found = [each for each in asyncio.run(collect()) if each["event"].startswith("on_tool")]
    for kind in ("on_tool_start", "on_tool_end"):
        inputs = [each["data"]["input"]["i"] for each in found if each["event"] == kind]
        assert sorted(inputs) == [0, 1, 2, 3]
    marks = {each["data"]["input"]["i"] for each in found if each["metadata"].get("durable_replayed")}
    assert 2 not in marks
    assert marks


def test_async_callbacks_are_awaited_in_order(talk: Any, ask: Any) -> None:
    talk.asynchronous = True
    heard = AsyncHeard()
    replay(talk, ask, one_node, heard, replay_callbacks=True)
    for i in range(4):
        assert [event for event in heard.events if event.endswith(f"c{i}")] == [f"start c{i}", f"end c{i}"]


def test_a_handler_that_may_raise_stops_the_run_and_loses_no_result(talk: Any, ask: Any, said: Any) -> None:
    class Strict(Heard):
        raise_error = True

        def on_tool_end(self, output: Any, **kwargs: Any) -> None:
            if kwargs["name"] == "work" and output.tool_call_id == "c1":
                raise RuntimeError("the tracer is strict")

    with pytest.raises(RuntimeError, match="strict"):
        replay(talk, ask, one_node, Strict(), replay_callbacks=True)
    flaky = Flaky()
    assert said(talk.resume(talk.graph([flaky.tool]))) == [f"did {i}" for i in range(4)]
    assert flaky.ran == []
