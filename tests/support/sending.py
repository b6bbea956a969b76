"""Agents whose tool calls LangGraph runs one by one, each in a task of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from langgraph.types import RetryPolicy, Send

from toolslot._domain._state import record_of
from toolslot_langgraph import DurableToolMiddleware, make_durable


class Model(BaseChatModel):
    """Asks for `talk.calls` whenever a person has spoken, or nobody yet; else it is done."""

    talk: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        message = AIMessage("done")
        if not messages or isinstance(messages[-1], HumanMessage):
            self.talk.asked += 1
            message = _answer(self.talk, messages)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _answer(talk: Any, messages: Sequence[Any]) -> AIMessage:
    provided = getattr(talk, "provider_ids", True)
    return AIMessage("", id=f"ai-{len(messages)}" if provided else None, tool_calls=talk.calls)


def options(talk: Any, settings: dict[str, Any]) -> dict[str, Any]:
    settings.setdefault("journal", talk.world.executor().journal)
    settings.setdefault("hooks", [talk.world.events])
    return settings


def with_make_durable(talk: Any, tools: Sequence[Any], *, saver: Any = ..., **settings: Any) -> Any:
    agent = create_agent(Model(talk=talk), tools, checkpointer=talk.saver if saver is ... else saver)
    return make_durable(agent, **options(talk, settings))


def with_middleware(talk: Any, tools: Sequence[Any], *, saver: Any = ..., **settings: Any) -> Any:
    middleware = DurableToolMiddleware(**options(talk, settings))
    return create_agent(
        Model(talk=talk), tools, middleware=[middleware], checkpointer=talk.saver if saver is ... else saver
    )


def react(talk: Any, tools: Sequence[Any], *, saver: Any = ..., **settings: Any) -> Any:
    with pytest.warns(DeprecationWarning, match="create_react_agent"):
        return create_react_agent(
            Model(talk=talk),
            talk.node(tools, **settings),
            checkpointer=talk.saver if saver is ... else saver,
            version="v2",
        )


def graph_of(
    talk: Any,
    tools: Sequence[Any],
    *,
    saver: Any = ...,
    send: Callable[[Any], list[Send]] | None = None,
    retry: RetryPolicy | None = None,
    **settings: Any,
) -> Any:
    """A graph that sends each call by itself, or as `send` says."""

    def model(state: MessagesState) -> dict[str, Any]:
        talk.asked += 1
        return {"messages": [_answer(talk, state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", talk.node(tools, **settings), retry_policy=retry)
    graph.add_edge(START, "model")
    each = send or (lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls])
    graph.add_conditional_edges("model", each, ["tools"])
    return graph.compile(checkpointer=talk.saver if saver is ... else saver)


DOORS = {
    "make_durable": with_make_durable,
    "middleware": with_middleware,
    "react_v2": react,
    "graph": graph_of,
}


def in_one_node(talk: Any, tools: Sequence[Any], *, saver: Any = ..., **settings: Any) -> Any:
    """A graph whose tool node runs all calls in one task."""
    talk.calls = [{**call, "type": "tool_call"} for call in talk.calls]
    return talk.graph(tools, saver=saver, **settings)


#: and the one that does not send
FORMS = {**DOORS, "one_node": in_one_node}


class Work:
    """A tool that notes its runs and raises for what is `broken`."""

    def __init__(self, talk: Any, broken: set[int] | None = None) -> None:
        self.ran: list[int] = []
        self.broken = broken or set[int]()
        self.lock = threading.Lock()
        #: where sync calls meet before they go on
        self.gate: threading.Barrier | None = None
        work = self

        def body(i: int) -> str:
            with work.lock:
                work.ran.append(i)
                number = len(work.ran)
            if work.gate is not None:
                work.gate.wait(20)
            if i in work.broken:
                raise ConnectionError(f"call {i}")
            return f"did {i} as number {number}"

        def do(i: int) -> str:
            """Works."""
            return body(i)

        async def ado(i: int) -> str:
            """Works."""
            return body(i)

        self.tool = tool("work")(ado if talk.asynchronous else do)


def records(talk: Any) -> list[Any]:
    return [record_of(talk.world.store, state) for state in talk.world.store.batches.values()]


def calls(*ids: str, **args: Any) -> list[dict[str, Any]]:
    return [
        {"name": "work", "args": args or {"i": i}, "id": name, "type": "tool_call"}
        for i, name in enumerate(ids)
    ]


def answers(outcome: Any) -> list[tuple[str, str]]:
    return [(m.tool_call_id, m.content) for m in outcome["messages"] if isinstance(m, ToolMessage)]


def unsaved(talk: Any, agent: Any, **config: Any) -> Any:
    if talk.asynchronous:
        return asyncio.run(agent.ainvoke(GO, config))
    return agent.invoke(GO, config)


GO = {"messages": [HumanMessage("go", id="h-1")]}


def forget_after(talk: Any, config: Any) -> None:
    """Make this checkpoint the latest, and drop what its tasks wrote."""
    thread, kept = config["configurable"]["thread_id"], config["configurable"]["checkpoint_id"]
    for saved in talk.saver.storage[thread].values():
        for name in [name for name in saved if name > kept]:
            del saved[name]
    talk.saver.writes.clear()
