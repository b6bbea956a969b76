"""Calls of tools with an effect key: had once in a journal, whichever batch or run asks."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.harness import Killed, World, both, running
from toolslot import (
    Batch,
    BatchBusy,
    BatchKey,
    BatchRun,
    Call,
    Done,
    DurableExecutor,
    EffectConflict,
    EffectRefused,
    EventKind,
    Failed,
    Limits,
    MemoryJournal,
    NotDone,
    SlotState,
    StillRunning,
    ToolPolicy,
    UnknownOutcome,
    current_call,
)


def asked(*calls: dict[str, Any], run: str = "run-1", key: str = "b-1", tool: str = "pay") -> Batch:
    made = [Call(tool=tool, args=args, call_id=f"c{i}") for i, args in enumerate(calls)]
    return Batch(run_id=run, batch_id=key, calls=made)


def paying(world: World, **policy: Any) -> DurableExecutor:
    return world.executor(policies={"pay": ToolPolicy(effect_key="invoice", **policy)})


def pay_in(world: World) -> Any:
    def pay(invoice: object, amount: int = 100) -> str:
        world.effects.append(f"{invoice}: {amount}")
        return f"paid {invoice} {current_call().idempotency_key}"

    return {"pay": pay}


ONE = {"invoice": "i-1"}


def die_paying(world: World, **policy: Any) -> Batch:
    """A process that dies after the effect and before the record; its batch."""
    batch = asked(ONE, run="dead")

    def fn() -> str:
        world.effects.append("dead")
        world.crash()
        raise Killed

    run = paying(world, **policy).open(batch)
    run.__enter__()
    with pytest.raises(Killed):
        run.call(0, fn)
    return batch


def slot(world: World, batch: Batch, index: int = 0) -> Any:
    found = MemoryJournal(world.store).load(batch.key).result()
    assert found is not None
    return found.slots[index]


@both
def test_two_equal_calls_of_one_response_have_one_effect_and_one_result(world: World, run: Any) -> None:
    one, other = run(paying(world), asked(ONE, ONE), pay_in(world))
    assert one == other
    assert world.effects == ["i-1: 100"]


@both
def test_another_run_gets_the_recorded_result_and_is_told_whose_it_is(world: World, run: Any) -> None:
    first = run(paying(world), asked(ONE), pay_in(world))
    assert run(paying(world), asked(ONE, run="run-2"), pay_in(world)) == first
    assert world.effects == ["i-1: 100"]
    (event,) = world.events.calls(EventKind.DEDUPLICATED)
    assert (event.run_id, event.state) == ("run-2", SlotState.SUCCEEDED)
    assert event.detail == "its effect is on record as done by call 0 of batch run-1/b-1"
    assert EventKind.STARTED not in world.events.kinds()[-1:]


@both
def test_a_spared_call_replays_what_it_got_without_looking_again(world: World, run: Any) -> None:
    first = run(paying(world), asked(ONE), pay_in(world))
    for _ in range(2):
        assert run(paying(world), asked(ONE, run="run-2"), pay_in(world)) == first
    assert world.events.kinds().count(EventKind.DEDUPLICATED) == 1
    assert world.events.kinds().count(EventKind.REPLAYED) == 1


@both
def test_the_same_key_with_other_arguments_is_a_conflict_that_names_both_calls(
    world: World, run: Any
) -> None:
    run(paying(world), asked(ONE), pay_in(world))
    other = asked({**ONE, "amount": 120}, run="run-2")
    for _ in range(2):  # it is the call's answer, and stays that
        (answer,) = run(paying(world), other, pay_in(world), return_exceptions=True)
        assert isinstance(answer, EffectConflict)
        assert "call 0 (pay) of batch run-2/b-1" in str(answer)
        assert "call 0 of batch run-1/b-1" in str(answer)
    assert world.effects == ["i-1: 100"]
    assert world.events.kinds().count(EventKind.REFUSED) == 1


def test_arguments_that_are_left_out_of_the_comparison_may_differ(world: World) -> None:
    executor = paying(world, effect_ignore="amount")
    answers = executor.run_all(asked(ONE, {**ONE, "amount": 120}), pay_in(world))
    assert len(set(answers)) == 1
    assert len(world.effects) == 1


@both
def test_arguments_without_a_key_are_an_answer_and_nothing_runs(world: World, run: Any) -> None:
    batch = asked({}, {"invoice": None}, {"invoice": 1.5})
    for _ in range(2):
        answers = run(paying(world), batch, pay_in(world), return_exceptions=True)
        assert [type(answer) for answer in answers] == [EffectRefused] * 3
    assert world.effects == []


def test_tools_of_one_effect_name_share_their_effects(world: World) -> None:
    tools = {**pay_in(world), "settle": pay_in(world)["pay"]}
    policies = {name: ToolPolicy(effect_key="invoice", effect_name="payment") for name in tools}
    for tool in tools:
        world.executor(policies=policies).run_all(asked(ONE, run=tool, tool=tool), tools)
    assert len(world.effects) == 1


def test_with_scope_run_another_run_has_its_own_effect(world: World) -> None:
    executor = paying(world, effect_scope="run")
    for run, key in (("run-1", "b-1"), ("run-1", "b-2"), ("run-2", "b-1")):
        executor.run_all(asked(ONE, run=run, key=key), pay_in(world))
    assert len(world.effects) == 2


def test_an_effect_is_known_also_of_a_batch_that_cannot_be_resumed(world: World) -> None:
    answers = []
    for _ in range(2):
        with paying(world).open(asked(ONE), durable=False) as run:
            answers.append(run.call(0, lambda: pay_in(world)["pay"](**ONE)))
    assert answers[0] == answers[1]
    assert len(world.effects) == 1


def test_who_asks_while_another_call_has_it_under_way_waits_for_its_result(world: World) -> None:
    begun, go_on, answers = threading.Event(), threading.Event(), list[Any]()

    def slow(invoice: str) -> str:
        world.effects.append(invoice)
        begun.set()
        assert go_on.wait(10)
        return "paid"

    def first() -> None:
        answers.extend(paying(world).run_all(asked(ONE), {"pay": slow}))

    def second() -> None:
        answers.extend(paying(world).run_all(asked(ONE, run="run-2"), {"pay": slow}))

    with running(first):
        assert begun.wait(10)
        with running(second):
            while not any(event.run_id == "run-2" for event in world.events.calls(EventKind.RESERVED)):
                pass
            assert answers == []
            go_on.set()
    assert answers == ["paid", "paid"]
    assert world.effects == ["i-1"]


@both
def test_who_waits_for_an_effect_holds_no_permit(world: World, run: Any) -> None:
    """Call 0 goes on when call 2 runs; call 1 waits for call 0 and would take the second of two permits."""
    go_on = threading.Event()

    def pay(invoice: str) -> str:
        world.effects.append(invoice)
        if invoice == "i-1":
            assert go_on.wait(10)
        go_on.set()
        return invoice

    executor = world.executor(
        policies={"pay": ToolPolicy(effect_key="invoice")}, limits=Limits(tools={"pay": 2})
    )
    assert run(executor, asked(ONE, ONE, {"invoice": "i-2"}), {"pay": pay}) == ["i-1", "i-1", "i-2"]
    assert sorted(world.effects) == ["i-1", "i-2"]


def test_a_call_inside_the_one_that_holds_its_effect_is_refused_at_once(world: World) -> None:
    def pay(invoice: str) -> str:
        inner = asked(ONE, key=f"inner of {invoice}")
        return str(executor.run_all(inner, {"pay": pay}))

    executor = paying(world, not_done=BatchBusy)
    with pytest.raises(BatchBusy, match="runs inside call 0 of batch run-1/b-1"):
        executor.run_all(asked(ONE), {"pay": pay})


# --- holders that failed ------------------------------------------------------------------------------------------------


def failing(error: Exception) -> Any:
    def pay(invoice: str) -> str:
        raise error

    return {"pay": pay}


@both
def test_a_failure_before_anything_happened_frees_the_key(world: World, run: Any) -> None:
    policy = {"not_done": ConnectionRefusedError}
    with pytest.raises(ConnectionRefusedError):
        run(paying(world, **policy), asked(ONE), failing(ConnectionRefusedError()))
    assert run(paying(world, **policy), asked(ONE, run="run-2"), pay_in(world))
    assert world.effects == ["i-1: 100"]


@both
def test_any_other_failure_leaves_the_effect_unknown_to_who_asks_next(world: World, run: Any) -> None:
    with pytest.raises(TimeoutError):
        run(paying(world), asked(ONE), failing(TimeoutError("read")))
    with pytest.raises(UnknownOutcome) as raised:
        run(paying(world), asked(ONE, run="run-2"), pay_in(world))
    assert (raised.value.run_id, raised.value.batch_id, raised.value.ask) == ("run-1", "b-1", True)
    assert world.effects == []


@pytest.mark.parametrize("error", [True, TimeoutError("read"), ConnectionRefusedError()], ids=repr)
def test_a_failure_that_became_an_answer_frees_the_key_if_its_type_says_so(world: World, error: Any) -> None:
    executor = paying(world, not_done=ConnectionRefusedError)
    with executor.open(asked(ONE)) as run:
        assert run.call(0, lambda: "it failed", is_error=lambda _: error) == "it failed"
    assert slot(world, asked(ONE)).state is SlotState.FAILED
    if isinstance(error, ConnectionRefusedError):
        assert executor.run_all(asked(ONE, run="run-2"), pay_in(world))
        return
    with pytest.raises(UnknownOutcome):
        executor.run_all(asked(ONE, run="run-2"), pay_in(world))


def test_where_the_first_of_two_equal_calls_fails_the_second_does_not_wait_for_ever(world: World) -> None:
    first, second = paying(world).run_all(asked(ONE, ONE), failing(TimeoutError()), return_exceptions=True)
    assert {type(first), type(second)} == {TimeoutError, UnknownOutcome}


# --- holders of which nobody knows ----------------------------------------------------------------------------------------


@both
def test_the_reconciler_is_asked_about_the_call_that_holds_the_effect(world: World, run: Any) -> None:
    seen: list[Any] = []

    def found(slot: Any) -> Any:
        seen.append((slot.run_id, slot.state, slot.idempotency_key))
        return Done("paid before")

    dead = die_paying(world)
    assert run(paying(world, reconcile=found), asked(ONE, run="run-2"), pay_in(world)) == ["paid before"]
    assert world.effects == ["dead"]
    assert [(run_id, state) for run_id, state, _ in seen] == [("dead", SlotState.RUNNING)]
    assert slot(world, dead).state is SlotState.SUCCEEDED  # without its batch having been taken over
    record = MemoryJournal(world.store).load(dead.key).result()
    assert record is not None
    assert record.fence.epoch == 1
    assert run(paying(world), dead, pay_in(world)) == ["paid before"]


@pytest.mark.parametrize("answer", [NotDone(), Failed("no money")])
def test_what_was_certainly_not_had_is_had_now_with_the_same_idempotency_key(
    world: World, answer: Any
) -> None:
    die_paying(world)
    seen: list[str] = []

    def found(slot: Any) -> Any:
        seen.append(slot.idempotency_key)
        return answer

    (paid,) = paying(world, reconcile=found).run_all(asked(ONE, run="run-2"), pay_in(world))
    assert paid == f"paid i-1 {seen[0]}"


def test_a_holder_that_is_still_at_work_elsewhere_is_asked_about_again(world: World) -> None:
    answers = [StillRunning(0.001), StillRunning(0.001), Done("late")]
    die_paying(world)
    executor = paying(world, reconcile=lambda _: answers.pop(0))
    assert executor.run_all(asked(ONE, run="run-2"), pay_in(world)) == ["late"]


def test_a_person_decides_about_the_holder_and_the_call_goes_on(world: World) -> None:
    dead = die_paying(world)

    def attempt(run: BatchRun) -> str:
        return run.call(0, lambda: "paid again")

    with paying(world).open(asked(ONE, run="run-2")) as run:
        with pytest.raises(UnknownOutcome) as raised:
            attempt(run)
        assert BatchKey(raised.value.run_id, raised.value.batch_id) == dead.key
        about = run.asked_about(0)
        assert (about.run_id, about.version) == ("dead", raised.value.version)
        run.decide(0, Done("found it"), by="ann", why="looked", version=raised.value.version)
        assert attempt(run) == "found it"
    assert slot(world, dead).decision.by == "ann"


def test_with_fail_the_agent_is_told_that_nobody_knows_and_told_the_same_again(world: World) -> None:
    die_paying(world)
    executor = paying(world, on_unknown="fail")
    with pytest.raises(UnknownOutcome) as raised:
        executor.run_all(asked(ONE, run="run-2"), pay_in(world))
    assert raised.value.ask is False
    with pytest.raises(UnknownOutcome):
        executor.run_all(asked(ONE, run="run-2"), pay_in(world))
    assert world.effects == ["dead"]


def test_what_the_agent_was_told_of_an_unknown_effect_is_told_again_once_the_batch_is_closed(
    world: World,
) -> None:
    die_paying(world)
    executor, told = paying(world, on_unknown="fail"), asked(ONE, run="run-2")
    with executor.open(told) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: "no")
        run.deliver(0, "nobody knows")
    assert executor.run_all(told, pay_in(world)) == ["nobody knows"]


def test_what_is_found_out_before_the_run_is_resumed_counts(world: World) -> None:
    dead = die_paying(world)
    executor = paying(world, on_unknown="fail")
    with pytest.raises(UnknownOutcome) as raised:
        executor.run_all(asked(ONE, run="run-2"), pay_in(world))
    with executor.open(dead) as run:
        run.takeover(why="to look")
        run.decide(0, Done("found it"), by="ann", why="looked", version=run.slot(0).version)
    assert raised.value.run_id == "dead"
    assert executor.run_all(asked(ONE, run="run-2"), pay_in(world)) == ["found it"]


def test_with_rerun_the_claim_moves_and_the_first_call_gets_the_result_of_the_second(world: World) -> None:
    dead = die_paying(world)
    executor = paying(world, on_unknown="rerun")
    answer = executor.run_all(asked(ONE, run="run-2"), pay_in(world))
    assert executor.run_all(dead, pay_in(world)) == answer
    assert world.effects == ["dead", "i-1: 100"]
    assert slot(world, dead).holder.batch.run_id == "run-2"


def test_a_reconciler_that_cannot_tell_leaves_it_to_the_rule(world: World) -> None:
    def lost(_: Any) -> Any:
        raise ConnectionError

    die_paying(world)
    with pytest.raises(UnknownOutcome):
        paying(world, reconcile=lost).run_all(asked(ONE, run="run-2"), pay_in(world))
    executor = paying(world, reconcile=lost, on_unknown="rerun")
    assert executor.run_all(asked(ONE, run="run-2"), pay_in(world))
    assert world.effects == ["dead", "i-1: 100"]


def test_conflicts_come_before_questions(world: World) -> None:
    die_paying(world)
    with pytest.raises(EffectConflict, match="of unknown outcome"):
        paying(world).run_all(asked({**ONE, "amount": 1}, run="run-2"), pay_in(world))
