"""Fallbacks and retries around a tool node: failures are theirs, and what stops the run for a person is no failure."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

from support.sending import GO, answers, calls, options
from toolslot import Draining, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, durable_nodes, make_durable

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]


def handled(state: Any) -> Any:
    """As the tutorials have it: an error for every call."""
    asked = state["messages"][-1].tool_calls if "messages" in state else [state["tool_call"]]
    text = f"handled {type(state['error']).__name__}"
    return {"messages": [ToolMessage(text, tool_call_id=call["id"]) for call in asked]}


def with_fallbacks(node: Any) -> Any:
    return node.with_fallbacks([RunnableLambda(handled)], exception_key="error")


def with_retry(node: Any) -> Any:
    return node.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)


def with_both(node: Any) -> Any:
    return with_fallbacks(with_retry(node))


def made_before(talk: Any, tools: Any, around: Any, **settings: Any) -> Any:
    return around(DurableParallelToolNode(tools, **options(talk, settings)))


def graph_with(talk: Any, node: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]})
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(checkpointer=talk.saver)


def by_node(talk: Any, tools: Any, around: Any, **settings: Any) -> Any:
    return graph_with(talk, around(DurableParallelToolNode(tools, **options(talk, settings))))


def by_make_durable(talk: Any, tools: Any, around: Any, **settings: Any) -> Any:
    return make_durable(graph_with(talk, around(ToolNode(tools))), **options(talk, settings))


def behind_a_sequence(talk: Any, tools: Any, around: Any, **settings: Any) -> Any:
    node = around(RunnableLambda(lambda state: state) | ToolNode(tools))
    return make_durable(graph_with(talk, node), **options(talk, settings))


wrappers = pytest.mark.parametrize(
    "around", [with_fallbacks, with_retry, with_both], ids=lambda f: f.__name__
)
doors = pytest.mark.parametrize(
    "door", [by_node, by_make_durable, behind_a_sequence], ids=lambda f: f.__name__
)


class Work:
    """A tool that asks in `asking` and fails so often."""

    def __init__(
        self, talk: Any, asking: frozenset[int] = frozenset(), failing: dict[int, int] | None = None
    ) -> None:
        self.ran: Counter[int] = Counter()
        self.act: Callable[[int], None] = lambda i: None
        times = failing or {}

        def body(i: int) -> str:
            self.ran[i] += 1
            self.act(i)
            if self.ran[i] <= times.get(i, 0):
                raise ConnectionError(i)
            return f"{i} {interrupt(f'may {i}?')}" if i in asking else f"{i} done"

        async def abody(i: int) -> str:
            return body(i)

        self.tool = tool("work", description="Works.")(abody if talk.asynchronous else body)


def by_function(around: Any, method: str) -> Any:
    """A function of the graph that calls the wrapped node by another of a runnable's methods than `invoke`."""

    def run(state: Any, config: RunnableConfig) -> Any:
        match method:
            case "batch":
                return around.batch([state], config)[0]
            case "stream":
                return [*around.stream(state, config)][-1]
            case _:
                return [*around.transform(iter([state]), config)][-1]

    async def arun(state: Any, config: RunnableConfig) -> Any:
        async def states() -> AsyncIterator[Any]:
            yield state

        match method:
            case "batch":
                return (await around.abatch([state], config))[0]
            case "stream":
                return [each async for each in around.astream(state, config)][-1]
            case _:
                return [each async for each in around.atransform(states(), config)][-1]

    return RunnableLambda(run, arun)


@wrappers
@pytest.mark.parametrize("method", ["batch", "stream", "transform"])
def test_a_question_passes_by_every_method_of_a_runnable(talk: Any, around: Any, method: str) -> None:
    talk.calls = calls("a")
    work = Work(talk, frozenset({0}))
    node = around(DurableParallelToolNode([work.tool], **options(talk, {})))
    outcome = talk.run(graph_with(talk, by_function(node, method)), GO)
    assert [question.value for question in outcome["__interrupt__"]] == ["may 0?"]


@wrappers
@doors
def test_a_tools_question_reaches_the_person(talk: Any, door: Any, around: Any) -> None:
    talk.calls = calls(*"abc")
    work = Work(talk, frozenset({0, 2}))
    outcome = talk.run(door(talk, [work.tool], around), GO)
    for i in (0, 2):
        (question,) = outcome["__interrupt__"]
        assert question.value == f"may {i}?"
        outcome = talk.run(door(talk, [work.tool], around), Command(resume={question.id: "yes"}))
    assert answers(outcome) == [("a", "0 yes"), ("b", "1 done"), ("c", "2 yes")]
    assert work.ran == {0: 2, 1: 1, 2: 3}


@wrappers
@doors
def test_a_question_about_an_unknown_call_reaches_the_person(talk: Any, door: Any, around: Any) -> None:
    talk.calls = calls("a")
    settings: dict[str, Any] = {"policies": {"work": ToolPolicy(on_unknown="ask")}}
    work = Work(talk)
    inside, release = threading.Event(), threading.Event()

    def hang(i: int) -> None:
        inside.set()
        release.wait(20)

    work.act = hang
    graph = door(talk, [work.tool], around, **settings)

    def life() -> None:
        with contextlib.suppress(Exception):  # its journal is gone
            talk.run(graph, GO)

    first = threading.Thread(target=life)
    first.start()
    assert inside.wait(20)
    talk.crash()
    work.act = lambda i: None
    try:
        outcome = talk.run(door(talk, [work.tool], around, **settings), None)
        (shown,) = outcome["__interrupt__"]
        (question,) = shown.value["questions"]
        given = {question["id"]: {"done": "paid, says the bank"}}
        outcome = talk.run(door(talk, [work.tool], around, **settings), Command(resume=given))
    finally:
        release.set()
        first.join(20)
    assert answers(outcome) == [("a", "paid, says the bank")]
    assert work.ran == {0: 1}


@doors
def test_a_failure_is_the_fallbacks_and_the_retries_as_before(talk: Any, door: Any) -> None:
    talk.calls = calls(*"abc")
    failing = Work(talk, failing={1: 9})
    outcome = talk.run(door(talk, [failing.tool], with_fallbacks), GO)
    assert answers(outcome) == [(name, "handled ConnectionError") for name in "abc"]
    assert failing.ran == {0: 1, 1: 1, 2: 1}


@doors
def test_a_retry_runs_no_recorded_call_again(talk: Any, door: Any) -> None:
    talk.calls = calls(*"abc")
    work = Work(talk, failing={1: 2})
    outcome = talk.run(door(talk, [work.tool], with_retry), GO)
    assert answers(outcome) == [("a", "0 done"), ("b", "1 done"), ("c", "2 done")]
    assert work.ran == {0: 1, 1: 3, 2: 1}


@wrappers
@doors
def test_a_run_that_was_drained_ends_so_and_is_not_taken_for_a_failure(
    talk: Any, door: Any, around: Any
) -> None:
    talk.calls = calls(*"ab")
    work = Work(talk)
    graph = door(talk, [work.tool], around)
    durable_nodes(graph).drain(timeout=5)
    with pytest.raises(Draining):
        talk.run(graph, GO)
    assert not work.ran
    assert answers(talk.run(door(talk, [work.tool], around), None)) == [("a", "0 done"), ("b", "1 done")]


def test_the_questions_of_calls_that_are_sent_one_by_one_pass_too(talk: Any) -> None:
    talk.calls = calls(*"ab")
    work = Work(talk, frozenset({0, 1}))
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]})
    graph.add_node("tools", with_both(ToolNode([work.tool])))
    graph.add_edge(START, "model")
    graph.add_conditional_edges(
        "model",
        lambda state: [
            Send("tools", {"__type": "tool_call_with_context", "tool_call": call, "state": state})
            for call in state["messages"][-1].tool_calls
        ],
        ["tools"],
    )
    agent = make_durable(graph.compile(checkpointer=talk.saver), **options(talk, {}))
    outcome = talk.run(agent, GO)
    given = {question.id: "yes" for question in outcome["__interrupt__"]}
    assert len(given) == 2
    assert sorted(answers(talk.run(agent, Command(resume=given)))) == [("a", "0 yes"), ("b", "1 yes")]


def test_an_upgrade_that_is_refused_leaves_them_as_they_were(talk: Any) -> None:
    class Odd(ToolNode):
        def _protect(self) -> None: ...

    work = Work(talk)
    wrapped = with_both(Odd([work.tool]))
    before = type(wrapped), type(wrapped.runnable), wrapped.runnable
    with pytest.raises(ValueError, match="_protect"):
        make_durable(graph_with(talk, wrapped), **options(talk, {}))
    assert (type(wrapped), type(wrapped.runnable), wrapped.runnable) == before


def test_upgrading_twice_changes_nothing_more(talk: Any) -> None:
    graph = by_make_durable(talk, [Work(talk).tool], with_both)
    wrapper = graph.nodes["tools"].bound
    kind, tried = type(wrapper), wrapper.runnable
    make_durable(graph)
    assert (type(wrapper), wrapper.runnable) == (kind, tried)
    assert kind.__name__ == "RunnableWithFallbacks"
