"""A batch run: replay, run, reconcile, ask, wait; sync and async alike."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from support.harness import Events, World, batch, running

from toolslot import (
    BatchBusy,
    BatchClosed,
    BatchMismatch,
    BatchRun,
    CallTimedOut,
    CannotTell,
    DecisionRefused,
    Done,
    DurableExecutor,
    EventKind,
    Failed,
    Fenced,
    Limits,
    NotDone,
    Reason,
    Slot,
    SlotState,
    StillRunning,
    ToolFailed,
    ToolPolicy,
    UnknownOutcome,
    current_call,
)
from toolslot._policy import Answer


class Killed(BaseException):
    """What a process that dies inside a tool looks like from inside: nothing after it runs."""


@pytest.fixture
def world() -> World:
    return World()


def die_inside(world: World, executor: DurableExecutor, index: int = 0, **kwargs: Any) -> None:
    """Enter call `index` so that its start mark is durable and its code entered, and end the process there."""
    run = executor.open(batch(*["pay"] * (index + 1), **kwargs))
    run.__enter__()

    def fn() -> str:
        world.effects.append("pay")
        world.crash()  # from here on this process can write nothing
        raise Killed

    with pytest.raises(Killed):
        run.call(index, fn)


@pytest.fixture(params=["sync", "async"])
def enter(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """One call of a batch, entered the sync or the async way."""

    def sync(executor: DurableExecutor, b: Any, index: int, fn: Callable[[], Any], **kwargs: Any) -> Any:
        with executor.open(b) as run:
            return run.call(index, fn, **kwargs)

    def in_loop(executor: DurableExecutor, b: Any, index: int, fn: Callable[[], Any], **kwargs: Any) -> Any:
        async def afn() -> Any:
            value = fn()
            return await value if inspect.isawaitable(value) else value

        async def main() -> Any:
            async with executor.open(b) as run:
                return await run.acall(index, afn, **kwargs)

        return asyncio.run(main())

    return sync if request.param == "sync" else in_loop


# --- results --------------------------------------------------------------------------------------------------------------


def test_a_recorded_result_replays_and_the_tool_does_not_run(world: World, enter: Any) -> None:
    b = batch("pay")
    first = enter(world.executor(), b, 0, lambda: world.effects.append("pay") or {"receipt": 7})
    second = enter(world.executor(), b, 0, lambda: world.effects.append("pay") or {"receipt": 8})
    assert first == second == {"receipt": 7}
    assert world.effects == ["pay"]
    assert world.events.kinds() == [EventKind.RESERVED, EventKind.STARTED, EventKind.FINISHED, EventKind.REPLAYED]


def test_a_failure_turned_into_an_answer_is_a_result_and_replays(world: World, enter: Any) -> None:
    b = batch("pay")
    for _ in range(2):
        value = enter(world.executor(), b, 0, lambda: world.effects.append("x") or "error: no funds", is_error=lambda v: "error" in v)
        assert value == "error: no funds"
    assert world.effects == ["x"]
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.FAILED
    assert not record.slots[0].escaped


def test_a_failure_that_escapes_surfaces_and_is_retried_on_resume_by_default(world: World, enter: Any) -> None:
    b = batch("pay")

    def fails() -> Any:
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route"):
        enter(world.executor(), b, 0, fails)
    assert enter(world.executor(), b, 0, lambda: "paid") == "paid"


def test_a_failure_that_escapes_can_be_replayed_instead(world: World, enter: Any) -> None:
    b, policies = batch("pay"), {"pay": ToolPolicy(on_failed="replay")}

    def fails() -> Any:
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError):
        enter(world.executor(policies=policies), b, 0, fails)
    with pytest.raises(ToolFailed, match="no route") as raised:
        enter(world.executor(policies=policies), b, 0, lambda: world.effects.append("x"))
    assert raised.value.error_type == "builtins.ConnectionError"
    assert world.effects == []


def test_a_failure_that_may_have_had_its_effect_is_not_retried_where_that_would_hurt(world: World, enter: Any) -> None:
    b, policies = batch("pay"), {"pay": ToolPolicy(on_unknown="ask")}

    def fails() -> Any:
        raise TimeoutError("read timed out")

    with pytest.raises(TimeoutError):
        enter(world.executor(policies=policies), b, 0, fails)
    with pytest.raises(UnknownOutcome) as raised:
        enter(world.executor(policies=policies), b, 0, lambda: world.effects.append("x"))
    assert raised.value.ask
    assert world.effects == []
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.UNKNOWN
    assert record.slots[0].reason is Reason.ESCAPED


def test_a_failure_that_certainly_did_nothing_is_retried(world: World, enter: Any) -> None:
    b, policies = batch("pay"), {"pay": ToolPolicy(on_unknown="ask", not_done=ConnectionRefusedError)}

    def fails() -> Any:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        enter(world.executor(policies=policies), b, 0, fails)
    assert enter(world.executor(policies=policies), b, 0, lambda: "paid") == "paid"


# --- calls of unknown outcome ---------------------------------------------------------------------------------------------


def test_a_call_that_left_no_record_is_rerun_by_default_and_never_silently(world: World, enter: Any) -> None:
    die_inside(world, world.executor())
    assert enter(world.executor(), batch("pay"), 0, world.tool("pay", "ok")) == "ok"
    assert world.effects == ["pay", "pay"]
    (event,) = world.events.calls(EventKind.RERUN)
    assert "ToolPolicy" in event.detail


@pytest.mark.parametrize(("rule", "ask"), [("fail", False), ("ask", True)])
def test_a_call_that_left_no_record_stops_where_the_policy_says_so(world: World, enter: Any, rule: Any, ask: bool) -> None:
    policies = {"pay": ToolPolicy(on_unknown=rule)}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome) as raised:
        enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    assert raised.value.ask is ask
    assert raised.value.idempotency_key in str(raised.value)
    assert world.effects == ["pay"]


def test_a_reconciler_that_knows_the_result_settles_the_call(world: World, enter: Any) -> None:
    asked: list[Slot] = []

    def reconcile(slot: Slot) -> Answer:
        asked.append(slot)
        return Done({"receipt": 1})

    policies = {"pay": ToolPolicy(reconcile=reconcile)}
    die_inside(world, world.executor(policies=policies))
    for _ in range(2):
        assert enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay")) == {"receipt": 1}
    assert world.effects == ["pay"]
    (slot,) = asked
    assert (slot.tool, slot.args, slot.call_id, slot.attempt, slot.run_id) == ("pay", {"i": 0}, "c0", 1, "run-1")
    assert slot.started_at is not None
    assert slot.idempotency_key.startswith("ts_")


def test_an_async_reconciler_works_in_both_worlds(world: World, enter: Any) -> None:
    async def reconcile(slot: Slot) -> Answer:
        await asyncio.sleep(0)
        return Done("found")

    policies = {"pay": ToolPolicy(reconcile=reconcile)}
    die_inside(world, world.executor(policies=policies))
    assert enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay")) == "found"


def test_a_reconciler_that_says_not_done_has_the_call_run(world: World, enter: Any) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: NotDone())}
    die_inside(world, world.executor(policies=policies))
    assert enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay", "ok")) == "ok"
    assert world.effects == ["pay", "pay"]


def test_a_reconciler_that_says_failed_settles_the_call_as_failed(world: World, enter: Any) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: Failed("card declined"))}
    die_inside(world, world.executor(policies=policies))
    for _ in range(2):
        with pytest.raises(ToolFailed, match="card declined"):
            enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    assert world.effects == ["pay"]


@pytest.mark.parametrize("answer", [CannotTell(), "done", None])
def test_a_reconciler_that_cannot_tell_leaves_it_to_the_policy(world: World, enter: Any, answer: Any) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: answer)}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome):
        enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    assert world.effects == ["pay"]


def test_case_14_a_reconciler_that_raises_could_not_tell_and_the_call_did_not_fail(world: World, enter: Any) -> None:
    def reconcile(slot: Slot) -> Answer:
        raise OSError("bank unreachable")

    policies = {"pay": ToolPolicy(reconcile=reconcile)}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome):
        enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    record = world.journals[-1].load(batch("pay").key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.UNKNOWN
    later = {"pay": ToolPolicy(reconcile=lambda slot: Done("it was done"))}
    assert enter(world.executor(policies=later), batch("pay"), 0, world.tool("pay")) == "it was done"


def test_a_reconciler_that_says_still_running_is_asked_again(world: World, enter: Any) -> None:
    answers: list[Answer] = [StillRunning(retry_after=0.01), StillRunning(retry_after=0.01), Done("ok")]
    policies = {"pay": ToolPolicy(reconcile=lambda slot: answers.pop(0))}
    die_inside(world, world.executor(policies=policies))
    assert enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay")) == "ok"
    assert answers == []


def test_still_running_at_the_deadline_stays_unknown_and_is_not_rerun(world: World, enter: Any) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: StillRunning(retry_after=0.02), on_unknown="rerun")}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome):
        enter(world.executor(policies=policies, limits=Limits(batch_timeout=0.1)), batch("pay"), 0, world.tool("pay"))
    assert world.effects == ["pay"]


def test_still_running_at_the_deadline_is_the_calls_error_where_the_policy_says_fail(world: World, enter: Any) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: StillRunning(retry_after=0.02), on_unknown="fail")}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome) as raised:
        enter(world.executor(policies=policies, limits=Limits(batch_timeout=0.1)), batch("pay"), 0, world.tool("pay"))
    assert not raised.value.ask


def test_a_call_that_never_started_is_run_without_asking(world: World, enter: Any) -> None:
    asked: list[int] = []
    policies = {"pay": ToolPolicy(reconcile=lambda slot: asked.append(slot.index) or CannotTell())}
    die_inside(world, world.executor(policies=policies), index=0)
    with suppress(UnknownOutcome):
        enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    assert asked == [0]
    assert enter(world.executor(policies=policies), batch("pay", key="b-2"), 0, world.tool("pay", 1)) == 1
    assert asked == [0]


# --- decisions --------------------------------------------------------------------------------------------------------------


def unknown_run(world: World) -> BatchRun:
    policies = {"pay": ToolPolicy(on_unknown="ask")}
    die_inside(world, world.executor(policies=policies))
    return world.executor(policies=policies).open(batch("pay"))


def test_a_decision_settles_an_unknown_call(world: World) -> None:
    with unknown_run(world) as run:
        with pytest.raises(UnknownOutcome) as raised:
            run.call(0, world.tool("pay"))
        run.decide(0, Done("receipt"), by="ada", why="the bank says so", version=raised.value.version)
        assert run.call(0, world.tool("pay")) == "receipt"
    assert world.effects == ["pay"]


def test_a_decision_to_rerun_runs_the_call(world: World) -> None:
    with unknown_run(world) as run:
        with pytest.raises(UnknownOutcome) as raised:
            run.call(0, world.tool("pay"))
        run.decide(0, NotDone(), by="ada", why="not at the bank", version=raised.value.version)
        assert run.call(0, world.tool("pay", "ok")) == "ok"
    assert world.effects == ["pay", "pay"]


def test_case_30_a_stale_or_repeated_decision_is_refused(world: World) -> None:
    with unknown_run(world) as run:
        with pytest.raises(UnknownOutcome) as raised:
            run.call(0, world.tool("pay"))
        version = raised.value.version
        with pytest.raises(DecisionRefused, match="version"):
            run.decide(0, Done("x"), by="ada", why="", version=version - 1)
        run.decide(0, Done("receipt"), by="ada", why="", version=version)
        with pytest.raises(DecisionRefused, match="succeeded"):
            run.decide(0, NotDone(), by="bob", why="", version=version)
        assert run.call(0, world.tool("pay")) == "receipt"


# --- identity -----------------------------------------------------------------------------------------------------------------


def test_case_09_two_calls_with_the_same_tool_and_arguments_both_run(world: World) -> None:
    b = batch("pay", "pay", args={"amount": 5})
    counter = iter(range(10))
    with world.executor().open(b) as run:
        assert [run.call(i, lambda: next(counter)) for i in range(2)] == [0, 1]


def test_case_22_two_calls_with_the_same_call_id_each_get_their_own_result(world: World) -> None:
    from dataclasses import replace

    b = batch("pay", "pay")
    b = replace(b, calls=tuple(replace(call, call_id="call_0") for call in b.calls))
    with world.executor().open(b) as run:
        first = [run.call(i, lambda i=i: f"result {i}") for i in range(2)]  # type: ignore[misc]
    with world.executor().open(b) as run:
        assert [run.call(i, lambda: "again") for i in range(2)] == first == ["result 0", "result 1"]


def test_case_11_changed_arguments_raise_in_strict_matching(world: World, enter: Any) -> None:
    enter(world.executor(), batch("pay", args={"amount": 5}), 0, world.tool("pay"))
    with pytest.raises(BatchMismatch, match="arguments"):
        enter(world.executor(), batch("pay", args={"amount": 6}), 0, world.tool("pay"))
    assert world.effects == ["pay"]


def test_case_11_changed_arguments_take_a_new_generation_in_lenient_matching(world: World, enter: Any) -> None:
    old, new = batch("pay", args={"amount": 5}), batch("pay", args={"amount": 6})
    keys: list[str] = []

    def tool() -> str:
        keys.append(current_call().idempotency_key)
        return f"paid {len(keys)}"

    class Boom(Exception):
        pass

    def first() -> str:
        keys.append(current_call().idempotency_key)
        raise Boom

    with pytest.raises(Boom):
        enter(world.executor(), old, 0, first)
    assert enter(world.executor(on_mismatch="lenient"), new, 0, tool) == "paid 2"
    assert enter(world.executor(on_mismatch="lenient"), new, 0, tool) == "paid 2"
    assert world.events.kinds().count(EventKind.MISMATCH) == 1
    assert len(set(keys)) == 2


def test_another_number_of_calls_is_a_mismatch(world: World) -> None:
    with world.executor().open(batch("pay", "pay")):
        pass
    with pytest.raises(BatchMismatch, match="2 calls, now 3"), world.executor().open(batch("pay", "pay", "pay")):
        pass


def test_the_idempotency_key_is_stable_over_attempts_and_processes(world: World, enter: Any) -> None:
    keys: list[str] = []

    def note() -> str:
        keys.append(current_call().idempotency_key)
        if len(keys) < 3:
            raise ValueError
        return "ok"

    for _ in range(2):
        with pytest.raises(ValueError):
            enter(world.executor(), batch("pay"), 0, note)
    enter(world.executor(), batch("pay"), 0, note)
    assert len(set(keys)) == 1
    enter(world.executor(), batch("pay", key="other"), 0, note)
    assert len(set(keys)) == 2


def test_current_call_tells_the_attempt_and_is_gone_outside(world: World, enter: Any) -> None:
    seen = enter(world.executor(), batch("pay"), 0, lambda: current_call().attempt)
    assert seen == 1
    with pytest.raises(LookupError):
        current_call()


# --- owners ---------------------------------------------------------------------------------------------------------------------


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
        with world.executor(limits=Limits(busy_timeout=0.05)).open(batch("pay")) as run, pytest.raises(BatchBusy, match="alive"):
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


# --- timeouts and cancellation --------------------------------------------------------------------------------------------------


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
