"""LlamaIndex: a durable FunctionAgent against the plain one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from measure import Options, Row, Work, compare

from toolslot import DiskJournal
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM


async def nothing(i: int) -> str:
    """Does nothing."""
    return "ok"


async def naps(i: int) -> str:
    """Takes 50 ms."""
    await asyncio.sleep(0.05)
    return "ok"


def agent(options: Options) -> Iterator[Row]:
    """A run that asks the model twice and makes 10 or 50 calls, 4 at once as the framework has it."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        journal = DiskJournal.open(Path(folder) / "journal")
        for tool, what in ((nothing, "no-op"), (naps, "50 ms")):
            for count in (10, 50):
                script = ScriptedLLM([[(tool.__name__, {"i": i}) for i in range(count)], "done"])
                plain = FunctionAgent(tools=[tool], llm=script)
                held = durable(plain, journal=journal, hooks=[])
                name = f"FunctionAgent, {count} {what} tools"
                yield compare(
                    name,
                    _runs(held, name, loop),
                    "the same, plain",
                    _runs(plain, "plain", loop),
                    options,
                    aim=1.3,
                )
        journal.close()
    loop.close()


def _runs(agent: Any, prefix: str, loop: asyncio.AbstractEventLoop) -> Work:
    """Runs, each with an id of its own, so that none finds what another has recorded."""
    number = 0

    async def once() -> Any:
        return await agent.run(user_msg="go", run_id=f"{prefix}-{number}")

    def run() -> None:
        nonlocal number
        number += 1
        loop.run_until_complete(once())

    return run
