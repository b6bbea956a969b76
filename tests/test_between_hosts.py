"""One effect asked for in two hosts: each is given the other's result as its own kind of answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from llama_index.core.agent.workflow import FunctionAgent

from toolslot import ToolPolicy
from toolslot_langgraph import DurableParallelToolNode
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

KEYED = {"pay": ToolPolicy(effect_key="invoice")}


def in_graph(journal: Path, invoice: str, effects: list[str]) -> Any:
    @tool
    def pay(invoice: str) -> str:
        """Pays."""
        effects.append(invoice)
        return f"paid {invoice} in a graph"

    def model(_: MessagesState) -> Any:
        call = {"name": "pay", "args": {"invoice": invoice}, "id": "c0", "type": "tool_call"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", DurableParallelToolNode([pay], journal=journal, hooks=[], policies=KEYED))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile().invoke({"messages": [HumanMessage("go")]})["messages"][-1].content


def in_agent(journal: Path, invoice: str, effects: list[str]) -> Any:
    async def pay(invoice: str) -> str:
        """Pays."""
        effects.append(invoice)
        return f"paid {invoice} by an agent"

    llm = ScriptedLLM([[("pay", {"invoice": invoice})], "done"])

    async def main() -> None:
        agent = FunctionAgent(tools=[pay], llm=llm)
        await durable(agent, journal=journal, hooks=[], policies=KEYED).run(user_msg="go", run_id=invoice)

    asyncio.run(main())
    return next(message.content for message in llm.heard[-1] if message.role.value == "tool")


def test_an_agent_and_a_graph_share_an_effect(tmp_path: Path) -> None:
    effects: list[str] = []
    journal = tmp_path / "journal"
    assert in_agent(journal, "i-1", effects) == in_graph(journal, "i-1", effects) == "paid i-1 by an agent"
    assert in_graph(journal, "i-2", effects) == in_agent(journal, "i-2", effects) == "paid i-2 in a graph"
    assert effects == ["i-1", "i-2"]
