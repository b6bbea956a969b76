"""Agents whose model follows a script, and how tests run them."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.prebuilt import create_react_agent

THREAD: Any = {"configurable": {"thread_id": "t-1"}}


class Model(BaseChatModel):
    """Asks for the calls, then says that it is done."""

    calls: list[Any] = []

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        done = not self.calls or isinstance(messages[-1], ToolMessage)
        answer = AIMessage("done") if done else AIMessage("", tool_calls=self.calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def asking(name: str, count: int = 3) -> Model:
    return Model(calls=[{"name": name, "args": {"i": i}, "id": f"c{i}"} for i in range(count)])


def react(model: Any, tools: Any, **settings: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return create_react_agent(model, tools, **settings)


def run(graph: Any, value: Any, *, asynchronous: bool = False) -> Any:
    if asynchronous:
        return asyncio.run(graph.ainvoke(value, THREAD, durability="sync"))
    return graph.invoke(value, THREAD, durability="sync")


def said(outcome: Any) -> list[Any]:
    return [message.content for message in outcome["messages"] if isinstance(message, ToolMessage)]
