"""Agents whose tool calls a person reviews, through every door, and what they are compared with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send

from support.sending import Model, options
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, make_durable

#: older LangChain reviews no single call
call_by_call = pytest.mark.skipif(
    "interrupt_mode" not in inspect.signature(HumanInTheLoopMiddleware).parameters,
    reason="needs a newer LangChain",
)


def plain_agent(talk: Any, tools: Sequence[Any], review: Any) -> Any:
    return create_agent(Model(talk=talk), tools, middleware=[review], checkpointer=talk.saver)


def inside(talk: Any, tools: Sequence[Any], review: Any) -> Any:
    return make_durable(plain_agent(talk, tools, review), **options(talk, {}))


def in_front(talk: Any, tools: Sequence[Any], review: Any) -> Any:
    chain = [review, DurableToolMiddleware(**options(talk, {}))]
    return create_agent(Model(talk=talk), tools, middleware=chain, checkpointer=talk.saver)


def behind(talk: Any, tools: Sequence[Any], review: Any) -> Any:
    chain = [DurableToolMiddleware(**options(talk, {})), review]
    return create_agent(Model(talk=talk), tools, middleware=chain, checkpointer=talk.saver)


def in_a_node(talk: Any, tools: Sequence[Any], review: Any) -> Any:
    wrappers = {"wrap_tool_call": review.wrap_tool_call, "awrap_tool_call": review.awrap_tool_call}
    return _sends(talk, DurableParallelToolNode(tools, **options(talk, {}), **wrappers))


def plain_sends(talk: Any, tools: Sequence[Any], **_: Any) -> Any:
    return _sends(talk, ToolNode(tools))


def _sends(talk: Any, node: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]})
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model", lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls], ["tools"]
    )
    return graph.compile(checkpointer=talk.saver)


#: the doors, with the review where each allows it
REVIEWS = [inside, in_front, behind, in_a_node]
