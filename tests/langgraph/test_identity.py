"""Which executions of a node are the same batch."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from unittest.mock import Mock

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.runtime import ExecutionInfo, Runtime

from toolslot import BatchMismatch, InvalidSetting
from toolslot_langgraph import DurableParallelToolNode

INFO = ExecutionInfo(checkpoint_id="c-1", checkpoint_ns="tools:t-1", task_id="t-1", thread_id="thread")


class Counter:
    """A tool that counts its runs and raises while `broken`."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.broken: set[int] = set()
        counter = self

        @tool
        def count(i: int) -> str:
            """Counts."""
            counter.ran.append(i)
            if i in counter.broken:
                raise ConnectionError(f"call {i}")
            return f"run {len(counter.ran)}"

        self.tool = count


@pytest.fixture
def counter() -> Counter:
    return Counter()


def config(info: Any = INFO, saver: Any = True, **configurable: Any) -> Any:
    """What LangGraph hands to a node."""
    runtime = Runtime(execution_info=info)
    return {"configurable": {"__pregel_runtime": runtime, "__pregel_checkpointer": saver, **configurable}}


def ai(*calls: dict[str, Any], id: str | None = "ai-1") -> list[Any]:
    return [AIMessage("", tool_calls=list(calls), id=id)]


def one(i: int = 0, call_id: str = "c") -> dict[str, Any]:
    return {"name": "count", "args": {"i": i}, "id": call_id}


def patched(**changes: Any) -> ExecutionInfo:
    return INFO.patch(**changes)


def test_the_same_task_finds_its_batch_again(talk: Any, counter: Counter) -> None:
    node = talk.node([counter.tool])
    node.invoke(ai(one()), config(patched()))
    node.invoke(ai(one()), config(patched(node_attempt=2)))
    assert counter.ran == [0]


@pytest.mark.parametrize(
    "other",
    [
        {"thread_id": "another"},
        {"checkpoint_id": "c-2"},
        {"task_id": "t-2", "checkpoint_ns": "tools:t-2"},
        {"checkpoint_ns": "other:t-1"},
        {"checkpoint_ns": "sub:x|tools:t-1"},
    ],
    ids=str,
)
def test_another_thread_checkpoint_task_or_node_is_another_batch(
    talk: Any, counter: Counter, other: dict[str, str]
) -> None:
    node = talk.node([counter.tool])
    node.invoke(ai(one()), config(patched()))
    node.invoke(ai(one()), config(patched(**other)))
    assert counter.ran == [0, 0]


@pytest.mark.parametrize("missing", ["thread_id", "checkpoint_id", "task_id", "checkpoint_ns"])
@pytest.mark.parametrize("value", [None, Mock()], ids=["None", "Mock"])
def test_an_incomplete_identity_replays_nothing_and_says_so_once(
    talk: Any, counter: Counter, missing: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    node = talk.node([counter.tool])
    with caplog.at_level(logging.WARNING, "toolslot"):
        for _ in range(3):
            node.invoke(ai(one()), config(patched(**{missing: value})))
    assert counter.ran == [0, 0, 0]
    assert [record.message.split()[0] for record in caplog.records] == ["toolslot.not_durable"]
    assert not talk.world.store.batches


def test_without_a_checkpointer_nothing_is_recorded_even_with_a_thread_id(
    talk: Any, counter: Counter
) -> None:
    node = talk.node([counter.tool])
    for _ in range(2):
        node.invoke(ai(one()), config(patched(), saver=None))
    assert counter.ran == [0, 0]
    assert not talk.world.store.batches


def test_a_mock_runtime_works(counter: Counter) -> None:
    node = DurableParallelToolNode([counter.tool])
    found = node.invoke(ai(one()), {"configurable": {"__pregel_runtime": Mock()}})
    assert isinstance(found[0], ToolMessage)


def test_a_task_may_run_two_responses_of_the_model(talk: Any, counter: Counter) -> None:
    node = talk.node([counter.tool])
    info = patched()
    for name in ("ai-1", "ai-2"):
        node.invoke(ai(one(), id=name), config(info))
    node.invoke(ai(one(1), id=None), config(info))
    node.invoke(ai(one(2), id=None), config(info))
    assert counter.ran == [0, 0, 1, 2]


def test_a_task_that_runs_the_same_response_twice_on_purpose_runs_it_twice_and_replays_both(
    talk: Any, counter: Counter
) -> None:
    node = talk.node([counter.tool])

    def both(info: ExecutionInfo) -> list[str]:
        return [node.invoke(ai(one()), config(info))[0].content for _ in range(2)]

    first = both(patched())
    assert first == ["run 1", "run 2"]
    assert both(patched()) == first


def test_a_failed_batch_that_the_nodes_own_code_tries_again_is_taken_up(talk: Any, counter: Counter) -> None:
    node, info = talk.node([counter.tool]), patched()
    counter.broken = {1}
    with pytest.raises(ConnectionError):
        node.invoke(ai(one(0, "a"), one(1, "b")), config(info))
    counter.broken = set()
    node.invoke(ai(one(0, "a"), one(1, "b")), config(info))
    assert sorted(counter.ran) == [0, 1, 1]


def test_case_22_two_calls_with_the_same_id_and_arguments_both_run_and_get_their_own_results(
    talk: Any, counter: Counter
) -> None:
    node = talk.node([counter.tool])
    first = node.invoke(ai(one(), one()), config(patched()))
    again = node.invoke(ai(one(), one()), config(patched()))
    assert counter.ran == [0, 0]
    assert sorted(m.content for m in first) == ["run 1", "run 2"]
    assert [m.content for m in again] == [m.content for m in first]


def test_case_09_changed_arguments_under_the_same_response_are_refused(talk: Any, counter: Counter) -> None:
    node = talk.node([counter.tool])
    node.invoke(ai(one(0)), config(patched()))
    with pytest.raises(BatchMismatch, match="arguments"):
        node.invoke(ai(one(5)), config(patched()))
    assert counter.ran == [0]


def test_equal_calls_of_two_outer_calls_are_two_batches(talk: Any, counter: Counter) -> None:
    inner = talk.node([counter.tool])

    @tool
    def outer(k: int) -> str:
        """Runs another node with the same calls as its sibling."""
        return str(inner.invoke(ai(one(), id=None), config(INFO))[0].content)

    calls = [{"name": "outer", "args": {"k": k}, "id": f"o{k}"} for k in range(2)]
    talk.node([outer]).invoke(ai(*calls), config(patched()))
    assert counter.ran == [0, 0]


# --- a run key for people without a checkpointer --------------------------------------------------------------------------


def keyed(key: str = "order-17") -> Any:
    return {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": key}}


def test_a_run_key_finds_the_batch_by_the_response(talk: Any, counter: Counter) -> None:
    node = talk.node([counter.tool])
    node.invoke(ai(one()), keyed())
    node.invoke(ai(one()), keyed())
    assert counter.ran == [0]
    node.invoke(ai(one(), id="ai-2"), keyed())
    node.invoke(ai(one()), keyed("order-18"))
    assert counter.ran == [0, 0, 0]


def test_with_a_run_key_a_response_without_an_id_is_told_by_its_place_in_the_conversation(
    talk: Any, counter: Counter
) -> None:
    node = talk.node([counter.tool])
    first = ai(one(), id=None)
    second = [*first, ToolMessage("x", tool_call_id="c"), *ai(one(), id=None)]
    for messages in (first, second, first, second):
        node.invoke(messages, keyed())
    assert counter.ran == [0, 0]


def test_a_run_key_works_in_a_graph_without_a_checkpointer(talk: Any, counter: Counter) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", talk.node([counter.tool]))
    graph.add_edge(START, "tools")
    compiled = graph.compile()
    for _ in range(2):
        value = {"messages": ai(one())}
        config = {"configurable": {"durable_run_key": "order-17"}}
        asyncio.run(compiled.ainvoke(value, config)) if talk.asynchronous else compiled.invoke(value, config)
    assert counter.ran == [0]


class Script(GenericFakeChatModel):
    """A model whose answers are written down."""

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self


def script(*turns: list[dict[str, Any]]) -> Script:
    replies = [AIMessage("", id=f"ai-{n}", tool_calls=turn) for n, turn in enumerate(turns)]
    return Script(messages=iter([*replies, AIMessage("done", id="end")]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("turns", [[[one()], [one()]], [[one(), one()]]], ids=["two turns", "one response"])
def test_with_a_run_key_equal_calls_are_told_apart_also_when_they_are_sent_one_by_one(
    talk: Any, counter: Counter, turns: Any, version: Any
) -> None:
    node, value = talk.node([counter.tool]), {"messages": [("user", "go")]}
    config: Any = {"configurable": {"durable_run_key": "order-17"}}
    for _ in range(2):
        agent: Any = create_react_agent(script(*turns), node, version=version)
        asyncio.run(agent.ainvoke(value, config)) if talk.asynchronous else agent.invoke(value, config)
        assert counter.ran == [0, 0]


def test_with_a_run_key_calls_of_an_unknown_response_are_not_replayed(talk: Any, counter: Counter) -> None:
    node = talk.node([counter.tool])
    for _ in range(2):
        node.invoke([{"type": "tool_call", **one()}], keyed())
    assert counter.ran == [0, 0]


def test_messages_that_are_made_anew_at_every_look_are_protected(talk: Any, counter: Counter) -> None:
    class Fresh:
        @property
        def messages(self) -> list[Any]:
            return ai(one(0), one(0), one(1))

    node = talk.node([counter.tool])
    for _ in range(2):
        node.invoke(Fresh(), config(patched()))
    assert sorted(counter.ran) == [0, 0, 1]


# --- real graphs ------------------------------------------------------------------------------------------------------------


def test_case_37_a_new_turn_with_the_same_calls_runs_them(talk: Any, counter: Counter) -> None:
    talk.calls = [one(), one(1, "")]
    graph = talk.graph([counter.tool])
    talk.start(graph)
    talk.start(graph)
    assert sorted(counter.ran) == [0, 0, 1, 1]


def test_the_same_node_serves_two_threads_at_once(talk: Any, counter: Counter) -> None:
    talk.calls = [one()]
    graph = talk.graph([counter.tool])

    async def both() -> None:
        configs: list[Any] = [{"configurable": {"thread_id": name}} for name in "ab"]
        await asyncio.gather(*(graph.ainvoke({"messages": []}, config) for config in configs))

    asyncio.run(both())
    assert counter.ran == [0, 0]


def test_time_travel_to_a_finished_batch_runs_it_again(talk: Any, counter: Counter) -> None:
    talk.calls = [one()]
    graph = talk.graph([counter.tool])
    talk.start(graph)
    before_tools = next(state for state in graph.get_state_history(talk.config) if state.next == ("tools",))
    talk.run(graph, None, **before_tools.config)
    assert counter.ran == [0, 0]


@pytest.mark.parametrize(
    ("on_fork", "runs"), [("adopt_unfinished", [0, 1, 1]), ("rerun", [0, 0, 1, 1]), ("replay", [0, 1, 1])]
)
def test_a_resume_that_names_the_checkpoint_is_a_fork(
    talk: Any, counter: Counter, on_fork: str, runs: list[int]
) -> None:
    talk.calls = [one(0, "a"), one(1, "b")]
    counter.broken = {1}
    graph = talk.graph([counter.tool], on_fork=on_fork)
    with pytest.raises(ConnectionError):
        talk.start(graph)
    counter.broken = set()
    talk.run(graph, None, **graph.get_state(talk.config).config)
    assert sorted(counter.ran) == runs


def test_replay_on_fork_never_repeats_an_effect(talk: Any, counter: Counter) -> None:
    talk.calls = [one()]
    graph = talk.graph([counter.tool], on_fork="replay")
    talk.start(graph)
    before_tools = next(state for state in graph.get_state_history(talk.config) if state.next == ("tools",))
    talk.run(graph, None, **before_tools.config)
    assert counter.ran == [0]


def test_an_unknown_way_to_fork_is_refused_at_construction(counter: Counter) -> None:
    with pytest.raises(InvalidSetting, match="on_fork='sometimes'"):
        DurableParallelToolNode([counter.tool], on_fork="sometimes")  # type: ignore[arg-type]


def test_an_agent_that_is_a_node_of_another_graph_is_protected(talk: Any, counter: Counter) -> None:
    talk.calls = [one(0, "a"), one(1, "b")]
    counter.broken = {1}

    def outer() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("team", talk.graph([counter.tool], saver=False) if False else inner())
        graph.add_edge(START, "team")
        return graph.compile(checkpointer=talk.saver)

    def inner() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": ai(*talk.calls)})
        graph.add_node("tools", talk.node([counter.tool]))
        graph.add_edge(START, "model")
        graph.add_edge("model", "tools")
        return graph.compile()

    with pytest.raises(ConnectionError):
        talk.start(outer())
    counter.broken = set()
    talk.resume(outer())
    assert sorted(counter.ran) == [0, 1, 1]


def test_durability_exit_is_warned_about(
    talk: Any, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    talk.calls = [one()]
    graph = talk.graph([counter.tool], saver=InMemorySaver())
    with caplog.at_level(logging.WARNING, "toolslot"):
        graph.invoke({"messages": []}, talk.config, durability="exit")
    assert "toolslot.durability_exit" in caplog.text
