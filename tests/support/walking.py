"""Graphs to be found in other graphs."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from toolslot_langgraph._walk import nodes_in, walk


@tool
def pay(i: int) -> str:
    """Pays."""
    return f"paid {i}"


def agent() -> Any:
    """A compiled graph with one tool node, "tools"."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([pay]))
    graph.add_edge(START, "tools")
    return graph.compile()


def around(node: Any) -> Any:
    """A graph with one node, "outer"."""
    graph = StateGraph(MessagesState)
    graph.add_node("outer", node)
    graph.add_edge(START, "outer")
    return graph.compile()


def node_of(graph: Any) -> Any:
    return graph.nodes["tools"].bound


def reached(root: Any) -> list[Any]:
    return [*nodes_in(walk(root)).values()]


def around_tool(function: Any) -> Any:
    made = StructuredTool.from_function(function, name="ask", description="Asks.")
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([made]))
    graph.add_edge(START, "tools")
    return graph.compile()
