"""The middleware for `create_agent`: what it does itself. What it shares with the other doors is in test_sent."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

import toolslot._executor
from support.middleware import agent_of, made
from support.sending import GO, Model, Work, answers, calls, graph_of, records, with_middleware
from toolslot import Draining, InvalidSetting, SlotState, ToolPolicy
from toolslot_langgraph import DurableToolMiddleware

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own


# --- replay -----------------------------------------------------------------------------------------------------------------


def test_a_second_process_start_over_files_runs_only_what_failed(talk: Any, tmp_path: Any) -> None:
    work = Work(talk, broken={3})
    talk.calls = calls("a", "b", "c", "d", "e")

    def life(saver: Any) -> Any:
        return with_middleware(talk, [work.tool], saver=saver, journal=tmp_path / "journal")

    async def alive(value: Any) -> Any:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "graph.db")) as saver:
            return await life(saver).ainvoke(value, talk.config, durability="sync")

    def live(value: Any) -> Any:
        if talk.asynchronous:
            return asyncio.run(alive(value))
        with SqliteSaver.from_conn_string(str(tmp_path / "graph.db")) as saver:
            return life(saver).invoke(value, talk.config, durability="sync")

    with pytest.raises(ConnectionError):
        live(GO)
    work.broken = set()
    assert [name for name, _ in answers(live(None))] == ["a", "b", "c", "d", "e"]
    assert sorted(work.ran) == [0, 1, 2, 3, 3, 4]


def test_a_replayed_command_still_updates_the_state(talk: Any) -> None:
    ran: list[int] = []
    broken = {1}

    def body(i: int) -> Any:
        ran.append(i)
        if i in broken:
            raise ConnectionError
        return Command(update={"messages": [ToolMessage(f"did {i}", tool_call_id="ab"[i])]})

    talk.calls = calls("a", "b")
    agent = with_middleware(talk, [made(talk, body)])
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    talk.saver.writes.clear()  # LangGraph itself would not even ask for call 0 again
    broken.clear()
    assert answers(talk.run(agent, None)) == [("a", "did 0"), ("b", "did 1")]
    assert sorted(ran) == [0, 1, 1]


def test_a_replayed_hand_over_reaches_the_parent_graph(talk: Any) -> None:
    ran: list[int] = []

    def body(i: int) -> Any:
        ran.append(i)
        raise ParentCommand(Command(graph=Command.PARENT, goto="desk", update={"messages": [f"over {i}"]}))

    talk.calls = calls("a")
    arrived: list[str] = []

    def life(broken: bool) -> Any:
        def desk(state: MessagesState) -> dict[str, Any]:
            if broken:
                raise ConnectionError
            arrived.append(str(state["messages"][-1].content))
            return {}

        parent = StateGraph(MessagesState)
        parent.add_node("agent", with_middleware(talk, [made(talk, body)], saver=None))
        parent.add_node("desk", desk)
        parent.add_edge(START, "agent")
        return parent.compile(checkpointer=talk.saver)

    with pytest.raises(ConnectionError):
        talk.run(life(broken=True), GO)
    talk.run(life(broken=False), None)
    assert (ran, arrived) == ([0], ["over 0"])


# --- what is known of the tools ---------------------------------------------------------------------------------------------


def test_what_an_mcp_server_says_of_a_tool_is_its_policy(talk: Any) -> None:
    def body(i: int) -> str:
        raise ConnectionError

    talk.calls = calls("a")
    agent = with_middleware(talk, [made(talk, body, metadata={"destructiveHint": True})])
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    (asked,) = talk.run(agent, None)["__interrupt__"]
    assert asked.value["type"] == "toolslot.unknown_outcome"


def test_a_given_policy_comes_before_what_a_server_says(talk: Any) -> None:
    failing = [True]

    def body(i: int) -> str:
        if failing and failing.pop():
            raise ConnectionError
        return "done"

    talk.calls = calls("a")
    policies = {"work": ToolPolicy()}
    agent = with_middleware(talk, [made(talk, body, metadata={"destructiveHint": True})], policies=policies)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    assert answers(talk.run(agent, None)) == [("a", "done")]


@pytest.mark.parametrize("metadata", [None, {"readOnlyHint": True}], ids=["plain", "with hints"])
def test_a_drained_middleware_starts_no_call_and_they_run_after_the_resume(talk: Any, metadata: Any) -> None:
    ran: list[int] = []

    def body(i: int) -> str:
        ran.append(i)
        return str(i)

    talk.calls = calls("a", "b")
    middleware = DurableToolMiddleware(journal=talk.world.executor().journal)
    work = made(talk, body, metadata=metadata)
    agent = create_agent(Model(talk=talk), [work], middleware=[middleware], checkpointer=talk.saver)
    assert middleware.executor.drain(0)
    with pytest.raises(Draining):
        talk.run(agent, GO)
    assert (ran, {slot.state for slot in records(talk)[0].slots}) == ([], {SlotState.RESERVED})
    talk.crash()
    assert answers(talk.run(with_middleware(talk, [work]), None)) == [("a", "0"), ("b", "1")]


def test_a_call_whose_own_calls_were_not_started_any_more_goes_on_after_the_resume(talk: Any) -> None:
    ran: list[int] = []
    running = [True]
    journal = talk.world.executor().journal
    inner_calls = SimpleNamespace(calls=calls("x", "y"), asked=0)

    def life() -> Any:
        middleware = DurableToolMiddleware(journal=journal)
        pays = made(talk, lambda i: ran.append(i) or str(i))
        inner = create_agent(Model(talk=inner_calls), [pays], middleware=[middleware])

        def shut_down() -> None:
            if running:
                running.clear()
                middleware.executor.drain(0)

        def agent(i: int) -> str:
            """Runs an agent."""
            shut_down()
            return "|".join(content for _, content in answers(inner.invoke(GO)))

        async def aagent(i: int) -> str:
            """Runs an agent."""
            shut_down()
            return "|".join(content for _, content in answers(await inner.ainvoke(GO)))

        outer = tool("agent")(aagent if talk.asynchronous else agent)
        return agent_of(talk, [outer], journal=journal, policies={"agent": ToolPolicy(on_unknown="ask")})

    talk.calls = [{"name": "agent", "args": {"i": 0}, "id": "a", "type": "tool_call"}]
    with pytest.raises(Draining):
        talk.run(life(), GO)
    assert ran == []
    assert answers(talk.run(life(), None)) == [("a", "0|1")]
    assert sorted(ran) == [0, 1]


def test_an_option_that_means_nothing_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="on_fork='never'"):
        DurableToolMiddleware(on_fork="never")  # type: ignore[typeddict-item]


# --- where nothing can be kept ----------------------------------------------------------------------------------------------


def test_without_a_checkpointer_it_works_as_plain_and_warns_once(
    talk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b", "c")
    agent = with_middleware(talk, [work.tool], saver=None)
    with caplog.at_level(logging.WARNING, "toolslot"):
        run = agent.invoke
        outcome = asyncio.run(agent.ainvoke(GO)) if talk.asynchronous else run(GO)
    assert [name for name, _ in answers(outcome)] == ["a", "b", "c"]
    assert sum("not_durable" in r.message for r in caplog.records) == 1
    assert records(talk) == []


def test_in_a_node_that_runs_several_calls_itself_nothing_is_recorded_and_that_is_told(
    talk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk)
    talk.calls = calls("a", "a", "b", i=0)
    middleware = DurableToolMiddleware(journal=talk.world.executor().journal)
    wrappers = {"wrap_tool_call": middleware.wrap_tool_call, "awrap_tool_call": middleware.awrap_tool_call}
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [Model(talk=talk).invoke(state["messages"])]})
    graph.add_node("tools", ToolNode([work.tool], **wrappers))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    with caplog.at_level(logging.WARNING, "toolslot"):
        outcome = talk.run(graph.compile(checkpointer=talk.saver), GO)
    assert len({content for _, content in answers(outcome)}) == 3
    assert sum("DurableParallelToolNode" in r.message for r in caplog.records) == 1
    assert records(talk) == []


def test_in_a_durable_node_the_middleware_leaves_the_calls_to_it(talk: Any) -> None:
    talk.calls = calls("a", "b")
    middleware = DurableToolMiddleware(journal=talk.world.executor().journal)
    graph = graph_of(
        talk,
        [Work(talk).tool],
        wrap_tool_call=middleware.wrap_tool_call,
        awrap_tool_call=middleware.awrap_tool_call,
    )
    talk.run(graph, GO)
    assert [len(record.slots) for record in records(talk)] == [2]


# --- the event loop, callbacks, streams -------------------------------------------------------------------------------------


def test_the_journal_is_not_opened_on_the_event_loop(
    talk: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[threading.Thread] = []
    real = toolslot._executor.open_journal

    def spy(*args: Any) -> Any:
        opened.append(threading.current_thread())
        return real(*args)

    monkeypatch.setattr(toolslot._executor, "open_journal", spy)
    talk.calls = calls("a", "b")
    agent = with_middleware(
        talk, [made(talk, str, metadata={"readOnlyHint": True})], journal=tmp_path / "journal"
    )
    asyncio.run(agent.ainvoke(GO, talk.config)) if talk.asynchronous else agent.invoke(GO, talk.config)
    assert len(opened) == 1
    assert opened != [threading.main_thread()]


class Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.started: list[tuple[str | None, bool]] = []

    def on_tool_start(self, *args: Any, metadata: Any = None, **kwargs: Any) -> None:
        self.started.append((kwargs.get("tool_call_id"), bool(metadata.get("durable_replayed"))))


@pytest.mark.parametrize("told", [True, False])
def test_callbacks_hear_of_replays_when_that_is_asked_for(talk: Any, told: bool) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b")
    agent = with_middleware(talk, [work.tool], replay_callbacks=told)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    talk.saver.writes.clear()
    work.broken, heard = set(), Heard()
    talk.run(agent, None, callbacks=[heard])
    assert sorted(heard.started) == [("a", True)] * told + [("b", False)]


def test_the_events_of_calls_come_with_the_custom_stream_when_that_is_asked_for(talk: Any) -> None:
    talk.calls = calls("a")
    agent = with_middleware(talk, [Work(talk).tool], stream_events=True)

    async def collected() -> list[Any]:
        return [chunk async for chunk in agent.astream(GO, talk.config, stream_mode="custom")]

    chunks: list[Any] = (
        asyncio.run(collected())
        if talk.asynchronous
        else list(agent.stream(GO, talk.config, stream_mode="custom"))
    )
    assert {"reserved", "started", "finished"} <= {chunk["event"] for chunk in chunks}


# --- import -----------------------------------------------------------------------------------------------------------------

_WITHOUT_LANGCHAIN = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "langchain":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import toolslot_langgraph
try:
    toolslot_langgraph.DurableToolMiddleware
except ImportError as error:
    print(error)
"""


def test_without_langchain_the_package_imports_and_the_middleware_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_LANGCHAIN], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'toolslot[langchain]'" in done.stdout


def test_importing_the_package_does_not_import_langchain() -> None:
    code = "import sys, toolslot_langgraph; print('langchain' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
