"""A LangGraph agent whose first response loads a file beside a call that hangs, and whose second one searches it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

from support.gate import say
from support.loading import Loading, parsed
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, make_durable

ASKED: list[Any] = [
    {"name": "load", "args": {"name": "a"}, "id": "c1"},
    {"name": "search", "args": {"name": "b"}, "id": "c2"},
]


class Model(BaseChatModel):
    """Asks for both at once, then for what was loaded."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        made = sum(isinstance(message, ToolMessage) for message in messages)
        last = [{"name": "search", "args": {"name": "a"}, "id": "c3"}]
        calls = {0: ASKED, 2: last}.get(made, [])
        answer = AIMessage("" if calls else "done", id=f"answer-{made}", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def build(life: Loading, saver: Any) -> Any:
    tools = [StructuredTool.from_function(tool) for tool in (life.load, life.search)]
    if life.args.door == "middleware":
        middleware = [DurableToolMiddleware(**life.settings)]
        return create_agent(Model(), tools, middleware=middleware, checkpointer=saver)
    if life.args.door == "make_durable":
        return make_durable(create_agent(Model(), tools, checkpointer=saver), **life.settings)
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [Model().invoke(state["messages"])]})
    graph.add_node("tools", DurableParallelToolNode(tools, **life.settings))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


async def arun(life: Loading, given: Any, config: Any) -> Any:
    async with AsyncSqliteSaver.from_conn_string(str(life.folder / "checkpoints.db")) as saver:
        return await build(life, saver).ainvoke(given, config, durability="sync")


def main(argv: list[str]) -> None:
    life = Loading(parsed(argv))
    given = {"messages": [("user", "go")]} if life.args.life == 1 else None
    config: Any = {"configurable": {"thread_id": "t-1"}}
    if life.args.mode == "async":
        outcome = asyncio.run(arun(life, given, config))
    else:
        with SqliteSaver.from_conn_string(str(life.folder / "checkpoints.db")) as saver:
            outcome = build(life, saver).invoke(given, config, durability="sync")
    say(json.dumps([message.content for message in outcome["messages"] if isinstance(message, ToolMessage)]))
