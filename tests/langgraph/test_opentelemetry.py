"""Spans of LangGraph agents: below the right ones, and never twice beside those of an instrumentation of LangChain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("openinference.instrumentation.langchain")

from langchain_core.tools import tool
from openinference.instrumentation.langchain import LangChainInstrumentor

from support.streams import chunks, durable, every_form, failed_once, resumed, sync_and_async
from support.telemetry import Telemetry, of

CALLS: list[Any] = [
    {"name": name, "args": {"i": i}, "id": f"c{i}", "type": "tool_call"}
    for i, name in enumerate(["blocks", "awaits", "blocks"])
]


@pytest.fixture
def seen() -> Telemetry:
    return Telemetry()


@pytest.fixture
def instrumented(seen: Telemetry) -> Iterator[None]:
    instrumentor = LangChainInstrumentor()
    instrumentor.instrument(tracer_provider=seen.provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def tools(seen: Telemetry, *, asynchronous: bool) -> list[Any]:
    """They wait for each other: where each call has a task of its own, the batch stays open as long as one of them runs."""
    together = threading.Barrier(len(CALLS), timeout=20)

    @tool
    def blocks(i: int) -> str:
        """Blocks."""
        with seen.tracer.start_as_current_span(f"bank {i}"):
            together.wait()
            return "blocked"

    async def awaits(i: int) -> str:
        """Awaits."""
        with seen.tracer.start_as_current_span(f"bank {i}"):
            await asyncio.to_thread(together.wait)
            return "awaited"

    def in_its_place(i: int) -> str:
        """Blocks."""
        return str(blocks.func(i))

    return [blocks, tool("awaits")(awaits if asynchronous else in_its_place)]


def of_tools(seen: Telemetry) -> list[str]:
    """The outcomes that spans of tool calls tell, whoever made them."""
    return [
        str(of(span).get("toolslot.outcome"))
        for span in seen.spans()
        if "execute_tool" in span.name or of(span).get("openinference.span.kind") == "TOOL"
    ]


@sync_and_async
@every_form
def test_each_call_has_one_span_below_its_batch_and_what_the_tool_makes_is_below_it(
    seen: Telemetry, form: Any, asynchronous: bool
) -> None:
    graph = form(CALLS, tools(seen, asynchronous=asynchronous), durable, hooks=[seen.hook()])
    with seen.tracer.start_as_current_span("request"):
        chunks(graph, "values", asynchronous=asynchronous)
    calls = {of(span)["toolslot.slot.index"]: span for span in seen.spans("execute_tool")}
    assert [calls[i].name for i in range(3)] == [f"execute_tool {call['name']}" for call in CALLS]
    assert {seen.parent(span) for span in calls.values()} == {"toolslot.batch"}
    assert [seen.one(f"bank {i}").parent for i in range(3)] == [calls[i].context for i in range(3)]
    batch = seen.one("toolslot.batch")
    assert (seen.parent(batch), of(batch)["toolslot.adapter"]) == ("request", "langgraph")


@pytest.mark.usefixtures("instrumented")
@sync_and_async
@every_form
def test_beside_an_instrumentation_no_call_has_two_spans(
    seen: Telemetry, form: Any, asynchronous: bool
) -> None:
    graph = form(CALLS, tools(seen, asynchronous=asynchronous), durable, hooks=[seen.hook()])
    chunks(graph, "values", asynchronous=asynchronous)
    assert of_tools(seen) == ["None"] * 3
    told = [dict(event.attributes or {}) for event in seen.one("toolslot.batch").events]
    assert sorted((each["toolslot.slot.index"], each["toolslot.outcome"]) for each in told) == [
        (i, "executed") for i in range(3)
    ]


@pytest.mark.usefixtures("instrumented")
def test_beside_an_instrumentation_a_replayed_call_has_the_one_span_that_it_does_not_make(
    seen: Telemetry, talk: Any, ask: Any
) -> None:
    graph = failed_once(talk, ask, hooks=[seen.hook()])
    before = len(of_tools(seen))
    resumed(talk, graph, "values")
    assert sorted(of_tools(seen)[before:]) == ["None", "replayed", "replayed", "replayed"]


@pytest.mark.usefixtures("instrumented")
def test_both_spans_are_there_when_asked_for(seen: Telemetry) -> None:
    from support.streams import one_node

    graph = one_node(CALLS, tools(seen, asynchronous=False), durable, hooks=[seen.hook(spans="always")])
    chunks(graph, "values", asynchronous=False)
    assert sorted(of_tools(seen)) == ["None"] * 3 + ["executed"] * 3


def test_a_replayed_message_says_so_in_its_metadata_where_tracers_show_it(talk: Any, ask: Any) -> None:
    state = resumed(talk, failed_once(talk, ask), "values")[-1]
    marks = [message.response_metadata.get("toolslot") for message in state["messages"][-4:]]
    assert marks == [{"replayed": True}, {"replayed": True}, None, {"replayed": True}]
