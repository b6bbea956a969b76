"""Tools of an MCP server: what the server says about its tools decides what happens after a crash.

`price` has `readOnlyHint`, so it may run again. `transfer` has `destructiveHint`, so a person is asked. The server of this example is this
file, run with `serve`; it talks over stdio and writes each transfer into a book of its own.

Run it without arguments. It needs `pip install langchain-mcp-adapters`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from scripted import ScriptedModel, call
from two_lives import Book, die, first_life, in_two_lives

from toolslot_langgraph import make_durable

try:
    from langchain.agents import create_agent
    from langchain_mcp_adapters.client import MultiServerMCPClient
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.types import Command
    from mcp.server.fastmcp import FastMCP
    from mcp.types import ToolAnnotations
except ImportError as error:
    sys.exit(
        f"This example needs one more package ({error.name}): pip install langchain-mcp-adapters aiosqlite"
    )

MODEL = ScriptedModel(
    script=[
        [
            call("price", item="desk"),
            call("transfer", to="Ann", euros=10),
            call("transfer", to="Bob", euros=20),
        ],
        "The transfers are made.",
    ]
)


def serve(folder: Path) -> None:
    """The MCP server."""
    server = FastMCP("shop", log_level="ERROR")
    book = Book(folder / "book.txt")

    @server.tool(annotations=ToolAnnotations(readOnlyHint=True))
    def price(item: str) -> str:
        """The price of an item."""
        return f"{item}: 740 euros"

    @server.tool(annotations=ToolAnnotations(destructiveHint=True))
    def transfer(to: str, euros: int) -> str:
        """Send money."""
        return book.write(to, f"{euros} euros to {to}")

    server.run()


async def lose_answer(request: Any, handler: Any) -> Any:
    """The agent's machine dies when the server has made the transfer to Bob, and before its answer is there."""
    answer = await handler(request)
    if first_life() and request.args.get("to") == "Bob":
        await asyncio.to_thread(die)
    return answer


async def main(folder: Path) -> None:
    server = {"transport": "stdio", "command": sys.executable, "args": [__file__, "serve", str(folder)]}
    client = MultiServerMCPClient({"shop": server}, tool_interceptors=[lose_answer])
    config: Any = {"configurable": {"thread_id": "shop-1"}}
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        agent: Any = create_agent(MODEL, await client.get_tools(), checkpointer=saver)
        make_durable(agent)
        if first_life():
            await agent.ainvoke({"messages": [("user", "Pay Ann and Bob.")]}, config)
            return

        answer = await agent.ainvoke(None, config)
        (question,) = answer["__interrupt__"][0].value["questions"]
        print(f"  asked about {question['tool']}, call id {question['call_id']}")
        made = Book(folder / "book.txt").find("Bob")  # here a person asks the bank
        decision = {"done": made} if made else "rerun"
        answer = await agent.ainvoke(Command(resume={question["id"]: decision}), config)
        for message in answer["messages"][2:]:
            print(f"  {message.type}: {message.text}")


if __name__ == "__main__":
    if "serve" in sys.argv:
        serve(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[2])))
    else:
        in_two_lives(__file__)
