"""The key of a durable call for MCP servers that are reached through `langchain-mcp-adapters`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from toolslot.hosting import MCP_HEADER, sending_key


async def mcp_idempotency(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """An interceptor: `MultiServerMCPClient({...}, tool_interceptors=[mcp_idempotency])`.

    The server finds the call's idempotency key in the request's `_meta` as `toolslot/idempotency-key`; over HTTP, where the client opens a
    session for each call, also in the header `Idempotency-Key`. Outside a durable call nothing is added.
    """
    with sending_key() as key:
        if key is not None:
            request = request.override(headers={**(request.headers or {}), MCP_HEADER: key})
        return await handler(request)
