"""A real LangGraph agent in a process that a test kills: a scripted model asks for N tools at once, a ledger notes every effect.

In its first life the last two of five tools hang: one after its effect, one before. In later lives none does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command

from support.ledger import Ledger
from toolslot import CallEvent, Done, EventKind, Limits, NotDone, Slot, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode


class ScriptedModel(BaseChatModel):
    """Asks for all tools at once, then is content. Every question to it is noted."""

    calls: list[dict[str, Any]]
    ledger: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if any(isinstance(message, ToolMessage) for message in messages):
            answer = AIMessage(content="done", id="answer-2")
        else:
            Ledger(self.ledger).note("model")
            answer = AIMessage(content="", tool_calls=[dict(call) for call in self.calls], id="answer-1")
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Life:
    """One process of the agent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.ready = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.waiting_for = args.ready

    # --- what the test waits for ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One of the events that must have happened before the kill has happened."""
        with self.lock:
            self.waiting_for -= 1
            if self.waiting_for == 0:
                print("READY", flush=True)

    def hook(self, event: Any) -> None:
        if isinstance(event, CallEvent) and event.kind is EventKind.FINISHED and self.args.life == 1:
            self.tick()
        if isinstance(event, CallEvent) and event.kind is EventKind.RECONCILED:
            self.ledger.note("reconciled", event.index)

    # --- tools ------------------------------------------------------------------------------------------------------------

    def before(self, i: int) -> bool:
        """Begin, and have the effect; whether to hang afterwards."""
        self.ledger.note("begin", i)
        if self.args.raises == i:
            raise ValueError(f"call {i} failed")
        hang_before, hang_after = (
            i in map(int, filter(None, text.split(",")))
            for text in (self.args.hang_before, self.args.hang_after)
        )
        if not hang_before:
            self.ledger.note("effect", i)
        if hang_before or hang_after:
            self.tick()
            return True
        if self.args.node == "plain" and self.args.life == 1:
            self.tick()  # a plain node tells nobody when a call has finished
        return False

    def tool(self) -> StructuredTool:
        def pay(i: int) -> str:
            """Pays."""
            if self.before(i):
                while not (self.args.release and (self.folder / "release").exists()):
                    time.sleep(0.02)  # another process can be told only through the file system
            return f"paid {i}"

        async def apay(i: int) -> str:
            """Pays."""
            if self.before(i):
                while not (self.args.release and (self.folder / "release").exists()):  # noqa: ASYNC110 - another process, told only through files
                    await asyncio.sleep(0.02)
            return f"paid {i}"

        return StructuredTool.from_function(
            pay, coroutine=apay if self.args.mode == "async" else None, name="pay", description="Pays."
        )

    def reconcile(self, slot: Slot) -> Any:
        i = slot.args["i"]
        self.ledger.note("asked", i)
        return Done(f"paid {i}") if self.ledger.count("effect", i) else NotDone()

    def policy(self) -> ToolPolicy:
        return {
            "default": ToolPolicy(),
            "reconcile": ToolPolicy(reconcile=self.reconcile),
            "fail": ToolPolicy(on_unknown="fail"),
            "ask": ToolPolicy(on_unknown="ask"),
        }[self.args.policy]

    # --- the agent --------------------------------------------------------------------------------------------------------

    def graph(self, saver: Any) -> Any:
        calls = [{"name": "pay", "args": {"i": i}, "id": f"call-{i}"} for i in range(self.args.calls)]
        model = ScriptedModel(calls=calls, ledger=str(self.ledger.path))
        tools: Callable[[], ToolNode] = {
            "plain": lambda: ToolNode([self.tool()]),
            "durable": lambda: DurableParallelToolNode(
                [self.tool()],
                journal=self.folder / "journal",
                policies={"pay": self.policy()},
                hooks=[self.hook],
                limits=Limits(batch=self.args.limit, busy_timeout=self.args.busy_timeout),
            ),
        }[self.args.node]
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
        graph.add_node("tools", tools())
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition, {"tools": "tools", END: END})
        graph.add_edge("tools", "model")
        return graph.compile(checkpointer=saver)

    def input(self) -> Any:
        if self.args.answer:
            return Command(resume=json.loads(self.args.answer))
        return {"messages": [HumanMessage("pay", id="question")]} if self.args.life == 1 else None

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"configurable": {"thread_id": "order-17"}}
        if self.args.max_concurrency:
            config["max_concurrency"] = self.args.max_concurrency
        return config

    def run(self) -> Any:
        with SqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            print("BUILT", flush=True)
            return self.graph(saver).invoke(self.input(), self.config(), durability=self.args.durability)

    async def arun(self) -> Any:
        async with AsyncSqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            print("BUILT", flush=True)
            return await self.graph(saver).ainvoke(
                self.input(), self.config(), durability=self.args.durability
            )


def report(outcome: Any) -> dict[str, Any]:
    return {
        "answers": [m.content for m in outcome["messages"] if isinstance(m, ToolMessage)],
        "questions": [i.value for i in outcome.get("__interrupt__", ())],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--durability", default="sync")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--node", default="durable")
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--max-concurrency", type=int, default=0)
    parser.add_argument("--busy-timeout", type=float, default=30.0)
    parser.add_argument("--hang-after", default="")
    parser.add_argument("--hang-before", default="")
    parser.add_argument("--raises", type=int, default=-1)
    parser.add_argument("--ready", type=int, default=0)
    parser.add_argument("--answer", default="")
    parser.add_argument(
        "--release", action="store_true", help="hanging tools return once the file `release` is there"
    )
    args = parser.parse_args()
    life = Life(args)
    try:
        outcome = life.run() if args.mode == "sync" else asyncio.run(life.arun())
        found = report(outcome)
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error)}
    print()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
