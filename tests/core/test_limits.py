"""Limits through the front door: they hold, they are used, and nesting never dead-locks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.harness import Peak, World, batch, both, run_async, running
from support.odd import OddJournal, writes
from toolslot import DurableExecutor, Limits, Rate, SlotState, ToolPolicy
from toolslot._domain._slot import Finished, Started


@both
def test_sixteen_calls_that_meet_at_a_barrier_all_run_at_once(world: World, run: Callable[..., Any]) -> None:
    barrier = threading.Barrier(16)
    assert run(world.executor(), batch(*["t"] * 16), {"t": lambda i: barrier.wait(20) >= 0}) == [True] * 16


@both
def test_a_batch_limit_is_never_exceeded_and_is_used(world: World, run: Callable[..., Any]) -> None:
    peak, barrier = Peak(), threading.Barrier(4)

    def tool(i: int) -> None:
        with peak:
            barrier.wait(20)  # only four at once get through

    run(world.executor(limits=Limits(batch=4)), batch(*["t"] * 16), {"t": tool})
    assert peak.peak == 4


def test_an_async_batch_limit_is_never_exceeded(world: World) -> None:
    now = peak = 0

    async def tool(i: int) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.005)
        now -= 1

    run_async(world.executor(limits=Limits(batch=4)), batch(*["t"] * 40), {"t": tool})
    assert peak == 4


@both
def test_a_tool_limit_holds_while_other_tools_go_on(world: World, run: Callable[..., Any]) -> None:
    peak, others = Peak(), threading.Barrier(3)

    def slow(i: int) -> None:
        with peak:
            time.sleep(0.002)

    tools = {"slow": slow, "fast": lambda i: others.wait(20)}
    run(
        world.executor(policies={"slow": ToolPolicy(max_parallel=1)}),
        batch("slow", "slow", "slow", "fast", "fast", "fast"),
        tools,
    )
    assert peak.peak == 1


@both
def test_a_rate_spreads_the_starts(world: World, run: Callable[..., Any]) -> None:
    starts: list[float] = []
    tools = {"api": lambda i: starts.append(time.monotonic())}
    began = time.monotonic()
    run(world.executor(policies={"api": ToolPolicy(rate=Rate(2, per=0.1))}), batch(*["api"] * 6), tools)
    for n, start in enumerate(sorted(starts)):
        assert start >= began + (n // 2) * 0.1, "a start is never earlier than its rate allows"


@both
def test_a_tool_with_a_batch_of_its_own_does_not_dead_lock_at_limits_of_one(
    world: World, run: Callable[..., Any]
) -> None:
    limits = Limits(batch=1, process=1, tools={"agent": 1, "leaf": 1})
    executor = world.executor(limits=limits)

    def agent(i: int) -> list[Any]:
        return executor.run_all(batch("leaf", "leaf", "leaf", run=f"inner-{i}"), {"leaf": lambda i: i})

    assert run(executor, batch("agent", "agent"), {"agent": agent}) == [[0, 1, 2], [0, 1, 2]]


def test_an_async_tool_with_a_batch_of_its_own_does_not_dead_lock_at_limits_of_one(world: World) -> None:
    executor = world.executor(limits=Limits(batch=1, process=1, tools={"agent": 1, "leaf": 1}))

    async def leaf(i: int) -> int:
        return i

    async def agent(i: int) -> list[Any]:
        return await executor.arun_all(batch("leaf", "leaf", run=f"inner-{i}"), {"leaf": leaf})

    assert run_async(executor, batch("agent", "agent"), {"agent": agent}) == [[0, 1], [0, 1]]


def test_case_06_the_journal_does_not_wait_behind_calls(world: World) -> None:
    release, first_done = threading.Event(), threading.Event()
    executor = world.executor(limits=Limits(batch=1))

    def tool(i: int) -> int:
        if i == 1:
            first_done.set()
            assert release.wait(10)
        return i

    with running(lambda: executor.run_all(batch("t", "t", "t"), {"t": tool})):
        assert first_done.wait(10)
        record = world.journals[-1].load(batch("t", "t", "t").key).result()
        assert record is not None
        assert [s.state for s in record.slots] == [SlotState.SUCCEEDED, SlotState.RUNNING, SlotState.RESERVED]
        release.set()


@pytest.mark.parametrize("fails", [False, True])
def test_no_start_mark_comes_before_the_record_of_the_call_whose_place_it_takes(fails: bool) -> None:
    """Else a death would leave more calls in doubt than the limit lets run."""
    journal = OddJournal()
    second_started = threading.Event()
    seen: list[bool] = []

    def before(operation: Any) -> None:
        if writes(operation, Finished) and not seen:
            seen.append(second_started.wait(0.2))
        elif writes(operation, Started) and operation.row.index == 1:
            second_started.set()

    def tool(i: int) -> int:
        if fails and i == 0:
            raise ValueError(i)
        return i

    journal.before = before
    executor = DurableExecutor(journal, policies={"tool": ToolPolicy(max_parallel=1)})
    executor.run_all(batch("tool", "tool"), {"tool": tool}, return_exceptions=True)
    assert seen == [False]
    assert second_started.is_set()
