"""A batch run: what is recorded replays, and a call is known by its place and its guard."""

from __future__ import annotations

from typing import Any

import pytest

from support.harness import World, batch
from toolslot import (
    BatchMismatch,
    EventKind,
    Reason,
    SlotState,
    ToolFailed,
    ToolPolicy,
    UnknownOutcome,
    current_call,
)


def test_a_recorded_result_replays_and_the_tool_does_not_run(world: World, enter: Any) -> None:
    b = batch("pay")
    first = enter(world.executor(), b, 0, lambda: world.effects.append("pay") or {"receipt": 7})
    second = enter(world.executor(), b, 0, lambda: world.effects.append("pay") or {"receipt": 8})
    assert first == second == {"receipt": 7}
    assert world.effects == ["pay"]
    assert world.events.kinds() == [
        EventKind.RESERVED,
        EventKind.STARTED,
        EventKind.FINISHED,
        EventKind.REPLAYED,
    ]


def test_a_failure_turned_into_an_answer_is_a_result_and_replays(world: World, enter: Any) -> None:
    b = batch("pay")
    for _ in range(2):
        value = enter(
            world.executor(),
            b,
            0,
            lambda: world.effects.append("x") or "error: no funds",
            is_error=lambda v: "error" in v,
        )
        assert value == "error: no funds"
    assert world.effects == ["x"]
    record = world.journals[-1].load(b.key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.FAILED
    assert not record.slots[0].escaped


def test_a_failure_that_escapes_surfaces_and_is_retried_on_resume_by_default(
    world: World, enter: Any
) -> None:
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


def test_a_failure_that_may_have_had_its_effect_is_not_retried_where_that_would_hurt(
    world: World, enter: Any
) -> None:
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
    with pytest.raises(BatchMismatch, match=r"They differ in arguments \('amount'\).*on_mismatch='lenient'"):
        enter(world.executor(), batch("pay", args={"amount": 6}), 0, world.tool("pay"))
    assert world.effects == ["pay"]


def test_case_11_changed_arguments_take_a_new_generation_in_lenient_matching(
    world: World, enter: Any
) -> None:
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
    with (
        pytest.raises(BatchMismatch, match="2 calls, now 3"),
        world.executor().open(batch("pay", "pay", "pay")),
    ):
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
