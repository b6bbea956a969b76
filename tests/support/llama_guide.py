"""What the guide for LlamaIndex takes for granted, and how its Python blocks are run."""

from __future__ import annotations

import ast
import asyncio
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent

from support.guides import blocks, sections
from toolslot import ToolPolicy, current_call
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "llamaindex.md").read_text()


class World:
    """What the guide takes for granted: a model that asks for two payments and a balance, and a bank."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.receipts: dict[str, str] = {}
        #: invoices whose payment outlives its process once: the money has gone
        self.hang: set[str] = set()
        self.hanging = asyncio.Event()
        self.llm = ScriptedLLM(
            [
                [("pay", {"invoice": "A-1"}), ("pay", {"invoice": "A-2"}), ("balance", {"account": "m"})],
                "Done.",
            ]
        )
        world = self

        async def pay(invoice: str) -> str:
            """Pay an invoice."""
            world.paid.append(invoice)
            key = current_call().idempotency_key
            receipt = world.receipts[key] = f"receipt for {invoice}"
            if invoice in world.hang:
                world.hang.discard(invoice)
                world.hanging.set()
                await asyncio.Event().wait()
            return receipt

        async def balance(account: str) -> str:
            """The balance of an account."""
            return f"5000 on {account}"

        self.pay, self.balance = pay, balance

    def find(self, key: str) -> str | None:
        return self.receipts.get(key)

    def agent(self, tools: Any = (), llm: Any = None, agent: Any = None, **options: Any) -> Any:
        plain = agent or FunctionAgent(tools=[*tools] or [self.pay, self.balance], llm=llm or self.llm)
        return durable(plain, **options)

    def heard(self) -> list[str]:
        return [message.content or "" for message in self.llm.heard[-1] if message.role.value == "tool"]

    def names(self) -> dict[str, Any]:
        return {
            "llm": self.llm,
            "pay": self.pay,
            "balance": self.balance,
            "bank": self,
            "durable": durable,
            "FunctionAgent": FunctionAgent,
            "ToolPolicy": ToolPolicy,
        }


@dataclass
class Page:
    """Runs the blocks of one section over what a test gives."""

    world: World

    async def run(self, heading: str, **given: Any) -> dict[str, Any]:
        found = {"__name__": "guide", **self.world.names(), **given}
        for number, block in enumerate(blocks(sections(GUIDE)[heading])):
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(block, f"{heading}, block {number}", "exec", flags, dont_inherit=True)
            waiting = eval(code, found)
            if inspect.isawaitable(waiting):
                await waiting
        return found
