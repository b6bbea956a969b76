"""What a replay gives back: artifacts, results that could not be stored, commands and hand-overs."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, Send

from support.flaky import Flaky
from toolslot import EventKind


def test_an_artifact_is_replayed_untouched(talk: Any) -> None:
    flaky = Flaky()

    @tool(response_format="content_and_artifact")
    def picture() -> tuple[str, Any]:
        """Returns an artifact."""
        flaky.ran.append(-1)
        return "seen", {"raw": b"\x00", "tags": {"a", "b"}}

    talk.calls = [{"name": "picture", "args": {}, "id": "p"}, {"name": "work", "args": {"i": 2}, "id": "w"}]
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool, picture]))
    flaky.broken = False
    message = talk.resume(talk.graph([flaky.tool, picture]))["messages"][1]
    assert (message.content, message.artifact) == ("seen", {"raw": b"\x00", "tags": {"a", "b"}})
    assert flaky.ran.count(-1) == 1


def test_a_result_that_cannot_be_stored_reaches_the_live_run_whole_and_replays_as_text(talk: Any) -> None:
    """Outside a graph: LangGraph's own checkpointer fails on such a message."""
    ran: list[int] = []
    thing = object()

    @tool(response_format="content_and_artifact")
    def odd() -> tuple[str, Any]:
        """Returns an artifact that cannot be stored."""
        ran.append(1)
        return "odd but true", thing

    config = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}
    asked = [AIMessage("", tool_calls=[{"name": "odd", "args": {}, "id": "o"}], id="ai")]
    node = talk.node([odd])

    def answer() -> ToolMessage:
        found = asyncio.run(node.ainvoke(asked, config)) if talk.asynchronous else node.invoke(asked, config)
        return found[0]  # type: ignore[no-any-return]

    assert answer().artifact is thing
    replayed = answer()
    assert "odd but true" in str(replayed.content)
    assert (replayed.name, replayed.tool_call_id, replayed.artifact) == ("odd", "o", None)
    assert len(ran) == 1
    assert talk.world.events.calls(EventKind.NOT_STORABLE)


def test_a_text_that_looks_like_a_command_replays_although_its_message_could_not_be_stored(talk: Any) -> None:
    @tool(response_format="content_and_artifact")
    def odd() -> tuple[str, Any]:
        """Returns text that looks like the repr of a command."""
        return "Command(goto='other') is what I would say", object()

    config = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}
    asked = [AIMessage("", tool_calls=[{"name": "odd", "args": {}, "id": "o"}], id="ai")]
    node = talk.node([odd])
    found = [node.invoke(asked, config)[0] for _ in range(2)]
    assert found[1].content == found[0].content
    assert found[1].artifact is None


def test_a_failure_that_cannot_be_stored_replays_as_a_failure(talk: Any) -> None:
    @tool
    def odd() -> ToolMessage:
        """Fails with an artifact that cannot be stored."""
        return ToolMessage("refused", tool_call_id="o", status="error", artifact=object())

    config = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}
    asked = [AIMessage("", tool_calls=[{"name": "odd", "args": {}, "id": "o"}], id="ai")]
    node = talk.node([odd])
    found = [node.invoke(asked, config)[0] for _ in range(2)]
    assert [message.status for message in found] == ["error", "error"]
    assert found[1].artifact is None


def test_a_command_that_could_not_be_stored_stops_the_run_instead_of_losing_the_way(talk: Any) -> None:
    flaky = Flaky()

    @tool
    def moves(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Updates the state with something that cannot be stored."""
        flaky.ran.append(-1)
        return Command(update={"messages": [ToolMessage("m", tool_call_id=tool_call_id, artifact=object())]})

    talk.calls = [{"name": "moves", "args": {}, "id": "m"}, {"name": "work", "args": {"i": 2}, "id": "w"}]
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool, moves]))
    flaky.broken = False
    with pytest.raises(Exception, match="could not be stored, so the graph cannot follow it"):
        talk.resume(talk.graph([flaky.tool, moves]))
    assert flaky.ran.count(-1) == 1


def test_hand_overs_to_the_parent_are_merged_on_replay_as_they_are_live(talk: Any) -> None:
    flaky = Flaky()
    worked: list[str] = []

    @tool
    def hand_over(who: str) -> Command[Any]:
        """Sends work to the parent graph."""
        flaky.ran.append(-1)
        return Command(graph=Command.PARENT, goto=[Send("worker", {"who": who})])

    def outer(tools: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("team", talk.graph(tools, saver=None))
        graph.add_node("worker", lambda state: worked.append(state["who"]))
        graph.add_edge(START, "team")
        return graph.compile(checkpointer=talk.saver)

    talk.calls = [{"name": "hand_over", "args": {"who": w}, "id": w} for w in "ab"] + [
        {"name": "work", "args": {"i": 2}, "id": "w"}
    ]
    with pytest.raises(ConnectionError):
        talk.start(outer([flaky.tool, hand_over]))
    flaky.broken = False
    talk.resume(outer([flaky.tool, hand_over]))
    assert sorted(worked) == ["a", "b"]
    assert flaky.ran.count(-1) == 2
