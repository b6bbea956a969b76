"""Wrappers that change a call's arguments in place change nothing in what the call is known by; the messages are the plain agent's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy, Send

from support.sending import GO, Model, options, records
from toolslot_langgraph import DurableToolMiddleware, make_durable

pytestmark = pytest.mark.pairwise

CALLS = [
    {"name": "work", "args": {"i": i, "who": {"name": "model"}}, "id": name, "type": "tool_call"}
    for i, name in enumerate(("a", "b", "c"))
]


class Change(AgentMiddleware[Any, Any]):
    """Writes into the arguments of each call, at the top and deep inside."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def _write(self, request: Any) -> None:
        args = request.tool_call["args"]
        args["who"]["name"] = self._name
        args.setdefault("note", []).append(self._name) if self._name == "grow" else args.update(
            note=self._name
        )

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        self._write(request)
        return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        self._write(request)
        return await handler(request)


class Work:
    """A tool whose second call fails the first `failures` times."""

    def __init__(self, talk: Any, failures: int = 1) -> None:
        self.ran: list[int] = []
        self.failures = failures

        def body(i: int, who: dict[str, str], note: Any) -> str:
            self.ran.append(i)
            if i == 1 and self.failures:
                self.failures -= 1
                raise ConnectionError("b")
            return f"{i} for {who['name']}"

        def work(i: int, who: dict[str, str], note: Any = None) -> str:
            """Works."""
            return body(i, who, note)

        async def awork(i: int, who: dict[str, str], note: Any = None) -> str:
            """Works."""
            return body(i, who, note)

        self.tool = tool("work")(awork if talk.asynchronous else work)


def chained(middlewares: Any, asynchronous: bool) -> dict[str, Any]:
    """The middlewares as the wrapper of a ToolNode, the first outside."""

    def wrap(request: Any, run: Any) -> Any:
        for each in reversed(middlewares):
            run = partial(_around, each.wrap_tool_call, run)
        return run(request)

    async def awrap(request: Any, run: Any) -> Any:
        for each in reversed(middlewares):
            run = partial(_around, each.awrap_tool_call, run)
        return await run(request)

    return {"awrap_tool_call": awrap} if asynchronous else {"wrap_tool_call": wrap}


def _around(wrapper: Any, inner: Any, request: Any) -> Any:
    return wrapper(request, inner)


def graph(talk: Any, work: Work, middlewares: Any, retry: Any, *, sent: bool, durable: bool) -> Any:
    def model(state: MessagesState) -> Any:
        return {"messages": [Model(talk=talk).invoke(state["messages"])]}

    def each(state: MessagesState) -> list[Send]:
        return [Send("tools", [call]) for call in state["messages"][-1].tool_calls]  # type: ignore[attr-defined]

    wrappers = chained(middlewares, talk.asynchronous)
    node = talk.node([work.tool], **wrappers) if durable else ToolNode([work.tool], **wrappers)
    builder: Any = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tools", node, retry_policy=retry)
    builder.add_edge(START, "model")
    if sent:
        builder.add_conditional_edges("model", each, ["tools"])
    else:
        builder.add_edge("model", "tools")
    return builder.compile(checkpointer=talk.saver)


def agent(talk: Any, work: Work, middlewares: Any, retry: Any) -> Any:
    made = create_agent(Model(talk=talk), [work.tool], checkpointer=talk.saver, middleware=middlewares)
    made.nodes["tools"].retry_policy = [retry] if retry else []
    return made


def door(
    form: str, talk: Any, work: Work, middlewares: Any, retry: Any = None, *, durable: bool = True
) -> Any:
    if form in ("one_node", "sent"):
        return graph(talk, work, middlewares, retry, sent=form == "sent", durable=durable)
    if not durable:
        return agent(talk, work, middlewares, retry)
    if form == "make_durable":
        return make_durable(agent(talk, work, middlewares, retry), **options(talk, {}))
    ours: Any = DurableToolMiddleware(**options(talk, {}))
    place = {"first": 0, "between": 1, "last": len(middlewares)}[form]
    return agent(talk, work, [*middlewares[:place], ours, *middlewares[place:]], retry)


FORMS = ["one_node", "sent", "make_durable", "first", "between", "last"]
CHANGES: Mapping[str, Any] = {
    "one": lambda: [Change("one")],
    "two": lambda: [Change("one"), Change("two")],
}
TWICE = RetryPolicy(max_attempts=3, initial_interval=0.0, jitter=False, retry_on=ConnectionError)


def plain_messages(form: str, talk: Any, changes: str, failures: int, retry: Any) -> list[Any]:
    plain = type(talk)(asynchronous=talk.asynchronous, calls=talk.calls)
    graph = door(form, plain, Work(plain, failures), CHANGES[changes](), retry, durable=False)
    return shown(plain.run(graph, GO))


def shown(state: Any) -> list[Any]:
    """What the conversation says, without what a replay is marked with and what differs by chance."""
    return [
        (type(m).__name__, m.content, m.tool_calls if isinstance(m, AIMessage) else None)
        for m in state["messages"]
        if isinstance(m, (AIMessage, ToolMessage))
    ]


def fresh() -> list[Any]:
    return [{**call, "args": {"i": call["args"]["i"], "who": {"name": "model"}}} for call in CALLS]  # type: ignore[index]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", CHANGES)
def test_a_node_that_is_tried_again_ends_with_the_plain_agents_messages(
    talk: Any, form: str, changes: str
) -> None:
    talk.calls = fresh()
    expected = plain_messages(form, talk, changes, 2, TWICE)
    talk.calls, work = fresh(), Work(talk, 2)
    found = talk.run(door(form, talk, work, CHANGES[changes](), TWICE), GO)
    assert shown(found) == expected
    assert sorted(work.ran) == [0, 1, 1, 1, 2]
    assert len(records(talk)) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("crashed", [False, True], ids=["alive", "crashed"])
@pytest.mark.parametrize("retry", [None, TWICE], ids=["once", "with retries"])
def test_a_resume_finds_the_calls_again(
    talk: Any, form: str, changes: str, crashed: bool, retry: Any
) -> None:
    talk.calls, work = fresh(), Work(talk, 5 if retry else 1)
    with pytest.raises(ConnectionError):
        talk.run(door(form, talk, work, CHANGES[changes](), retry), GO)
    if crashed:
        talk.crash()
    tries = len(work.ran)
    found = talk.resume(door(form, talk, work, CHANGES[changes](), retry))
    assert work.ran[tries:] == ([1, 1, 1] if retry else [1])
    assert sorted(set(work.ran[:tries])) == [0, 1, 2]
    assert work.ran.count(0) == work.ran.count(2) == 1
    name = {"one": "one", "two": "two"}[changes]
    assert [m.content for m in found["messages"] if isinstance(m, ToolMessage)] == [
        f"{i} for {name}" for i in range(3)
    ]
    assert len(records(talk)) == 1


@pytest.mark.parametrize("form", FORMS)
def test_the_records_hold_what_the_model_said(talk: Any, form: str) -> None:
    talk.calls, work = fresh(), Work(talk, 0)
    talk.run(door(form, talk, work, CHANGES["two"]()), GO)
    views = [slot for record in records(talk) for slot in record.manifest.specs]
    assert len(views) == 3
    assert not any(b"two" in view.args.data or b"one" in view.args.data for view in views)


class Edit(AgentMiddleware[Any, Any]):
    """Writes into the calls before the tools run, and says so or not: LangGraph saves what it is told of."""

    def __init__(self, *, told: bool) -> None:
        super().__init__()
        self._told = told

    def after_model(self, state: Any, runtime: Any) -> Any:
        message = state["messages"][-1]
        for call in getattr(message, "tool_calls", []):
            call["args"]["who"]["name"] = "editor"
        return {"messages": [message]} if self._told else None


@pytest.mark.parametrize(
    ("form", "told"),
    [("make_durable", True), ("first", True), ("last", True), ("first", False), ("last", False)],
)
@pytest.mark.parametrize("crashed", [False, True], ids=["alive", "crashed"])
def test_calls_that_were_changed_before_the_tools_run_are_found_again(
    talk: Any, form: str, told: bool, crashed: bool
) -> None:
    talk.calls, work = fresh(), Work(talk)
    with pytest.raises(ConnectionError):
        talk.run(door(form, talk, work, [Edit(told=told)]), GO)
    if crashed:
        talk.crash()
    found = talk.resume(door(form, talk, work, [Edit(told=told)]))
    assert sorted(work.ran) == [0, 1, 1, 2]
    answers = [m.content for m in found["messages"] if isinstance(m, ToolMessage)]
    assert answers == ["0 for editor", "1 for editor", "2 for editor"]
    assert len(records(talk)) == 1
    if told:
        specs = [spec for record in records(talk) for spec in record.manifest.specs]
        assert all(b"editor" in spec.args.data for spec in specs)
