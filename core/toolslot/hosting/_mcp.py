"""How the idempotency key of a call reaches an MCP server: in the `_meta` of the request, whatever the transport."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

from toolslot._batch._context import current
from toolslot._errors import InvalidSetting

#: the field of `_meta`, and the header
MCP_META = "toolslot/idempotency-key"
MCP_HEADER = "Idempotency-Key"

_sent: ContextVar[str | None] = ContextVar("toolslot_mcp_key", default=None)


@contextmanager
def sending_key() -> Generator[str | None]:
    """While this is entered, the tools that the current code calls on MCP servers get the key of the durable call that it runs in.

    Gives the key; None where no such call runs, and nothing is sent.
    """
    call = current.get()
    if call is None:
        yield None
        return
    _extend_sessions()
    token = _sent.set(call.idempotency_key)
    try:
        yield call.idempotency_key
    finally:
        _sent.reset(token)


@cache
def _extend_sessions() -> None:
    """Once, have the sessions of the MCP SDK put the key into what they send: no framework passes `meta=` on to them."""
    from mcp import ClientSession  # only who talks to MCP servers has it

    original: Any = ClientSession.call_tool
    if "meta" not in inspect.signature(original).parameters:
        raise InvalidSetting(
            "the installed version of mcp cannot send `_meta` with a tool's call, so the idempotency key would not reach the server."
            " Install mcp>=1.24."
        )

    @wraps(original)
    async def call_tool(self: Any, *args: Any, meta: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        key = _sent.get()
        if key is not None:
            meta = {MCP_META: key, **(meta or {})}
        return await original(self, *args, meta=meta, **kwargs)

    session: Any = ClientSession
    session.call_tool = call_tool
