"""A real LlamaIndex agent in a process that a test kills: a scripted model asks for five tools at once, a ledger notes every effect.

In its first life some of the tools hang: after their effect, or before. In later lives they do when the test says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from llama_cast import Cast
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer
from llama_index.core.workflow import Context
from workflows.events import HumanResponseEvent, InputRequiredEvent

from support.ledger import Ledger
from toolslot import CallEvent, Done, Limits, NotDone, Slot, ToolPolicy
from toolslot_llamaindex import ToolOutcomeAnswer, ToolOutcomeQuestion, durable

get_tokenizer()  # half of a life's work otherwise: all forks share it


class Ticket:
    """A result that nothing can store."""

    def __str__(self) -> str:
        return "a ticket"


#: by call; what JSON cannot say, and at last what nothing here can
ODD: list[Any] = [
    Decimal("1.10"),
    datetime(2026, 5, 17, tzinfo=timezone.utc),
    b"\xff\x00",
    {"pair": (1, {2, 3})},
    Ticket(),
]


def invoice(args: Mapping[str, object]) -> object:
    return args.get("i", args.get("code", 7))


class Life:
    """One process of the agent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.lock = threading.Lock()
        self.waiting_for = args.ready
        self.model_fails = args.model_fails
        self.confirmed = threading.Semaphore(0)
        self.cast = Cast(self.ledger, self.moment, self.asking)
        self.raw: list[str] = []
        self.questions: list[tuple[str, str]] = []
        self.handler: Any = None

    # --- what the test waits for ------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One of the events that must have happened before the kill has happened."""
        with self.lock:
            self.waiting_for -= 1
            if self.waiting_for == 0:
                print("READY", flush=True)

    def hook(self, event: Any) -> None:
        if (
            isinstance(event, CallEvent)
            and event.tool != "handoff"
            and event.kind.value in self.args.counting
        ):
            self.tick()

    async def moment(self, name: str, results: int) -> None:
        """In the middle of `aggregate_tool_results`."""
        if self.args.hang_aggregating == name and results == self.args.calls:
            print("AGGREGATING", flush=True)
            await asyncio.Event().wait()

    def asking(self, number: int) -> None:
        """The model is being asked."""
        if number == self.args.hang_model:
            print("ASKING", flush=True)
            threading.Event().wait()
        if number == self.model_fails:
            self.model_fails = -1
            raise ConnectionError("the provider is down")

    # --- tools ------------------------------------------------------------------------------------------------------------

    def enter(self, i: int) -> bool:
        """Begin, and have the effect, if this life lets it; whether to hang afterwards."""
        self.ledger.note("begin", i)
        if i not in self.args.hang_before:
            self.ledger.note("effect", i)
        if i in self.args.hang_before or i in self.args.hang_after:
            self.tick()
            return True
        return False

    def result(self, i: int) -> Any:
        if self.args.plain:
            self.tick()  # LlamaIndex tells nobody when a call has finished
        if self.args.odd and i < len(ODD):
            return ODD[i]
        return f"paid {i} in life {self.args.life}" if self.args.stamp else f"paid {i}"

    @property
    def held(self) -> bool:
        """Until another process says otherwise; it can do so only through the file system."""
        return not (self.args.release and (self.folder / "release").exists())

    def tools(self) -> list[Any]:
        def pay(i: int) -> Any:
            """Pays."""
            if self.enter(i):
                while self.held:
                    time.sleep(0.02)
            return self.result(i)

        async def apay(i: int) -> Any:
            """Pays."""
            if self.enter(i):
                while self.held:  # noqa: ASYNC110 - another process, told only through files
                    await asyncio.sleep(0.02)
            return self.result(i)

        async def slow() -> str:
            """Has its effect at once, and ends after all people have answered."""
            if self.enter(7):
                await asyncio.Event().wait()
            for _ in range(0 if self.args.quick else 2):
                await asyncio.to_thread(self.confirmed.acquire)
            return self.result(7)

        async def confirm(ctx: Context, i: int) -> str:
            """Asks a person."""
            answer = await ctx.wait_for_event(
                HumanResponseEvent, waiter_event=InputRequiredEvent(i=i), requirements={"i": i}
            )
            self.ledger.note("told", i, answer.response)
            if self.enter(i):
                await asyncio.Event().wait()
            self.confirmed.release()
            return f"{i}: {answer.response}"

        confirm.__annotations__["ctx"] = Context
        asynchronous = self.args.mode == "async"
        if self.args.kind == "codeact":
            return [apay if asynchronous else pay]
        body: Any = apay if asynchronous else pay
        return [
            FunctionTool.from_defaults(
                **{"async_fn" if asynchronous else "fn": body}, name="pay", description="Pays."
            ),
            slow,
            confirm,
        ]

    def calls(self) -> list[tuple[Any, ...]]:
        if self.args.people:
            return [("confirm", {"i": 0}), ("slow", {}), ("confirm", {"i": 2})]
        return [("pay", {"i": i}) for i in range(self.args.calls)]

    # --- policies -----------------------------------------------------------------------------------------------------------

    def reconcile(self, slot: Slot) -> Any:
        given = slot.args
        i = int(given["code"]) if "code" in given else given.get("i", 7)
        self.ledger.note("asked", i)
        return Done(f"paid {i}") if self.ledger.count("effect", i) else NotDone()

    def policy(self) -> ToolPolicy:
        return {
            "default": ToolPolicy(),
            "reconcile": ToolPolicy(reconcile=self.reconcile),
            "fail": ToolPolicy(on_unknown="fail"),
            "ask": ToolPolicy(on_unknown="ask"),
            "keyed": ToolPolicy(effect_key=invoice, reconcile=self.reconcile),
        }[self.args.policy]

    # --- the agent --------------------------------------------------------------------------------------------------------

    def agent(self) -> Any:
        agent = self.cast.make(self.args.kind, self.tools(), self.calls())
        if self.args.plain:
            return agent
        return durable(
            agent,
            journal=self.folder / "journal",
            default_policy=self.policy(),
            hooks=[self.hook],
            max_parallel=8,
            limits=Limits(busy_timeout=self.args.busy_timeout),
        )

    def memory(self) -> dict[str, Any]:
        if not self.args.stored_memory:
            return {}
        uri = f"sqlite+aiosqlite:///{self.folder / 'memory.db'}"
        return {"memory": Memory.from_defaults(session_id="order-17", async_database_uri=uri)}

    async def run(self, agent: Any) -> str:
        given = {} if self.args.plain else {"run_id": self.args.run_id}
        self.handler = handler = agent.run(user_msg="pay", **given, **self.memory())
        async for event in handler.stream_events():
            name = type(event).__name__
            if name == "ToolCallResult":
                self.raw.append(f"{event.tool_id} {event.tool_output.raw_output!r}")
            elif isinstance(event, InputRequiredEvent):
                self.asked(event)
        return str(await handler)

    def asked(self, event: Any) -> None:
        """A person's part: answer when all expected questions are there, in the order of `--answers`; else wait to be killed."""
        ours = isinstance(event, ToolOutcomeQuestion)
        name = event.call_id if ours else str(event.i)
        self.questions.append((name, event.id if ours else ""))
        print("QUESTION", name, flush=True)
        answers = json.loads(self.args.answers)
        if len(self.questions) < self.args.questions:
            return
        print("ASKED", flush=True)
        while self.args.await_release and not (self.folder / "release").exists():
            time.sleep(0.01)  # another process, told only through files
        known = dict(self.questions)
        for call, answer in [*answers.items()] * (2 if self.args.twice else 1):
            if ours:
                self.handler.ctx.send_event(ToolOutcomeAnswer(id=known[call], answer=answer))
            else:
                self.handler.ctx.send_event(HumanResponseEvent(i=int(call), response=answer))

    async def live(self) -> Any:
        agent = self.agent()
        errors: list[str] = []
        result = ""
        for _ in range(self.args.tries):
            try:
                result = await self.run(agent)
                break
            except Exception as error:
                errors.append(type(error).__name__)
        return {
            "result": result,
            "errors": errors,
            "heard": self.cast.last_heard(),
            "raw": self.raw,
            "questions": [name for name, _ in self.questions],
        }


def indices(text: str) -> frozenset[int]:
    return frozenset(map(int, filter(None, text.split(","))))


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--kind", default="function")
    parser.add_argument("--plain", action="store_true", help="LlamaIndex alone")
    parser.add_argument("--life", type=int, default=1)
    parser.add_argument("--mode", choices=["sync", "async"], default="async")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--run-id", default="order-17")
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument(
        "--people", action="store_true", help="two calls ask a person beside one that is slow"
    )
    parser.add_argument("--quick", action="store_true", help="the slow one waits for nobody")
    parser.add_argument("--twice", action="store_true", help="every answer is sent twice")
    parser.add_argument("--odd", action="store_true", help="results that JSON cannot say")
    parser.add_argument("--stamp", action="store_true", help="results say in which life they were made")
    parser.add_argument("--stored-memory", action="store_true", help="the memory is in a file")
    parser.add_argument("--busy-timeout", type=float, default=30.0)
    parser.add_argument("--hang-after", type=indices, default=frozenset())
    parser.add_argument("--hang-before", type=indices, default=frozenset())
    parser.add_argument("--hang-aggregating", default="", help="before or after the results are handled")
    parser.add_argument(
        "--hang-model", type=int, default=-1, help="hang in the model's answer of this number"
    )
    parser.add_argument("--model-fails", type=int, default=-1, help="the answer that is an error at first")
    parser.add_argument("--tries", type=int, default=1, help="how often the caller runs the agent at most")
    parser.add_argument("--ready", type=int, default=0, help="events before READY")
    parser.add_argument("--counting", type=lambda text: text.split(","), default=["finished"])
    parser.add_argument("--answers", default="{}", help="JSON: by call, in this order")
    parser.add_argument(
        "--questions", type=int, default=2, help="how many are awaited before the answers are given"
    )
    parser.add_argument(
        "--await-release", action="store_true", help="answers are given once `release` is there"
    )
    parser.add_argument("--release", action="store_true", help="hanging tools return once `release` is there")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    found = asyncio.run(Life(parsed(argv)).live())
    print()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
