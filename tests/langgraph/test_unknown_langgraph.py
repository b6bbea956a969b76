"""A LangGraph that keeps the answers of a task in a way that is not known here: as without toolslot, and said so."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from support.sending import GO, graph_of
from toolslot import SlotState, ToolPolicy, ToolslotError, UnknownOutcome


@pytest.fixture(autouse=True)
def unknown_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolslot_langgraph._answers.scratchpad_of", lambda config: None)


class Desk:
    """A tool whose calls in `asking` ask for leave once; both wait for each other so that all have begun."""

    def __init__(self, talk: Any, asking: set[int]) -> None:
        self.did: list[str] = []
        desk = self

        def body(i: int) -> str:
            said = interrupt(f"may {i}?") if i in asking else "unasked"
            desk.did.append(f"{i}:{said}")
            return desk.did[-1]

        def do(i: int) -> str:
            """Works."""
            return body(i)

        async def ado(i: int) -> str:
            """Works."""
            return body(i)

        self.tool = tool("work")(ado if talk.asynchronous else do)


def states(talk: Any) -> list[SlotState]:
    return [slot.state for state in talk.world.store.batches.values() for slot in state.slots()]


def test_all_calls_run_again_after_an_answer_and_that_is_said_once(
    talk: Any, ask: Any, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(talk, {1})
    talk.calls = ask("work", 3)
    graph = talk.graph([desk.tool])
    with caplog.at_level(logging.WARNING, "toolslot"):
        talk.start(graph)
        assert said(talk.run(graph, Command(resume="yes"))) == ["0:unasked", "1:yes", "2:unasked"]
    assert sorted(desk.did) == ["0:unasked", "0:unasked", "1:yes", "2:unasked", "2:unasked"]
    assert sum("toolslot.unknown_langgraph" in record.message for record in caplog.records) == 1


def test_a_sync_node_gives_every_call_its_own_answer_when_they_ask_in_order(
    talk: Any, ask: Any, said: Any
) -> None:
    desk = Desk(talk, {0, 2})
    talk.calls = ask("work", 3)
    graph = talk.graph([desk.tool])
    talk.start(graph, max_concurrency=1)
    for answer in ("to 0", "to 2"):
        outcome = talk.run(graph, Command(resume=answer), max_concurrency=1)
    assert said(outcome) == ["0:to 0", "1:unasked", "2:to 2"]


@pytest.mark.parametrize("policy", [{"on_unknown": "ask"}, {"on_unknown": "fail"}], ids=str)
def test_a_recorded_call_that_must_not_run_again_is_not_run_for_the_sake_of_an_answer(
    talk: Any, ask: Any, policy: Any
) -> None:
    desk = Desk(talk, {1})
    talk.calls = ask("work", 3)
    graph = talk.graph([desk.tool], policies={"work": ToolPolicy(**policy)})
    talk.start(graph)
    with pytest.raises(ToolslotError, match="must not run again"):
        talk.run(graph, Command(resume="yes"))
    assert sorted(desk.did) == ["0:unasked", "2:unasked"]


def test_an_idempotent_call_may(talk: Any, ask: Any, said: Any) -> None:
    desk = Desk(talk, {1})
    talk.calls = ask("work", 2)
    policies = {"work": ToolPolicy(idempotent=True)}
    graph = talk.graph([desk.tool], policies=policies)
    talk.start(graph)
    assert said(talk.run(graph, Command(resume="yes"))) == ["0:unasked", "1:yes"]


def test_without_questions_recorded_calls_are_replayed_as_ever(talk: Any, ask: Any, said: Any) -> None:
    ran: list[int] = []
    broken = {1}

    def body(i: int) -> str:
        ran.append(i)
        if i in broken:
            raise ConnectionError
        return "did"

    def do(i: int) -> str:
        """Works."""
        return body(i)

    async def ado(i: int) -> str:
        """Works."""
        return body(i)

    talk.calls = ask("work", 3)
    work = tool("work")(ado if talk.asynchronous else do)
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([work]))
    broken.clear()
    assert said(talk.resume(talk.graph([work]))) == ["did"] * 3
    assert sorted(ran) == [0, 1, 1, 2]


def test_with_one_task_per_call_nothing_runs_again(
    talk: Any, ask: Any, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(talk, {1})
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 3)]
    graph = graph_of(talk, [desk.tool])
    talk.run(graph, GO)
    assert said(talk.run(graph, Command(resume="yes"))) == ["0:unasked", "1:yes", "2:unasked"]
    assert len(desk.did) == 3
    assert "toolslot.unknown_langgraph" not in caplog.text


def test_a_call_of_unknown_outcome_is_an_error_not_a_question_whose_answer_a_tool_might_read(
    talk: Any, ask: Any
) -> None:
    inside, release = threading.Event(), threading.Event()

    @tool
    def work(i: int) -> str:
        """Works."""
        inside.set()
        release.wait(20)
        return "did"

    talk.calls = ask("work", 1)
    policies = {"work": ToolPolicy(on_unknown="ask")}
    first = talk.graph([work], policies=policies)

    def life() -> None:
        with contextlib.suppress(Exception):
            talk.start(first)

    thread = threading.Thread(target=life)
    thread.start()
    assert inside.wait(10)
    talk.crash()
    try:
        with pytest.raises(UnknownOutcome):
            talk.resume(talk.graph([work], policies=policies))
        assert states(talk) == [SlotState.UNKNOWN]
    finally:
        release.set()
        thread.join(20)
