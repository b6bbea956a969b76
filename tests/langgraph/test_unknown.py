"""Calls that began and left no record: what the run does about them, and how a person answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from toolslot import Done, EventKind, Failed, NotDone, SlotState, ToolPolicy, UnknownOutcome


class Bank:
    """A tool that pays. In the first life calls 1 and 2 hang after they have paid."""

    def __init__(self, talk: Any, hang: set[int] | None = None, count: int = 4) -> None:
        self.talk = talk
        self.paid: list[int] = []
        self.hang = {1, 2} if hang is None else hang
        self.inside = threading.Semaphore(0)
        self.release = threading.Event()
        bank = self

        def pay(i: int) -> str:
            """Pays."""
            if bank._pays(i):
                bank.release.wait(20)
            return f"paid {i}"

        async def apay(i: int) -> str:
            """Pays."""
            if bank._pays(i):
                await asyncio.to_thread(bank.release.wait, 20)
            return f"paid {i}"

        talk.calls = [
            {"name": "pay", "args": {"i": i, "secret": "s3cr3t"}, "id": f"c{i}"} for i in range(count)
        ]
        self.tool = tool("pay")(apay if talk.asynchronous else pay)

    def _pays(self, i: int) -> bool:
        self.paid.append(i)
        if i in self.hang:
            self.inside.release()
            return True
        return False

    @contextlib.contextmanager
    def dead(self, **settings: Any) -> Iterator[None]:
        """The first life, which ends while calls hang; its threads end with the block."""
        graph = self.talk.graph([self.tool], **settings)

        def life() -> None:
            with contextlib.suppress(Exception):
                self.talk.start(graph)

        thread = threading.Thread(target=life)
        thread.start()
        for _ in self.hang:
            assert self.inside.acquire(timeout=10)
        settled = len(self.talk.calls) - len(self.hang)
        while len(self.talk.world.events.calls(EventKind.FINISHED)) < settled:
            pass
        self.talk.crash()
        self.hang = set()
        try:
            yield
        finally:
            self.release.set()
            thread.join(20)


@pytest.fixture
def bank(talk: Any) -> Bank:
    return Bank(talk)


def questions(outcome: Any) -> dict[str, Any]:
    (shown,) = outcome["__interrupt__"]
    assert shown.value["type"] == "toolslot.unknown_outcome"
    return shown.value  # type: ignore[no-any-return]


ASK: dict[str, Any] = {"policies": {"pay": ToolPolicy(on_unknown="ask")}}
FAIL: dict[str, Any] = {"policies": {"pay": ToolPolicy(on_unknown="fail")}}


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


# --- fail -----------------------------------------------------------------------------------------------------------------


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


# --- ask ------------------------------------------------------------------------------------------------------------------


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
    kinds = [slot.state for slot in state.record().slots]
    assert kinds == [SlotState.SUCCEEDED, SlotState.UNKNOWN, SlotState.UNKNOWN, SlotState.SUCCEEDED]


def asked(talk: Any, bank: Bank) -> tuple[Any, list[str]]:
    """A graph that has asked, and the ids of its questions."""
    graph = talk.graph([bank.tool], **ASK)
    return graph, [question["id"] for question in questions(talk.resume(graph))["questions"]]


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
    decision = state.record().slots[1].decision
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


def decide(talk: Any, index: int, answer: Any) -> None:
    """As an operator would from another process."""
    from toolslot.journal import MemoryJournal

    (state,) = talk.world.store.batches.values()
    _decide(MemoryJournal(talk.world.store), state, index, answer)


def _decide(journal: Any, state: Any, index: int, answer: Any) -> None:
    from toolslot import ToolFailed
    from toolslot._codec import encode, encode_error
    from toolslot._slot import Verdict
    from toolslot.journal import Decide
    from toolslot_langgraph import LangGraphCodec

    verdict = {Done: Verdict.DONE, NotDone: Verdict.RERUN, Failed: Verdict.FAILED}[type(answer)]
    outcome = encode(answer.value, LangGraphCodec()) if isinstance(answer, Done) else None
    error = encode_error(ToolFailed(answer.error)) if isinstance(answer, Failed) else None
    slot = state.slot(index)
    operation = Decide(
        key=state.key,
        index=index,
        verdict=verdict,
        by="desk",
        why="test",
        decision_id=f"d{index}",
        version=slot.version,
        at=1.0,
        outcome=outcome,
        error=error,
    )
    journal.submit(operation).result()
