"""What goes wrong when tool calls of LangGraph are made durable naively, one by one.

Those that are missing here stand with what they test.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.prebuilt import InjectedState
from langgraph.types import Command, Send, interrupt

from support.sending import DOORS, FORMS, GO, Work, answers, calls, records
from toolslot import CallEvent, NotDone, SlotState, ToolPolicy
from toolslot.journal import open_journal
from toolslot_langgraph import LangGraphCodec

pytestmark = pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited")


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


@pytest.mark.parametrize(
    "handled", [ValueError, (ValueError, OSError), lambda e: "handled"], ids=["type", "types", "any"]
)
def test_pitfall_02_only_the_errors_that_are_named_become_answers(talk: Any, handled: Any) -> None:
    def body(i: int) -> str:
        raise KeyError(i) if i else ValueError(i)

    def do(i: int) -> str:
        """Fails."""
        return body(i)

    async def ado(i: int) -> str:
        """Fails."""
        return body(i)

    talk.calls = calls("a", "b")
    graph = talk.graph([tool("work")(ado if talk.asynchronous else do)], handle_tool_errors=handled)
    if isinstance(handled, (type, tuple)):
        with pytest.raises(KeyError):
            talk.start(graph)
    else:
        assert len(answers(talk.start(graph))) == 2


@pytest.mark.parametrize("name", sorted(DOORS))
def test_pitfall_05_the_reconciler_is_asked_only_about_calls_that_began(talk: Any, name: str) -> None:
    form = DOORS[name]
    asked, ran = list[int](), list[int]()
    inside, release = threading.Event(), threading.Event()
    hang = {1}

    def enter(i: int) -> bool:
        ran.append(i)
        if i in hang:
            inside.set()
            return True
        return False

    def do(i: int) -> str:
        """Works."""
        if enter(i):
            release.wait(20)
        return "did"

    async def ado(i: int) -> str:
        """Works."""
        if enter(i):
            await asyncio.to_thread(release.wait, 20)
        return "did"

    def reconcile(slot: Any) -> NotDone:
        asked.append(slot.args["i"])
        return NotDone()

    work = tool("work")(ado if talk.asynchronous else do)
    policies = {"work": ToolPolicy(reconcile=reconcile)}
    talk.calls = calls("a", "b", "c", "d")
    agent = form(talk, [work], policies=policies)

    def life() -> None:
        with pytest.raises(Exception):  # noqa: B017
            talk.run(agent, GO, max_concurrency=1)

    thread = threading.Thread(target=life)
    thread.start()
    try:
        assert inside.wait(10)
        talk.crash()
        hang.clear()
        assert ran == [0, 1]
        # What still hangs here has no process any more, but a permit of this one: no limit now.
        assert len(answers(talk.run(form(talk, [work], policies=policies), None))) == 4
        assert (asked, sorted(ran)) == ([1], [0, 1, 1, 2, 3])
    finally:
        release.set()
        thread.join(20)


@pytest.mark.parametrize("goto", [(), "node", ["a", "b"], [Send("a", {"x": 1})]], ids=repr)
def test_pitfall_06_a_stored_command_is_one_that_the_node_treats_alike(goto: Any) -> None:
    codec = LangGraphCodec(())
    original = Command(graph=Command.PARENT, goto=goto, update={"x": 1})
    found = cast("Command[Any]", codec.decode(codec.encode(original)))
    assert found.graph is Command.PARENT
    assert (type(found.goto), found.goto, found.update) == (type(goto), goto, {"x": 1})


def test_pitfall_08_what_happens_to_an_answer_after_it_was_given_does_not_reach_the_record(
    talk: Any, form: Any
) -> None:
    given: list[ToolMessage] = []
    broken = {1}

    def body(i: int) -> str:
        if i in broken:
            raise ConnectionError
        return f"did {i}"

    def do(i: int) -> str:
        """Works."""
        return body(i)

    async def ado(i: int) -> str:
        """Works."""
        return body(i)

    work = tool("work")(ado if talk.asynchronous else do)
    talk.calls = calls("a", "b")
    with pytest.raises(ConnectionError):
        talk.run(form(talk, [work]), GO)
    before = next(s.config for s in form(talk, [work]).get_state_history(talk.config) if "tools" in s.next)
    broken.clear()
    for _ in range(2):
        outcome = talk.run(form(talk, [work], on_fork="replay"), None, **before)
        found = [m for m in outcome["messages"] if isinstance(m, ToolMessage)]
        assert [m.content for m in found] == ["did 0", "did 1"]
        assert all(m not in given for m in found)
        for message in found:
            message.content, message.name = "changed", "changed"
        given += found


def test_pitfall_09_a_result_that_cannot_be_stored_does_not_stop_the_run_and_is_not_made_again(
    talk: Any, form: Any
) -> None:
    ran: list[int] = []
    broken = {1}

    def body(i: int) -> tuple[str, object]:
        ran.append(i)
        if i in broken:
            raise ConnectionError
        return f"did {i}", object()

    def do(i: int) -> tuple[str, object]:
        """Works."""
        return body(i)

    async def ado(i: int) -> tuple[str, object]:
        """Works."""
        return body(i)

    work = tool("work", response_format="content_and_artifact")(ado if talk.asynchronous else do)
    talk.calls = calls("a", "b")
    # LangGraph's own saver cannot write it either, and without one nothing is kept; so the first life ends before it would.
    with pytest.raises(ConnectionError):
        talk.run(form(talk, [work]), GO, max_concurrency=1)
    (record,) = records(talk)
    for slot in record.slots:
        assert slot.state in (SlotState.SUCCEEDED, SlotState.FAILED, SlotState.RESERVED)
    assert ran.count(0) == 1


def test_pitfall_12_injected_values_are_in_no_key_no_row_and_no_event(talk: Any, form: Any) -> None:
    def body(i: int, state: Any) -> str:
        assert "swordfish" in str(state["messages"][0].content)
        return f"did {i}"

    def do(i: int, state: Annotated[Any, InjectedState]) -> str:
        """Works."""
        return body(i, state)

    async def ado(i: int, state: Annotated[Any, InjectedState]) -> str:
        """Works."""
        return body(i, state)

    work = tool("work")(ado if talk.asynchronous else do)
    talk.calls = calls("a", "b")
    go = {"messages": [HumanMessage("swordfish", id="h-1")]}
    assert len(answers(talk.run(form(talk, [work]), go))) == 2
    (record,) = records(talk)
    assert "swordfish" not in repr(record)
    events = [event for event in talk.world.events.all if isinstance(event, CallEvent)]
    assert events
    assert "swordfish" not in repr(events)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_pitfall_14_a_journal_that_waits_for_the_disk_does_not_hold_up_the_event_loop(
    talk: Any, name: str, tmp_path: Path
) -> None:
    if not talk.asynchronous:
        pytest.skip("there is a loop in the async form only")
    work = Work(talk)
    talk.calls = calls("a", "b")
    journal = open_journal(tmp_path / "journal")
    agent = FORMS[name](talk, [work.tool], journal=journal)
    (database,) = tmp_path.rglob("*.db")
    other = sqlite3.connect(database, isolation_level=None, timeout=20, check_same_thread=False)

    async def main() -> int:
        other.execute("BEGIN IMMEDIATE")  # nobody can commit
        running = asyncio.create_task(agent.ainvoke(GO, talk.config))
        beats = 0
        while beats < 20:
            await asyncio.sleep(0.005)
            beats += 1
        assert not running.done()
        assert not work.ran, "the start mark is durable before the code is entered"
        other.execute("ROLLBACK")
        return len(answers(await running))

    try:
        assert asyncio.run(main()) == 2
    finally:
        other.close()
        journal.close()


def test_pitfall_15_a_call_that_waits_for_a_person_gets_no_answer_in_its_place(talk: Any, form: Any) -> None:
    def body(i: int) -> str:
        return f"did {i}" if i else f"told {interrupt('may I?')}"

    def do(i: int) -> str:
        """Works."""
        return body(i)

    async def ado(i: int) -> str:
        """Works."""
        return body(i)

    work = tool("work")(ado if talk.asynchronous else do)
    talk.calls = calls("a", "b")
    outcome = talk.run(form(talk, [work]), GO)
    assert "a" not in dict(answers(outcome))
    assert records(talk)[0].slots[0].state is SlotState.WAITING
    assert answers(talk.run(form(talk, [work]), Command(resume="yes"))) == [("a", "told yes"), ("b", "did 1")]
