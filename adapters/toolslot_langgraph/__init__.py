"""toolslot for LangGraph: a ToolNode whose parallel tool calls survive the process."""

from __future__ import annotations

from toolslot_langgraph._codec import LangGraphCodec
from toolslot_langgraph._node import DurableParallelToolNode
from toolslot_langgraph._settings import DurableOptions

__all__ = ["DurableOptions", "DurableParallelToolNode", "LangGraphCodec"]
