"""Streams: of live calls they show what they show of a plain ToolNode, in every mode; of replayed calls, marked messages alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.prebuilt import ToolNode

from support.streams import (
    CALLS,
    MODES,
    TOOLS,
    chunks,
    cleaned,
    durable,
    every_form,
    failed_once,
    resumed,
    sync_and_async,
)

pytestmark = pytest.mark.pairwise


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
