"""LangGraph's own retry of the node, in one process: answers of a person survive it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt


@pytest.mark.parametrize("by_id", [False, True], ids=["plainly", "by id"])
def test_an_answer_is_still_there_when_langgraph_tries_the_node_again(
    talk: Any, ask: Any, said: Any, by_id: bool
) -> None:
    failing = [True]

    def body(i: int) -> str:
        answer = str(interrupt(f"may {i}?")) if i < 2 else "unasked"
        if i == 0 and failing:
            failing.clear()
            raise ConnectionError
        return f"{i}:{answer}"

    def work(i: int) -> str:
        """Works."""
        return body(i)

    async def awork(i: int) -> str:
        """Works."""
        return body(i)

    asked = [AIMessage("", tool_calls=[{"type": "tool_call", **call} for call in ask("work", 3)])]
    node = talk.node([tool("work")(awork if talk.asynchronous else work)])
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": asked})
    builder.add_node("tools", node, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.01))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    graph = builder.compile(checkpointer=talk.saver)
    outcome = talk.start(graph)
    for i in range(2):
        (shown,) = outcome["__interrupt__"]
        assert shown.value == f"may {i}?"
        outcome = talk.run(graph, Command(resume={shown.id: f"yes {i}"} if by_id else f"yes {i}"))
    assert not failing
    assert said(outcome) == ["0:yes 0", "1:yes 1", "2:unasked"]
