"""Tools that stop at a question to a human, and tools that run agents of their own: everybody gets his own answer."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.errors import GraphInterrupt, ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, ValidationError

from toolslot import EventKind, SlotState, ToolPolicy

PARAMETERS = inspect.signature(interrupt).parameters
#: older LangGraph knows no typed answers, and gives all questions of a task one id
newer_langgraph = pytest.mark.skipif("response_schema" not in PARAMETERS, reason="needs a newer LangGraph")


class Desk:
    """A tool whose calls in `asking` ask for leave, `questions` times each; it notes what it did."""

    def __init__(self, asking: set[int], questions: int = 1) -> None:
        self.began: list[int] = []
        self.did: list[str] = []
        desk = self

        def body(i: int) -> str:
            desk.began.append(i)
            said = (
                [str(interrupt(f"may {i}? ({n})")) for n in range(questions)] if i in asking else ["unasked"]
            )
            desk.did.append(f"{i}:{'+'.join(said)}")
            return desk.did[-1]

        def work(i: int) -> str:
            """Works."""
            return body(i)

        async def awork(i: int) -> str:
            """Works."""
            return body(i)

        self.sync, self.asynchronous = tool("work")(work), tool("work")(awork)

    def tool(self, talk: Any) -> Any:
        return self.asynchronous if talk.asynchronous else self.sync


def shown(outcome: Any) -> Any:
    (found,) = outcome["__interrupt__"]
    return found


def states(talk: Any) -> list[SlotState]:
    (state,) = talk.world.store.batches.values()
    return [slot.state for slot in state.slots()]


def test_case_33_a_question_in_one_call_runs_none_of_its_siblings_again(
    talk: Any, ask: Any, said: Any
) -> None:
    desk = Desk({1})
    talk.calls = ask("work", 5)
    graph = talk.graph([desk.tool(talk)])
    assert shown(talk.start(graph)).value == "may 1? (0)"
    assert states(talk) == [SlotState.SUCCEEDED, SlotState.WAITING, *[SlotState.SUCCEEDED] * 3]
    assert said(talk.run(graph, Command(resume="yes"))) == [
        "0:unasked",
        "1:yes",
        "2:unasked",
        "3:unasked",
        "4:unasked",
    ]
    assert sorted(desk.began) == [0, 1, 1, 2, 3, 4]
    assert len(desk.did) == 5


@pytest.mark.parametrize("by_id", [False, True], ids=["plainly", "by id"])
def test_pitfall_01_two_questions_of_two_calls_get_each_its_own_answer_and_each_effect_happens_once(
    talk: Any, ask: Any, said: Any, by_id: bool
) -> None:
    desk = Desk({1, 3})
    talk.calls = ask("work", 5)
    outcome = talk.start(talk.graph([desk.tool(talk)]))
    for i in (1, 3):
        question = shown(outcome)
        assert question.value == f"may {i}? (0)"
        answer = f"answer to {i}"
        outcome = talk.run(
            talk.graph([desk.tool(talk)]), Command(resume={question.id: answer} if by_id else answer)
        )
    assert said(outcome) == ["0:unasked", "1:answer to 1", "2:unasked", "3:answer to 3", "4:unasked"]
    assert sorted(desk.did) == sorted(said(outcome))


@pytest.mark.parametrize("by_id", [False, True], ids=["plainly", "by id"])
def test_several_questions_of_several_calls(talk: Any, ask: Any, said: Any, by_id: bool) -> None:
    desk = Desk({0, 2, 3}, questions=3)
    talk.calls = ask("work", 4)
    outcome = talk.start(talk.graph([desk.tool(talk)]))
    for i in (0, 2, 3):
        for n in range(3):
            question = shown(outcome)
            assert question.value == f"may {i}? ({n})"
            answer = f"{i}.{n}"
            outcome = talk.run(
                talk.graph([desk.tool(talk)]), Command(resume={question.id: answer} if by_id else answer)
            )
    assert said(outcome) == ["0:0.0+0.1+0.2", "1:unasked", "2:2.0+2.1+2.2", "3:3.0+3.1+3.2"]
    assert len(desk.did) == 4


@newer_langgraph
def test_every_question_that_is_shown_has_an_id_of_its_own(talk: Any, ask: Any) -> None:
    desk = Desk({0, 1}, questions=2)
    talk.calls = ask("work", 2)
    outcome, ids = talk.start(talk.graph([desk.tool(talk)])), []
    while "__interrupt__" in outcome:
        ids.append(shown(outcome).id)
        outcome = talk.run(talk.graph([desk.tool(talk)]), Command(resume="yes"))
    assert len(set(ids)) == 4


@newer_langgraph
def test_an_answer_sent_again_by_its_id_answers_no_other_question(talk: Any, ask: Any, said: Any) -> None:
    desk = Desk({0, 1})
    talk.calls = ask("work", 2)
    graph = talk.graph([desk.tool(talk)])
    first = shown(talk.start(graph))
    second = shown(talk.run(graph, Command(resume={first.id: "one"})))
    again = shown(talk.run(graph, Command(resume={first.id: "one"})))
    assert again.value == second.value == "may 1? (0)"
    assert said(talk.run(graph, Command(resume={again.id: "two"}))) == ["0:one", "1:two"]


@pytest.mark.parametrize("by_id", [False, True], ids=["plainly", "by id"])
def test_a_call_that_failed_after_its_answer_reads_it_again(
    talk: Any, ask: Any, said: Any, by_id: bool
) -> None:
    broken = [True]

    @tool
    def work(i: int) -> str:
        """Asks, then fails once."""
        answer = interrupt(f"may {i}?")
        if i == 0 and broken[0]:
            raise ConnectionError
        return f"{i}:{answer}"

    talk.calls = ask("work", 2)
    graph = talk.graph([work])
    question = shown(talk.start(graph))
    assert question.value == "may 0?"
    with pytest.raises(ConnectionError):
        talk.run(graph, Command(resume={question.id: "zero"} if by_id else "zero"))
    broken[0] = False
    assert shown(talk.resume(graph)).value == "may 1?"
    assert said(talk.run(graph, Command(resume="one"))) == ["0:zero", "1:one"]


def test_an_answer_whose_call_died_with_it_is_not_given_to_another_call(talk: Any, said: Any) -> None:
    """Approved and killed in the middle: the approval must not reach the next payment that waits for one."""
    inside, release, hang = threading.Event(), threading.Event(), [True]

    @tool
    def pay(i: int) -> str:
        """Asks, then pays slowly."""
        answer = interrupt(f"may {i}?")
        if hang[0] and i == 0:
            inside.set()
            release.wait(20)
        return f"{i}:{answer}"

    talk.calls = [{"name": "pay", "args": {"i": i}, "id": f"c{i}"} for i in range(2)]
    settings: dict[str, Any] = {"policies": {"pay": ToolPolicy(on_unknown="ask")}}
    graph = talk.graph([pay], **settings)
    assert shown(talk.start(graph)).value == "may 0?"

    def life() -> None:
        with contextlib.suppress(Exception):
            talk.run(graph, Command(resume="yes, pay 0"))

    thread = threading.Thread(target=life)
    thread.start()
    assert inside.wait(10)
    while len(talk.world.events.calls(EventKind.WAITING)) < 3:
        pass
    talk.crash()
    hang[0] = False
    graph = talk.graph([pay], **settings)
    assert shown(talk.resume(graph)).value == "may 1?", (
        "the approval of call 0 is not taken for one of call 1"
    )
    ours = shown(talk.run(graph, Command(resume="yes, pay 1"))).value
    outcome = talk.run(graph, Command(resume={ours["questions"][0]["id"]: {"done": "0 was paid"}}))
    release.set()
    thread.join(20)
    assert said(outcome) == ["0 was paid", "1:yes, pay 1"]


@newer_langgraph
def test_an_answer_that_does_not_fit_the_question_leaves_the_call_waiting(
    talk: Any, ask: Any, said: Any
) -> None:
    class Leave(BaseModel):
        granted: bool

    @tool
    def work(i: int) -> str:
        """Asks for a typed answer."""
        return str(interrupt(f"may {i}?", response_schema=Leave).granted)

    talk.calls = ask("work", 2)
    graph = talk.graph([work], policies={"work": ToolPolicy(on_unknown="fail")})
    talk.start(graph)
    with pytest.raises(ValidationError):
        talk.run(graph, Command(resume={"granted": "perhaps"}))
    assert states(talk) == [SlotState.WAITING] * 2
    talk.run(graph, Command(resume={"granted": True}))
    assert said(talk.run(graph, Command(resume={"granted": False}))) == ["True", "False"]


def test_a_wrapper_may_ask_too(talk: Any, ask: Any, said: Any) -> None:
    def approve(request: Any, execute: Callable[[Any], Any]) -> Any:
        answer = interrupt(request.tool_call["args"]["i"])
        return ToolMessage(f"{request.tool_call['args']['i']}:{answer}", tool_call_id=request.tool_call["id"])

    @tool
    def work(i: int) -> str:
        """Works."""
        return ""

    talk.calls = ask("work", 3)
    graph = talk.graph([work], wrap_tool_call=approve)
    outcome = talk.start(graph)
    for i in range(3):
        assert shown(outcome).value == i
        outcome = talk.run(graph, Command(resume=f"a{i}"))
    assert said(outcome) == ["0:a0", "1:a1", "2:a2"]


def test_the_question_is_durable_before_it_is_asked(talk: Any, ask: Any) -> None:
    seen: list[Any] = []

    def raised(i: int) -> str:
        """Raises as interrupt() does."""
        raise GraphInterrupt(())

    talk.calls = ask("raised", 1)
    graph = talk.graph(
        [tool(raised)],
        hooks=[
            lambda event: (
                seen.append((event.kind.value, event.state.value)) if hasattr(event, "kind") else None
            )
        ],
    )
    talk.start(graph)
    assert ("waiting", "waiting") in seen


# --- agents inside tools ----------------------------------------------------------------------------------------------------


def sub_agent(log: list[str]) -> Any:
    """An agent that asks a human in its first node; its own checkpoints remember the answer."""

    def first(state: MessagesState) -> dict[str, Any]:
        task = state["messages"][0].content
        answer = interrupt(f"may {task}?")
        log.append(f"{task}:{answer}")
        return {"messages": [AIMessage(f"{task}:{answer}")]}

    graph = StateGraph(MessagesState)
    graph.add_node("first", first)
    graph.add_edge(START, "first")
    return graph.compile()


def test_pitfall_01_two_sub_agents_of_one_node_resume_each_from_its_own_checkpoint(
    talk: Any, said: Any
) -> None:
    log: list[str] = []
    agent = sub_agent(log)

    def run(task: str) -> str:
        """Runs an agent."""
        return str(agent.invoke({"messages": [("user", task)]})["messages"][-1].content)

    async def arun(task: str) -> str:
        """Runs an agent."""
        return str((await agent.ainvoke({"messages": [("user", task)]}))["messages"][-1].content)

    delegate = tool("delegate")(arun if talk.asynchronous else run)
    talk.calls = [
        {"name": "delegate", "args": {"task": task}, "id": task} for task in ("alpha", "beta", "gamma")
    ]
    outcome = talk.start(talk.graph([delegate]))
    for task in ("alpha", "beta", "gamma"):
        assert shown(outcome).value == f"may {task}?"
        outcome = talk.run(talk.graph([delegate]), Command(resume=f"yes {task}"))
    assert said(outcome) == ["alpha:yes alpha", "beta:yes beta", "gamma:yes gamma"]
    assert sorted(log) == ["alpha:yes alpha", "beta:yes beta", "gamma:yes gamma"]


def test_a_sub_agent_is_found_again_when_an_earlier_call_is_replayed(talk: Any, said: Any) -> None:
    broken, steps = [True], []

    def one(state: MessagesState) -> dict[str, Any]:
        steps.append("one " + str(state["messages"][0].content))
        return {"messages": [AIMessage("one")]}

    def two(state: MessagesState) -> dict[str, Any]:
        task = str(state["messages"][0].content)
        if task == "beta" and broken[0]:
            raise ConnectionError
        return {"messages": [AIMessage(f"{task} done")]}

    graph = StateGraph(MessagesState)
    graph.add_node("one", one)
    graph.add_node("two", two)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    agent = graph.compile()

    def run(task: str) -> str:
        """Runs an agent."""
        return str(agent.invoke({"messages": [("user", task)]})["messages"][-1].content)

    talk.calls = [{"name": "run", "args": {"task": task}, "id": task} for task in ("alpha", "beta")]
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([tool(run)]))
    broken[0] = False
    assert said(talk.resume(talk.graph([tool(run)]))) == ["alpha done", "beta done"]
    assert steps.count("one alpha") == 1


def test_a_hand_over_raised_by_a_tool_is_an_answer_and_is_not_run_again(talk: Any, ask: Any) -> None:
    ran: list[int] = []
    broken = [True]

    @tool
    def moves(i: int) -> str:
        """Hands over to another node of the graph, as a nested graph does."""
        ran.append(i)
        raise ParentCommand(
            Command(
                graph=Command.PARENT,
                goto="after",
                update={"messages": [ToolMessage("moved", tool_call_id="m")]},
            )
        )

    @tool
    def work(i: int) -> str:
        """Fails once."""
        if broken[0]:
            raise ConnectionError
        return ""

    visited: list[str] = []

    def outer() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("team", talk.graph([moves, work], saver=None))
        graph.add_node("after", lambda state: visited.append("after"))
        graph.add_edge(START, "team")
        return graph.compile(checkpointer=talk.saver)

    talk.calls = [
        {"name": "moves", "args": {"i": 0}, "id": "m"},
        {"name": "work", "args": {"i": 1}, "id": "w"},
    ]
    with pytest.raises(ConnectionError):
        talk.start(outer())
    broken[0] = False
    talk.resume(outer())
    assert ran == [0]
    assert visited == ["after"]
