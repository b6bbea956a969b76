"""An agent of LangChain that orders a desk at a shop that is an MCP server.

    ordering.py FOLDER PLACE [POINT]

PLACE is the address of the shop, or "stdio" for one of the process's own. The report is what the shop said.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from support.gate import say
from support.mcp_shop import SERVER
from toolslot._crashpoints import Trap, arm
from toolslot_langgraph import make_durable, mcp_idempotency

ORDER: Any = {"name": "order", "args": {"item": "desk"}, "id": "c1"}


class Model(BaseChatModel):
    """Orders a desk, then is content."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        done = isinstance(messages[-1], ToolMessage)
        answer = AIMessage("done" if done else "", id=f"a{done}", tool_calls=[] if done else [ORDER])
        return ChatResult(generations=[ChatGeneration(message=answer)])


async def live(folder: Path, place: str) -> str:
    if place == "stdio":
        server: Any = {
            "transport": "stdio",
            "command": sys.executable,
            "args": [SERVER, str(folder / "ledger")],
        }
    else:
        server = {"transport": "http", "url": place}
    client = MultiServerMCPClient({"shop": server}, tool_interceptors=[mcp_idempotency])
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        agent: Any = create_agent(Model(), await client.get_tools(), checkpointer=saver)
        agent = make_durable(agent, journal=folder / "journal")
        config: Any = {"configurable": {"thread_id": "t-1"}}
        resumes = (await agent.aget_state(config)).next
        outcome = await agent.ainvoke(None if resumes else {"messages": [("user", "go")]}, config)
    (message,) = [each for each in outcome["messages"] if isinstance(each, ToolMessage)]
    return str(message.content[0]["text"] if isinstance(message.content, list) else message.content)


def main(args: list[str]) -> None:
    folder, place, *points = args
    if points:
        arm(Trap.parse(points[0]))
    say(json.dumps(asyncio.run(live(Path(folder), place))))
