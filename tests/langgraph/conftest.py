"""A conversation that asks for several calls at once, and process starts of its agent over one journal and one checkpointer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from support.bank import Bank
from support.harness import World
from toolslot_langgraph import DurableParallelToolNode


@dataclass
class Talk:
    """One thread of one agent. `graph()` begins a process start: a node of its own with a journal of its own over one store."""

    asynchronous: bool = False
    calls: Sequence[dict[str, Any]] = ()
    world: World = field(default_factory=World)
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    #: whether the messages of models have an id of their provider's
    provider_ids: bool = True
    #: how often the model was asked
    asked: int = 0
    config: dict[str, Any] = field(default_factory=lambda: {"configurable": {"thread_id": "t-1"}})

    def node(self, tools: Sequence[Any], **settings: Any) -> DurableParallelToolNode:
        settings.setdefault("journal", self.world.executor().journal)
        settings.setdefault("hooks", [self.world.events])
        return DurableParallelToolNode(tools, **settings)

    def graph(self, tools: Sequence[Any], *, saver: Any = ..., **settings: Any) -> Any:
        def model(state: MessagesState) -> dict[str, Any]:
            self.asked += 1
            return {
                "messages": [AIMessage("", tool_calls=[{"type": "tool_call", **call} for call in self.calls])]
            }

        graph = StateGraph(MessagesState)
        graph.add_node("model", model)
        graph.add_node("tools", self.node(tools, **settings))
        graph.add_edge(START, "model")
        graph.add_edge("model", "tools")
        return graph.compile(checkpointer=self.saver if saver is ... else saver)

    def run(self, graph: Any, value: Any, **config: Any) -> Any:
        merged = {**self.config, **config}
        # "sync": the checkpoint of a step is there before the next step begins, so a test may end a life at any moment.
        if self.asynchronous:
            return asyncio.run(graph.ainvoke(value, merged, durability="sync"))
        return graph.invoke(value, merged, durability="sync")

    def start(self, graph: Any, **config: Any) -> Any:
        return self.run(graph, {"messages": []}, **config)

    def resume(self, graph: Any, **config: Any) -> Any:
        return self.run(graph, None, **config)

    def crash(self) -> None:
        self.world.crash()


def said(outcome: Any) -> list[str]:
    """The tools' answers, in order."""
    return [message.content for message in outcome["messages"] if isinstance(message, ToolMessage)]


@pytest.fixture(name="said")
def said_fixture() -> Callable[[Any], list[str]]:
    return said


@pytest.fixture(params=["sync", "async"])
def talk(request: pytest.FixtureRequest) -> Talk:
    return Talk(asynchronous=request.param in ("async", True))


@pytest.fixture
def ask() -> Callable[..., list[dict[str, Any]]]:
    """Calls to one tool, each with its index as the argument."""

    def make(tool: str, count: int) -> list[dict[str, Any]]:
        return [{"name": tool, "args": {"i": i}, "id": f"c{i}"} for i in range(count)]

    return make


@pytest.fixture
def bank(talk: Any) -> Bank:
    return Bank(talk)
