"""A process that runs the calls in LangGraph: with DurableParallelToolNode in a graph, or in an agent made durable."""

from __future__ import annotations

import asyncio
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from crash.chaos.body import Body, Declined, Orders, brief, failed
from crash.chaos.plan import Door, Kind
from crash.langgraph.doors import ScriptedModel, by_hand
from toolslot_langgraph import DurableParallelToolNode, make_durable


class Args(BaseModel):
    """Of every tool, made once before the fork."""

    n: int


CONFIG: Any = {"configurable": {"thread_id": "order-17"}}


def tools_of(body: Body) -> list[Any]:
    def tool(kind: Kind) -> StructuredTool:
        def run(n: int) -> str:
            try:
                return body.run(kind, n)
            except Declined as error:
                raise ToolException(str(error)) from error

        async def arun(n: int) -> str:
            try:
                return await body.arun(kind, n)
            except Declined as error:
                raise ToolException(str(error)) from error

        return StructuredTool.from_function(
            run,
            coroutine=arun if body.trial.mode == "async" else None,
            name=kind.value,
            description="A tool.",
            args_schema=Args,
            handle_tool_error=True,
        )

    return [tool(kind) for kind in body.trial.kinds]


def graph_of(body: Body, saver: Any) -> Any:
    calls = [
        {"name": call.kind.value, "args": {"n": call.n}, "id": call.call_id, "type": "tool_call"}
        for call in body.trial.calls
    ]
    model = ScriptedModel(calls=calls, ledger=str(body.folder / "model"))
    options: Any = {
        "journal": body.journal,
        "policies": body.policies(),
        "limits": body.limits(),
        "hooks": [body.hook],
    }
    if body.trial.door is Door.NODE:
        return by_hand(model, DurableParallelToolNode(tools_of(body), **options), saver)
    return make_durable(create_agent(model, tools_of(body), checkpointer=saver), **options)


def is_done(state: Any) -> bool:
    """Whether the graph has come to its end. `next` is empty also where the results of a step were saved, and no checkpoint after it."""
    return bool(state.values) and not state.tasks


def given(body: Body, state: Any) -> Any:
    """What to invoke the graph with, by what it has saved."""
    if not state.values:
        return {"messages": [HumanMessage("pay", id="question")]}
    return Command(resume=body.orders.answers) if body.orders.answers else None


def run(body: Body) -> Any:
    with SqliteSaver.from_conn_string(str(body.folder / "checkpoints.db")) as saver:
        graph = graph_of(body, saver)
        body.at_the_gate()
        state = graph.get_state(CONFIG)
        if is_done(state):
            return state.values
        return graph.invoke(given(body, state), CONFIG, durability="sync")


async def arun(body: Body) -> Any:
    async with AsyncSqliteSaver.from_conn_string(str(body.folder / "checkpoints.db")) as saver:
        graph = graph_of(body, saver)
        body.at_the_gate()
        state = await graph.aget_state(CONFIG)
        if is_done(state):
            return state.values
        return await graph.ainvoke(given(body, state), CONFIG, durability="sync")


def report(outcome: Any) -> dict[str, Any]:
    if shown := outcome.get("__interrupt__", ()):
        return {"status": "asks", "questions": {each.id: each.value for each in shown}}
    texts = [m.content for m in outcome["messages"] if isinstance(m, ToolMessage)]
    return {"status": "done", "answers": [brief(text) for text in texts]}


def main(argv: list[str]) -> None:
    orders = Orders.heard(argv[0])
    body = Body(orders)
    body.ask = lambda n: interrupt(f"person {n}")
    print("BEGINS", flush=True)
    try:
        found = report(run(body) if body.trial.mode == "sync" else asyncio.run(arun(body)))
    except Exception as error:
        found = failed(error)
    body.tell(found)
