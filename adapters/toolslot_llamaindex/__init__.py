"""toolslot for LlamaIndex: agents whose parallel tool calls survive the process."""

from __future__ import annotations

from toolslot_llamaindex._codec import LlamaIndexCodec
from toolslot_llamaindex._durable import durable
from toolslot_llamaindex._mcp import mcp_idempotency, mcp_policies
from toolslot_llamaindex._questions import ToolOutcomeAnswer, ToolOutcomeQuestion
from toolslot_llamaindex._streaming import ToolslotEvent

__all__ = [
    "LlamaIndexCodec",
    "ToolOutcomeAnswer",
    "ToolOutcomeQuestion",
    "ToolslotEvent",
    "durable",
    "mcp_idempotency",
    "mcp_policies",
]
