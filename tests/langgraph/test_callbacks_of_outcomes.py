"""What callbacks hear of replayed calls that did not simply succeed: refusals, hand-overs, failures, what a reconciler found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langgraph.errors import ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from support.hearing import Heard, every_form, start
from toolslot import Done, Retry, ToolPolicy


def again(talk: Any, tools: Any, heard: Any, **options: Any) -> Any:
    """Run the node's calls, and once more with the handler: the second time nothing runs."""
    config: Any = {"configurable": {**talk.config["configurable"], "durable_run_key": "r"}}
    asked = {"messages": [AIMessage("", tool_calls=talk.calls, id="a1")]}

    def run(**more: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("tools", talk.node(tools, replay_callbacks=True, **options))
        graph.add_edge(START, "tools")
        compiled = graph.compile()
        settings = {**config, **more}
        return (
            asyncio.run(compiled.ainvoke(asked, settings))
            if talk.asynchronous
            else compiled.invoke(asked, settings)
        )

    run()
    return run(callbacks=[heard])


def test_an_error_message_is_an_output_like_any_other(talk: Any, ask: Any) -> None:
    @tool
    def refuses(i: int) -> str:
        """Refuses."""
        raise ToolException("not allowed")

    refuses.handle_tool_error = True
    heard = Heard()
    talk.calls = ask("refuses", 1)
    again(talk, [refuses], heard)
    ((output, _),) = heard.ends
    assert (output.status, output.content, heard.errors) == ("error", "not allowed", [])


def test_a_tool_the_node_does_not_have_is_not_told_of_as_live(talk: Any, ask: Any) -> None:
    @tool
    def work(i: int) -> str:
        """Works."""
        return "did"

    heard = Heard()
    talk.calls = ask("nowhere", 1)
    assert again(talk, [work], heard)["messages"][-1].status == "error"
    assert heard.starts == []


def test_a_hand_over_to_the_parent_is_told_as_it_is_live(talk: Any, ask: Any) -> None:
    @tool
    def hands_over(i: int) -> str:
        """Raises a command to the parent, as a nested graph does."""
        raise ParentCommand(Command(graph="parent|x", goto="other"))

    heard = Heard()
    node = talk.node([hands_over], replay_callbacks=True)
    calls = [{**call, "type": "tool_call"} for call in ask("hands_over", 1)]

    def inner(state: Any, config: Any) -> Any:
        return node.invoke(state, config)

    for callbacks in ([], [heard]):
        graph = StateGraph(MessagesState)
        graph.add_node("tools", node)
        graph.add_edge(START, "tools")
        config: Any = {"configurable": {"durable_run_key": "r"}, "callbacks": callbacks}
        with pytest.raises(ParentCommand):
            graph.compile().invoke({"messages": [AIMessage("", tool_calls=calls, id="a1")]}, config)
    assert [type(error) for error, _ in heard.errors] == [ParentCommand]
    assert heard.metadata()["c0"]["durable_replayed"] is True


def test_a_recorded_failure_is_told_by_what_the_agent_gets(talk: Any, ask: Any) -> None:
    ran: list[int] = []

    @tool
    def breaks(i: int) -> str:
        """Fails."""
        ran.append(i)
        raise ConnectionError("gone")

    talk.calls = ask("breaks", 1)
    policy = ToolPolicy(on_failed="replay")
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([breaks], policies={"breaks": policy}))
    heard = Heard()
    graph = talk.graph([breaks], policies={"breaks": policy}, handle_tool_errors=True, replay_callbacks=True)
    talk.resume(graph, callbacks=[heard])
    ((output, _),) = heard.ends
    assert isinstance(output, ToolMessage)
    assert output.status == "error"
    assert heard.metadata()["c0"]["durable_state"] == "failed"
    assert len(ran) == 1


@every_form
def test_what_a_reconciler_finds_after_a_failed_attempt_is_a_message_marked_as_a_replay(
    talk: Any, ask: Any, form: Any
) -> None:
    @tool
    def pays(i: int) -> str:
        """Pays, and does not hear of it."""
        raise TimeoutError

    heard = Heard()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("pays", 1)]
    policy = ToolPolicy(reconcile=lambda slot: Done("paid"), retry=Retry(stop=2))
    graph = form(talk, [pays], policies={"pays": policy}, replay_callbacks=True)
    (message,) = (
        each
        for each in start(talk, form, graph, callbacks=[heard])["messages"]
        if isinstance(each, ToolMessage)
    )
    assert (message.content, message.name, message.tool_call_id) == ("paid", "pays", "c0")
    assert message.response_metadata["toolslot"] == {"replayed": True}
    # Its code ran here, and that was told.
    assert ([type(error) for error, _ in heard.errors], heard.ends) == ([TimeoutError], [])
