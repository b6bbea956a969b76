"""The same agent through every door: who builds the graph, and who makes its tool calls durable."""

from __future__ import annotations

import warnings
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition

from support.ledger import Ledger
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, make_durable


class ScriptedModel(BaseChatModel):
    """Asks for all tools at once, then is content. Every question to it is noted."""

    calls: list[dict[str, Any]]
    ledger: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if any(isinstance(message, ToolMessage) for message in messages):
            answer = AIMessage(content="done", id="answer-2")
        else:
            Ledger(self.ledger).note("model")
            answer = AIMessage(content="", tool_calls=[dict(call) for call in self.calls], id="answer-1")
        return ChatResult(generations=[ChatGeneration(message=answer)])


def build(door: str, model: Any, tool: StructuredTool, saver: Any, **options: Any) -> Any:
    """The compiled agent. Doors whose name begins with "plain" are LangGraph alone."""
    who, _, how = door.partition("+")
    if who.removeprefix("plain-") == "node":
        node = ToolNode([tool]) if who == "plain-node" or how else DurableParallelToolNode([tool], **options)
        graph = by_hand(model, node, saver)
    elif who.removeprefix("plain-") == "agent":
        middleware = [DurableToolMiddleware(**options)] if how == "middleware" else []
        graph = create_agent(model, [tool], middleware=middleware, checkpointer=saver)
    else:
        tools: Any = [tool] if how else DurableParallelToolNode([tool], **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, and still what many have
            version: Any = {"react1": "v1", "react2": "v2"}[who]
            graph = create_react_agent(model, tools, checkpointer=saver, version=version)
    return make_durable(graph, **options) if how == "make_durable" else graph


def by_hand(model: Any, node: ToolNode, saver: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)
