"""Tool nodes that are written by hand, as LangGraph's quickstarts do: one loop over the calls of the last message, made durable."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, interrupt

from toolslot import InvalidSetting, MemoryJournal, ToolPolicy
from toolslot_langgraph import (
    DurableParallelToolNode,
    durable_nodes,
    durable_tool_calls,
    durable_tool_calls_sync,
)

GO: Any = {"messages": [HumanMessage("go", id="h-1")]}
PAID = [f"paid {i}" for i in range(3)]


class Work:
    """A tool that pays, and breaks where it is told to."""

    def __init__(self, talk: Any, broken: set[int] | None = None) -> None:
        self.ran: list[int] = []
        self.broken = broken or set()
        talk.calls = [{"name": "pay", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(3)]

        def pay(i: int) -> str:
            """Pays."""
            self.ran.append(i)
            if i in self.broken:
                raise ConnectionError(f"no {i}")
            return f"paid {i}"

        async def apay(i: int) -> str:
            """Pays."""
            return pay(i)

        self.tool = tool("pay")(apay if talk.asynchronous else pay)


def answer(talk: Any, messages: list[AnyMessage], turns: int = 1) -> AIMessage:
    talk.asked += 1
    turn = sum(isinstance(message, AIMessage) for message in messages)
    return AIMessage(
        "" if turn < turns else "done", id=f"ai-{turn}", tool_calls=talk.calls if turn < turns else []
    )


def quickstart(talk: Any, tools: Any, turns: int = 1) -> Any:
    """The graph of the quickstart."""

    def llm_call(state: MessagesState) -> Any:
        return {"messages": [answer(talk, state["messages"], turns)]}

    if talk.asynchronous:

        async def tool_node(state: MessagesState, config: RunnableConfig) -> Any:
            message = state["messages"][-1]
            assert isinstance(message, AIMessage)
            return {"messages": await durable_tool_calls(message, tools, config)}
    else:

        def tool_node(state: MessagesState) -> Any:  # type: ignore[misc]
            message = state["messages"][-1]
            assert isinstance(message, AIMessage)
            return {"messages": durable_tool_calls_sync(message, tools)}

    def should_continue(state: MessagesState) -> str:
        message = state["messages"][-1]
        return "tool_node" if isinstance(message, AIMessage) and message.tool_calls else END

    builder = StateGraph(MessagesState)
    builder.add_node("llm_call", llm_call)
    builder.add_node("tool_node", tool_node)
    builder.add_edge(START, "llm_call")
    builder.add_conditional_edges("llm_call", should_continue, ["tool_node", END])
    builder.add_edge("tool_node", "llm_call")
    return builder.compile(checkpointer=talk.saver)


def functional(talk: Any, tools: Any, turns: int = 1, asks: Any = None) -> Any:
    """The functional form of the quickstart."""
    asks = asks or (lambda messages: answer(talk, messages, turns))
    if talk.asynchronous:

        @task
        async def acall_llm(messages: list[AnyMessage]) -> AIMessage:
            return asks(messages)  # type: ignore[no-any-return]

        @entrypoint(checkpointer=talk.saver)
        async def aagent(given: Any, config: RunnableConfig) -> Any:
            messages: Any = given["messages"]
            response = await acall_llm(messages)
            while response.tool_calls:
                results = await durable_tool_calls(response, tools, config)
                messages = add_messages(messages, [response, *results])  # type: ignore[list-item]
                response = await acall_llm(messages)
            return {"messages": add_messages(messages, response)}

        return aagent

    @task
    def call_llm(messages: list[AnyMessage]) -> AIMessage:
        return asks(messages)  # type: ignore[no-any-return]

    @entrypoint(checkpointer=talk.saver)
    def agent(given: Any) -> Any:
        messages: Any = given["messages"]
        response = call_llm(messages).result()
        while response.tool_calls:
            results = durable_tool_calls_sync(response, tools)
            messages = add_messages(messages, [response, *results])  # type: ignore[list-item]
            response = call_llm(messages).result()
        return {"messages": add_messages(messages, response)}

    return agent


FORMS = {"graph": quickstart, "functional": functional}
forms = pytest.mark.parametrize("form", FORMS)


def invoked(talk: Any, graph: Any, value: Any = GO) -> Any:
    if talk.asynchronous:
        return asyncio.run(graph.ainvoke(value, talk.config))
    return graph.invoke(value, talk.config)


@forms
def test_after_an_error_what_is_recorded_replays_and_the_model_is_not_asked_again(
    talk: Any, said: Any, form: str
) -> None:
    work = Work(talk, broken={1})
    with pytest.raises(ConnectionError, match="no 1"):
        invoked(talk, FORMS[form](talk, talk.node([work.tool])))
    assert sorted(work.ran) == [0, 1, 2]
    work.broken = set()
    outcome = invoked(talk, FORMS[form](talk, talk.node([work.tool])), None)
    assert said(outcome) == PAID
    assert outcome["messages"][-1].content == "done"
    assert sorted(work.ran) == [0, 1, 1, 2]
    assert talk.asked == 2


@forms
def test_calls_of_a_later_response_are_new_ones(talk: Any, said: Any, form: str) -> None:
    """They have the arguments and ids of the first."""
    work = Work(talk)
    outcome = invoked(talk, FORMS[form](talk, talk.node([work.tool]), turns=2))
    assert said(outcome) == PAID * 2
    assert sorted(work.ran) == [0, 0, 1, 1, 2, 2]


@forms
def test_a_question_about_a_lost_call_reaches_the_person_and_the_answer_its_call(
    talk: Any, said: Any, bank: Any, form: str
) -> None:
    policies = {"pay": ToolPolicy(on_unknown="ask")}
    talk.graph = lambda tools, **settings: FORMS[form](talk, talk.node(tools, policies=policies, **settings))
    talk.start = lambda graph: invoked(talk, graph)
    with bank.dead():
        pass
    graph = talk.graph([bank.tool])
    outcome = invoked(talk, graph, None)
    questions = [each for stop in outcome["__interrupt__"] for each in stop.value["questions"]]
    assert [question["call_id"] for question in questions] == ["c1", "c2"]
    done = {question["id"]: {"done": f"paid by hand {question['call_id']}"} for question in questions}
    outcome = invoked(talk, graph, Command(resume=done))
    assert said(outcome) == ["paid 0", "paid by hand c1", "paid by hand c2", "paid 3"]
    assert sorted(bank.paid) == [0, 1, 2, 3]


def test_what_it_gives_is_what_a_tool_node_gives(talk: Any) -> None:
    """Messages, errors of arguments, unknown tools, and commands with the state that their tools have injected."""

    @tool
    def fine(i: int) -> str:
        """Works."""
        return f"fine {i}"

    @tool
    def moves(
        call_id: Annotated[str, InjectedToolCallId], chat: Annotated[list[Any], InjectedState("messages")]
    ) -> Command[Any]:
        """Goes elsewhere."""
        return Command(update={"messages": [ToolMessage(f"moved after {len(chat)}", tool_call_id=call_id)]})

    calls: Any = [
        {"name": "fine", "args": {"i": 1}, "id": "a"},
        {"name": "fine", "args": {"i": "x"}, "id": "b"},
        {"name": "none", "args": {}, "id": "c"},
    ]
    message = AIMessage("", id="ai", tool_calls=calls)
    node = DurableParallelToolNode([fine, moves], journal=MemoryJournal())
    config: Any = {"configurable": {"durable_run_key": "r"}}

    def given(message: AIMessage, **settings: Any) -> Any:
        if talk.asynchronous:
            return asyncio.run(durable_tool_calls(message, node, config, **settings))
        return durable_tool_calls_sync(message, node, config, **settings)

    found = given(message)
    assert [each.tool_call_id for each in found] == ["a", "b", "c"]
    assert [each.status for each in found] == ["success", "error", "error"]
    assert found[0].content == "fine 1"
    again = given(message)
    assert [each.response_metadata for each in again] == [{"toolslot": {"replayed": True}}] * 3

    call: Any = {"name": "moves", "args": {}, "id": "m"}
    mixed = AIMessage("", id="ai-2", tool_calls=[*calls[:1], call])
    state = {"messages": [HumanMessage("go"), mixed]}
    first, second = given(mixed, state=state)
    assert first.content == "fine 1"
    assert second.update["messages"][0].content == "moved after 2"


def test_outside_a_graph_the_calls_run_and_it_is_told_that_nothing_is_kept(
    talk: Any, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(talk)
    message = AIMessage("", id="ai", tool_calls=talk.calls)
    if talk.asynchronous:
        found: Any = asyncio.run(durable_tool_calls(message, talk.node([work.tool])))
    else:
        found = durable_tool_calls_sync(message, talk.node([work.tool]))
    assert [each.content for each in found] == PAID
    assert "toolslot.not_durable" in caplog.text


def test_tools_alone_have_the_default_options(
    talk: Any, said: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "journal"))
    work = Work(talk, broken={1})
    with pytest.raises(ConnectionError):
        invoked(talk, quickstart(talk, [work.tool]))
    work.broken = set()
    assert said(invoked(talk, quickstart(talk, [work.tool]), None)) == PAID
    assert sorted(work.ran) == [0, 1, 1, 2]
    assert (tmp_path / "journal").is_dir()


@pytest.mark.parametrize("given", ["pay", {"pay": print}, None, ToolNode([])])
def test_what_is_no_tools_is_refused(given: Any) -> None:
    with pytest.raises(InvalidSetting, match="tools="):
        durable_tool_calls_sync(AIMessage(""), given)


def test_a_node_that_a_function_runs_is_found_for_draining(talk: Any) -> None:
    work = Work(talk)
    talk.saver = InMemorySaver()
    assert len(durable_nodes(quickstart(talk, talk.node([work.tool])))) == 1


def test_in_one_task_the_questions_of_each_response_get_their_own_answers(talk: Any, said: Any) -> None:
    """A workflow runs all its responses in one task, whose answers LangGraph keeps in one list."""

    @tool
    def pay(i: int) -> str:
        """Asks first."""
        return f"{interrupt(f'pay {i}?')}, paid {i}"

    def asks(messages: list[AnyMessage]) -> AIMessage:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        numbers = [10 * turn, 10 * turn + 1] if turn < 2 else []
        calls: Any = [{"name": "pay", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in numbers]
        return AIMessage("", id=f"ai-{turn}", tool_calls=calls)

    graph = functional(talk, talk.node([pay]), asks=asks)
    outcome = invoked(talk, graph)
    asked: list[str] = []
    while "__interrupt__" in outcome:
        (question,) = outcome["__interrupt__"]
        asked.append(question.value)
        outcome = invoked(talk, graph, Command(resume={question.id: f"yes to {question.value}"}))
    assert asked == [f"pay {i}?" for i in (0, 1, 10, 11)]
    assert said(outcome) == [f"yes to pay {i}?, paid {i}" for i in (0, 1, 10, 11)]


@pytest.mark.parametrize("talk", ["sync"], indirect=True)
def test_a_function_that_asks_before_it_runs_the_calls_keeps_its_own_answer(talk: Any, said: Any) -> None:
    @tool
    def pay(i: int) -> str:
        """Asks."""
        return f"{interrupt(f'pay {i}?')}, paid {i}"

    node = talk.node([pay])
    heard: list[Any] = []

    def act(state: MessagesState) -> Any:
        own = interrupt("begin?")
        message = state["messages"][-1]
        assert isinstance(message, AIMessage)
        results = durable_tool_calls_sync(message, node)
        heard.append(own)
        return {"messages": results}

    calls: Any = [{"name": "pay", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(2)]
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", id="ai", tool_calls=calls)]})
    builder.add_node("act", act)
    builder.add_edge(START, "model")
    builder.add_edge("model", "act")
    graph: Any = builder.compile(checkpointer=talk.saver)
    outcome = invoked(talk, graph)
    while "__interrupt__" in outcome:
        (question,) = outcome["__interrupt__"]
        outcome = invoked(talk, graph, Command(resume={question.id: f"yes to {question.value}"}))
    assert heard == ["yes to begin?"]
    assert said(outcome) == [f"yes to pay {i}?, paid {i}" for i in range(2)]
