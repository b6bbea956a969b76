"""One task per call: the calls of one response are one batch, whichever way LangGraph came to run them one by one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import RetryPolicy, Send

from support.sending import DOORS, FORMS, GO, Work, answers, calls, forget_after, graph_of, records, unsaved
from toolslot import EventKind, SlotState

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),  # LangGraph's own
]


@pytest.fixture(params=sorted(DOORS))
def door(request: pytest.FixtureRequest) -> Any:
    return DOORS[request.param]


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def test_the_first_to_arrive_reserves_all_in_the_models_order(talk: Any, door: Any) -> None:
    work = Work(talk, broken={0})
    talk.calls = calls("a", "b", "c", "d", "e")
    with pytest.raises(ConnectionError):
        talk.run(door(talk, [work.tool]), GO, max_concurrency=1)
    (record,) = records(talk)
    assert [(slot.spec.call_id, slot.spec.index) for slot in record.slots] == list(
        zip("abcde", range(5), strict=True)
    )
    assert record.slots[0].state is SlotState.FAILED
    assert len(talk.world.events.calls(EventKind.RESERVED)) == 5


def test_a_finished_response_is_one_closed_batch(talk: Any, form: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b", "c")
    outcome = talk.run(form(talk, [work.tool]), GO)
    (record,) = records(talk)
    assert record.fence.closed
    assert [name for name, _ in answers(outcome)] == ["a", "b", "c"]


@pytest.mark.parametrize("ids", [("x", "x", "x"), ("", "", "")], ids=["equal ids", "no ids"])
@pytest.mark.parametrize("args", [{}, {"i": 0}], ids=["other arguments", "equal arguments"])
def test_pitfall_03_calls_that_share_an_id_each_have_a_slot_and_their_own_result(
    talk: Any, form: Any, ids: tuple[str, ...], args: dict[str, int]
) -> None:
    work = Work(talk)
    talk.calls = calls(*ids, **args)
    outcome = talk.run(form(talk, [work.tool]), GO)
    (record,) = records(talk)
    assert len(record.slots) == len(work.ran) == 3
    assert record.fence.closed
    assert len({content for _, content in answers(outcome)}) == 3


@pytest.mark.parametrize("max_concurrency", [None, 1, 2])
def test_only_what_failed_runs_again(talk: Any, form: Any, max_concurrency: int | None) -> None:
    work = Work(talk, broken={3})
    talk.calls = calls("a", "b", "c", "d", "e")
    with pytest.raises(ConnectionError):
        talk.run(form(talk, [work.tool]), GO, max_concurrency=max_concurrency)
    first, work.broken = sorted(work.ran), set()
    outcome = talk.run(form(talk, [work.tool]), None, max_concurrency=max_concurrency)
    assert sorted(work.ran) == sorted([*{0, 1, 2, 3, 4}, 3])
    assert 3 in first
    assert len(answers(outcome)) == 5
    assert all(record.fence.closed for record in records(talk))


def test_what_langgraph_lost_is_replayed_and_what_was_recorded_never_runs_again(talk: Any, door: Any) -> None:
    """The saver loses the writes of the tasks, as a process does that dies before they are out."""
    work = Work(talk, broken={2})
    talk.calls = calls("x", "x", "b", "x", i=0)
    talk.calls[2]["args"] = {"i": 2}
    with pytest.raises(ConnectionError):
        talk.run(door(talk, [work.tool]), GO)
    done = len(work.ran)
    talk.saver.writes.clear()
    work.broken = set()
    outcome = talk.run(door(talk, [work.tool]), None)
    assert len(work.ran) == done + 1 if done == 4 else len(work.ran) == 5
    assert len(set(answers(outcome))) == 4
    (record,) = records(talk)
    assert record.fence.closed


def test_a_new_turn_with_the_same_calls_runs_them(talk: Any, form: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool])
    talk.run(agent, GO)
    talk.run(agent, {"messages": [HumanMessage("go", id="h-2")]})
    assert sorted(work.ran) == [0, 0, 1, 1]
    assert len(records(talk)) == 2


def test_the_same_agent_serves_two_threads_at_once(talk: Any, form: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool])
    configs: list[Any] = [{"configurable": {"thread_id": name}} for name in ("one", "two")]

    async def both() -> None:
        await asyncio.gather(*(agent.ainvoke(GO, config) for config in configs))

    if talk.asynchronous:
        asyncio.run(both())
    else:
        threads = [threading.Thread(target=agent.invoke, args=(GO, config)) for config in configs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(work.ran) == [0, 0, 1, 1]
    assert sorted(record.manifest.key.run_id for record in records(talk)) == ["one", "two"]


def test_pitfall_10_without_a_checkpointer_nothing_is_recorded(talk: Any, form: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool], saver=None)
    for _ in range(2):
        assert len(answers(unsaved(talk, agent))) == 2
    assert sorted(work.ran) == [0, 0, 1, 1]
    assert not records(talk)


def test_with_a_run_key_the_response_is_found_without_a_checkpointer(talk: Any, door: Any) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b", "c")
    config = {"configurable": {"durable_run_key": "order-17"}}
    with pytest.raises(ConnectionError):
        unsaved(talk, door(talk, [work.tool], saver=None), **config)
    work.broken = set()
    unsaved(talk, door(talk, [work.tool], saver=None), **config)
    (record,) = records(talk)
    assert record.manifest.key.run_id == "order-17"
    assert sorted(work.ran) == [0, 1, 1, 2]
    assert record.fence.closed


def test_pitfall_10_with_durability_exit_calls_run_and_it_is_warned_about(
    talk: Any, form: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = form(talk, [work.tool])
    if talk.asynchronous:
        asyncio.run(agent.ainvoke(GO, talk.config, durability="exit"))
    else:
        agent.invoke(GO, talk.config, durability="exit")
    assert sorted(work.ran) == [0, 1]
    assert sum("toolslot.durability_exit" in record.message for record in caplog.records) == 1


def test_a_retry_of_a_task_runs_that_call_alone(talk: Any) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b", "c")
    attempts: list[Exception] = []

    def again(error: Exception) -> bool:
        attempts.append(error)
        work.broken = set()
        return True

    retry = RetryPolicy(initial_interval=0.001, jitter=False, retry_on=again)
    outcome = talk.run(graph_of(talk, [work.tool], retry=retry), GO)
    assert sorted(work.ran) == [0, 1, 1, 2]
    assert len(attempts) == 1
    assert len(answers(outcome)) == 3
    (record,) = records(talk)
    assert record.fence.closed


# --- which calls are reserved -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["make_durable", "middleware"])
def test_calls_that_are_answered_already_never_start_and_do_not_hold_up_the_end(talk: Any, name: str) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b", "c")
    agent = DOORS[name](talk, [work.tool])
    messages = [
        HumanMessage("go", id="h-1"),
        AIMessage("", id="ai-1", tool_calls=talk.calls),
        ToolMessage("said no", tool_call_id="b", id="tm-1"),
    ]
    agent.update_state(talk.config, {"messages": messages}, as_node="model")
    talk.run(agent, None)
    (record,) = records(talk)
    states = {slot.spec.call_id: slot.state for slot in record.slots}
    assert states == {"a": SlotState.SUCCEEDED, "b": SlotState.RESERVED, "c": SlotState.SUCCEEDED}
    assert record.fence.closed
    assert sorted(work.ran) == [0, 2]


def payloads(form: str) -> Any:
    def send(state: Any) -> list[Send]:
        found = state["messages"][-1].tool_calls
        if form == "with context":
            return [
                Send("tools", {"__type": "tool_call_with_context", "tool_call": call, "state": state})
                for call in found
            ]
        return [Send("tools", found[:2]), Send("tools", found[2:])]

    return send


@pytest.mark.parametrize("form", ["with context", "in two lists"])
@pytest.mark.parametrize("ids", [("a", "b", "c", "d"), ("x", "x", "x", "x")], ids=["own ids", "equal calls"])
def test_other_ways_to_send_are_protected_too(talk: Any, form: str, ids: tuple[str, ...]) -> None:
    work = Work(talk)
    talk.calls = calls(*ids, **({"i": 0} if ids[0] == "x" else {}))
    first = answers(talk.run(graph_of(talk, [work.tool], send=payloads(form)), GO))
    config = next(
        state.config
        for state in graph_of(talk, [work.tool]).get_state_history(talk.config)
        if "tools" in state.next
    )
    assert len(work.ran) == 4
    # LangGraph has lost what came after the model's answer.
    forget_after(talk, config)
    assert answers(talk.run(graph_of(talk, [work.tool], send=payloads(form)), None)) == first
    assert len(work.ran) == 4


@pytest.mark.parametrize("ids", [("a", "b", "c"), ("x", "x", "x")], ids=["own ids", "equal calls"])
def test_other_tasks_of_the_step_do_not_shift_the_calls(talk: Any, ids: tuple[str, ...]) -> None:
    work = Work(talk)
    talk.calls = calls(*ids, **({"i": 0} if ids[0] == "x" else {}))

    agent = other_first(talk, work)
    first = answers(talk.run(agent, GO))
    config = next(state.config for state in agent.get_state_history(talk.config) if "tools" in state.next)
    forget_after(talk, config)
    assert answers(talk.run(other_first(talk, work), None)) == first
    assert len(work.ran) == 3


def other_first(talk: Any, work: Work) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]})
    graph.add_node("log", lambda state: {})
    graph.add_node("tools", talk.node([work.tool]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model",
        lambda state: [Send("log", {}), *(Send("tools", [c]) for c in state["messages"][-1].tool_calls)],
        ["log", "tools"],
    )
    return graph.compile(checkpointer=talk.saver)
