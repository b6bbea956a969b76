"""A thread whose saver holds answers to calls, and a journal that has no record of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import HumanMessage
from langgraph.types import Command

from support.sending import FORMS, GO, Model, Work, answers, calls
from toolslot import InvalidSetting, RecordMissing
from toolslot.journal import MemoryStore, purge_run
from toolslot_langgraph import DurableParallelToolNode, make_durable

AGAIN = {"messages": [HumanMessage("once more", id="h-2")]}
SENT = sorted({*FORMS} - {"one_node"})

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "toolslot.record_missing" in r.getMessage()]


def wipe(talk: Any) -> None:
    """The next process start has an empty journal."""
    talk.world.store = MemoryStore()


@pytest.mark.parametrize("name", SENT)
def test_a_resume_in_another_journal_is_told_once_and_runs(
    talk: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk, broken={2})
    talk.calls = calls("a", "b", "c")
    with pytest.raises(ConnectionError):
        talk.run(FORMS[name](talk, [work.tool]), GO, max_concurrency=1)
    assert told(caplog) == []
    work.broken = set()
    wipe(talk)
    outcome = talk.run(FORMS[name](talk, [work.tool]), None)
    assert len(answers(outcome)) == 3
    (message,) = told(caplog)
    assert "'t-1'" in message
    assert "on_missing='fail'" in message


@pytest.mark.parametrize("name", SENT)
def test_with_fail_it_is_refused_every_time_and_nothing_runs(
    talk: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk, broken={2})
    talk.calls = calls("a", "b", "c")
    with pytest.raises(ConnectionError):
        talk.run(FORMS[name](talk, [work.tool], on_missing="fail"), GO, max_concurrency=1)
    work.broken = set()
    work.ran.clear()
    kept = talk.world.store
    wipe(talk)
    for _ in range(2):
        with pytest.raises(RecordMissing, match="Nothing was run"):
            talk.run(FORMS[name](talk, [work.tool], on_missing="fail"), None)
    assert work.ran == []
    talk.world.store = kept
    assert len(answers(talk.run(FORMS[name](talk, [work.tool], on_missing="fail"), None))) == 3
    assert work.ran == [2]
    assert told(caplog) == []


def test_a_conversation_with_answers_and_a_journal_without_its_run(
    talk: Any, form: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    talk.run(form(talk, [work.tool]), GO)
    wipe(talk)
    with pytest.raises(RecordMissing):
        talk.run(form(talk, [work.tool], on_missing="fail"), AGAIN)
    assert sorted(work.ran) == [0, 1]
    talk.run(form(talk, [work.tool]), None)
    talk.run(form(talk, [work.tool]), {"messages": [HumanMessage("and again", id="h-3")]})
    assert sorted(work.ran) == [0, 0, 0, 1, 1, 1]
    assert len(told(caplog)) == 1


def test_what_is_no_loss_is_not_told(talk: Any, form: Any, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool], on_missing="fail")
    talk.run(agent, GO)
    talk.run(agent, AGAIN)
    purge_run(talk.world.executor().journal, "t-1", why="asked to")
    talk.run(agent, {"messages": [HumanMessage("after a purge", id="h-3")]})
    talk.config = {"configurable": {"thread_id": "t-2"}}
    talk.run(agent, GO)
    assert told(caplog) == []


def test_a_run_that_stopped_before_its_tools_is_no_loss(talk: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = create_agent(Model(talk=talk), [work.tool], checkpointer=talk.saver, interrupt_before=["tools"])
    make_durable(agent, journal=talk.world.executor().journal, on_missing="fail")
    talk.run(agent, GO)
    assert work.ran == []
    assert len(answers(talk.run(agent, None))) == 2


def test_an_approval_is_no_loss(talk: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    asking = HumanInTheLoopMiddleware(interrupt_on={"work": True})
    agent = create_agent(Model(talk=talk), [work.tool], middleware=[asking], checkpointer=talk.saver)
    make_durable(agent, journal=talk.world.executor().journal, on_missing="fail")
    talk.run(agent, GO)
    decisions = [{"type": "approve"}, {"type": "reject", "message": "no"}]
    talk.run(agent, Command(resume={"decisions": decisions}))
    assert work.ran == [0]


def test_the_message_names_the_journal_by_its_absolute_path(
    talk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    work = Work(talk)
    talk.calls = calls("a")
    talk.run(FORMS["make_durable"](talk, [work.tool], journal="here"), GO)
    caplog.set_level(logging.WARNING, "toolslot")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    talk.run(FORMS["make_durable"](talk, [work.tool], journal="here"), AGAIN)
    (message,) = told(caplog)
    assert str(tmp_path / "elsewhere" / "here") in message


def test_another_word_than_run_and_fail_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="on_missing='ask'"):
        DurableParallelToolNode([], on_missing="ask")  # type: ignore[typeddict-item]
