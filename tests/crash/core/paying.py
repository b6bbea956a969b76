"""A process whose agent run pays one invoice, and names it as the effect.

    paying.py FOLDER RUN [options]

FOLDER holds the journal, and the bank's ledger, in which every entrance of the tool leaves "begin RUN KEY" and every payment "effect KEY".
The receipt names the process that paid. The report is one line of JSON: the answer, or the error that ended the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

from support.gate import pass_gate, say
from support.ledger import Ledger
from toolslot import (
    Batch,
    Call,
    Done,
    DurableExecutor,
    NotDone,
    Slot,
    ToolPolicy,
    ToolslotError,
    UnknownOutcome,
    current_call,
)
from toolslot._crashpoints import CrashPoint, Trap, arm


class Run:
    """One agent run's share of the invoice."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        folder = Path(options.folder)
        self.bank = Ledger(folder / "bank")
        policy = ToolPolicy(effect_key="invoice", reconcile=self.look_up if options.reconcile else None)
        self.executor = DurableExecutor(folder / "journal", policies={"pay": policy}, hooks=[])

    def pay(self, invoice: int, amount: int) -> str:
        key = current_call().idempotency_key
        self.bank.note("begin", self.options.run, key)
        receipt = f"{invoice}:{amount}:{os.getpid()}"
        self.bank.note("effect", key, receipt)
        if self.options.hold:
            pass_gate(Path(self.options.folder) / "till")
        return receipt

    async def apay(self, invoice: int, amount: int) -> str:
        return await asyncio.to_thread(self.pay, invoice, amount)

    def look_up(self, slot: Slot) -> Done | NotDone:
        self.bank.note("asked", self.options.run, slot.run_id)
        lines = [line.split() for line in self.bank.lines()]
        receipts = [words[2] for words in lines if words[:2] == ["effect", slot.idempotency_key]]
        return Done(receipts[0]) if receipts else NotDone()

    def report(self) -> dict[str, Any]:
        args = {"invoice": 4711, "amount": self.options.amount}
        calls = [Call(tool="pay", args=args, call_id=f"c{n}") for n in range(self.options.calls)]
        batch = Batch(run_id=self.options.run, batch_id="batch", calls=calls)
        try:
            if self.options.mode == "async":
                return {"answers": asyncio.run(self.executor.arun_all(batch, {"pay": self.apay}))}
            return {"answers": self.executor.run_all(batch, {"pay": self.pay})}
        except UnknownOutcome as error:
            return {"error": "UnknownOutcome", "holder": error.run_id, "ask": error.ask}
        except ToolslotError as error:
            return {"error": type(error).__name__, "text": str(error)}


def parse(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("run")
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--amount", type=int, default=100)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--reconcile", action="store_true", help="the bank can be asked")
    parser.add_argument("--gate", action="store_true", help="wait at the gate before anything else")
    parser.add_argument("--hold", action="store_true", help="wait at a gate after the payment")
    parser.add_argument("--tell", help="a crash point at which to say REACHED, and go on")
    parser.add_argument("--crash", help="a crash point, as for TOOLSLOT_CRASH_AT")
    return parser.parse_args(args)


def main(args: list[str]) -> None:
    options = parse(args)
    run = Run(options)
    if options.gate:
        pass_gate(Path(options.folder) / "gate")
    if options.crash:
        arm(Trap.parse(options.crash))
    if options.tell:
        arm(Trap(CrashPoint(options.tell), action=lambda: say("REACHED")))
    report = run.report()
    run.executor.journal.close()
    say(json.dumps(report))
