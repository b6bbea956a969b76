"""The middleware for `create_agent` when people are asked: every answer reaches the question it is for."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langgraph.types import Command, interrupt

from support.middleware import agent_of, made
from support.sending import GO, Work, answers, calls, records, with_middleware
from toolslot import SlotState, ToolPolicy

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own

ASK: dict[str, Any] = {"policies": {"work": ToolPolicy(on_unknown="ask")}}


def shown(outcome: Any) -> Any:
    (found,) = outcome["__interrupt__"]
    return found.value


def questions(outcome: Any) -> list[dict[str, Any]]:
    value = shown(outcome)
    assert value["type"] == "toolslot.unknown_outcome"
    return value["questions"]  # type: ignore[no-any-return]


def answered(outcome: Any, answer: Any) -> Command[Any]:
    (question,) = questions(outcome)
    return Command(resume={question["id"]: answer})


@pytest.mark.parametrize(
    ("answer", "content", "runs"),
    [("rerun", "did 1 as number 4", 2), ({"done": "paid"}, "paid", 1), ({"failed": "refused"}, "refused", 1)],
    ids=["rerun", "done", "failed"],
)
def test_a_person_settles_a_call_of_unknown_outcome(talk: Any, answer: Any, content: str, runs: int) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b", "c")
    agent = with_middleware(talk, [work.tool], **ASK)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    work.broken = set()
    outcome = talk.run(agent, None)
    (question,) = questions(outcome)
    assert (question["tool"], question["call_id"]) == ("work", "b")
    assert [slot.state for slot in records(talk)[0].slots] == [
        SlotState.SUCCEEDED,
        SlotState.UNKNOWN,
        SlotState.SUCCEEDED,
    ]
    settled = dict(answers(talk.run(agent, answered(outcome, answer))))
    assert content in settled["b"]
    assert work.ran.count(1) == runs
    assert sorted(work.ran) == sorted([0, 2, *[1] * runs])


def test_a_wrong_answer_is_asked_again(talk: Any) -> None:
    work = Work(talk, broken={0})
    talk.calls = calls("a")
    agent = with_middleware(talk, [work.tool], **ASK)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    talk.run(agent, None)
    outcome = talk.run(agent, Command(resume="yes, do it"))
    assert "which question" in shown(outcome)["error"]
    assert work.ran == [0]
    assert answers(talk.run(agent, answered(outcome, {"done": "paid"}))) == [("a", "paid")]


def test_two_calls_that_ask_each_get_their_own_answer(talk: Any) -> None:
    ran: list[int] = []

    def body(i: int) -> str:
        ran.append(i)
        return f"{i}:{interrupt(f'may {i}?')}" if i in (1, 3) else str(i)

    talk.calls = calls("a", "b", "c", "d", "e")
    agent = with_middleware(talk, [made(talk, body)])
    asked = {item.value: item.id for item in talk.run(agent, GO)["__interrupt__"]}
    first = talk.run(agent, Command(resume={asked["may 3?"]: "three"}))
    assert [item.value for item in first["__interrupt__"]] == ["may 1?"]
    outcome = talk.run(agent, Command(resume={asked["may 1?"]: "one"}))
    assert [content for _, content in answers(outcome)] == ["0", "1:one", "2", "3:three", "4"]
    assert [ran.count(i) for i in (0, 2, 4)] == [1, 1, 1]


def test_the_answer_about_a_call_is_never_the_answer_to_the_calls_own_question(talk: Any) -> None:
    life = iter(["fails", "asks", "asks", "fails after the answer", "asks", "asks"])
    did: list[Any] = []

    def body(i: int) -> str:
        now = next(life)
        if now == "fails":
            raise ConnectionError
        said = interrupt("may I?")
        if now == "fails after the answer":
            raise ConnectionError
        did.append(said)
        return str(said)

    talk.calls = calls("a")
    agent = with_middleware(talk, [made(talk, body)], **ASK)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    outcome = talk.run(agent, answered(talk.run(agent, None), "rerun"))
    assert shown(outcome) == "may I?"
    next(life)
    with pytest.raises(ConnectionError):
        talk.run(agent, Command(resume="yes"))
    assert did == []
    outcome = talk.run(agent, None)
    again = talk.run(agent, answered(outcome, "rerun"))
    # The person's "yes" was for this call, and it is this call that runs again.
    assert answers(again) == [("a", "yes")]
    assert did == ["yes"]


class Gate(AgentMiddleware[Any, Any]):
    """Asks before each call whether it may run."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        self.heard.append(interrupt("may it?"))
        return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        self.heard.append(interrupt("may it?"))
        return await handler(request)


@pytest.mark.parametrize("front", [True, False], ids=["in front", "behind"])
def test_a_middleware_that_asks_hears_only_answers_to_its_own_question(talk: Any, front: bool) -> None:
    work, gate = Work(talk, broken={0}), Gate()
    talk.calls = calls("a")
    agent = agent_of(talk, [work.tool], front=[gate] * front, behind=[gate] * (not front), **ASK)
    assert shown(talk.run(agent, GO)) == "may it?"
    with pytest.raises(ConnectionError):
        talk.run(agent, Command(resume="yes"))
    work.broken = set()
    outcome = talk.run(agent, None)
    outcome = talk.run(agent, Command(resume="not what was asked"))
    outcome = talk.run(agent, answered(outcome, "rerun"))
    assert set(gate.heard) == {"yes"}
    assert answers(outcome) == [("a", "did 0 as number 2")]
