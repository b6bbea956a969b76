"""A process without a framework whose first batch loads a file, and whose second one searches it. It enters both, twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from support.gate import say
from support.loading import Loading, parsed
from toolslot import Batch, Call, DurableExecutor


def main(argv: list[str]) -> None:
    life = Loading(parsed(argv))
    executor = DurableExecutor(**life.settings)

    def answers(tool: str) -> list[Any]:
        batch = Batch(run_id="run", batch_id=tool, calls=[Call(tool=tool, args={"name": "a"}, call_id="c")])
        tools = {"load": life.load, "search": life.search}
        if life.args.mode == "async":
            return asyncio.run(executor.arun_all(batch, tools))
        return executor.run_all(batch, tools)

    say(json.dumps([answers(tool)[0] for tool in ("load", "search", "load", "search")]))
