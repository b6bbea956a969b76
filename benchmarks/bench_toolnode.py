"""What durability costs in a LangGraph agent: DurableParallelToolNode against ToolNode, in the same process and the same graph.

Run it with `python benchmarks/bench_toolnode.py`; `--quick` takes a few seconds, `--profile N` shows where the time of one batch goes.
The tools do nothing, so the ratios are the worst case. Journal: DiskJournal in a temporary directory, durability "power" by default.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.runtime import Runtime

from toolslot import Batch, Call, DiskJournal, DurableExecutor, Limits, MemoryJournal, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, LangGraphCodec


@tool
def nothing(i: int) -> str:
    """Does nothing."""
    return "ok"


@tool
async def anothing(i: int) -> str:
    """Does nothing."""
    return "ok"


@tool
def naps(i: int) -> str:
    """Takes 50 ms."""
    time.sleep(0.05)
    return "ok"


@tool
async def anaps(i: int) -> str:
    """Takes 50 ms."""
    await asyncio.sleep(0.05)
    return "ok"


def graph(node: ToolNode, name: str, count: int) -> Any:
    calls = [{"name": name, "args": {"i": i}, "id": f"call-{i}", "type": "tool_call"} for i in range(count)]
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=calls)]})
    builder.add_node("tools", node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    return builder.compile(checkpointer=InMemorySaver())


class Runs:
    """Runs of one graph, each in a thread of its own so that none finds what another has recorded."""

    def __init__(self, compiled: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self._graph = compiled
        self._loop = loop
        self._number = 0

    def __call__(self) -> None:
        self._number += 1
        config = {"configurable": {"thread_id": f"thread-{self._number}"}}
        if self._loop is None:
            self._graph.invoke({"messages": []}, config)
        else:
            self._loop.run_until_complete(self._graph.ainvoke({"messages": []}, config))


def alternately(first: Callable[[], None], second: Callable[[], None], seconds: float) -> tuple[float, float]:
    """The medians of both, in seconds; they take turns, so that a busy machine is fair to both."""
    for warm_up in (first, second, first, second):
        warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end or len(times[0]) < 5:
            for run, found in zip((first, second), times, strict=True):
                start = time.perf_counter()
                run()
                found.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return statistics.median(times[0]), statistics.median(times[1])


@contextmanager
def setting(args: argparse.Namespace, mode: str) -> Iterator[tuple[Any, asyncio.AbstractEventLoop | None]]:
    """A function that makes durable nodes over one fresh journal, and the event loop for async runs."""
    loop = asyncio.new_event_loop() if mode == "async" else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = (
            MemoryJournal()
            if args.journal == "memory"
            else DiskJournal.open(path, durability=args.durability)
        )
        policies = (
            {"nothing": ToolPolicy(idempotent=True), "anothing": ToolPolicy(idempotent=True)}
            if args.idempotent
            else {}
        )

        def durable(*tools: Any, limits: Limits | None = None) -> DurableParallelToolNode:
            used = {
                name: policy for name, policy in policies.items() if name in {each.name for each in tools}
            }
            return DurableParallelToolNode(tools, journal=journal, policies=used, limits=limits)

        try:
            yield durable, loop
        finally:
            journal.close()
            if loop is not None:
                loop.close()


def overhead(args: argparse.Namespace) -> None:
    print(f"{'mode':6} {'calls':>6} {'ToolNode ms':>12} {'durable ms':>12} {'ratio':>7} {'us per call':>12}")
    for mode in ("sync", "async"):
        chosen = nothing if mode == "sync" else anothing
        for count in args.counts:
            with setting(args, mode) as (durable, loop):
                plain = Runs(graph(ToolNode([chosen]), chosen.name, count), loop)
                ours = Runs(graph(durable(chosen), chosen.name, count), loop)
                a, b = alternately(plain, ours, args.seconds)
            print(
                f"{mode:6} {count:6} {a * 1e3:12.2f} {b * 1e3:12.2f} {b / a:7.2f} {(b - a) / count * 1e6:12.1f}"
            )


def replay(args: argparse.Namespace) -> None:
    """A recorded slot against running the tool: one batch of 100, replayed over and over by its run key."""
    count = 100
    with setting(args, "sync") as (durable, _):
        node = durable(nothing)
        calls: Any = [
            {"name": "nothing", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(count)
        ]
        value = [AIMessage("", tool_calls=calls, id="ai")]
        config: Any = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}
        node.invoke(value, config)
        plain_node = ToolNode([nothing])

        def invokes() -> None:
            for call in calls:
                nothing.invoke(call)

        run, again = alternately(invokes, lambda: node.invoke(value, config), args.seconds)
        node_run, _ = alternately(lambda: plain_node.invoke(value, config), lambda: None, args.seconds)
        slot = _recorded(args, node.executor.journal)
    print(f"replay of a recorded slot alone: {slot * 1e6:.1f} us")
    print(f"tool.invoke: {run / count * 1e6:.1f} us a call; ToolNode: {node_run / count * 1e6:.1f} us a call")
    print(
        f"replay of a recorded slot, whole node: {again / count * 1e6:.1f} us a call ({again / run:.2f} of tool.invoke)"
    )


def _recorded(args: argparse.Namespace, journal: Any) -> float:
    """Seconds for one answer out of the journal, without a node around it."""
    executor = DurableExecutor(journal, codec=LangGraphCodec())
    calls = tuple(Call(tool="nothing", args={"i": i}, call_id=f"c{i}") for i in range(100))
    batch = Batch(run_id="slots", batch_id="b", calls=calls)

    def answers() -> None:
        with executor.open(batch) as run:
            for i in range(100):
                run.call(i, lambda: ToolMessage("ok", name="nothing", tool_call_id="c"))

    return alternately(answers, lambda: None, args.seconds / 2)[0] / 100


def parallel(args: argparse.Namespace) -> None:
    for mode in ("sync", "async"):
        chosen = naps if mode == "sync" else anaps
        with setting(args, mode) as (durable, loop):
            compiled = graph(durable(chosen, limits=Limits(batch=None)), chosen.name, 16)
            plain = graph(ToolNode([chosen]), chosen.name, 16)
            runs = Runs(compiled, loop)
            same = Runs(plain, loop)
            config = {"max_concurrency": 16}
            bound = Runs(plain.with_config(config), loop)
            fair, ours = alternately(bound, runs, args.seconds)
            usual, _ = alternately(same, lambda: None, args.seconds / 2)
        print(
            f"{mode}: 16 tools of 50 ms: durable {ours * 1e3:.1f} ms = {ours / 0.05:.2f} of the longest;"
            f" ToolNode {usual * 1e3:.1f} ms, with max_concurrency=16 {fair * 1e3:.1f} ms"
        )


def profile(args: argparse.Namespace) -> None:
    """Where the time of a batch goes, all threads together."""
    with setting(args, args.mode) as (durable, loop):
        chosen = nothing if args.mode == "sync" else anothing
        runs = Runs(graph(durable(chosen), chosen.name, args.profile), loop)
        for _ in range(3):
            runs()
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(10):
            runs()
        profiler.disable()
    pstats.Stats(profiler).sort_stats(args.sort).print_stats(45)


def forced_write() -> float:
    """Seconds of one fsync here: with durability "power" every commit waits for at least one."""
    with tempfile.TemporaryFile() as file:
        times: list[float] = []
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--durability", choices=["power", "process"], default="power")
    parser.add_argument("--journal", choices=["disk", "memory"], default="disk")
    parser.add_argument(
        "--idempotent", action="store_true", help="declare the tools idempotent: no start marks"
    )
    parser.add_argument("--profile", type=int, metavar="N")
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--sort", default="tottime")
    args = parser.parse_args()
    args.seconds = 0.5 if args.quick else 3.0
    args.counts = [1, 10, 100] if args.quick else [1, 10, 100, 1000]
    if args.profile:
        profile(args)
        return
    print(
        f"journal: {args.journal}, durability {args.durability}{', idempotent tools' if args.idempotent else ''}"
    )
    print(f"a forced write of 4 KiB takes {forced_write() * 1e3:.2f} ms here")
    overhead(args)
    replay(args)
    parallel(args)


if __name__ == "__main__":
    main()
