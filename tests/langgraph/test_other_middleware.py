"""Other middleware of LangChain beside toolslot: around the durable calls, inside them, and with `make_durable` around all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
    tool_retry,
)
from langgraph.types import Command

from support.sending import GO, Model, Work, answers, calls, options, records
from toolslot import SlotState, ToolPolicy
from toolslot_langgraph import DurableToolMiddleware, make_durable

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own

#: older LangChain reviews no single call, and its retries take a question to a person for a failure
call_by_call = pytest.mark.skipif(
    "interrupt_mode" not in inspect.signature(HumanInTheLoopMiddleware).parameters,
    reason="needs a newer LangChain",
)
passes_questions = pytest.mark.skipif(
    not hasattr(tool_retry, "GraphBubbleUp"), reason="needs a newer LangChain"
)

Door = Callable[..., Any]


def in_front(talk: Any, tools: Sequence[Any], other: Any, **settings: Any) -> Any:
    chain = [other, DurableToolMiddleware(**options(talk, settings))]
    return create_agent(Model(talk=talk), tools, middleware=chain, checkpointer=talk.saver)


def behind(talk: Any, tools: Sequence[Any], other: Any, **settings: Any) -> Any:
    chain = [DurableToolMiddleware(**options(talk, settings)), other]
    return create_agent(Model(talk=talk), tools, middleware=chain, checkpointer=talk.saver)


def inside(talk: Any, tools: Sequence[Any], other: Any, **settings: Any) -> Any:
    agent = create_agent(Model(talk=talk), tools, middleware=[other], checkpointer=talk.saver)
    return make_durable(agent, **options(talk, settings))


@pytest.fixture(params=[in_front, behind, inside], ids=["in front", "behind", "make_durable"])
def door(request: pytest.FixtureRequest) -> Door:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[behind, inside], ids=["behind", "make_durable"])
def enclosing(request: pytest.FixtureRequest) -> Door:
    return request.param  # type: ignore[no-any-return]


class Flaky(Work):
    """Fails the first `times` times for call 1."""

    def __init__(self, talk: Any, times: int) -> None:
        super().__init__(talk)
        flaky = self

        class Broken(set[int]):
            def __contains__(self, i: object) -> bool:
                return i == 1 and flaky.ran.count(1) <= times

        self.broken = Broken()


def retry(**kwargs: Any) -> ToolRetryMiddleware[Any, Any]:
    return ToolRetryMiddleware(initial_delay=0, jitter=False, **kwargs)


# --- ToolRetryMiddleware ----------------------------------------------------------------------------------------------------


def test_a_retried_call_is_retried_and_its_siblings_are_not(talk: Any, door: Door) -> None:
    work = Flaky(talk, times=2)
    talk.calls = calls("a", "b", "c")
    outcome = talk.run(door(talk, [work.tool], retry(max_retries=2)), GO)
    assert sorted(work.ran) == [0, 1, 1, 1, 2]
    assert [name for name, _ in answers(outcome)] == ["a", "b", "c"]
    assert {slot.state for slot in records(talk)[0].slots} == {SlotState.SUCCEEDED}


def test_retries_behind_are_one_attempt(talk: Any, enclosing: Door) -> None:
    talk.calls = calls("a", "b")
    talk.run(enclosing(talk, [Flaky(talk, times=2).tool], retry(max_retries=2)), GO)
    assert [slot.attempt for slot in records(talk)[0].slots] == [1, 1]


def test_a_retry_in_front_enters_the_call_again(talk: Any) -> None:
    talk.calls = calls("a", "b")
    talk.run(in_front(talk, [Flaky(talk, times=2).tool], retry(max_retries=2)), GO)
    assert [slot.attempt for slot in records(talk)[0].slots] == [1, 3]


@passes_questions
def test_a_retry_in_front_does_not_get_past_a_call_that_must_be_asked_about(talk: Any) -> None:
    work = Flaky(talk, times=1)
    talk.calls = calls("a", "b")
    policies = {"work": ToolPolicy(on_unknown="ask")}
    outcome = talk.run(in_front(talk, [work.tool], retry(max_retries=2), policies=policies), GO)
    (asked,) = outcome["__interrupt__"]
    assert asked.value["type"] == "toolslot.unknown_outcome"
    assert work.ran.count(1) == 1


def test_when_the_retries_are_used_up_the_others_results_are_kept(talk: Any, door: Door) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b", "c")
    agent = door(talk, [work.tool], retry(max_retries=1, on_failure="error"))
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    talk.saver.writes.clear()  # what LangGraph itself has kept of the step
    work.broken = set()
    assert [name for name, _ in answers(talk.run(agent, None))] == ["a", "b", "c"]
    assert sorted(work.ran) == [0, 1, 1, 1, 2]


def test_what_the_retries_made_of_a_failure_is_the_calls_answer(talk: Any, enclosing: Door) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b")
    outcome = talk.run(enclosing(talk, [work.tool], retry(max_retries=1)), GO)
    assert "failed after 2 attempts" in dict(answers(outcome))["b"]
    assert [slot.state for slot in records(talk)[0].slots] == [SlotState.SUCCEEDED, SlotState.FAILED]
    assert records(talk)[0].fence.closed


# --- ToolCallLimitMiddleware ------------------------------------------------------------------------------------------------


def test_calls_over_the_limit_never_start_and_do_not_hold_up_the_end(talk: Any, door: Door) -> None:
    work = Work(talk, broken={0})
    talk.calls = calls("a", "b", "c", "d")
    agent = door(talk, [work.tool], ToolCallLimitMiddleware(run_limit=2, exit_behavior="continue"))
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    talk.saver.writes.clear()
    work.broken = set()
    outcome = talk.run(agent, None)
    assert sorted(work.ran) == [0, 0, 1]
    (record,) = records(talk)
    done, not_started = [SlotState.SUCCEEDED] * 2, [SlotState.RESERVED] * 2
    assert [slot.state for slot in record.slots] == [*done, *not_started]
    assert record.fence.closed
    assert sorted(name for name, _ in answers(outcome)) == ["a", "b", "c", "d"]


# --- HumanInTheLoopMiddleware -----------------------------------------------------------------------------------------------

DECISIONS: list[dict[str, Any]] = [
    {"type": "approve"},
    {"type": "edit", "edited_action": {"name": "work", "args": {"i": 7}}},
    {"type": "reject", "message": "not that one"},
    {"type": "approve"},
]


def test_what_a_reviewer_decided_is_what_runs_and_runs_once(talk: Any, door: Door) -> None:
    work = Work(talk, broken={3})
    talk.calls = calls("a", "b", "c", "d")
    agent = door(talk, [work.tool], HumanInTheLoopMiddleware(interrupt_on={"work": True}))
    talk.run(agent, GO)
    assert work.ran == []
    with pytest.raises(ConnectionError):
        talk.run(agent, Command(resume={"decisions": DECISIONS}))
    talk.saver.writes.clear()
    work.broken = set()
    settled = dict(answers(talk.run(agent, None)))
    assert sorted(work.ran) == [0, 3, 3, 7]
    assert "did 0" in settled["a"]
    assert "did 7" in settled["b"]
    assert "not that one" in settled["c"]
    assert "did 3" in settled["d"]


def reviewed(outcome: Any, decisions: Sequence[dict[str, Any]]) -> Command[Any]:
    by_call = {item.value["tool_call_id"]: item.id for item in outcome["__interrupt__"]}
    return Command(resume=dict(zip((by_call[name] for name in "abcd"), decisions, strict=True)))


@call_by_call
def test_a_reviewer_who_is_asked_call_by_call_is_asked_once_each(talk: Any, door: Door) -> None:
    work = Work(talk, broken={3})
    talk.calls = calls("a", "b", "c", "d")
    review = HumanInTheLoopMiddleware(interrupt_on={"work": True}, interrupt_mode="per_call")
    agent = door(talk, [work.tool], review)
    with pytest.raises(ConnectionError):
        talk.run(agent, reviewed(talk.run(agent, GO), DECISIONS))
    work.broken = set()
    settled = dict(answers(talk.run(agent, None)))
    assert sorted(work.ran) == [0, 3, 3, 7]
    assert "did 7" in settled["b"]
    assert "not that one" in settled["c"]


@call_by_call
def test_a_review_and_a_question_about_the_outcome_each_get_their_own_answer(talk: Any, door: Door) -> None:
    work = Work(talk, broken={0})
    talk.calls = calls("a")
    review = HumanInTheLoopMiddleware(interrupt_on={"work": True}, interrupt_mode="per_call")
    agent = door(talk, [work.tool], review, policies={"work": ToolPolicy(on_unknown="ask")})
    asked = talk.run(agent, GO)
    with pytest.raises(ConnectionError):
        talk.run(agent, Command(resume={asked["__interrupt__"][0].id: {"type": "approve"}}))
    work.broken = set()
    (about,) = talk.run(agent, None)["__interrupt__"]
    (question,) = about.value["questions"]
    outcome = talk.run(agent, Command(resume={question["id"]: "rerun"}))
    assert answers(outcome) == [("a", "did 0 as number 2")]
