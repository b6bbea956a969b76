"""What an MCP server says about its tools, read as policies.

The annotations arrive in a tool's metadata: flat (langchain-mcp-adapters), or under `mcp.tool.annotations` (langchain.mcp), in the
protocol's spelling or in snake case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from toolslot import ToolPolicy
from toolslot_langgraph._compat import metadata_of


def hinted_policies(tools: Iterable[BaseTool]) -> dict[str, ToolPolicy]:
    """Policies by tool name, for the tools whose annotations say something about a second run."""
    found = {tool.name: _policy(_annotations(metadata_of(tool))) for tool in tools}
    return {name: policy for name, policy in found.items() if policy is not None}


def _annotations(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    nested: object = metadata
    for key in ("mcp", "tool", "annotations"):
        nested = cast("Mapping[str, object]", nested).get(key) if isinstance(nested, Mapping) else None
    return {**metadata, **cast("Mapping[str, Any]", nested)} if isinstance(nested, Mapping) else metadata


def _policy(annotations: Mapping[str, Any]) -> ToolPolicy | None:
    def says(camel: str, snake: str) -> bool:
        return annotations.get(camel) is True or annotations.get(snake) is True

    if says("readOnlyHint", "read_only_hint") or says("idempotentHint", "idempotent_hint"):
        return ToolPolicy(idempotent=True)
    if says("destructiveHint", "destructive_hint"):
        return ToolPolicy(on_unknown="ask")
    return None
