"""The state is updated between a question and its answer: LangGraph makes other tasks of it, and one answer is still enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from support.reviewing import REVIEWS, call_by_call, plain_agent, plain_sends
from support.sending import DOORS, GO, answers, calls, in_one_node
from toolslot import ToolPolicy

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]

ASK: dict[str, Any] = {"policies": {"work": ToolPolicy(on_unknown="ask")}}


def plain_node(talk: Any, tools: Any, **_: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]})
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(checkpointer=talk.saver)


FORMS = {"plain": plain_sends, "plain node": plain_node, **DOORS, "one_node": in_one_node}


def untouched(outcome: Any) -> dict[str, Any]:
    return {"messages": []}


def edited(outcome: Any) -> dict[str, Any]:
    """Other arguments in the response: other calls."""
    message = outcome["messages"][-1]
    changed = [{**call, "args": {"i": call["args"]["i"] + 10}} for call in message.tool_calls]
    return {"messages": [message.model_copy(update={"tool_calls": changed})]}


class Desk:
    """A tool that asks in `asking`, and raises for what is `broken`."""

    def __init__(self, talk: Any, asking: set[int] | None = None) -> None:
        self.began: list[int] = []
        self.broken: set[int] = set()
        self.asking = asking
        desk = self

        def body(i: int) -> str:
            desk.began.append(i)
            if i in desk.broken:
                raise ConnectionError(i)
            asks = desk.asking is None or i % 10 in desk.asking
            return f"{i}: {interrupt(f'may {i}?')}" if asks else f"{i} done"

        async def abody(i: int) -> str:
            return body(i)

        self.tool = tool("work", description="Works.")(abody if talk.asynchronous else body)


def update(talk: Any, graph: Any, outcome: Any, change: Callable[[Any], Any] = untouched) -> None:
    graph.update_state(talk.config, change(outcome))


def open_texts(outcome: Any) -> list[str]:
    return sorted(str(question.value) for question in outcome.get("__interrupt__", ()))


@pytest.mark.parametrize("change", [untouched, edited])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_tools_question_takes_one_answer(talk: Any, form: str, change: Any) -> None:
    desk = Desk(talk)
    talk.calls = calls("a")
    outcome = talk.run(FORMS[form](talk, [desk.tool]), GO)
    graph = FORMS[form](talk, [desk.tool])
    update(talk, graph, outcome, change)
    outcome = talk.run(graph, Command(resume="yes"))
    assert answers(outcome) == [("a", f"{10 if change is edited else 0}: yes")]


@pytest.mark.parametrize("change", [untouched, edited])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_each_of_two_questions_takes_one_answer(talk: Any, form: str, change: Any) -> None:
    desk = Desk(talk)
    talk.calls = calls("a", "b")
    outcome = talk.run(FORMS[form](talk, [desk.tool]), GO)
    graph = FORMS[form](talk, [desk.tool])
    update(talk, graph, outcome, change)
    outcome = talk.run(graph, Command(resume="yes"))
    assert len(open_texts(outcome)) == 1
    outcome = talk.run(graph, Command(resume="yes"))
    begin = 10 if change is edited else 0
    assert sorted(answers(outcome)) == [("a", f"{begin}: yes"), ("b", f"{begin + 1}: yes")]


def test_in_one_node_the_answer_is_for_the_question_that_was_shown(talk: Any) -> None:
    desk = Desk(talk, {1, 2})
    talk.calls = calls(*"abc")
    outcome = talk.run(in_one_node(talk, [desk.tool]), GO)
    assert open_texts(outcome) == ["may 1?"]
    graph = in_one_node(talk, [desk.tool])
    update(talk, graph, outcome)
    outcome = talk.run(graph, Command(resume="first"))
    assert open_texts(outcome) == ["may 2?"]
    assert answers(talk.run(graph, Command(resume="second")))[1:] == [("b", "1: first"), ("c", "2: second")]
    assert desk.began.count(0) == 1


def test_in_one_node_an_edited_response_gives_the_answer_to_the_first_call_that_asks(talk: Any) -> None:
    desk = Desk(talk, {1, 2})
    talk.calls = calls(*"abc")
    outcome = talk.run(in_one_node(talk, [desk.tool]), GO)
    graph = in_one_node(talk, [desk.tool])
    update(talk, graph, outcome, edited)
    outcome = talk.run(graph, Command(resume="first"))
    assert open_texts(outcome) == ["may 12?"]
    assert answers(talk.run(graph, Command(resume="second")))[1:] == [("b", "11: first"), ("c", "12: second")]
    assert desk.began.count(10) == 1


# --- reviews --------------------------------------------------------------------------------------------------------------------


@call_by_call
@pytest.mark.parametrize("change", [untouched, edited])
@pytest.mark.parametrize("door", [plain_agent, *REVIEWS], ids=lambda door: door.__name__)
@pytest.mark.parametrize("mode", ["per_call", "batched"])
def test_a_review_takes_one_answer(talk: Any, door: Any, mode: str, change: Any) -> None:
    if mode == "batched" and door.__name__ == "in_a_node":
        pytest.skip("reviews of whole responses come after a model of create_agent")
    desk = Desk(talk, set())
    talk.calls = calls("a")
    review = HumanInTheLoopMiddleware(interrupt_on={"work": True}, interrupt_mode=mode)  # type: ignore[arg-type]
    graph = door(talk, [desk.tool], review)
    outcome = talk.run(graph, GO)
    update(talk, graph, outcome, change)
    answer: Any = {"type": "approve"}
    outcome = talk.run(graph, Command(resume=answer if mode == "per_call" else {"decisions": [answer]}))
    assert answers(outcome) == [("a", "10 done" if change is edited else "0 done")]
    assert len(desk.began) == 1


# --- our own questions ------------------------------------------------------------------------------------------------------------


def unknown(talk: Any, form: str, desk: Desk) -> Any:
    """The outcome that shows what is open, once call 1 has failed in a way that may have come after its effect."""
    desk.broken = {1}
    with pytest.raises(ConnectionError):
        talk.run(FORMS[form](talk, [desk.tool], **ASK), GO)
    return talk.run(FORMS[form](talk, [desk.tool], **ASK), None)


def our_question(outcome: Any) -> str:
    (shown,) = [each.value for each in outcome["__interrupt__"] if isinstance(each.value, dict)]
    (question,) = shown["questions"]
    return str(question["id"])


@pytest.mark.parametrize("form", [*sorted(DOORS), "one_node"])
def test_a_question_about_an_unknown_call_takes_one_answer(talk: Any, form: str) -> None:
    desk = Desk(talk, set())
    talk.calls = calls(*"abc")
    outcome = unknown(talk, form, desk)
    name = our_question(outcome)
    graph = FORMS[form](talk, [desk.tool], **ASK)
    update(talk, graph, outcome)
    outcome = talk.run(graph, Command(resume={name: {"done": "1, says the bank"}}))
    assert sorted(answers(outcome)) == [("a", "0 done"), ("b", "1, says the bank"), ("c", "2 done")]
    assert desk.began.count(1) == 1


@pytest.mark.parametrize("ours_first", [False, True], ids=["tool first", "ours first"])
@pytest.mark.parametrize("form", sorted(DOORS))
def test_no_answer_reaches_a_question_of_the_other_kind(talk: Any, form: str, ours_first: bool) -> None:
    desk = Desk(talk, {0, 2})
    talk.calls = calls(*"ab") if ours_first else calls(*"ba")
    outcome = unknown(talk, form, desk)
    name = our_question(outcome)
    graph = FORMS[form](talk, [desk.tool], **ASK)
    update(talk, graph, outcome)
    first, second = {name: {"done": "1, says the bank"}}, "yes"
    if not ours_first:
        first, second = second, first  # type: ignore[assignment]
    outcome = talk.run(graph, Command(resume=first))
    (left,) = outcome["__interrupt__"]
    assert isinstance(left.value, dict) != ours_first
    assert "error" not in left.value
    outcome = talk.run(graph, Command(resume=second))
    assert sorted(content for _, content in answers(outcome)) == ["0: yes", "1, says the bank"]
    assert desk.began.count(1) == 1
