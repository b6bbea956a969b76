"""A question that is still open keeps the id of its interrupt, whatever else happens in its task: an answer by that id ends it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from support.reviewing import REVIEWS, call_by_call, plain_agent, plain_sends
from support.sending import DOORS, GO, answers, calls, in_one_node
from toolslot import ToolPolicy

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]

#: older LangGraph gives all questions of a task one id
newer_langgraph = pytest.mark.skipif(
    "response_schema" not in inspect.signature(interrupt).parameters, reason="needs a newer LangGraph"
)


def open_ids(outcome: Any) -> dict[str, str]:
    """The ids of the interrupts that are open, by what they ask."""
    return {str(question.value): question.id for question in outcome.get("__interrupt__", ())}


# --- one review a call --------------------------------------------------------------------------------------------------------


@call_by_call
@pytest.mark.parametrize("door", [plain_agent, *REVIEWS], ids=lambda door: door.__name__)
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_review_that_is_still_open_keeps_its_id_while_others_are_answered(
    talk: Any, door: Callable[..., Any], first: int
) -> None:
    did: list[int] = []

    def do(i: int) -> str:
        did.append(i)
        return f"did {i}"

    async def ado(i: int) -> str:
        return do(i)

    work = tool("work", description="Works.")(ado if talk.asynchronous else do)
    talk.calls = calls(*"abc")
    review = HumanInTheLoopMiddleware(interrupt_on={"work": True}, interrupt_mode="per_call")
    outcome = talk.run(door(talk, [work], review), GO)
    asked = open_ids(outcome)
    assert len(asked) == 3
    order = [*asked]
    order.insert(0, order.pop(first))
    while order:
        question = order.pop(0)
        outcome = talk.run(door(talk, [work], review), Command(resume={asked[question]: {"type": "approve"}}))
        assert open_ids(outcome) == {other: asked[other] for other in order}
        assert len(did) == 3 - len(order)
    assert sorted(answers(outcome)) == [("a", "did 0"), ("b", "did 1"), ("c", "did 2")]
    assert sorted(did) == [0, 1, 2]


# --- questions of the tools ---------------------------------------------------------------------------------------------------


def in_a_subgraph(talk: Any, tools: Sequence[Any], **settings: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("team", DOORS["make_durable"](talk, tools, saver=None, **settings))
    graph.add_edge(START, "team")
    return graph.compile(checkpointer=talk.saver)


SENDING = {"plain": plain_sends, **DOORS, "in a subgraph": in_a_subgraph}


class Asking:
    """A tool that asks for leave, `questions` times a call."""

    def __init__(self, talk: Any, questions: int) -> None:
        self.did: list[str] = []

        def body(i: int) -> str:
            said = [str(interrupt(f"may {i}? ({n})")) for n in range(questions)]
            self.did.append(f"{i}:{'+'.join(said)}")
            return self.did[-1]

        async def abody(i: int) -> str:
            return body(i)

        self.tool = tool("work", description="Works.")(abody if talk.asynchronous else body)


@newer_langgraph
@pytest.mark.parametrize("form", sorted(SENDING))
def test_a_tools_question_keeps_its_id_while_siblings_are_asked_and_answered(talk: Any, form: str) -> None:
    build = SENDING[form]
    talk.calls = calls(*"abc")
    desk = Asking(talk, 2)
    outcome = talk.run(build(talk, [desk.tool]), GO)
    known = open_ids(outcome)
    for turn in range(6):
        now = open_ids(outcome)
        assert {text: now[text] for text in now if text in known} == {
            text: known[text] for text in now if text in known
        }
        known.update(now)
        assert len(set(known.values())) == len(known)
        text = sorted(now)[turn % len(now)]
        outcome = talk.run(build(talk, [desk.tool]), Command(resume={now[text]: f"yes {text[4]}"}))
    assert open_ids(outcome) == {}
    assert sorted(desk.did) == ["0:yes 0+yes 0", "1:yes 1+yes 1", "2:yes 2+yes 2"]


@newer_langgraph
@pytest.mark.parametrize("form", [*sorted(SENDING), "one_node"])
def test_a_run_without_an_answer_shows_the_open_questions_again_with_their_ids(talk: Any, form: str) -> None:
    build = SENDING.get(form, in_one_node)
    talk.calls = calls(*"ab")
    desk = Asking(talk, 2)
    outcome = talk.run(build(talk, [desk.tool]), GO)
    for _ in range(4):
        asked = open_ids(outcome)
        for _ in range(2):
            assert open_ids(talk.run(build(talk, [desk.tool]), None)) == asked
        text, name = next(iter(asked.items()))
        outcome = talk.run(build(talk, [desk.tool]), Command(resume={name: f"yes {text[4]}"}))
    assert sorted(desk.did) == ["0:yes 0+yes 0", "1:yes 1+yes 1"]


@newer_langgraph
def test_a_failing_sibling_does_not_change_the_id_of_an_open_question(talk: Any) -> None:
    talk.calls = calls(*"abc")
    broken: set[int] = set()

    def body(i: int) -> str:
        if i in broken:
            raise ConnectionError(i)
        return "+".join(str(interrupt(f"may {i}? ({n})")) for n in range(2))

    async def abody(i: int) -> str:
        return body(i)

    work = tool("work", description="Works.")(abody if talk.asynchronous else body)
    outcome = talk.run(in_one_node(talk, [work]), GO)
    (name,) = open_ids(outcome).values()
    outcome = talk.run(in_one_node(talk, [work]), Command(resume={name: "yes"}))
    asked = open_ids(outcome)
    assert [*asked] == ["may 0? (1)"]
    broken.add(2)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            talk.run(in_one_node(talk, [work]), None)
    broken.clear()
    assert open_ids(talk.run(in_one_node(talk, [work]), None)) == asked


# --- our own questions, beside those of tools -----------------------------------------------------------------------------------


@newer_langgraph
@pytest.mark.parametrize("form", ["make_durable", "middleware", "graph", "react_v2"])
def test_a_question_about_an_unknown_call_keeps_its_id_beside_those_of_tools(talk: Any, form: str) -> None:
    began: list[int] = []
    broken = {1}

    def body(i: int) -> str:
        began.append(i)
        if i in broken:
            raise ConnectionError(i)
        return f"{i} {interrupt(f'may {i}?')}" if i != 1 else f"{i} done"

    async def abody(i: int) -> str:
        return body(i)

    work = tool("work", description="Works.")(abody if talk.asynchronous else body)
    settings = {"policies": {"work": ToolPolicy(on_unknown="ask")}}
    talk.calls = calls(*"abc")
    with pytest.raises(ConnectionError):
        talk.run(DOORS[form](talk, [work], **settings), GO)
    outcome = talk.run(DOORS[form](talk, [work], **settings), None)
    asked = outcome["__interrupt__"]
    assert len(asked) == 3
    (own,) = [question for question in asked if isinstance(question.value, dict)]
    names = {str(question.value): question.id for question in asked}
    for text in ("may 0?", "may 2?"):
        outcome = talk.run(DOORS[form](talk, [work], **settings), Command(resume={names.pop(text): "yes"}))
        assert sorted(question.id for question in outcome["__interrupt__"]) == sorted(names.values())
    (question,) = own.value["questions"]
    answer = {own.id: {question["id"]: {"done": "1, says the bank"}}}
    outcome = talk.run(DOORS[form](talk, [work], **settings), Command(resume=answer))
    assert sorted(answers(outcome)) == [("a", "0 yes"), ("b", "1, says the bank"), ("c", "2 yes")]
    assert began.count(1) == 1


# --- agents inside tools --------------------------------------------------------------------------------------------------------


@newer_langgraph
@pytest.mark.parametrize("form", ["make_durable", "middleware", "one_node"])
def test_the_questions_of_an_agent_inside_a_tool_keep_their_ids(talk: Any, form: str) -> None:
    build = {**DOORS, "one_node": in_one_node}[form]
    desk = Asking(talk, 1)

    def outer() -> Any:
        graph = StateGraph(MessagesState)
        inner = [{"name": "work", "args": {"i": i}, "id": f"s{i}", "type": "tool_call"} for i in range(3)]
        graph.add_node("model", lambda state: {"messages": [AIMessage("", id="in", tool_calls=inner)]})
        graph.add_node("tools", talk.node([desk.tool]))
        graph.add_edge(START, "model")
        graph.add_conditional_edges(
            "model", lambda state: [Send("tools", [call]) for call in inner], ["tools"]
        )
        clerk = graph.compile()

        def ask(i: int) -> str:
            return "+".join(content for _, content in answers(clerk.invoke({"messages": []})))

        async def aask(i: int) -> str:
            return "+".join(content for _, content in answers(await clerk.ainvoke({"messages": []})))

        return build(talk, [tool("work", description="Asks.")(aask if talk.asynchronous else ask)])

    talk.calls = calls("a")
    outcome = talk.run(outer(), GO)
    asked = open_ids(outcome)
    assert len(asked) == 3
    for text in ("may 1? (0)", "may 0? (0)", "may 2? (0)"):
        outcome = talk.run(outer(), Command(resume={asked.pop(text): f"yes {text[4]}"}))
        assert open_ids(outcome) == asked
    assert answers(outcome) == [("a", "0:yes 0+1:yes 1+2:yes 2")]
