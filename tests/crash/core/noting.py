"""A process that orders at a shop which gives each order a number of its own, and notes the number before the order is packed.

    noting.py FOLDER MODE [POINT]

FOLDER holds the journal, and the shop: a line for each order that was placed. The report is the call's answer.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from support.gate import say
from support.ledger import Ledger
from toolslot import Batch, Call, Done, DurableExecutor, NotDone, Slot, ToolPolicy, current_call
from toolslot._crashpoints import Trap, arm


def main(args: list[str]) -> None:
    folder, mode, *points = args
    shop = Ledger(Path(folder) / "shop")
    if points:
        arm(Trap.parse(points[0]))

    def place() -> str:
        number = secrets.token_hex(4)  # by the shop: nobody can know it beforehand
        shop.note("order", number)
        return number

    def order(sku: str) -> str:
        number = place()
        current_call().note("order placed", ref=number)
        return f"{number} is packed"

    async def aorder(sku: str) -> str:
        number = place()
        await current_call().anote("order placed", ref=number)
        return f"{number} is packed"

    def look_up(slot: Slot) -> Any:
        numbers = [line.split()[1] for line in shop.lines()]
        known = [note.ref for note in slot.notes if note.ref in numbers]
        return Done(f"{known[-1]} is packed") if known else NotDone()

    executor = DurableExecutor(
        Path(folder) / "journal", policies={"order": ToolPolicy(reconcile=look_up)}, hooks=[]
    )
    batch = Batch(run_id="r", batch_id="b", calls=[Call(tool="order", args={"sku": "A-1"})])
    if mode == "async":
        answers = asyncio.run(executor.arun_all(batch, {"order": aorder}))
    else:
        answers = executor.run_all(batch, {"order": order})
    say(json.dumps(answers))
