"""A supervisor whose tool runs an agent, or looks as if it did, in a process that a test kills. A ledger notes every payment."""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import warnings
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from doors import ScriptedModel, build
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from support.ledger import Ledger
from toolslot import ToolPolicy
from toolslot_langgraph import DurableParallelToolNode

CALLS = 2


class Client:
    """Of some cloud: what it runs is called as a graph is."""

    def __init__(self, run: Callable[[str], str]) -> None:
        self.run = run

    def invoke(self, function: str) -> str:
        return self.run(function)


class Life:
    """One process. `kind` says what the supervisor's tool does."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.lock = threading.Lock()
        self.left = CALLS

    # --- effects ----------------------------------------------------------------------------------------------------------

    def pay(self, what: str) -> str:
        """Pays, and hangs in the first life if this is where the process is to die."""
        self.ledger.note("paid", what)
        self.die_here("pay")
        return f"paid {what}"

    def die_here(self, where: str) -> None:
        """Hang, once all calls have come this far."""
        if self.args.life > 1 or self.args.dies != where:
            return
        with self.lock:
            self.left -= 1
            if self.left == 0:
                print("READY", flush=True)
        if self.args.mode == "sync":
            threading.Event().wait()

    async def hang(self) -> None:
        if self.args.life == 1 and self.args.mode == "async":
            await asyncio.Event().wait()

    # --- the agent inside -------------------------------------------------------------------------------------------------

    def clerk(self, saver: Any) -> Any:
        """An agent with one tool, which pays."""

        def pay(what: str) -> str:
            return self.pay(what)

        async def apay(what: str) -> str:
            paid = self.pay(what)
            if self.args.dies == "pay":
                await self.hang()
            return paid

        code: dict[str, Any] = {"coroutine": apay} if self.args.mode == "async" else {"func": pay}
        tool = StructuredTool.from_function(name="pay", description="Pays.", **code)

        def model(state: MessagesState) -> Any:
            return {"messages": [_asks_for(str(state["messages"][0].content))]}

        graph = StateGraph(MessagesState)
        graph.add_node("model", model)
        graph.add_node("tools", self.node(tool))
        graph.add_edge(START, "model")
        graph.add_edge("model", "tools")
        return graph.compile(checkpointer=saver)

    def node(self, tool: Any) -> Any:
        """`make_durable` reaches a plain one; the middleware does not, for it is around the supervisor's calls."""
        return (
            DurableParallelToolNode([tool], **self.options())
            if "middleware" in self.args.door
            else ToolNode([tool])
        )

    def options(self) -> dict[str, Any]:
        policy = None if self.args.policy == "none" else ToolPolicy(on_unknown=self.args.policy)
        return {"journal": self.folder / "journal", "default_policy": policy}

    def config(self, i: int) -> dict[str, Any]:
        return {"configurable": {"thread_id": f"clerk-{i}"}}

    def runs(self, saver: Any, own: Any) -> list[tuple[Any, bool]]:
        """The agents that the tool runs, one after another, and whether each in a thread of its own."""
        return {
            "nested": [(self.clerk(None), False)],
            "own saver": [(self.clerk(own), False)],
            "own thread": [(self.clerk(own), True)],
            "own thread, same saver": [(self.clerk(saver), True)],
            "nested, then own saver": [(self.clerk(None), False), (self.clerk(own), True)],
            "nested, then own thread": [(self.clerk(None), False), (self.clerk(None), True)],
        }.get(self.args.kind, [])

    # --- the supervisor's tool --------------------------------------------------------------------------------------------

    def tool(self, saver: Any, own: Any) -> StructuredTool:
        if self.args.kind in ("llm", "client"):
            return self.looks_like_it()
        asked = self.runs(saver, own)
        if len(asked) == 2:
            (first, _), (second, _) = asked

            def ask_both(i: int) -> str:
                told = first.invoke({"messages": [f"{i}.0"]})
                told = second.invoke({"messages": [f"{i}.1"]}, {"configurable": {"thread_id": f"clerk-{i}"}})
                return str(told["messages"][-1].content)

            async def aask_both(i: int) -> str:
                told = await first.ainvoke({"messages": [f"{i}.0"]})
                told = await second.ainvoke(
                    {"messages": [f"{i}.1"]}, {"configurable": {"thread_id": f"clerk-{i}"}}
                )
                return str(told["messages"][-1].content)

            return self.made(ask_both, aask_both)
        ((clerk, apart),) = asked
        config = self.config if apart else lambda i: None

        def ask(i: int) -> str:
            told = clerk.invoke({"messages": [str(i)]}, config(i))
            self.die_here("after")
            return str(told["messages"][-1].content)

        async def aask(i: int) -> str:
            told = await clerk.ainvoke({"messages": [str(i)]}, config(i))
            self.die_here("after")
            if self.args.dies == "after":
                await self.hang()
            return str(told["messages"][-1].content)

        return self.made(ask, aask)

    def looks_like_it(self) -> StructuredTool:
        """A tool that pays by itself, with a register of agents in reach and something that is invoked."""
        registry = {"clerk": self.clerk(None)}
        llm, client = ScriptedModel(calls=[], ledger=str(self.folder / "asked")), Client(self.pay)
        kind = self.args.kind

        def look(i: int) -> str:
            if i < 0:
                return str(registry["clerk"].invoke({"messages": [str(i)]}))
            if kind == "client":
                return client.invoke(str(i))
            llm.invoke("How is it?")
            return self.pay(str(i))

        async def alook(i: int) -> str:
            if i < 0:
                return str(await registry["clerk"].ainvoke({"messages": [str(i)]}))
            if kind == "client":
                paid = client.invoke(str(i))
            else:
                await llm.ainvoke("How is it?")
                paid = self.pay(str(i))
            await self.hang()
            return paid

        return self.made(look, alook)

    def made(self, sync: Any, asynchronous: Any) -> StructuredTool:
        code: dict[str, Any] = {"coroutine": asynchronous} if self.args.mode == "async" else {"func": sync}
        return StructuredTool.from_function(name="ask", description="Asks the clerk.", **code)

    # --- a life -----------------------------------------------------------------------------------------------------------

    def graph(self, saver: Any, own: Any) -> Any:
        calls = [{"name": "ask", "args": {"i": i}, "id": f"call-{i}"} for i in range(CALLS)]
        model = ScriptedModel(calls=calls, ledger=str(self.ledger.path))
        return build(
            self.args.door,
            model,
            [self.tool(saver, own)],
            saver,
            **self.options(),
        )

    def input(self) -> Any:
        if self.args.answer:
            return Command(resume=json.loads(self.args.answer))
        return {"messages": [HumanMessage("pay", id="question")]} if self.args.life == 1 else None

    def run(self) -> Any:
        with ExitStack() as stack:
            saver, own = (
                stack.enter_context(SqliteSaver.from_conn_string(str(self.folder / name)))
                for name in ("checkpoints.db", "own.db")
            )
            graph, config = self.graph(saver, own), {"configurable": {"thread_id": "order-17"}}
            if self.args.at_latest:
                config = graph.get_state(config).config
            return graph.invoke(self.input(), config, durability="sync")

    async def arun(self) -> Any:
        async with AsyncExitStack() as stack:
            names = ("checkpoints.db", "own.db")
            saver, own = [
                await stack.enter_async_context(AsyncSqliteSaver.from_conn_string(str(self.folder / name)))
                for name in names
            ]
            graph, config = self.graph(saver, own), {"configurable": {"thread_id": "order-17"}}
            if self.args.at_latest:
                config = (await graph.aget_state(config)).config
            return await graph.ainvoke(self.input(), config, durability="sync")


def _asks_for(what: str) -> Any:
    call = {"name": "pay", "args": {"what": what}, "id": f"pay-{what}", "type": "tool_call"}
    return AIMessage("", id=f"asks-{what}", tool_calls=[call])


def report(outcome: Any) -> dict[str, Any]:
    return {
        "answers": [m.content for m in outcome["messages"] if isinstance(m, ToolMessage)],
        "interrupts": {i.id: i.value for i in outcome.get("__interrupt__", ())},
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--door", default="agent+make_durable")
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--kind", default="nested")
    parser.add_argument("--dies", default="pay", choices=["pay", "after"])
    parser.add_argument("--policy", default="ask")
    parser.add_argument("--at-latest", action="store_true")
    parser.add_argument("--answer", default="")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    life = Life(args)
    try:
        found = report(life.run() if args.mode == "sync" else asyncio.run(life.arun()))
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error)}
    print()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
