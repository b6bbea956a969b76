"""Whatever LangGraph takes for a thread's id names a run, as its text does; and what is the identity of a response under a run key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from cli.commands import command
from support.sending import DOORS, FORMS, Work, calls, records, unsaved
from toolslot import DiskJournal
from toolslot_langgraph._compat import as_name, read_channel

pytestmark = pytest.mark.pairwise

IDS = [42, UUID("12345678-1234-4678-8234-567812345678"), 2.5, 0]
forms = pytest.mark.parametrize("form", FORMS)
ids = pytest.mark.parametrize("thread_id", IDS, ids=repr)


def broken_then_mended(talk: Any, agent: Callable[[], Any], work: Work) -> None:
    """A run in which the last call fails, and its resume in another life."""
    work.broken = {1}
    with pytest.raises(ConnectionError):
        talk.start(agent(), **talk.config)
    work.broken = set()
    talk.crash()
    talk.resume(agent())


@forms
@ids
def test_a_thread_id_that_is_no_string_names_a_run_as_its_text_does(
    talk: Any, form: str, thread_id: Any
) -> None:
    talk.calls, talk.config = calls("a", "b"), {"configurable": {"thread_id": thread_id}}
    work = Work(talk)
    broken_then_mended(talk, lambda: FORMS[form](talk, [work.tool]), work)
    assert sorted(work.ran) == [0, 1, 1]
    assert {record.key.run_id for record in records(talk)} == {str(thread_id)}


@pytest.mark.parametrize("thread_id", IDS[:2], ids=repr)
def test_a_thread_that_sqlite_keeps_is_resumed_by_the_text_or_by_the_id(
    talk: Any, thread_id: Any, tmp_path: Path
) -> None:
    if talk.asynchronous:
        pytest.skip("SqliteSaver is sync")
    with SqliteSaver.from_conn_string(str(tmp_path / "saver.db")) as saver:
        talk.saver, talk.calls, work = saver, calls("a", "b"), Work(talk)
        talk.config = {"configurable": {"thread_id": thread_id}}
        work.broken = {1}
        with pytest.raises(ConnectionError):
            talk.start(FORMS["make_durable"](talk, [work.tool]))
        work.broken = set()
        talk.crash()
        talk.config = {"configurable": {"thread_id": str(thread_id)}}
        talk.resume(FORMS["make_durable"](talk, [work.tool]))
    assert sorted(work.ran) == [0, 1, 1]


@ids
def test_an_agent_that_is_a_node_of_another_graph_is_protected_under_such_an_id(
    talk: Any, thread_id: Any
) -> None:
    talk.calls, talk.config = calls("a", "b"), {"configurable": {"thread_id": thread_id}}
    work = Work(talk)

    def outer() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("team", DOORS["make_durable"](talk, [work.tool], saver=None))
        graph.add_edge(START, "team")
        return graph.compile(checkpointer=talk.saver)

    broken_then_mended(talk, outer, work)
    assert sorted(work.ran) == [0, 1, 1]


@forms
@pytest.mark.parametrize("thread_id", IDS[:3], ids=repr)
@pytest.mark.parametrize("named", [False, True], ids=["by thread", "by checkpoint"])
def test_answers_that_were_lost_and_time_travel_are_told_apart_under_such_an_id(
    talk: Any, form: str, thread_id: Any, named: bool
) -> None:
    talk.calls, talk.config = calls("a"), {"configurable": {"thread_id": thread_id}}
    work = Work(talk)
    agent = FORMS[form](talk, [work.tool])
    talk.start(agent)
    before = next(state for state in agent.get_state_history(talk.config) if "tools" in state.next)
    if named:
        talk.run(agent, None, **before.config)
        assert work.ran == [0, 0]
    else:
        saver = talk.saver.storage[before.config["configurable"]["thread_id"]]
        for saved in saver.values():
            for name in [name for name in saved if name > before.config["configurable"]["checkpoint_id"]]:
                del saved[name]
        talk.saver.writes.clear()
        talk.crash()
        talk.resume(FORMS[form](talk, [work.tool]))
        assert work.ran == [0]


def test_the_command_shows_such_a_run_by_its_text(talk: Any, tmp_path: Path) -> None:
    home = tmp_path / "journal"
    talk.calls, work = calls("a"), Work(talk)
    talk.config = {"configurable": {"thread_id": 42}}
    with DiskJournal.open(home) as journal:
        talk.start(FORMS["make_durable"](talk, [work.tool], journal=journal))
    found = json.loads(command("runs", "--json", "--journal", home).stdout)
    assert [run["run_id"] for run in found] == ["42"]


@pytest.mark.parametrize("given", [None, "", object(), Mock()], ids=["None", "empty", "object", "Mock"])
def test_what_has_no_text_of_its_own_names_no_run(given: object) -> None:
    assert as_name(given) is None


# --- run keys -----------------------------------------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("run_key", ["order-17", 17, uuid4()], ids=["str", "int", "UUID"])
def test_with_a_run_key_messages_without_an_id_of_the_provider_are_found_again(
    talk: Any, form: str, run_key: Any
) -> None:
    # The reducer of messages, and LangChain's own model class, give such a message another id at every run of the graph.
    talk.calls, talk.provider_ids, work = calls("a", "b"), False, Work(talk)

    def again() -> None:
        agent = FORMS[form](talk, [work.tool], saver=None)
        unsaved(talk, agent, configurable={"durable_run_key": run_key})

    work.broken = {1}
    with pytest.raises(ConnectionError):
        again()
    work.broken = set()
    talk.crash()
    again()
    assert sorted(work.ran) == [0, 1, 1]
    assert {record.key.run_id for record in records(talk)} == {str(run_key)}


def keyed(talk: Any, work: Work, messages: list[Any]) -> None:
    """Run a graph of tools alone over the conversation, with a run key and no saver."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", talk.node([work.tool]))
    graph.add_edge(START, "tools")
    agent: Any = graph.compile()
    value = {"messages": [message.model_copy() for message in messages]}
    config = {"configurable": {"durable_run_key": "order-17"}}
    asyncio.run(agent.ainvoke(value, config)) if talk.asynchronous else agent.invoke(value, config)


def test_under_one_run_key_two_responses_with_equal_calls_and_random_ids_are_two_batches(talk: Any) -> None:
    talk.calls, work = calls("a"), Work(talk)
    one: Any = [HumanMessage("go"), AIMessage("", tool_calls=talk.calls)]
    two: Any = [*one, HumanMessage("again"), AIMessage("", tool_calls=talk.calls)]
    for messages in (one, two, one, two):
        keyed(talk, work, messages)
    assert work.ran == [0, 0]


@pytest.mark.parametrize("provided", ["msg_01XFD", "chatcmpl-B9MHDb", "resp_68af-1", "ai-1", "5f0c2f2e"])
def test_an_id_that_the_provider_gave_finds_its_batch_wherever_the_message_stands(
    talk: Any, provided: str
) -> None:
    talk.calls, work = calls("a"), Work(talk)
    message = AIMessage("", tool_calls=talk.calls, id=provided)
    keyed(talk, work, [message])
    keyed(talk, work, [HumanMessage("go"), message])
    assert work.ran == [0]


def test_the_state_is_read_as_tool_node_reads_it() -> None:
    def read(select: Any, fresh: bool) -> object:
        return select, fresh

    assert read_channel({"configurable": {"__pregel_read": read}}, "messages") == ("messages", True)
