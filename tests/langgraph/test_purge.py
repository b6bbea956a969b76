"""A purge of a thread, and the chat that goes on in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from support.sending import FORMS, GO, Work, answers, calls
from toolslot import Journal, RunPurged
from toolslot.journal import MemoryJournal, purge_older, purge_run

AGAIN = {"messages": [HumanMessage("once more", id="h-2")]}

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),  # LangGraph's own
]


def by_name(journal: Journal) -> None:
    purge_run(journal, "t-1", why="asked to")


def daily(journal: Journal) -> None:
    """As the guide has it, a month later."""
    found = purge_older(journal, 86400.0, clock=lambda: time.time() + 30 * 86400)
    assert found.purged == ("t-1",)


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


@pytest.fixture
def journal(talk: Any) -> Journal:
    return MemoryJournal(talk.world.store)


@pytest.mark.parametrize("purge", [by_name, daily])
@pytest.mark.parametrize("keyed", [False, True], ids=["thread", "run key"])
def test_a_chat_goes_on_after_a_purge_as_it_does_without_toolslot(
    talk: Any, form: Any, journal: Journal, purge: Callable[[Journal], None], keyed: bool
) -> None:
    if keyed:
        talk.config["configurable"]["durable_run_key"] = "t-1"
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool])
    talk.run(agent, GO)
    for turn in range(2, 4):
        purge(journal)
        outcome = talk.run(agent, AGAIN if turn == 2 else {"messages": [HumanMessage("more", id="h-3")]})
        assert len(answers(outcome)) == 2 * turn
    assert sorted(work.ran) == [0, 0, 0, 1, 1, 1]


def test_a_resume_of_what_was_purged_is_refused_and_a_new_message_is_taken(
    talk: Any, form: Any, journal: Journal
) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool])
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    by_name(journal)
    work.broken = set()
    work.ran.clear()
    for config in ({}, agent.get_state(talk.config).config):
        with pytest.raises(RunPurged, match="Nothing was run"):
            talk.run(agent, None, **config)
    assert work.ran == []
    if form is FORMS["react_v2"]:
        return  # which takes no new message while calls have no answer
    talk.run(agent, AGAIN)
    assert sorted(work.ran) == [0, 1]


def test_time_travel_to_a_purged_response_is_refused(talk: Any, form: Any, journal: Journal) -> None:
    work = Work(talk)
    talk.calls = [{**call, "type": "tool_call"} for call in calls("a", "b")]
    agent = form(talk, [work.tool])
    talk.run(agent, GO)
    before = next(state.config for state in agent.get_state_history(talk.config) if "tools" in state.next)
    daily(journal)
    with pytest.raises(RunPurged):
        talk.run(agent, None, **before)
    assert sorted(work.ran) == [0, 1]
