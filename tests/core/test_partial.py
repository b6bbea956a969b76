"""A batch whose calls are entered by several `BatchRun`s, and waiting for those that others run."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from support.harness import World, batch, running
from toolslot import BatchRun, CallTimedOut, DurableExecutor, SlotState, ToolPolicy, UnknownOutcome

THREE = ("t", "t", "t")


class Killed(BaseException):
    """The process dies here."""


def closed(world: World) -> bool:
    record = world.journals[-1].load(batch("t").key).result()
    assert record is not None
    return record.fence.closed


def part(executor: DurableExecutor, tools: tuple[str, ...] = THREE) -> BatchRun:
    return executor.open(batch(*tools), partial=True)


def test_a_partial_batch_is_closed_when_the_last_call_has_an_answer_whoever_entered_it(world: World) -> None:
    executor = world.executor()
    for index in (2, 0, 1):
        assert not (index != 2 and closed(world))
        with part(executor) as run:
            run.call(index, lambda: "done")
    assert closed(world)


def test_the_first_to_arrive_reserves_the_calls_of_all(world: World) -> None:
    with part(world.executor()) as run:
        run.call(1, lambda: "done")
        states = [slot.state for slot in run.record.slots]
    assert states == [SlotState.RESERVED, SlotState.SUCCEEDED, SlotState.RESERVED]


def test_parts_that_overlap_are_one_batch_and_the_last_to_leave_closes_it(world: World) -> None:
    executor = world.executor()
    with part(executor) as first, part(executor) as second:
        first.call(0, lambda: "done")
        second.call(1, lambda: "done")
        second.call(2, lambda: "done")
        second.release()
        assert not closed(world)
    assert closed(world)


def test_a_partial_batch_is_closed_across_a_crash(world: World) -> None:
    run = part(world.executor())
    run.__enter__()
    run.call(0, lambda: "first")
    run.call(1, lambda: "first")
    world.crash()
    executor = world.executor()
    with part(executor) as run:
        assert run.call(2, lambda: "second") == "second"
    assert closed(world)
    with part(executor) as run:
        assert [run.call(i, lambda: "third") for i in range(3)] == ["first", "first", "second"]


def test_a_partial_batch_whose_answers_are_all_on_record_is_closed_by_a_replay_of_one(world: World) -> None:
    run = part(world.executor())
    run.__enter__()
    for index in range(3):
        run.call(index, lambda: "first")
    world.crash()  # before it let the batch go
    with part(world.executor()) as run:
        assert run.call(1, lambda: "second") == "first"
    assert closed(world)


@pytest.mark.parametrize("settled", [{0, 1}, {1, 2}, set[int]()], ids=str)
def test_a_partial_batch_with_a_call_that_never_ran_stays_open(world: World, settled: set[int]) -> None:
    for index in settled or {0}:
        with part(world.executor()) as run:
            run.call(index, lambda: "done")
    assert not closed(world)


def test_a_partial_batch_with_a_failure_that_crashed_the_run_stays_open(world: World) -> None:
    executor = world.executor()
    for index in (0, 1):
        with part(executor) as run:
            run.call(index, lambda: "done")
    with part(executor) as run, pytest.raises(ZeroDivisionError):
        run.call(2, lambda: 1 // 0)
    assert not closed(world)
    with part(executor) as run:
        run.call(2, lambda: "at last")
    assert closed(world)


def test_a_partial_batch_with_a_call_of_unknown_outcome_stays_open_until_it_is_told(world: World) -> None:
    policies = {"t": ToolPolicy(on_unknown="fail")}
    run = part(world.executor(policies=policies), ("t", "t"))
    run.__enter__()

    def die() -> None:
        world.crash()
        raise Killed

    with pytest.raises(Killed):
        run.call(0, die)
    executor = world.executor(policies=policies)
    with part(executor, ("t", "t")) as run:
        run.call(1, lambda: "done")
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: "again")
    assert not closed(world)
    with part(executor, ("t", "t")) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: "again")
        run.deliver(0, "nobody knows")
    assert closed(world)


# --- waiting for the others -------------------------------------------------------------------------------------------------


def test_waiting_ends_when_the_calls_that_run_have_settled(world: World) -> None:
    async def main() -> list[str]:
        inside, release, seen = asyncio.Event(), asyncio.Event(), list[str]()
        executor = world.executor()

        async def slow() -> str:
            inside.set()
            await release.wait()
            seen.append("slow")
            return "slow"

        async def other() -> None:
            async with part(executor) as run:
                await run.acall(1, slow)

        async with part(executor) as run:
            task = asyncio.create_task(other())
            await inside.wait()
            waiting = asyncio.create_task(run.asettled())
            await asyncio.sleep(0)
            assert not waiting.done()
            release.set()
            await waiting
            seen.append("waited")
            await task
        return seen

    assert asyncio.run(main()) == ["slow", "waited"]


def test_waiting_covers_calls_that_began_while_it_waited(world: World) -> None:
    async def main() -> list[str]:
        first, second, seen = asyncio.Event(), asyncio.Event(), list[str]()
        inside = asyncio.Queue[int]()
        executor = world.executor()

        async def enter(index: int, until: asyncio.Event) -> None:
            async def code() -> str:
                inside.put_nowait(index)
                await until.wait()
                seen.append(f"call {index}")
                return ""

            async with part(executor) as run:
                await run.acall(index, code)

        async with part(executor) as run:
            tasks = [asyncio.create_task(enter(1, first))]
            await inside.get()
            waiting = asyncio.create_task(run.asettled())
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(enter(2, second)))
            await inside.get()
            first.set()
            await tasks[0]
            for _ in range(20):
                await asyncio.sleep(0)
            assert not waiting.done()
            second.set()
            await waiting
            seen.append("waited")
            await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(main()) == ["call 1", "call 2", "waited"]


def test_a_call_that_waits_from_inside_does_not_wait_for_itself(world: World) -> None:
    async def main() -> str:
        async with part(world.executor()) as run:

            async def code() -> str:
                await run.asettled()
                return "not waited for"

            return await asyncio.wait_for(run.acall(0, code), 10)

    assert asyncio.run(main()) == "not waited for"


def test_two_that_failed_do_not_wait_for_each_other(world: World) -> None:
    async def main() -> int:
        executor = world.executor()
        both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

        async def enter(index: int) -> None:
            async def code() -> None:
                if both is not None:
                    await both.wait()
                raise ConnectionError

            async with part(executor) as run:
                with pytest.raises(ConnectionError):
                    await run.acall(index, code)
                await run.asettled()

        await asyncio.wait_for(asyncio.gather(enter(0), enter(1)), 10)
        return 2

    assert asyncio.run(main()) == 2


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_threads_of_calls_that_timed_out_are_not_waited_for(world: World, when: str) -> None:
    policies = {"t": ToolPolicy(timeout=0.05)}
    release = threading.Event()
    with part(world.executor(policies=policies)) as run:

        def hang() -> None:
            with pytest.raises(CallTimedOut):
                run.call(0, lambda: release.wait(20))

        def wait() -> None:
            asyncio.run(asyncio.wait_for(run.asettled(), 10))

        try:
            if when == "before":
                hang()
                wait()
            else:
                with running(hang):
                    wait()
        finally:
            release.set()


def test_a_cancelled_wait_leaves_the_calls_alone(world: World) -> None:
    async def main() -> Any:
        inside, release = asyncio.Event(), asyncio.Event()
        async with part(world.executor()) as run:

            async def code() -> str:
                inside.set()
                await release.wait()
                return "done"

            task = asyncio.create_task(run.acall(0, code))
            await inside.wait()
            waiting = asyncio.create_task(run.asettled())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            release.set()
            return await task

    assert asyncio.run(main()) == "done"


def test_each_entrant_follows_the_policies_of_its_own_executor(world: World) -> None:
    """Hosts learn late which tools there are, so the first to open the batch may not know the tool of another call."""
    run = part(world.executor(), ("t", "late"))
    run.__enter__()

    def die() -> None:
        world.crash()
        raise Killed

    with pytest.raises(Killed):
        run.call(1, die)
    executor = world.executor()
    knowing = executor.with_policies({"late": ToolPolicy(on_unknown="ask")})
    with part(executor, ("t", "late")) as first, part(knowing, ("t", "late")) as second:
        assert first.call(0, lambda: "done") == "done"
        with pytest.raises(UnknownOutcome):
            second.call(1, lambda: "again")
