"""A shop as an MCP server, over stdio or HTTP. It notes every call in a file, so that tests see what was really done.

Usage: python mcp_server.py LEDGER [PORT]
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Any

from mcp.server.fastmcp import Context, FastMCP, Image
from mcp.types import TextContent, ToolAnnotations
from pydantic import BaseModel

#: one red pixel
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c4944415408d763f8cfc0000000030001005b7a9d6b0000000049454e44ae426082"
)

server = FastMCP("shop", log_level="ERROR")


class Receipt(BaseModel):
    """What was paid."""

    number: int
    paid: float
    lines: list[str]


def note(what: str) -> None:
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{what}\n".encode())
    os.close(file)


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def price(item: str) -> str:
    """What an item costs."""
    note(f"price {item}")
    return f"{item}: 740"


@server.tool(annotations=ToolAnnotations(idempotentHint=True, destructiveHint=True))
def rename(item: str) -> str:
    """Give an item its name."""
    note(f"rename {item}")
    return item


@server.tool(annotations=ToolAnnotations(destructiveHint=True))
def pay(item: str) -> Receipt:
    """Pay for an item."""
    note(f"pay {item}")
    return Receipt(number=7, paid=740.5, lines=[item, "postage"])


@server.tool(structured_output=False)
def order(item: str, context: Context[Any, Any, Any]) -> str:
    """Order an item, once for each idempotency key; its number is the shop's own."""
    request = context.request_context
    meta = (request.meta.model_extra or {}) if request.meta is not None else {}
    key = str(meta.get("toolslot/idempotency-key", "no key"))
    headers = getattr(request.request, "headers", {})
    ledger = Path(sys.argv[1])
    for line in ledger.read_text().splitlines() if ledger.exists() else []:
        word, *rest = line.split("|")
        if word == "order" and rest[0] == key:
            return f"{rest[1]}, as before"
    number = secrets.token_hex(4)
    note(f"order|{key}|{number}|{headers.get('idempotency-key', 'no header')}")
    return number


@server.tool(structured_output=False)
def picture(item: str) -> list[Any]:
    """A picture of an item, and what it shows."""
    note(f"picture {item}")
    return [TextContent(type="text", text=item), Image(data=PNG, format="png")]


@server.tool()
def refuse(item: str) -> str:
    """Always an error."""
    note(f"refuse {item}")
    raise ValueError(f"no {item} here")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        server.settings.port = int(sys.argv[2])
        server.run("streamable-http")
    else:
        server.run()
