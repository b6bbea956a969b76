"""What durability costs in a LlamaIndex agent: a durable FunctionAgent against the plain one, in the same process.

Run it with `python benchmarks/bench_llamaindex.py`; `--quick` takes a few seconds. One run asks the model twice (its script costs nothing)
and makes N calls of tools that do nothing, the worst case, and of tools that take 50 ms. Journal: on disk, durability "power".
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

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


async def alternately(first: Any, second: Any, seconds: float) -> tuple[float, float]:
    """The medians of both, in seconds; they take turns, so that a busy machine is fair to both."""
    for warm_up in (first, second, first, second):
        await warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end or len(times[0]) < 5:
            for run, found in zip((first, second), times, strict=True):
                start = time.perf_counter()
                await run()
                found.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return statistics.median(times[0]), statistics.median(times[1])


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
            print(f"{'tool':>8} {'N':>4} {'plain':>10} {'durable':>10} {'ratio':>7}")
            for tool in (nothing, naps):
                for count in (1, 10, 50):
                    plain = agent(tool, count)
                    held = durable(plain, journal=journal, hooks=[])
                    a, b = await alternately(
                        runs(plain, "plain"),
                        runs(held, f"{tool.__name__}-{count}"),
                        0.5 if args.quick else 5.0,
                    )
                    print(
                        f"{tool.__name__:>8} {count:>4} {a * 1e3:>7.2f} ms {b * 1e3:>7.2f} ms {b / a:>7.2f}"
                    )
        journal.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--profile", type=int, metavar="N")
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    asyncio.run(main(parser.parse_args()))
