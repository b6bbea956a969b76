"""Calls that began and left no record, with `on_unknown="ask"`: what a person is shown, and how the answers settle them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from support.bank import ASK, Bank, asked, decide, questions
from toolslot import Done, EventKind, Failed, NotDone, SlotState, ToolPolicy, UnknownOutcome


def test_ask_shows_all_open_questions_at_once_with_everything_else_settled(talk: Any, bank: Bank) -> None:
    with bank.dead(**ASK):
        shown = questions(talk.resume(talk.graph([bank.tool], **ASK)))
    assert [question["call_id"] for question in shown["questions"]] == ["c1", "c2"]
    first = shown["questions"][0]
    assert first["tool"] == "pay"
    assert first["args"] == ["i", "secret"]
    assert first["id"].startswith(first["idempotency_key"])
    assert first["choices"] == ["done", "failed", "rerun"]
    assert first["started_at"].startswith("20")
    assert first["reason"] == "owner died"
    assert set(shown["answer_with"]) == {question["id"] for question in shown["questions"]}
    json.dumps(shown)
    assert "s3cr3t" not in json.dumps(shown)
    assert sorted(bank.paid) == [0, 1, 2, 3]
    (state,) = talk.world.store.batches.values()
    kinds = [slot.state for slot in state.slots()]
    assert kinds == [SlotState.SUCCEEDED, SlotState.UNKNOWN, SlotState.UNKNOWN, SlotState.SUCCEEDED]


def test_the_answers_settle_the_calls_and_the_run_goes_on(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        outcome = talk.run(graph, Command(resume={first: {"done": "paid, said the bank"}, second: "rerun"}))
    assert said(outcome) == ["paid 0", "paid, said the bank", "paid 2", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 2, 3]
    message = outcome["messages"][2]
    assert (message.name, message.tool_call_id, message.status, message.artifact) == (
        "pay",
        "c1",
        "success",
        None,
    )
    (state,) = talk.world.store.batches.values()
    decision = state.slots()[1].decision
    assert (decision.by, bool(decision.why)) == ("interrupt", True)


def test_an_answer_of_failed_is_told_to_the_model(talk: Any, bank: Bank) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        outcome = talk.run(
            graph, Command(resume={first: {"failed": "no money"}, second: {"done": {"receipt": 7}}})
        )
    assert (outcome["messages"][2].status, "no money" in outcome["messages"][2].content) == ("error", True)
    assert json.loads(outcome["messages"][3].content) == {"receipt": 7}
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_answers_may_come_one_by_one(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        again = questions(talk.run(graph, Command(resume={second: {"done": "two"}})))
        assert [question["id"] for question in again["questions"]] == [first]
        outcome = talk.run(graph, Command(resume={first: {"done": "one"}}))
    assert said(outcome) == ["paid 0", "one", "two", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_an_answer_by_the_interrupts_own_id_works(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead(**ASK):
        graph = talk.graph([bank.tool], **ASK)
        (shown,) = talk.resume(graph)["__interrupt__"]
        first, second = [question["id"] for question in shown.value["questions"]]
        (shown,) = talk.run(graph, Command(resume={shown.id: {first: {"done": "one"}}}))["__interrupt__"]
        outcome = talk.run(graph, Command(resume={shown.id: {second: {"done": "two"}}}))
    assert said(outcome) == ["paid 0", "one", "two", "paid 3"]


@pytest.mark.parametrize(
    "make",
    [
        lambda first: "yes",
        lambda first: True,
        lambda first: ["rerun"],
        lambda first: {"c1": "rerun"},
        lambda first: {first: "yes"},
        lambda first: {first: {"done": 1, "failed": "x"}},
        lambda first: {first: {"failed": 7}},
        lambda first: {first: {"rerun": True}},
        lambda first: {first: None},
        lambda first: {first: "rerun", "nonsense": "rerun"},
    ],
)
def test_a_faulty_answer_is_explained_decides_nothing_and_leaves_the_questions_open(
    talk: Any, bank: Bank, said: Any, make: Any
) -> None:
    with bank.dead(**ASK):
        graph, ids = asked(talk, bank)
        again = questions(talk.run(graph, Command(resume=make(ids[0]))))
        assert again["error"]
        assert [question["id"] for question in again["questions"]] == ids
        outcome = talk.run(graph, Command(resume={each: {"done": "good"} for each in ids}))
    assert said(outcome) == ["paid 0", "good", "good", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_an_answer_to_a_question_that_was_decided_meanwhile_is_refused_and_never_passed_on(
    talk: Any, bank: Bank, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        decide(talk, 1, Done("decided at the desk"))
        with caplog.at_level(logging.WARNING, "toolslot"):
            again = questions(talk.run(graph, Command(resume={first: "rerun"})))
        assert [question["id"] for question in again["questions"]] == [second]
        assert f"{first} is not open" in caplog.text
        outcome = talk.run(graph, Command(resume={second: {"done": "two"}}))
    assert said(outcome) == ["paid 0", "decided at the desk", "two", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_case_30_an_answer_given_twice_settles_nothing_else(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        for _ in range(2):
            again = questions(talk.run(graph, Command(resume={first: {"done": "one"}})))
            assert [question["id"] for question in again["questions"]] == [second]
        assert said(talk.run(graph, Command(resume={second: {"done": "two"}})))[1:3] == ["one", "two"]


def test_when_all_was_decided_from_outside_the_run_just_goes_on(talk: Any, bank: Bank, said: Any) -> None:
    with bank.dead(**ASK):
        graph, _ = asked(talk, bank)
        decide(talk, 1, Done("one"))
        decide(talk, 2, NotDone())
        assert said(talk.resume(graph)) == ["paid 0", "one", "paid 2", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 2, 3]


def test_what_was_decided_from_outside_to_have_failed_is_told_to_the_model_whoever_owns_the_batch(
    talk: Any, bank: Bank, said: Any
) -> None:
    with bank.dead(**ASK):
        asked(talk, bank)
        for index in (1, 2):
            decide(talk, index, Failed("no money"))
        talk.crash()  # the next process owns nothing, and needs nothing: all is settled
        answers = said(talk.resume(talk.graph([bank.tool], **ASK)))
    assert (answers[0], answers[3]) == ("paid 0", "paid 3")
    assert all("no money" in answer for answer in answers[1:3])
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_a_rerun_that_dies_again_is_asked_about_again_under_another_id(
    talk: Any, bank: Bank, said: Any
) -> None:
    with bank.dead(**ASK):
        graph, (first, second) = asked(talk, bank)
        bank.hang = {1}
        life = threading.Thread(
            target=lambda: (
                contextlib.suppress(Exception).__enter__()
                or _quietly(talk, graph, Command(resume={first: "rerun", second: "rerun"}))
            )
        )
        life.start()
        assert bank.inside.acquire(timeout=10)
        while len(talk.world.events.calls(EventKind.FINISHED)) < 3:
            pass
        talk.crash()
        bank.hang = set()
        graph, (third,) = asked(talk, bank)
        assert third not in (first, second)
        outcome = talk.run(graph, Command(resume={third: {"done": "found"}}))
        bank.release.set()
        life.join(20)
    assert said(outcome) == ["paid 0", "found", "paid 2", "paid 3"]


def _quietly(talk: Any, graph: Any, value: Any) -> None:
    with contextlib.suppress(Exception):
        talk.run(graph, value)


def test_an_error_of_another_call_surfaces_before_the_questions(talk: Any, bank: Bank) -> None:
    with bank.dead(**ASK):
        broken = [True]

        def pay(i: int) -> str:
            """Pays."""
            if broken[0]:
                raise ConnectionError("the bank is away")
            return f"again {i}"

        graph = talk.graph(
            [tool(pay)], policies={"pay": ToolPolicy(on_unknown="ask", not_done=ConnectionError)}
        )
        first = questions(talk.resume(graph))["questions"][0]["id"]
        with pytest.raises(ConnectionError):
            talk.run(graph, Command(resume={first: "rerun"}))
        broken[0] = False
        assert len(questions(talk.resume(graph))["questions"]) == 1


def test_ask_without_a_checkpointer_to_ask_through_is_an_error(talk: Any) -> None:
    bank = Bank(talk, hang={0}, count=1)
    from langchain_core.messages import AIMessage
    from langgraph.runtime import Runtime

    value = [AIMessage("", tool_calls=talk.calls, id="ai")]
    config = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}

    def invoke(node: Any) -> Any:
        return asyncio.run(node.ainvoke(value, config)) if talk.asynchronous else node.invoke(value, config)

    def life() -> None:
        with contextlib.suppress(Exception):
            invoke(first)

    first = talk.node([bank.tool], **ASK)
    thread = threading.Thread(target=life)
    thread.start()
    assert bank.inside.acquire(timeout=10)
    talk.crash()
    with pytest.raises(UnknownOutcome, match="decide"):
        invoke(talk.node([bank.tool], **ASK, handle_tool_errors=True))
    bank.release.set()
    thread.join(20)


def test_a_tools_own_question_and_ours_do_not_get_each_others_answers(talk: Any, said: Any) -> None:
    bank = Bank(talk, hang={1}, count=2)

    @tool
    def approve(k: int) -> str:
        """Asks a person."""
        return f"{k}: {interrupt(f'may {k}?')}"

    talk.calls = [*talk.calls, {"name": "approve", "args": {"k": 7}, "id": "k7"}]
    tools = [bank.tool, approve]
    original = bank.tool
    graph = talk.graph(tools, **ASK)

    def life() -> None:
        with contextlib.suppress(Exception):
            talk.start(graph)

    thread = threading.Thread(target=life)
    thread.start()
    assert bank.inside.acquire(timeout=10)
    while not (talk.world.events.calls(EventKind.WAITING) and talk.world.events.calls(EventKind.FINISHED)):
        pass
    talk.crash()
    bank.hang = set()
    assert original is bank.tool
    graph = talk.graph(tools, **ASK)
    (shown,) = talk.resume(graph)["__interrupt__"]
    assert shown.value == "may 7?", "tools' own questions come first"
    shown_ours = questions(talk.run(graph, Command(resume="yes")))
    outcome = talk.run(graph, Command(resume={shown_ours["questions"][0]["id"]: {"done": "one"}}))
    assert said(outcome) == ["paid 0", "one", "7: yes"]
    bank.release.set()
    thread.join(20)
