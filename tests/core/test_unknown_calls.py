"""Calls that began and left no record: rerun, reconcile, ask, decide."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from support.harness import World, batch, die_inside
from toolslot import (
    BatchRun,
    CannotTell,
    DecisionRefused,
    Done,
    EventKind,
    Failed,
    Limits,
    NotDone,
    Slot,
    SlotState,
    StillRunning,
    ToolFailed,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot._domain._policy import Answer


def test_a_call_that_left_no_record_is_rerun_by_default_and_never_silently(world: World, enter: Any) -> None:
    die_inside(world, world.executor())
    assert enter(world.executor(), batch("pay"), 0, world.tool("pay", "ok")) == "ok"
    assert world.effects == ["pay", "pay"]
    (event,) = world.events.calls(EventKind.RERUN)
    assert "ToolPolicy" in event.detail


@pytest.mark.parametrize(("rule", "ask"), [("fail", False), ("ask", True)])
def test_a_call_that_left_no_record_stops_where_the_policy_says_so(
    world: World, enter: Any, rule: Any, ask: bool
) -> None:
    policies = {"pay": ToolPolicy(on_unknown=rule)}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome) as raised:
        enter(world.executor(policies=policies), batch("pay"), 0, world.tool("pay"))
    assert raised.value.ask is ask
    assert raised.value.idempotency_key in str(raised.value)
    assert world.effects == ["pay"]


@pytest.mark.parametrize("rule", ["fail", "ask", "reconcile"])
def test_a_call_whose_code_goes_on_where_it_stood_is_entered_again_and_nothing_is_asked(
    world: World, rule: Any
) -> None:
    def reconcile(slot: Slot) -> Answer:
        raise AssertionError("asked")

    policy = ToolPolicy(reconcile=reconcile) if rule == "reconcile" else ToolPolicy(on_unknown=rule)
    die_inside(world, world.executor(default_policy=policy))
    with world.executor(default_policy=policy).open(batch("pay")) as run:
        run.goes_on(0)
        assert run.call(0, world.tool("pay", "ok")) == "ok"
    (event,) = world.events.calls(EventKind.RERUN)
    assert event.detail == "run again by policy"


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
    assert (slot.tool, slot.args, slot.call_id, slot.attempt, slot.run_id) == (
        "pay",
        {"i": 0},
        "c0",
        1,
        "run-1",
    )
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


def test_case_14_a_reconciler_that_raises_could_not_tell_and_the_call_did_not_fail(
    world: World, enter: Any
) -> None:
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
        enter(
            world.executor(policies=policies, limits=Limits(batch_timeout=0.1)),
            batch("pay"),
            0,
            world.tool("pay"),
        )
    assert world.effects == ["pay"]


def test_still_running_at_the_deadline_is_the_calls_error_where_the_policy_says_fail(
    world: World, enter: Any
) -> None:
    policies = {"pay": ToolPolicy(reconcile=lambda slot: StillRunning(retry_after=0.02), on_unknown="fail")}
    die_inside(world, world.executor(policies=policies))
    with pytest.raises(UnknownOutcome) as raised:
        enter(
            world.executor(policies=policies, limits=Limits(batch_timeout=0.1)),
            batch("pay"),
            0,
            world.tool("pay"),
        )
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
