"""What an MCP server says of its tools, read as policies. LlamaIndex's tools do not carry it, so it is read from the server's own list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from toolslot import ToolPolicy


def mcp_policies(tools: Iterable[Any]) -> dict[str, ToolPolicy]:
    """Policies by tool name, for `durable(policies=...)`.

    A tool that says explicitly that it only reads or is idempotent is `idempotent`; else one that says explicitly that it is destructive
    is asked about. A server that you do not trust can say anything: name its tools yourself.

    Args:
        tools: The tools as the server lists them: `await McpToolSpec(client).fetch_tools()`, or `(await session.list_tools()).tools`.
    """
    found = {tool.name: ToolPolicy.from_annotations(_annotations(tool)) for tool in tools}
    return {name: policy for name, policy in found.items() if policy is not None}


def _annotations(tool: Any) -> Mapping[str, object]:
    said: Any = getattr(tool, "annotations", None)
    return cast("Mapping[str, object]", said.model_dump()) if said is not None else {}
