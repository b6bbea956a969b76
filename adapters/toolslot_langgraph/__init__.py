"""toolslot for LangGraph: a ToolNode whose parallel tool calls survive the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolslot_langgraph._by_hand import durable_tool_calls, durable_tool_calls_sync
from toolslot_langgraph._codec import LangGraphCodec
from toolslot_langgraph._dangling import answer_dangling_calls
from toolslot_langgraph._durable_nodes import DurableNodes, durable_nodes
from toolslot_langgraph._make_durable import make_durable
from toolslot_langgraph._mcp import mcp_idempotency
from toolslot_langgraph._node import DurableParallelToolNode
from toolslot_langgraph._settings import DurableOptions

if TYPE_CHECKING:
    from toolslot_langgraph._middleware import DurableToolMiddleware

__all__ = [
    "DurableNodes",
    "DurableOptions",
    "DurableParallelToolNode",
    "DurableToolMiddleware",
    "LangGraphCodec",
    "answer_dangling_calls",
    "durable_nodes",
    "durable_tool_calls",
    "durable_tool_calls_sync",
    "make_durable",
    "mcp_idempotency",
]


def __getattr__(name: str) -> object:
    # LangChain is needed by the middleware alone.
    if name != "DurableToolMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from toolslot_langgraph._middleware import DurableToolMiddleware
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain":
            raise
        raise ImportError(
            "DurableToolMiddleware is a middleware for langchain.agents.create_agent, and LangChain is not installed:"
            " pip install 'toolslot[langchain]'"
        ) from error
    return DurableToolMiddleware
