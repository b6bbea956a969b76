"""One task per call, and one for all: resumes that name a checkpoint, time travel, edited state."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from support.sending import FORMS, GO, Work, answers, calls, records

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]


@pytest.fixture(params=sorted(FORMS))
def door(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def failed(talk: Any, door: Any, **settings: Any) -> tuple[Work, Any]:
    """An agent of which the last of three calls failed and the others are done."""
    work = Work(talk, broken={2})
    talk.calls = calls("a", "b", "c")
    work.gate = threading.Barrier(3) if not talk.asynchronous else None
    agent = door(talk, [work.tool], **settings)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    work.broken, work.gate = set(), None
    assert sorted(work.ran) == [0, 1, 2]
    return work, agent


@pytest.mark.parametrize(
    ("on_fork", "again"), [("adopt_unfinished", [2]), ("rerun", [0, 1, 2]), ("replay", [2])]
)
def test_pitfall_04_a_resume_that_names_the_latest_checkpoint(
    talk: Any, door: Any, on_fork: str, again: list[int]
) -> None:
    work, agent = failed(talk, door, on_fork=on_fork)
    work.ran.clear()
    outcome = talk.run(agent, None, **agent.get_state(talk.config).config)
    assert sorted(work.ran) == again
    assert len(answers(outcome)) == 3
    assert any(record.fence.closed for record in records(talk))


@pytest.mark.parametrize(
    ("on_fork", "again"), [("adopt_unfinished", [0, 1]), ("rerun", [0, 1]), ("replay", [])]
)
def test_time_travel_to_before_a_finished_batch(talk: Any, door: Any, on_fork: str, again: list[int]) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = door(talk, [work.tool], on_fork=on_fork)
    talk.run(agent, GO)
    before = next(state.config for state in agent.get_state_history(talk.config) if "tools" in state.next)
    for _ in range(2):
        work.ran.clear()
        assert len(answers(talk.run(agent, None, **before))) == 2
        assert sorted(work.ran) == again


def test_time_travel_to_before_the_model_makes_a_new_batch(talk: Any, door: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = door(talk, [work.tool])
    talk.run(agent, GO)
    *_, before = (
        state.config
        for state in agent.get_state_history(talk.config)
        if state.next and not {"tools", "__start__"} & {*state.next}
    )
    talk.run(agent, None, **before)
    assert sorted(work.ran) == [0, 0, 1, 1]
    assert talk.asked == 2


@pytest.mark.parametrize("name", ["make_durable", "middleware", "one_node"])
def test_after_an_edit_of_the_state_only_the_calls_without_an_answer_run(talk: Any, name: str) -> None:
    work, agent = failed(talk, FORMS[name])
    work.ran.clear()
    agent.update_state(talk.config, {"messages": []}, as_node="model")
    assert len(answers(talk.run(agent, None))) == 3
    assert work.ran == [2]


@pytest.mark.parametrize("name", ["make_durable", "middleware"])
def test_a_response_that_a_person_edited_is_a_new_batch(talk: Any, name: str) -> None:
    work, agent = failed(talk, FORMS[name])
    work.ran.clear()
    response = agent.get_state(talk.config).values["messages"][1].model_copy(deep=True)
    response.tool_calls[2]["args"] = {"i": 7}
    agent.update_state(talk.config, {"messages": [response]}, as_node="model")
    talk.run(agent, None)
    assert sorted(work.ran) == [0, 1, 7]


@pytest.mark.parametrize("name", ["make_durable", "middleware", "graph", "one_node"])
def test_a_new_message_instead_of_a_resume_is_a_new_batch(talk: Any, name: str) -> None:
    work, agent = failed(talk, FORMS[name])
    work.ran.clear()
    talk.run(agent, {"messages": [HumanMessage("once more", id="h-2")]})
    assert sorted(work.ran) == [0, 1, 2]


@pytest.mark.parametrize("name", ["make_durable", "middleware"])
@pytest.mark.parametrize("named", [False, True], ids=["checkpoint", "run key"])
def test_an_answer_that_a_person_adds_for_one_call_leaves_the_others_their_results(
    talk: Any, name: str, named: bool
) -> None:
    if named:
        talk.config["configurable"]["durable_run_key"] = "run"
    work, agent = failed(talk, FORMS[name])
    work.ran.clear()
    work.broken = {2}
    added = ToolMessage("a person did it", tool_call_id="a", name="work")
    agent.update_state(talk.config, {"messages": [added]}, as_node="model")
    with pytest.raises(ConnectionError):
        talk.run(agent, None)
    work.broken = set()
    outcome = talk.run(agent, None)
    assert [call_id for call_id, _ in answers(outcome)] == ["a", "b", "c"]
    assert work.ran == [2, 2], "the second call is done"
    assert any(record.fence.closed for record in records(talk))


@pytest.mark.parametrize("name", ["make_durable", "middleware"])
def test_an_answer_that_a_person_adds_for_the_failed_call_ends_the_batch(talk: Any, name: str) -> None:
    work, agent = failed(talk, FORMS[name])
    work.ran.clear()
    added = ToolMessage("a person did it", tool_call_id="c", name="work")
    agent.update_state(talk.config, {"messages": [added]}, as_node="model")
    outcome = talk.run(agent, None)
    assert sorted(call_id for call_id, _ in answers(outcome)) == ["a", "b", "c"]
    assert work.ran == []
    assert all(record.fence.closed for record in records(talk))


@pytest.mark.parametrize("name", ["make_durable", "middleware"])
def test_equal_calls_keep_their_places_when_a_person_has_answered_another(talk: Any, name: str) -> None:
    work = Work(talk)
    talk.calls = [*calls("a"), *calls("b", i=7), *calls("b", i=7), *calls("d", i=8)]
    work.broken = {8}
    work.gate = threading.Barrier(4) if not talk.asynchronous else None
    agent = FORMS[name](talk, [work.tool])
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    assert sorted(work.ran) == [0, 7, 7, 8]
    work.ran.clear()
    work.broken, work.gate = set(), None
    added = ToolMessage("a person did it", tool_call_id="a", name="work")
    agent.update_state(talk.config, {"messages": [added]}, as_node="model")
    assert len(answers(talk.run(agent, None))) == 4
    assert work.ran == [8]
