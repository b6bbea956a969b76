from __future__ import annotations

from toolslot._demo._story import AT_ONCE, CALLS, HELD, SLOW, RequestKind, Stage


def test_the_message_asks_for_eight_calls() -> None:
    assert len(CALLS) == 8


def test_the_bank_can_tell_the_calls_apart() -> None:
    assert len({call.ref for call in CALLS}) == len({call.call_id for call in CALLS}) == len(CALLS)


def test_every_stage_at_the_kill_occurs() -> None:
    assert {call.at_kill for call in CALLS} == set(Stage)


def test_the_held_calls_fill_the_limit_so_that_the_last_one_cannot_begin() -> None:
    hanging = [call for call in CALLS if call.at_kill in (Stage.BEGUN, Stage.PAID)]
    assert len(hanging) == len(HELD) == AT_ONCE
    assert {call.ref for call in hanging} == {ref for ref, _ in HELD}
    assert [call.at_kill for call in CALLS].index(Stage.NOT_BEGUN) == len(CALLS) - 1


def test_only_the_call_that_was_paid_without_an_answer_is_held_after_its_payment() -> None:
    paid = {call.ref for call in CALLS if call.at_kill is Stage.PAID}
    assert {ref for ref, kind in HELD if kind is RequestKind.PAY} == paid


def test_a_payment_asks_for_the_amount_it_is_judged_by() -> None:
    assert all(call.args["cents"] == call.cents for call in CALLS if call.pays)


def test_slow_answers_belong_to_calls_of_the_story() -> None:
    assert {ref for ref, _ in SLOW} <= {call.ref for call in CALLS}
