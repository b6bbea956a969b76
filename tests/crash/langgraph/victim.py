"""A real LangGraph agent in a process that a test kills: a scripted model asks for N tools at once, a ledger notes every effect.

In its first life some of the tools hang: after their effect, or before. In later lives they do when the test says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

from doors import ScriptedModel, build
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langgraph.types import Command, interrupt
from pydantic import BaseModel
from savers import SlowAsyncSaver, SlowSaver

from support.ledger import Ledger
from toolslot import CallEvent, Done, EventKind, Limits, NotDone, Slot, ToolPolicy


class Order(BaseModel):
    number: int = 7
    tags: tuple[str, ...] = ("a", "b")


#: arguments that a checkpoint gives back as something else than the model's class made
ODD = {
    "half": "\ud83d",
    "order": Order(),
    "tuple": (1, (2,)),
    "when": date(2027, 1, 2),
    1: b"\x00",
    "set": {"a", "b", "c"},
}


class Life:
    """One process of the agent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.lock = threading.Lock()
        self.waiting_for = args.ready
        self.returns = args.returns
        self.writes = args.writes

    # --- what the test waits for ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One of the events that must have happened before the kill has happened."""
        with self.lock:
            self.waiting_for -= 1
            if self.waiting_for == 0:
                print("READY", flush=True)

    def hook(self, event: Any) -> None:
        if not isinstance(event, CallEvent):
            return
        if event.kind is EventKind.FINISHED and self.args.life == 1:
            self.tick()
        if event.kind.value == self.args.counting:
            self.tick()
        if event.kind is EventKind.RECONCILED:
            self.ledger.note("reconciled", event.index)

    def writing(self) -> None:
        """The saver is about to write one more result."""
        with self.lock:
            self.writes -= 1
            if self.writes == 0:
                print("WRITING", flush=True)

    def saved(self) -> None:
        """LangGraph has saved one more result."""
        if self.args.count_saves:
            self.tick()

    def answered(self) -> None:
        """LangGraph has saved the model's answer, or begins to save the checkpoint after it, and so has saved those before."""
        if self.args.slow_checkpoint:
            self.tick()

    # --- tools ------------------------------------------------------------------------------------------------------------

    def enter(self, i: int) -> None:
        """What happens before the effect."""
        self.ledger.note("begin", i)
        if self.args.raises == i:
            raise ValueError(f"call {i} failed")
        if i in self.args.interrupts:
            self.ledger.note("told", i, interrupt(f"pay {i}?"))

    def have_effect(self, i: int) -> bool:
        """Have the effect, if this life lets it; whether to hang afterwards."""
        if i not in self.args.hang_before:
            self.ledger.note("effect", i)
        if i in self.args.hang_before or i in self.args.hang_after:
            self.tick()
            return True
        if self.args.door.startswith("plain") and self.args.life == 1:
            self.tick()  # LangGraph tells nobody when a call has finished
        return False

    def result(self, i: int) -> str:
        with self.lock:
            self.returns -= 1
            if self.returns == 0:
                print("RETURNS", flush=True)
        return f"paid {i} in life {self.args.life}" if self.args.stamp else f"paid {i}"

    @property
    def held(self) -> bool:
        """Until another process says otherwise; it can do so only through the file system."""
        return not (self.args.release and (self.folder / "release").exists())

    def tool(self) -> StructuredTool:
        def pay(i: int, odd: Any = None) -> str:
            """Pays."""
            self.enter(i)
            if self.have_effect(i):
                while self.held:
                    time.sleep(0.02)
            return self.result(i)

        async def apay(i: int, odd: Any = None) -> str:
            """Pays."""
            self.enter(i)
            if self.have_effect(i):
                while self.held:  # noqa: ASYNC110 - another process, told only through files
                    await asyncio.sleep(0.02)
            return self.result(i)

        return StructuredTool.from_function(
            pay, coroutine=apay if self.args.mode == "async" else None, name="pay", description="Pays."
        )

    def tools(self) -> list[StructuredTool]:
        """What this life serves, which may be other than what the model asked for in an earlier one."""
        return [self.tool() if name == "pay" else self.other(name) for name in self.args.served.split(",")]

    def other(self, name: str) -> StructuredTool:
        def note(i: int) -> str:
            """Notes."""
            self.ledger.note(name, i)
            return "noted"

        async def anote(i: int) -> str:
            """Notes."""
            return note(i)

        coroutine = anote if self.args.mode == "async" else None
        return StructuredTool.from_function(note, coroutine=coroutine, name=name, description="Notes.")

    def reconcile(self, slot: Slot) -> Any:
        i = slot.args["i"]
        self.ledger.note("asked", i)
        return Done(f"paid {i}") if self.ledger.count("effect", i) else NotDone()

    def policy(self) -> ToolPolicy:
        return {
            "default": ToolPolicy(),
            "reconcile": ToolPolicy(reconcile=self.reconcile),
            "fail": ToolPolicy(on_unknown="fail"),
            "idempotent": ToolPolicy(idempotent=True),
            "ask": ToolPolicy(on_unknown="ask"),
            "keyed": ToolPolicy(effect_key="i"),
            "keyed and reconciled": ToolPolicy(effect_key="i", reconcile=self.reconcile),
        }[self.args.policy]

    # --- the agent --------------------------------------------------------------------------------------------------------

    def graph(self, saver: Any) -> Any:
        saver.seconds, saver.checkpoint_seconds = self.args.slow_saver, self.args.slow_checkpoint
        saver.answers_seconds = self.args.slow_answers
        saver.every_seconds, saver.fails_to_save_answer = self.args.slow_writes, self.args.saver_fails
        saver.writing, saver.saved, saver.answered = self.writing, self.saved, self.answered
        odd = {"odd": ODD} if self.args.odd else {}
        calls = [{"name": "pay", "args": {"i": i, **odd}, "id": f"call-{i}"} for i in range(self.args.calls)]
        if self.args.with_note:
            calls.append({"name": "note", "args": {"i": 0}, "id": "call-note"})
        return build(
            self.args.door,
            ScriptedModel(calls=calls, ledger=str(self.ledger.path)),
            self.tools(),
            saver,
            wrapped=self.args.wrapped,
            journal=self.folder / "journal",
            policies={"pay": self.policy()},
            hooks=[self.hook],
            on_fork=self.args.on_fork,
            limits=Limits(batch=self.args.limit, busy_timeout=self.args.busy_timeout),
        )

    def input(self) -> Any:
        if self.args.answer:
            return Command(resume=json.loads(self.args.answer))
        return {"messages": [HumanMessage("pay", id="question")]} if self.args.life == 1 else None

    def config(self) -> Any:
        config: dict[str, Any] = {"configurable": {"thread_id": 17 if self.args.odd else self.args.thread}}
        if self.args.max_concurrency:
            config["max_concurrency"] = self.args.max_concurrency
        return config

    def run(self) -> Any:
        with SlowSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            graph, config = self.graph(saver), self.config()
            if self.args.at_latest:
                config = {**config, **graph.get_state(config).config}
                assert config["configurable"]["checkpoint_id"]
            print("RESUMES" if self.args.life > 1 else "BEGINS", flush=True)
            return graph.invoke(self.input(), config, durability=self.args.durability)

    async def arun(self) -> Any:
        async with SlowAsyncSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            graph, config = self.graph(saver), self.config()
            if self.args.at_latest:
                config = {**config, **(await graph.aget_state(config)).config}
                assert config["configurable"]["checkpoint_id"]
            print("RESUMES" if self.args.life > 1 else "BEGINS", flush=True)
            return await graph.ainvoke(self.input(), config, durability=self.args.durability)


def report(outcome: Any) -> dict[str, Any]:
    return {
        "answers": [m.content for m in outcome["messages"] if isinstance(m, ToolMessage)],
        "interrupts": {i.id: i.value for i in outcome.get("__interrupt__", ())},
    }


def indices(text: str) -> frozenset[int]:
    return frozenset(map(int, filter(None, text.split(","))))


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--door", default="node")
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--durability", default="sync")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--thread", default="order-17")
    parser.add_argument("--on-fork", default="adopt_unfinished")
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--with-note", action="store_true", help="the model asks for a note, too")
    parser.add_argument("--served", default="pay", help="the tools of this life")
    parser.add_argument("--wrapped", action="store_true", help="something is around the calls")
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--max-concurrency", type=int, default=0)
    parser.add_argument("--busy-timeout", type=float, default=30.0)
    parser.add_argument("--hang-after", type=indices, default=frozenset())
    parser.add_argument("--hang-before", type=indices, default=frozenset())
    parser.add_argument("--interrupts", type=indices, default=frozenset())
    parser.add_argument("--raises", type=int, default=-1)
    parser.add_argument("--ready", type=int, default=0, help="events before READY")
    parser.add_argument("--counting", default="", help="a further kind of event that counts")
    parser.add_argument("--count-saves", action="store_true", help="so does a result that LangGraph saved")
    parser.add_argument("--returns", type=int, default=0, help="print RETURNS as so many calls return")
    parser.add_argument("--stamp", action="store_true", help="results say in which life they were made")
    parser.add_argument("--slow-saver", type=float, default=0.0, help="seconds for each write of results")
    parser.add_argument(
        "--slow-checkpoint", type=float, default=0.0, help="seconds for the one before the calls"
    )
    parser.add_argument("--slow-writes", type=float, default=0.0, help="seconds for each write of any kind")
    parser.add_argument("--saver-fails", action="store_true", help="to save the model's answer")
    parser.add_argument(
        "--slow-answers", type=float, default=0.0, help="seconds for the checkpoint after them"
    )
    parser.add_argument("--writes", type=int, default=0, help="print WRITING as so many of them begin")
    parser.add_argument("--at-latest", action="store_true", help="resume naming the latest checkpoint")
    parser.add_argument("--answer", default="")
    parser.add_argument(
        "--odd", action="store_true", help="arguments and a thread id that JSON does not have"
    )
    parser.add_argument("--stay", action="store_true", help="after the report, live on until killed")
    parser.add_argument("--release", action="store_true", help="hanging tools return once `release` is there")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parsed(argv)
    life = Life(args)
    try:
        outcome = life.run() if args.mode == "sync" else asyncio.run(life.arun())
        found = report(outcome)
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error)}
    print()
    print(json.dumps(found), flush=True)
    if args.stay:
        print("STAYS", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
