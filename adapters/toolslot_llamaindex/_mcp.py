"""MCP servers: what one says of its tools, which LlamaIndex's tools do not carry, read as policies; and the key of a call for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from toolslot import ToolPolicy
from toolslot.hosting import sending_key


class _Keyed:
    """An MCP client with all that it has, whose calls carry the key of the durable call they are made in."""

    def __init__(self, client: Any) -> None:
        self._toolslot_client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._toolslot_client, name)

    async def call_tool(self, *args: Any, **kwargs: Any) -> Any:
        with sending_key():
            return await self._toolslot_client.call_tool(*args, **kwargs)


def mcp_idempotency(client: Any) -> Any:
    """The client, a `BasicMCPClient` or a session, for `McpToolSpec(mcp_idempotency(client))`.

    The server finds the call's idempotency key in the request's `_meta` as `toolslot/idempotency-key`, whatever the transport. Outside a
    durable call nothing is added.
    """
    return _Keyed(client)


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
