"""run_all and arun_all: everything settles and results come in call order."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
import tenacity

from support.harness import World, batch, both, run_async, running, square
from toolslot import (
    BatchTimedOut,
    Draining,
    DurableExecutor,
    EventKind,
    InvalidArguments,
    InvalidSetting,
    Limits,
    NotDone,
    Rate,
    ResultNotStorable,
    Retry,
    SlotState,
    ToolPolicy,
    current_call,
)


@both
def test_case_21_results_come_in_call_order_whatever_the_order_of_completion(
    world: World, run: Callable[..., Any]
) -> None:
    done: list[threading.Event] = [threading.Event() for _ in range(6)]

    def tool(i: int) -> int:
        if i < 5:
            assert done[i + 1].wait(10)  # the last call finishes first
        done[i].set()
        return i

    b = batch(*["t"] * 6)
    assert run(world.executor(), b, {"t": tool}) == list(range(6))
    assert run(world.executor(), b, {"t": tool}) == list(range(6))


@both
def test_case_12_one_failure_neither_cancels_nor_loses_its_siblings(
    world: World, run: Callable[..., Any]
) -> None:
    failed = threading.Event()

    def tool(i: int) -> int:
        world.effects.append(str(i))
        if i in (1, 3):
            failed.set()
            raise ValueError(f"call {i}")
        assert failed.wait(10)
        return i

    b = batch(*["t"] * 5)
    with pytest.raises(ValueError, match="call 1"):
        run(world.executor(), b, {"t": tool})
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert [slot.state for slot in record.slots] == [
        SlotState.SUCCEEDED, SlotState.FAILED, SlotState.SUCCEEDED, SlotState.FAILED, SlotState.SUCCEEDED,
    ]  # fmt: skip
    world.effects.clear()
    assert run(world.executor(), b, {"t": lambda i: world.effects.append(str(i)) or i * 10}) == [
        0,
        10,
        2,
        30,
        4,
    ]
    assert sorted(world.effects) == ["1", "3"]


@both
def test_failures_can_be_had_in_their_places(world: World, run: Callable[..., Any]) -> None:
    def tool(i: int) -> int:
        if i == 1:
            raise KeyError("x")
        return i

    outcomes = run(world.executor(), batch("t", "t", "t"), {"t": tool}, return_exceptions=True)
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], KeyError)
    assert outcomes[2] == 2


@both
def test_an_unknown_tool_is_refused_before_anything_is_reserved(
    world: World, run: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidSetting, match=r"'nope'.*read"):
        run(world.executor(), batch("read", "nope"), {"read": lambda i: i})
    assert world.store.batches == {}


@both
def test_arguments_that_do_not_fit_do_not_enter_the_tool_and_may_be_tried_again(
    world: World, run: Callable[..., Any]
) -> None:
    policies = {"pay": ToolPolicy(on_unknown="ask")}
    with pytest.raises(InvalidArguments, match="pay"):
        run(world.executor(policies=policies), batch("pay"), {"pay": lambda amount: amount})
    assert run(world.executor(policies=policies), batch("pay"), {"pay": lambda i: i}) == [0]


def test_an_async_tool_needs_the_async_front_door(world: World) -> None:
    async def tool(i: int) -> int:
        return i

    with pytest.raises(InvalidSetting, match="arun_all"):
        world.executor().run_all(batch("t"), {"t": tool})


def test_async_tools_are_awaited_and_sync_ones_run_beside_them(world: World) -> None:
    async def a(i: int) -> str:
        await asyncio.sleep(0)
        return f"a{i}"

    def s(i: int) -> str:
        return f"s{i}@{threading.current_thread() is threading.main_thread()}"

    assert run_async(world.executor(), batch("a", "s"), {"a": a, "s": s}) == ["a0", "s1@False"]


@both
def test_an_empty_batch_is_no_work(world: World, run: Callable[..., Any]) -> None:
    assert run(world.executor(), batch(), {}) == []


@both
def test_a_result_that_cannot_be_stored_reaches_the_agent_and_never_runs_again(
    world: World, run: Callable[..., Any]
) -> None:
    class Opaque:
        def __repr__(self) -> str:
            return "<opaque>"

    live = Opaque()
    b = batch("t", "u")
    tools = {"t": lambda i: world.effects.append("t") or live, "u": lambda i: i}
    assert run(world.executor(), b, tools)[0] is live
    assert world.events.calls(EventKind.NOT_STORABLE)
    outcomes = run(world.executor(), b, tools, return_exceptions=True)
    assert isinstance(outcomes[0], ResultNotStorable)
    assert outcomes[1] == 1
    assert run(world.executor(lossy_replay=True), b, tools)[0] == "<opaque>"
    assert world.effects == ["t"]


@both
def test_retries_follow_tenacitys_objects(world: World, run: Callable[..., Any]) -> None:
    attempts: list[int] = []

    def tool(i: int) -> str:
        attempts.append(current_call().attempt)
        if len(attempts) < 3:
            raise ConnectionError
        return "ok"

    retry = tenacity.Retrying(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_fixed(0.001))
    assert run(world.executor(policies={"t": ToolPolicy(retry=retry)}), batch("t"), {"t": tool}) == ["ok"]
    assert attempts == [1, 2, 3]


@both
def test_retries_end_with_the_tools_own_error(world: World, run: Callable[..., Any]) -> None:
    def tool(i: int) -> None:
        world.effects.append("t")
        raise ConnectionError("down")

    with pytest.raises(ConnectionError, match="down"):
        run(world.executor(policies={"t": ToolPolicy(retry=Retry(stop=3))}), batch("t"), {"t": tool})
    assert world.effects == ["t"] * 3


@both
def test_a_call_that_may_have_had_its_effect_is_not_retried_where_that_would_hurt(
    world: World, run: Callable[..., Any]
) -> None:
    def tool(i: int) -> None:
        world.effects.append("t")
        raise TimeoutError("read")

    policies = {"t": ToolPolicy(retry=Retry(stop=3), on_unknown="ask")}
    with pytest.raises(TimeoutError, match="read"):
        run(world.executor(policies=policies), batch("t"), {"t": tool})
    assert world.effects == ["t"]


@both
def test_a_reconciler_is_asked_before_a_retry(world: World, run: Callable[..., Any]) -> None:
    def tool(i: int) -> str:
        world.effects.append("t")
        if len(world.effects) == 1:
            raise TimeoutError("read")
        return "ok"

    asked: list[int] = []
    policies = {
        "t": ToolPolicy(retry=Retry(stop=3), reconcile=lambda slot: asked.append(slot.attempt) or NotDone())
    }
    assert run(world.executor(policies=policies), batch("t"), {"t": tool}) == ["ok"]
    assert (world.effects, asked) == (["t", "t"], [1])


def test_idempotent_tools_skip_the_start_mark(world: World) -> None:
    executor = world.executor(policies={"read": ToolPolicy(idempotent=True)})
    assert executor.run_all(batch("read"), {"read": lambda i: i}) == [0]
    record = world.journals[-1].load(batch("read").key).result()
    assert record is not None
    assert record.manifest.specs[0].idempotent
    assert EventKind.STARTED not in world.events.kinds()
    assert executor.run_all(batch("read"), {"read": lambda i: 99}) == [0]


def test_idempotent_tools_that_fail_are_tried_again_on_resume(world: World) -> None:
    executor = world.executor(policies={"read": ToolPolicy(idempotent=True)})

    def fails(i: int) -> None:
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            executor.run_all(batch("read"), {"read": fails})
    assert executor.run_all(batch("read"), {"read": lambda i: i}) == [0]


def test_sync_tools_can_run_in_a_process_pool(world: World) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        outcomes = world.executor(executor=pool).run_all(batch("t", "t"), {"t": square})
    assert [value for value, _ in outcomes] == [0, 1]
    assert all(pid != os.getpid() for _, pid in outcomes)


def test_draining_starts_nothing_more_and_waits_for_what_runs(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    executor = world.executor(limits=Limits(batch=1))
    outcomes: list[Any] = []

    def tool(i: int) -> int:
        entered.set()
        assert release.wait(10)
        return i

    with running(
        lambda: outcomes.extend(executor.run_all(batch("t", "t"), {"t": tool}, return_exceptions=True))
    ):
        assert entered.wait(10)
        assert not executor.drain(0.01)
        release.set()
        assert executor.drain(10)
    assert outcomes[0] == 0
    assert isinstance(outcomes[1], Draining)
    assert world.executor().run_all(batch("t", "t"), {"t": lambda i: i * 7}) == [0, 7]


def test_case_16_a_batch_left_without_its_end_still_records(world: World) -> None:
    run = world.executor().open(batch("t", "t"))
    run.__enter__()
    assert run.call(0, lambda: "kept") == "kept"
    del run
    record = world.journals[-1].load(batch("t", "t").key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.SUCCEEDED


def test_case_07_the_same_batch_can_go_on_with_another_degree_of_parallelism(world: World) -> None:
    def tool(i: int) -> int:
        world.effects.append(str(i))
        if i == 2 and len(world.effects) < 5:
            raise ValueError
        return i

    b = batch(*["t"] * 4)
    with pytest.raises(ValueError):
        world.executor(limits=Limits(batch=4)).run_all(b, {"t": tool})
    assert world.executor(limits=Limits(batch=1)).run_all(b, {"t": tool}) == [0, 1, 2, 3]
    assert sorted(world.effects) == ["0", "1", "2", "2", "3"]


def test_a_journal_can_be_given_as_nothing_and_is_opened_late(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "home"))
    executor = DurableExecutor()
    assert not (tmp_path / "home").exists()
    try:
        assert executor.run_all(batch("t"), {"t": lambda i: i}) == [0]
        assert (tmp_path / "home").is_dir()
    finally:
        executor.journal.close()


def test_a_deadline_names_itself(world: World) -> None:
    outcomes = world.executor(limits=Limits(batch=1, batch_timeout=0.05)).run_all(
        batch("t", "t"), {"t": lambda i: time.sleep(0.1)}, return_exceptions=True
    )
    assert any(isinstance(outcome, BatchTimedOut) for outcome in outcomes)
    assert "0.05 s" in str(outcomes[1])


def test_a_limited_tool_takes_no_places_from_others_while_its_calls_wait(world: World) -> None:
    entered = threading.Event()
    tools = {"slow": lambda i: i > 0 or entered.wait(10), "fast": lambda i: entered.set()}
    executor = world.executor(policies={"slow": ToolPolicy(max_parallel=1)}, limits=Limits(batch=2))
    assert executor.run_all(batch("slow", "slow", "fast"), tools) == [True, True, None]


@both
def test_a_rate_and_a_limit_together_hold_nobody_back_for_ever(world: World, run: Callable[..., Any]) -> None:
    policies = {"t": ToolPolicy(rate=Rate(1, per=0.05), max_parallel=1)}
    executor = world.executor(policies=policies, limits=Limits(batch_timeout=20))
    assert run(executor, batch("t", "t", "t"), {"t": lambda i: i == 0 and time.sleep(0.08)}) == [
        None,
        False,
        False,
    ]


@both
def test_a_retry_sees_the_exceptions_own_type_and_not_only_its_recorded_name(
    world: World, run: Callable[..., Any]
) -> None:
    outcomes: list[Any] = [ConnectionRefusedError(), "ok"]

    def tool(i: int) -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    policies = {"t": ToolPolicy(on_unknown="ask", not_done=ConnectionError, retry=2)}
    assert run(world.executor(policies=policies), batch("t"), {"t": tool}) == ["ok"]


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (ToolPolicy(on_failed="replay", retry=2, idempotent=True), 2),
        (ToolPolicy(on_failed="replay", retry=2, on_unknown="ask", not_done=ValueError), 2),
        (ToolPolicy(on_failed="replay", retry=2), 1),
        (ToolPolicy(on_failed="replay", retry=2, reconcile=lambda slot: NotDone()), 1),
    ],
)
def test_a_failure_to_be_replayed_on_resume_still_surfaces_as_itself_in_the_run(
    world: World, policy: ToolPolicy, attempts: int
) -> None:
    def tool(i: int) -> None:
        world.effects.append("t")
        raise ValueError("its own")

    with pytest.raises(ValueError, match=r"^its own$"):
        world.executor(policies={"t": policy}).run_all(batch("t"), {"t": tool})
    assert len(world.effects) == attempts


def test_policies_that_come_later_count_only_where_none_was_given(world: World) -> None:
    def fail(i: int) -> None:
        raise ConnectionError

    given = {"a": ToolPolicy(retry=Retry(stop=1))}
    late = {tool: ToolPolicy(retry=Retry(stop=2)) for tool in "ab"}
    executor = world.executor(policies=given).with_policies(late)
    executor.run_all(batch("a", "b"), {"a": fail, "b": fail}, return_exceptions=True)
    assert [world.events.kinds(index).count(EventKind.STARTED) for index in (0, 1)] == [1, 2]


def test_an_executor_with_more_policies_has_the_same_journal_and_is_drained_together(world: World) -> None:
    executor = world.executor()
    other = executor.with_policies({"a": ToolPolicy(idempotent=True)})
    assert other.journal is executor.journal
    assert executor.drain(0)
    with pytest.raises(Draining):
        other.run_all(batch("a"), {"a": square})
