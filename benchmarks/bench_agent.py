"""What durability costs a whole agent: `create_agent` with SqliteSaver, plain and after `make_durable`, in one process and taking turns.

Run it with `python benchmarks/bench_agent.py`; `--quick` takes half a minute, `--profile N` shows where the time of runs with N calls goes.
Each run asks the model twice and has N tool calls, one task each; checkpoints and journal are files in a temporary directory. Tools that
do nothing are the worst case. Both agents have a database of their own, of the same age.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from toolslot import DiskJournal, MemoryJournal
from toolslot_langgraph import make_durable


class Scripted(BaseChatModel):
    """Asks for `count` calls, then is content."""

    count: int

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        answer = AIMessage("done") if isinstance(messages[-1], ToolMessage) else self._asking()
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)  # no thread: it does not block

    def _asking(self) -> AIMessage:
        calls = [
            {"name": "work", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(self.count)
        ]
        return AIMessage("", tool_calls=calls)


def working(seconds: float) -> BaseTool:
    def work(i: int) -> str:
        if seconds:
            time.sleep(seconds)
        return "ok"

    async def awork(i: int) -> str:
        if seconds:
            await asyncio.sleep(seconds)
        return "ok"

    return StructuredTool.from_function(work, awork, name="work", description="Works.")


class Pair:
    """The same agent, plain and durable, each with checkpoints of its own. Closed with its `stack`."""

    def __init__(self, args: argparse.Namespace, mode: str, count: int, seconds: float) -> None:
        self._args = args
        self._mode = mode
        self._count = count
        self._seconds = seconds
        self._runs = 0
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> tuple[Callable[[], None], Callable[[], None]]:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        plain = self._agent(folder / "plain.db")
        durable = self._agent(folder / "durable.db")
        journal = (
            MemoryJournal()
            if self._args.journal == "memory"
            else DiskJournal.open(folder / "journal", durability=self._args.journal_durability)
        )
        self._stack.callback(journal.close)
        make_durable(durable, journal=journal)
        return lambda: self._run(plain), lambda: self._run(durable)

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()

    def _agent(self, database: Path) -> Any:
        saver: Any
        if self._mode == "sync":
            connection = sqlite3.connect(database, check_same_thread=False)
            self._stack.callback(connection.close)
            saver = SqliteSaver(connection)
        else:
            opened = AsyncSqliteSaver.from_conn_string(str(database))
            saver = self._loop.run_until_complete(self._stack.enter_async_context(opened))
        model = Scripted(count=self._count)
        return create_agent(model, [working(self._seconds)], checkpointer=saver)

    def _run(self, agent: Any) -> None:
        """One run, in a LangGraph thread of its own."""
        self._runs += 1
        config: Any = {"configurable": {"thread_id": f"thread-{self._runs}"}}
        value: Any = {"messages": [("user", "go")]}
        durability = self._args.durability
        if self._mode == "sync":
            agent.invoke(value, config, durability=durability)
        else:
            self._loop.run_until_complete(agent.ainvoke(value, config, durability=durability))


def alternately(
    first: Callable[[], None], second: Callable[[], None], seconds: float
) -> tuple[list[float], list[float], float]:
    """Seconds of the runs of both, and the ratio of the processor time they took, all threads together.

    They take turns, and take turns at being first, so that a busy machine is fair to both.
    """
    for warm_up in (first, second) * 3:
        warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    worked: tuple[list[float], list[float]] = ([], [])
    order = [(first, times[0], worked[0]), (second, times[1], worked[1])]
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end or len(times[0]) < 7:
            for run, found, cpu in order:
                start, begun = time.perf_counter(), time.process_time()
                run()
                found.append(time.perf_counter() - start)
                cpu.append(time.process_time() - begun)
            order.reverse()
    finally:
        gc.enable()
    return *times, statistics.median(worked[1]) / statistics.median(worked[0])


def overhead(args: argparse.Namespace) -> None:
    print(
        f"{'mode':6} {'tool':>6} {'calls':>6} {'runs':>5} {'plain ms':>9} {'durable ms':>11} {'ratio':>6}"
        f" {'of minima':>10} {'of CPU':>7} {'us per call':>12}"
    )
    for mode in args.modes:
        for seconds in (0.0, 0.01):
            for count in args.counts:
                with Pair(args, mode, count, seconds) as (plain, durable):
                    a, b, cpu = alternately(plain, durable, args.seconds)
                ours, theirs = statistics.median(b), statistics.median(a)
                print(
                    f"{mode:6} {f'{seconds * 1e3:.0f} ms':>6} {count:6} {len(a):5} {theirs * 1e3:9.2f} {ours * 1e3:11.2f}"
                    f" {ours / theirs:6.2f} {min(b) / min(a):10.2f} {cpu:7.2f} {(ours - theirs) / count * 1e6:12.1f}",
                    flush=True,
                )


def profile(args: argparse.Namespace) -> None:
    """Where the time of durable runs goes, all threads together."""
    with Pair(args, args.modes[0], args.profile, 0.0) as (_, durable):
        for _ in range(3):
            durable()
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(20):
            durable()
        profiler.disable()
    pstats.Stats(profiler).sort_stats(args.sort).print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--journal", choices=["disk", "memory"], default="disk")
    parser.add_argument("--journal-durability", choices=["power", "process"], default="power")
    parser.add_argument(
        "--durability", choices=["sync", "async", "exit"], default="async", help="LangGraph's own"
    )
    parser.add_argument("--modes", nargs="+", choices=["sync", "async"], default=["sync", "async"])
    parser.add_argument("--counts", nargs="+", type=int, default=[1, 10, 50])
    parser.add_argument("--profile", type=int, metavar="N")
    parser.add_argument("--sort", default="tottime")
    args = parser.parse_args()
    args.seconds = 1.5 if args.quick else 5.0
    if args.profile:
        profile(args)
        return
    print(f"create_agent + SqliteSaver, durability {args.durability!r}; journal: {args.journal},", end=" ")
    print(f"durability {args.journal_durability!r}")
    overhead(args)


if __name__ == "__main__":
    main()
