"""An agent of LlamaIndex that orders a desk at a shop that is an MCP server.

    ordering.py FOLDER PLACE [POINT]

PLACE is the address of the shop, or "stdio" for one of the process's own. The report is what the shop said.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec

from support.gate import say
from support.mcp_shop import SERVER
from toolslot._crashpoints import Trap, arm
from toolslot_llamaindex import durable, mcp_idempotency
from toolslot_llamaindex._demo_agent import ScriptedLLM


async def live(folder: Path, place: str) -> str:
    if place == "stdio":
        client = BasicMCPClient(sys.executable, args=[SERVER, str(folder / "ledger")])
    else:
        client = BasicMCPClient(place)
    tools = await McpToolSpec(mcp_idempotency(client)).to_tool_list_async()
    script = ScriptedLLM([[("order", {"item": "desk"})], "done"])
    agent = durable(FunctionAgent(tools=tools, llm=script), journal=folder / "journal")
    handler = agent.run(user_msg="go", run_id="run")
    said = [event.tool_output async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    await handler
    (output,) = said
    return str(output.content)


def main(args: list[str]) -> None:
    folder, place, *points = args
    if points:
        arm(Trap.parse(points[0]))
    say(json.dumps(asyncio.run(live(Path(folder), place))))
