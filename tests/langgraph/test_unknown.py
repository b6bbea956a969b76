"""Calls that began and left no record: what the run does about them where nobody is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from support.bank import FAIL, Bank
from toolslot import Done, EventKind, Failed, NotDone, ToolPolicy, UnknownOutcome


def test_by_default_calls_in_flight_run_again_and_that_is_told(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead():
        assert said(talk.resume(talk.graph([bank.tool]))) == [f"paid {i}" for i in range(4)]
    assert sorted(bank.paid) == [0, 1, 1, 2, 2, 3]
    assert len(talk.world.events.calls(EventKind.RERUN)) == 2


@pytest.mark.parametrize("answer", [Done("paid at the bank"), Failed("the bank refused")], ids=repr)
def test_a_reconcilers_answer_becomes_the_tools_message(talk: Any, bank: Bank, answer: Any) -> None:
    policy = ToolPolicy(reconcile=lambda slot: answer if slot.args["i"] == 1 else NotDone())
    with bank.dead(policies={"pay": policy}):
        found = talk.resume(talk.graph([bank.tool], policies={"pay": policy}))["messages"][1:]
    assert sorted(bank.paid) == [0, 1, 2, 2, 3]
    assert (found[1].name, found[1].tool_call_id) == ("pay", "c1")
    expected = ("success", "paid at the bank") if isinstance(answer, Done) else ("error", "the bank refused")
    assert (found[1].status, expected[1] in found[1].content) == (expected[0], True)


def test_a_reconciler_may_give_a_message_or_data(talk: Any, bank: Bank) -> None:
    answers = {1: ToolMessage("a message", tool_call_id="?", artifact={"k": 1}), 2: {"receipt": 7}}
    policy = ToolPolicy(reconcile=lambda slot: Done(answers[slot.args["i"]]))
    with bank.dead(policies={"pay": policy}):
        found = talk.resume(talk.graph([bank.tool], policies={"pay": policy}))["messages"][1:]
    assert (found[1].content, found[1].artifact, found[1].tool_call_id, found[1].name) == (
        "a message",
        {"k": 1},
        "c1",
        "pay",
    )
    assert json.loads(found[2].content) == {"receipt": 7}


def test_fail_stops_the_run_with_the_first_such_call_and_runs_nothing(talk: Any, bank: Bank) -> None:
    with bank.dead(**FAIL):
        for _ in range(2):
            with pytest.raises(UnknownOutcome, match="call 1") as caught:
                talk.resume(talk.graph([bank.tool], **FAIL))
            assert caught.value.index == 1
    assert sorted(bank.paid) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "handler", [True, UnknownOutcome, lambda error: f"told: {error}"], ids=["True", "type", "callable"]
)
def test_fail_becomes_the_models_answer_when_the_node_handles_such_errors(
    talk: Any, bank: Bank, handler: Any
) -> None:
    settings = {**FAIL, "handle_tool_errors": handler}
    with bank.dead(**settings):
        found = talk.resume(talk.graph([bank.tool], **settings))["messages"][1:]
        assert [message.status for message in found] == ["success", "error", "error", "success"]
        assert "nobody here can know" in found[1].content
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_a_handler_for_other_errors_does_not_handle_it(talk: Any, bank: Bank) -> None:
    settings = {**FAIL, "handle_tool_errors": (KeyError,)}
    with bank.dead(**settings), pytest.raises(UnknownOutcome):
        talk.resume(talk.graph([bank.tool], **settings))
