"""An orderly shutdown while an agent runs inside a tool."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from toolslot import Draining, ToolPolicy


@pytest.mark.parametrize(
    "settings",
    [{"handle_tool_errors": True}, {"policies": {"agent": ToolPolicy(on_unknown="ask")}}, {}],
    ids=["errors handled", "ask", "plain"],
)
def test_a_call_whose_own_calls_were_not_started_any_more_goes_on_after_the_resume(
    talk: Any, ask: Any, said: Any, settings: Any
) -> None:
    first, paid = [True], []

    @tool
    def pay(i: int) -> str:
        """Pays."""
        paid.append(i)
        return str(i)

    def life() -> Any:
        node = talk.node([pay])
        inner = StateGraph(MessagesState)
        asked = [AIMessage("", id="ai", tool_calls=ask("pay", 2))]
        inner.add_node("model", lambda state: {"messages": asked})
        inner.add_node("tools", node)
        inner.add_edge(START, "model")
        inner.add_edge("model", "tools")
        agent = inner.compile()

        def shut_down_first() -> None:
            if first:
                first.clear()
                node.executor.drain(0)

        def answer(outcome: Any) -> str:
            return "|".join(m.content for m in outcome["messages"] if isinstance(m, ToolMessage))

        def run(i: int) -> str:
            """Runs an agent."""
            shut_down_first()
            return answer(agent.invoke({"messages": []}))

        async def arun(i: int) -> str:
            """Runs an agent."""
            shut_down_first()
            return answer(await agent.ainvoke({"messages": []}))

        return talk.graph([tool("agent")(arun if talk.asynchronous else run)], **settings)

    talk.calls = ask("agent", 1)
    with pytest.raises(Draining):
        talk.start(life())
    assert said(talk.resume(life())) == ["0|1"]
    assert sorted(paid) == [0, 1]
