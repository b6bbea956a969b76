"""One task per call: questions of tools, questions about calls of unknown outcome, and failures among siblings."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command, interrupt

from support.sending import DOORS, GO, Work, answers, calls, records
from toolslot import EventKind, SlotState, ToolPolicy

ASK: dict[str, Any] = {"policies": {"work": ToolPolicy(on_unknown="ask")}}

pytestmark = pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited")


@pytest.fixture(params=sorted(DOORS))
def door(request: pytest.FixtureRequest) -> Any:
    return DOORS[request.param]


class Desk:
    """A tool whose calls in `asking` ask for leave, twice each."""

    def __init__(self, talk: Any, asking: set[int]) -> None:
        self.did: list[str] = []
        self.began: list[int] = []
        desk = self

        def body(i: int) -> str:
            desk.began.append(i)
            said = [str(interrupt(f"may {i}? ({n})")) for n in range(2)] if i in asking else ["unasked"]
            desk.did.append(f"{i}:{'+'.join(said)}")
            return desk.did[-1]

        def do(i: int) -> str:
            """Works."""
            return body(i)

        async def ado(i: int) -> str:
            """Works."""
            return body(i)

        self.tool = tool("work")(ado if talk.asynchronous else do)


def contents(outcome: Any) -> list[str]:
    return [content for _, content in answers(outcome)]


def test_a_question_of_one_of_five_runs_none_of_its_siblings_again(talk: Any, door: Any) -> None:
    desk = Desk(talk, {1})
    talk.calls = calls(*"abcde")
    outcome = talk.run(door(talk, [desk.tool]), GO)
    for n in range(2):
        (question,) = outcome["__interrupt__"]
        assert question.value == f"may 1? ({n})"
        (record,) = records(talk)
        assert record.slots[1].state is SlotState.WAITING
        talk.crash()
        outcome = talk.run(door(talk, [desk.tool]), Command(resume=f"yes {n}"))
    assert contents(outcome) == ["0:unasked", "1:yes 0+yes 1", "2:unasked", "3:unasked", "4:unasked"]
    assert sorted(desk.began) == [0, 1, 1, 1, 2, 3, 4]
    assert records(talk)[0].fence.closed


def test_pitfall_01_the_questions_of_several_calls_come_at_once_and_each_answer_reaches_its_call(
    talk: Any, door: Any
) -> None:
    desk = Desk(talk, {0, 2, 3})
    talk.calls = calls(*"abcde")
    outcome = talk.run(door(talk, [desk.tool]), GO)
    for n in range(2):
        asked = outcome["__interrupt__"]
        assert sorted(q.value for q in asked) == [f"may {i}? ({n})" for i in (0, 2, 3)]
        given = {q.id: f"{q.value[4]}.{n}" for q in asked}
        outcome = talk.run(door(talk, [desk.tool]), Command(resume=given))
    assert contents(outcome) == ["0:0.0+0.1", "1:unasked", "2:2.0+2.1", "3:3.0+3.1", "4:unasked"]
    assert len(desk.did) == 5


def test_questions_may_be_answered_one_by_one(talk: Any, door: Any) -> None:
    desk = Desk(talk, {0, 2})
    talk.calls = calls(*"abc")
    outcome = talk.run(door(talk, [desk.tool]), GO)
    for _ in range(4):
        question = outcome["__interrupt__"][-1]
        outcome = talk.run(door(talk, [desk.tool]), Command(resume={question.id: f"to {question.value}"}))
    assert contents(outcome) == [
        "0:to may 0? (0)+to may 0? (1)",
        "1:unasked",
        "2:to may 2? (0)+to may 2? (1)",
    ]
    assert len(desk.did) == 3


# --- calls of unknown outcome -----------------------------------------------------------------------------------------------


class Dying(Work):
    """Calls in `hang` hang, until the process dies."""

    def __init__(self, talk: Any, hang: set[int]) -> None:
        super().__init__(talk)
        self.inside, self.release = threading.Semaphore(0), threading.Event()
        self.hang = hang
        dying = self

        def body(i: int) -> bool:
            dying.ran.append(i)
            if i in dying.hang:
                dying.inside.release()
                return True
            return False

        def do(i: int, secret: str = "s3cr3t") -> str:
            """Works."""
            if body(i):
                dying.release.wait(20)
            return f"did {i}"

        async def ado(i: int, secret: str = "s3cr3t") -> str:
            """Works."""
            if body(i):
                await asyncio.to_thread(dying.release.wait, 20)
            return f"did {i}"

        self.tool = tool("work")(ado if talk.asynchronous else do)


@pytest.fixture
def dead(talk: Any, door: Any, request: pytest.FixtureRequest) -> Any:
    """Five calls, of which 1 and 3 were inside when the process died."""
    work = Dying(talk, {1, 3})
    talk.calls = [
        {"name": "work", "args": {"i": i, "secret": "s3cr3t"}, "id": f"c{i}", "type": "tool_call"}
        for i in range(5)
    ]
    agent = door(talk, [work.tool], **ASK)

    def life() -> None:
        try:
            talk.run(agent, GO)
        except Exception:
            return

    thread = threading.Thread(target=life)
    thread.start()
    for _ in work.hang:
        assert work.inside.acquire(timeout=10)
    while len(talk.world.events.calls(EventKind.FINISHED)) < 3:
        pass
    talk.crash()
    work.hang = set()
    yield work
    work.release.set()
    thread.join(20)


def test_each_call_of_unknown_outcome_is_asked_about_and_one_resume_answers_all(
    talk: Any, door: Any, dead: Dying
) -> None:
    asked = talk.run(door(talk, [dead.tool], **ASK), None)["__interrupt__"]
    asked = sorted(asked, key=lambda question: question.value["questions"][0]["call_id"])
    assert len(asked) == 2
    assert "s3cr3t" not in repr(asked)
    given = {}
    for question, answer in zip(asked, ["rerun", {"done": "as the bank says"}], strict=True):
        (shown,) = question.value["questions"]
        assert shown["tool"] == "work"
        assert shown["args"] == ["i", "secret"]
        assert shown["idempotency_key"]
        assert shown["started_at"]
        assert shown["choices"] == ["done", "failed", "rerun"]
        given[question.id] = {shown["id"]: answer}
    outcome = talk.run(door(talk, [dead.tool], **ASK), Command(resume=given))
    assert contents(outcome) == ["did 0", "did 1", "did 2", "as the bank says", "did 4"]
    assert sorted(dead.ran) == [0, 1, 1, 2, 3, 4]


def test_the_message_shows_how_to_answer_when_several_tasks_ask(talk: Any, door: Any, dead: Dying) -> None:
    agent = door(talk, [dead.tool], **ASK)
    asked = talk.run(agent, None)["__interrupt__"]
    assert "Command(resume={interrupt.id: {id: answer}, ...})" in asked[0].value["message"]
    outcome = talk.run(
        agent, Command(resume={question.id: question.value["answer_with"] for question in asked})
    )
    assert len(contents(outcome)) == 5


def test_a_bare_decision_settles_nothing_and_says_why(
    talk: Any, door: Any, dead: Dying, caplog: pytest.LogCaptureFixture
) -> None:
    agent = door(talk, [dead.tool], **ASK)
    asked = talk.run(agent, None)["__interrupt__"]
    with caplog.at_level(logging.WARNING, "toolslot"):
        again = talk.run(agent, Command(resume={asked[0].id: "rerun", asked[1].id: {"done": "secret"}}))
    for question in again["__interrupt__"]:
        (shown,) = question.value["questions"]
        assert "which question" in question.value["error"]
        assert shown["id"] in question.value["error"]
    assert "secret" not in caplog.text
    assert sorted(dead.ran) == [0, 1, 2, 3, 4]


def test_answers_may_come_one_by_one(talk: Any, door: Any, dead: Dying) -> None:
    outcome = talk.run(door(talk, [dead.tool], **ASK), None)
    while "__interrupt__" in outcome:
        question = outcome["__interrupt__"][0]
        given = {question.id: {question.value["questions"][0]["id"]: {"failed": "no"}}}
        outcome = talk.run(door(talk, [dead.tool], **ASK), Command(resume=given))
    assert sorted(dead.ran) == [0, 1, 2, 3, 4]
    found = [m.status for m in outcome["messages"] if isinstance(m, ToolMessage)]
    assert found == ["success", "error", "success", "error", "success"]


# --- a failure among siblings -----------------------------------------------------------------------------------------------


def test_pitfall_07_async_siblings_of_a_call_that_fails_finish_and_are_recorded(talk: Any, door: Any) -> None:
    ended: list[int] = []
    broken = {0}

    async def main() -> None:
        inside, release = asyncio.Semaphore(0), asyncio.Event()

        @tool
        async def work(i: int) -> str:
            """Works."""
            if i in broken:
                for _ in range(3):
                    await inside.acquire()
                asyncio.get_running_loop().call_later(0.05, release.set)
                raise ConnectionError
            inside.release()
            await release.wait()
            ended.append(i)
            return f"did {i}"

        talk.calls = calls(*"abcd")
        agent = door(talk, [work])
        with pytest.raises(ConnectionError):
            await agent.ainvoke(GO, talk.config, durability="sync")
        assert sorted(ended) == [1, 2, 3]
        (record,) = records(talk)
        assert [slot.state for slot in record.slots] == [SlotState.FAILED, *[SlotState.SUCCEEDED] * 3]
        broken.clear()
        outcome = await agent.ainvoke(None, talk.config, durability="sync")
        assert len(contents(outcome)) == 4
        assert sorted(ended) == [0, 1, 2, 3]

    asyncio.run(main())


def test_two_async_calls_that_fail_do_not_wait_for_each_other(talk: Any, door: Any) -> None:
    work = Work(talk, broken={0, 1})
    talk.calls = calls(*"abc")
    with pytest.raises(ConnectionError):
        talk.run(door(talk, [work.tool]), GO)
