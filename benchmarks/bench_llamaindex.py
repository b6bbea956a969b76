"""What durability costs in a LlamaIndex agent: a durable FunctionAgent against the plain one, in the same process.

Run it with `python benchmarks/bench_llamaindex.py`: a minute, and `--seconds 1` makes it short. One run asks the model twice (its script
costs nothing) and makes N calls, 4 at once as the framework has it, of tools that do nothing, the worst case, and of tools that take 50 ms.
Journal: on disk, durability "power".
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from llama_index.core.agent.workflow import FunctionAgent

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


def agent(tool: Any, count: int) -> FunctionAgent:
    script = ScriptedLLM([[(tool.__name__, {"i": i}) for i in range(count)], "done"])
    return FunctionAgent(tools=[tool], llm=script)


def runs(agent: Any, prefix: str) -> Callable[[], Awaitable[Any]]:
    """Runs, each with an id of its own so that none finds what another has recorded."""
    number = 0

    async def run() -> Any:
        nonlocal number
        number += 1
        return await agent.run(user_msg="go", run_id=f"{prefix}-{number}")

    return run


class Cost(NamedTuple):
    """Of one run, in seconds: as the clock goes, and as the CPU works for it in all threads, the journal's included."""

    wall: float
    cpu: float


async def cost(run: Callable[[], Awaitable[Any]]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    await run()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))


async def alternately(first: Any, second: Any, seconds: float) -> tuple[Cost, Cost, int]:
    """The medians of both and of how many runs each; they take turns, so that a busy machine is fair to both."""
    for warm_up in (first, second, first, second):
        await warm_up()
    plain: list[Cost] = []
    held: list[Cost] = []
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end or len(plain) < 5:
            plain.append(await cost(first))
            held.append(await cost(second))
    finally:
        gc.enable()
    return median(plain), median(held), len(plain)


_HEAD = "| tools | N | plain, wall | durable, wall | times | plain, CPU | durable, CPU | times | runs |"


def row(name: str, count: int, plain: Cost, held: Cost, times: int) -> str:
    pairs = " | ".join(
        f"{a * 1e3:.1f} ms | {b * 1e3:.1f} ms | {b / a:.2f}" for a, b in zip(plain, held, strict=True)
    )
    return f"| {name} | {count} | {pairs} | {times} |"


async def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = DiskJournal.open(Path(folder) / "journal", durability=args.durability)
        if args.profile:
            run = runs(durable(agent(nothing, args.profile), journal=journal, hooks=[]), "p")
            await run()
            with cProfile.Profile() as profile:
                for _ in range(10):
                    await run()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        else:
            print(_HEAD, re.sub(r"[^|]+", "---", _HEAD), sep="\n")
            for tool, name in ((nothing, "do nothing"), (naps, "take 50 ms")):
                for count in (1, 10, 50):
                    plain = agent(tool, count)
                    held = durable(plain, journal=journal, hooks=[])
                    found = await alternately(
                        runs(plain, "plain"), runs(held, f"{tool.__name__}-{count}"), args.seconds
                    )
                    print(row(name, count, *found), flush=True)
        journal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring, for each row")
    parser.add_argument("--profile", type=int, metavar="N")
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    asyncio.run(main(parser.parse_args()))
