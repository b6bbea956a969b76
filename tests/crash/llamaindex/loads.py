"""A LlamaIndex agent whose first turn loads a file, and whose second one searches it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.tools import FunctionTool

from support.gate import say
from support.loading import Loading, parsed
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM


async def live(life: Loading) -> list[str]:
    script: Any = [[("load", {"name": "a"})], [("search", {"name": "a"})], "done"]
    tools = [FunctionTool.from_defaults(tool) for tool in (life.load, life.search)]
    agent = durable(FunctionAgent(tools=tools, llm=ScriptedLLM(script)), **life.settings)
    handler = agent.run(user_msg="go", run_id="run")
    events: Any = [event async for event in handler.stream_events()]
    await handler
    return [str(event.tool_output.raw_output) for event in events if isinstance(event, ToolCallResult)]


def main(argv: list[str]) -> None:
    say(json.dumps(asyncio.run(live(Loading(parsed(argv))))))
