"""Who may work on a batch, what time does to a call, and what hooks are told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from support.harness import Events, World, batch, running
from toolslot import (
    BatchBusy,
    BatchClosed,
    CallTimedOut,
    EventKind,
    Fenced,
    Limits,
    Reason,
    SlotState,
    ToolPolicy,
)
from toolslot._batch._steps import drive
from toolslot._domain._plan import Standing


def test_case_34_a_call_another_living_owner_runs_is_waited_for_and_then_refused(world: World) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "first"

    def first() -> None:
        with world.executor().open(batch("pay")) as run:
            assert run.call(0, slow) == "first"

    with running(first):
        assert entered.wait(10)
        with (
            world.executor(limits=Limits(busy_timeout=0.05)).open(batch("pay")) as run,
            pytest.raises(BatchBusy, match="alive"),
        ):
            run.call(0, lambda: "second")
        release.set()
    with world.executor().open(batch("pay")) as run:
        assert run.call(0, lambda: "third") == "first"


def test_a_waiting_process_gets_the_result_of_the_one_that_works(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "first"

    def first() -> None:
        with world.executor().open(batch("pay")) as run:
            run.call(0, slow)

    def second() -> None:
        with world.executor().open(batch("pay")) as run:
            got.append(run.call(0, lambda: "second"))

    with running(first):
        assert entered.wait(10)
        with running(second):
            release.set()
    assert got == ["first"]


def test_an_entrant_that_saw_the_batch_free_does_not_take_it_from_who_lives_and_has_it_by_now(
    world: World,
) -> None:
    """Of two entrants that both saw a dead owner, the second comes when the first has learnt that another process was quicker."""
    with world.executor().open(batch("pay", "mail")) as first:
        first.call(0, lambda: "paid")
        world.crash()
    late = world.executor()
    with late.open(batch("pay", "mail")) as run:
        live = run._opened
        assert live.standing() is Standing.FREE
        with world.executor().open(batch("pay", "mail")) as quicker:
            quicker.takeover(why="it is quicker")
            drive(live.claiming())  # the first entrant: the journal tells it who has the batch
            assert live.standing() is Standing.TAKEN
            drive(live.claiming())  # the second, which had seen the batch free
            assert live.standing() is Standing.TAKEN
            assert quicker.call(1, lambda: "mailed by who has it") == "mailed by who has it"
    with world.executor().open(batch("pay", "mail")) as run:
        assert [tenure.epoch for tenure in run.record.tenures] == [1, 2]


def test_an_owner_that_lives_is_not_taken_over_to_close_its_batch(world: World) -> None:
    with world.executor().open(batch("pay")) as first:
        first.call(0, lambda: "paid")
        world.crash()
    with world.executor().open(batch("pay")) as run:
        assert run.call(0, lambda: "again") == "paid"
        with world.executor().open(batch("pay")) as quicker:
            quicker.takeover(why="it is quicker")
            run.release()
            assert quicker.record.fence.epoch == 2
            drive(quicker._opened.refreshing())
            assert quicker.record.fence.epoch == 2


def test_case_24_an_owner_that_was_taken_over_changes_nothing_and_learns_it(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "old owner"

    def first() -> None:
        with world.executor().open(batch("pay")) as run:
            try:
                run.call(0, slow)
            except Fenced as error:
                errors.append(error)

    with running(first):
        assert entered.wait(10)
        with world.executor().open(batch("pay")) as run:
            run.takeover(force=True, why="it hangs")
            assert run.call(0, lambda: "new owner") == "new owner"
            release.set()
    assert len(errors) == 1
    record = world.journals[-1].load(batch("pay").key).result()
    assert record is not None
    (slot,) = record.slots
    assert slot.state is SlotState.SUCCEEDED
    assert len(record.tenures) == 2
    with world.executor().open(batch("pay")) as run:
        assert run.call(0, lambda: "again") == "new owner"


def test_entrants_of_one_process_share_one_attempt(world: World) -> None:
    executor = world.executor()
    barrier = threading.Barrier(8)
    got: list[str] = []

    def enter_too() -> None:
        with executor.open(batch("pay")) as run:
            barrier.wait(10)
            got.append(run.call(0, world.tool("pay", "once")))

    threads = [threading.Thread(target=enter_too) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == ["once"] * 8
    assert world.effects == ["pay"]


def test_a_batch_whose_answers_were_all_handed_over_is_closed(world: World) -> None:
    with world.executor().open(batch("pay", "read")) as run:
        run.call(0, lambda: 1)
        run.call(1, lambda: 2)
    record = world.journals[-1].load(batch("pay", "read").key).result()
    assert record is not None
    assert record.fence.closed
    assert not record.fence.held


def test_a_batch_with_an_open_question_is_let_go_but_not_closed(world: World) -> None:
    with world.executor().open(batch("pay", "read")) as run:
        run.call(0, lambda: 1)
    record = world.journals[-1].load(batch("pay", "read").key).result()
    assert record is not None
    assert not record.fence.closed
    assert not record.fence.held


def test_nothing_of_an_abandoned_batch_runs(world: World) -> None:
    from toolslot.journal import Release

    with world.executor().open(batch("pay")) as run:
        key, epoch = run.key, run.record.fence.epoch
    world.journals[-1].submit(Release(key=key, epoch=epoch, closed=True)).result()
    with world.executor().open(batch("pay")) as run, pytest.raises(BatchClosed):
        run.call(0, world.tool("pay"))
    assert world.effects == []


def test_case_02_a_timeout_is_unknown_and_a_late_result_counts_after_all(world: World) -> None:
    release, done = threading.Event(), threading.Event()
    policies = {"pay": ToolPolicy(timeout=0.05, on_unknown="ask")}
    executor = world.executor(policies=policies)

    def slow() -> str:
        assert release.wait(10)
        world.effects.append("pay")
        return "late"

    with executor.open(batch("pay")) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, slow)
        assert run.slot(0).state is SlotState.UNKNOWN
        assert run.slot(0).reason is Reason.TIMED_OUT

    def resume() -> None:
        with executor.open(batch("pay")) as run:
            assert run.call(0, world.tool("again")) == "late"
        done.set()

    with running(resume):
        release.set()
    assert done.is_set()
    assert world.effects == ["pay"]


def test_case_02_an_async_call_that_times_out_is_unknown(world: World) -> None:
    policies = {"pay": ToolPolicy(timeout=0.05, on_unknown="fail")}

    async def slow() -> str:
        await asyncio.sleep(60)
        return "never"

    async def main() -> None:
        async with world.executor(policies=policies).open(batch("pay")) as run:
            with pytest.raises(CallTimedOut):
                await run.acall(0, slow)
            assert run.slot(0).state is SlotState.UNKNOWN

    asyncio.run(main())


def test_a_tools_own_timeout_error_is_a_failure_not_a_timeout(world: World, enter: Any) -> None:
    def fails() -> Any:
        raise TimeoutError("the tool's own")

    with pytest.raises(TimeoutError, match="the tool's own"):
        enter(world.executor(policies={"pay": ToolPolicy(timeout=30)}), batch("pay"), 0, fails)


def test_case_36_a_timed_out_thread_keeps_its_permit_until_it_returns(world: World) -> None:
    release = threading.Event()
    policies = {"pay": ToolPolicy(timeout=0.05, max_parallel=1)}
    executor = world.executor(policies=policies, limits=Limits(batch_timeout=0.3))
    pool = executor._engine().pool
    before = pool.running
    with executor.open(batch("pay", "pay")) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, lambda: release.wait(10))
        assert pool.running == before + 1
        with pytest.raises(TimeoutError) if False else pytest.raises(Exception, match="deadline"):
            run.call(1, lambda: "must wait")
        release.set()


def test_a_cancelled_async_call_is_unknown(world: World) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def slow() -> None:
            entered.set()
            await asyncio.sleep(60)

        async with world.executor().open(batch("pay")) as run:
            task = asyncio.create_task(run.acall(0, slow))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.slot(0).state is SlotState.UNKNOWN
            assert run.slot(0).reason is Reason.CANCELLED

    asyncio.run(main())


def test_case_01_calls_not_started_at_the_deadline_stay_reserved_and_run_on_resume(world: World) -> None:
    release = threading.Event()
    tools = {"pay": lambda i: release.wait(10) if i < 2 else i}
    b = batch(*["pay"] * 10)
    executor = world.executor(limits=Limits(batch=2, batch_timeout=0.15))
    outcomes = executor.run_all(b, tools, return_exceptions=True)
    assert sum(isinstance(o, CallTimedOut) for o in outcomes) == 2
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert [slot.state for slot in record.slots].count(SlotState.RESERVED) == 8
    release.set()
    again = executor.run_all(b, {"pay": lambda i: f"done {i}"}, return_exceptions=True)
    assert again[2:] == [f"done {i}" for i in range(2, 10)]


def test_hooks_that_raise_do_not_touch_the_calls(world: World, enter: Any) -> None:
    def bad(event: Any) -> None:
        raise RuntimeError("hook")

    events = Events()
    assert enter(world.executor(hooks=[bad, events]), batch("pay"), 0, lambda: 1) == 1
    assert EventKind.FINISHED in events.kinds()


def test_case_35_replays_are_marked_in_events(world: World, enter: Any) -> None:
    enter(world.executor(), batch("pay"), 0, lambda: 1)
    world.events.all.clear()
    enter(world.executor(), batch("pay"), 0, lambda: 1)
    assert world.events.kinds() == [EventKind.REPLAYED]
    batch_event = world.events.all[-1]
    assert batch_event.calls[0].replayed  # type: ignore[union-attr]


def test_every_call_of_an_owner_that_was_taken_over_learns_it_and_none_takes_the_batch_back(
    world: World,
) -> None:
    entered, release = threading.Semaphore(0), threading.Event()

    def slow(i: int) -> str:
        world.effects.append("pay")
        entered.release()
        assert release.wait(10)
        return "too late"

    outcomes: list[Any] = []
    first = world.executor(policies={"pay": ToolPolicy(on_unknown="rerun")})
    b = batch("pay", "pay", "pay")
    with running(lambda: outcomes.extend(first.run_all(b, {"pay": slow}, return_exceptions=True))):
        for _ in range(3):
            assert entered.acquire(timeout=10)
        with world.executor().open(b) as run:
            run.takeover(force=True, why="it hangs")
        release.set()
    assert [type(outcome) for outcome in outcomes] == [Fenced] * 3
    assert world.effects == ["pay"] * 3, "nothing ran again"
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert len(record.tenures) == 2
