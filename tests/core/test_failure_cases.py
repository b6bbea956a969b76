"""What went wrong elsewhere, by the number of the case, where no other file of the core's tests holds it already."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from support.harness import World, batch, running
from toolslot import (
    BatchMismatch,
    CannotTell,
    Done,
    EventKind,
    JournalBusy,
    JsonCodec,
    MemoryJournal,
    NotDone,
    Slot,
    SlotState,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot._domain._policy import Answer
from toolslot.journal import Operation, TakeOver


class Killed(BaseException):
    """A process that dies inside a tool, seen from inside."""


@pytest.fixture
def world() -> World:
    return World()


def die_in_all(world: World, *tools: str, **settings: Any) -> None:
    """Begin every call of the batch, and end the process while all of them are in flight."""
    run = world.executor(**settings).open(batch(*tools))
    run.__enter__()
    begun = threading.Barrier(len(tools) + 1)
    dead = threading.Event()

    def fn() -> None:
        begun.wait(10)
        assert dead.wait(10)
        raise Killed

    def enter(index: int) -> None:
        with pytest.raises(Killed):
            run.call(index, fn)

    threads = [threading.Thread(target=enter, args=(i,)) for i in range(len(tools))]
    for thread in threads:
        thread.start()
    begun.wait(10)
    world.crash()
    dead.set()
    for thread in threads:
        thread.join(10)


def states(world: World, *tools: str) -> list[SlotState]:
    record = world.journals[-1].load(batch(*tools).key).result()
    assert record is not None
    return [slot.state for slot in record.slots]


class BrokenCodec(JsonCodec):
    """Breaks its contract: it fails with an error of its own on one value."""

    def encode(self, value: object) -> bytes:
        if value == 1:
            raise RuntimeError("a defect in somebody's codec")
        return super().encode(value)


def test_case_04_an_error_in_storing_one_result_touches_no_other_and_is_not_a_failure_of_the_call(
    world: World,
) -> None:
    runs: list[int] = []
    b = batch("t", "t", "t")
    executor = world.executor(codec=BrokenCodec())
    assert executor.run_all(b, {"t": lambda i: runs.append(i) or i}) == [0, 1, 2]
    assert states(world, "t", "t", "t") == [SlotState.SUCCEEDED] * 3
    assert world.executor(codec=BrokenCodec(), lossy_replay=True).run_all(
        b, {"t": lambda i: runs.append(i)}
    ) == [0, "1", 2]
    assert sorted(runs) == [0, 1, 2]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_case_08_calls_may_complete_in_any_order_and_replay_in_any_other(
    world: World, order: list[int]
) -> None:
    b = batch("t", "t", "t", "t")
    with world.executor().open(b) as run:
        for i in order:
            run.call(i, lambda i=i: f"result {i}")  # type: ignore[misc]
    with world.executor().open(b) as run:
        assert {i: run.call(i, lambda: "again") for i in reversed(order)} == {i: f"result {i}" for i in order}


def test_case_13_every_call_in_flight_follows_its_own_policy(world: World) -> None:
    def settings() -> dict[str, Any]:
        return {
            "policies": {
                "done": ToolPolicy(reconcile=lambda slot: Done("found")),
                "undone": ToolPolicy(reconcile=lambda slot: NotDone()),
                "fail": ToolPolicy(on_unknown="fail"),
                "ask": ToolPolicy(on_unknown="ask"),
                "idempotent": ToolPolicy(idempotent=True),
            }
        }

    tools = ("done", "undone", "fail", "ask", "rerun", "idempotent")
    die_in_all(world, *tools, **settings())
    ran: list[str] = []
    fns = {tool: (lambda i, tool=tool: ran.append(tool) or f"ran {tool}") for tool in tools}
    outcomes = world.executor(**settings()).run_all(batch(*tools), fns, return_exceptions=True)
    assert outcomes[0] == "found"
    assert outcomes[1] == "ran undone"
    assert [isinstance(o, UnknownOutcome) and o.ask for o in outcomes[2:4]] == [False, True]
    assert outcomes[4:] == ["ran rerun", "ran idempotent"]
    assert sorted(ran) == ["idempotent", "rerun", "undone"]


def test_case_15_a_tool_without_a_policy_is_not_rerun_in_silence(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    die_in_all(world, "pay", hooks=None)
    world.executor(hooks=None).run_all(batch("pay"), {"pay": lambda i: "ok"})
    (record,) = [r for r in caplog.records if "toolslot.rerun" in r.message]
    assert record.levelname == "WARNING"
    assert "'pay'" in record.message
    assert "ToolPolicy" in record.message


def test_case_20_a_call_that_was_left_out_does_not_shift_the_others(world: World) -> None:
    b = batch("t", "t", "t")
    world.executor().run_all(b, {"t": lambda i: i})
    shifted = replace(b, calls=(b.calls[1], b.calls[2], replace(b.calls[2], call_id="c9")))
    with pytest.raises(BatchMismatch, match="call id"):
        world.executor().run_all(shifted, {"t": lambda i: "again"})


class FailsOnce(MemoryJournal):
    """A journal that is not there when a takeover is tried for the first time."""

    failed = False

    def submit(self, operation: Operation[Any]) -> Future[Any]:
        if isinstance(operation, TakeOver) and not self.failed:
            self.failed = True
            future: Future[Any] = Future()
            future.set_exception(JournalBusy("the lock was not free"))
            return future
        return super().submit(operation)


def test_case_26_an_error_of_the_journal_during_recovery_strands_nothing(world: World) -> None:
    from toolslot import DurableExecutor

    die_in_all(world, "t", "t")
    journal = FailsOnce(world.store)
    executor = DurableExecutor(journal)
    with pytest.raises(JournalBusy):
        executor.run_all(batch("t", "t"), {"t": lambda i: i})
    assert executor.run_all(batch("t", "t"), {"t": lambda i: i}) == [0, 1]


def test_case_28_a_call_that_waits_for_its_turn_is_seen_as_reserved_and_one_that_runs_as_running(
    world: World,
) -> None:
    entered, release = threading.Event(), threading.Event()

    def tool(i: int) -> None:
        entered.set()
        assert release.wait(10)

    from toolslot import Limits

    executor = world.executor(limits=Limits(batch=1))
    with running(lambda: executor.run_all(batch("t", "t"), {"t": tool})):
        assert entered.wait(10)
        assert states(world, "t", "t") == [SlotState.RUNNING, SlotState.RESERVED]
        release.set()


def test_case_29_no_passing_of_time_permits_a_second_run(world: World) -> None:
    policies = {"pay": ToolPolicy(on_unknown="fail")}
    die_in_all(world, "pay", policies=policies)
    for _ in range(3):  # however often it is tried: nothing here looks at a clock
        outcomes = world.executor(policies=policies).run_all(
            batch("pay"), {"pay": lambda i: "paid"}, return_exceptions=True
        )
        assert isinstance(outcomes[0], UnknownOutcome)


def test_case_32_permission_to_run_again_is_used_up_by_one_run(world: World) -> None:
    policies = {"pay": ToolPolicy(on_unknown="ask")}
    die_in_all(world, "pay", policies=policies)
    with world.executor(policies=policies).open(batch("pay")) as run:
        with pytest.raises(UnknownOutcome) as first:
            run.call(0, lambda: "paid")
        run.decide(0, NotDone(), by="ada", why="not at the bank", version=first.value.version)
    die_in_all(world, "pay", policies=policies)
    with world.executor(policies=policies).open(batch("pay")) as run, pytest.raises(UnknownOutcome) as second:
        run.call(0, lambda: "paid")
    assert second.value.version > first.value.version


def test_a_reconciler_sees_results_that_came_too_late(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    seen: list[Slot] = []

    def reconcile(slot: Slot) -> Answer:
        seen.append(slot)
        return CannotTell()

    policies = {"pay": ToolPolicy(reconcile=reconcile)}

    def slow(i: int) -> str:
        entered.set()
        assert release.wait(10)
        return "receipt 7"

    with running(
        lambda: world.executor(policies=policies).run_all(batch("pay"), {"pay": slow}, return_exceptions=True)
    ):
        assert entered.wait(10)
        with world.executor().open(batch("pay")) as run:
            run.takeover(force=True, why="it hangs")
        release.set()
    world.executor(policies=policies).run_all(batch("pay"), {"pay": slow}, return_exceptions=True)
    assert [evidence.value for evidence in seen[-1].evidence] == ["receipt 7"]
    assert EventKind.LATE_RESULT in world.events.kinds()
