"""A process that runs one batch of payments without a framework, for as long as it is let.

    plain.py FOLDER [options]

FOLDER holds the journal, and the ledger in which every payment leaves "begin I" and "effect I". The answer to payment I names the
process that made it. The report is one line of JSON: the answers, and the error that ended the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from support.gate import pass_gate, say
from support.ledger import Ledger
from toolslot import Batch, Call, Done, DurableExecutor, Limits, NotDone, ToolPolicy, ToolslotError
from toolslot._crashpoints import Trap, arm


class Life:
    """One process's share: its executor, and the tool."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = Path(options.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.inside = 0
        self.lock = threading.Lock()
        policy = {
            "reconcile": ToolPolicy(reconcile=self.look_up),
            "ask": ToolPolicy(on_unknown="ask"),
            "rerun": ToolPolicy(on_unknown="rerun"),
        }[options.policy]
        self.executor = DurableExecutor(
            self.folder / "journal",
            policies={"pay": policy},
            limits=Limits(busy_timeout=options.busy_timeout, batch=options.at_most),
            hooks=[],
        )

    @property
    def batch(self) -> Batch:
        calls = [Call(tool="pay", args={"i": i}, call_id=f"c{i}") for i in range(self.options.calls)]
        return Batch(run_id=self.options.run, batch_id="batch", calls=calls)

    def look_up(self, slot: Any) -> Done | NotDone:
        i = slot.args["i"]
        made = [line for line in self.ledger.lines() if line.startswith(f"effect {i} ")]
        return Done(f"paid {i} by {made[0].split()[2]}") if made else NotDone()

    def pay(self, i: int) -> str:
        options = self.options
        self.ledger.note("begin", i)
        if i in options.hang_before:
            self.hang()
        self.ledger.note("effect", i, os.getpid())
        if i in options.hang_after:
            self.hang()
        return f"paid {i} by {os.getpid()}"

    def hang(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == len(self.options.hang_before) + len(self.options.hang_after):
                say("INSIDE")
        pass_gate(self.folder / "release")

    async def apay(self, i: int) -> str:
        return await asyncio.to_thread(self.pay, i)

    def run(self) -> list[Any]:
        if self.options.mode == "async":
            return asyncio.run(self.executor.arun_all(self.batch, {"pay": self.apay}))
        return self.executor.run_all(self.batch, {"pay": self.pay})

    def report(self) -> dict[str, Any]:
        try:
            return {"answers": self.run(), "error": None}
        except ToolslotError as error:
            return {"answers": None, "error": type(error).__name__, "text": str(error)}


def numbers(text: str) -> set[int]:
    return {int(number) for number in text.split(",") if number}


def parse(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--run", default="run")
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--policy", choices=["reconcile", "ask", "rerun"], default="reconcile")
    parser.add_argument("--busy-timeout", type=float, default=60.0)
    parser.add_argument("--hang-before", type=numbers, default=set())
    parser.add_argument("--hang-after", type=numbers, default=set())
    parser.add_argument("--at-most", type=int, help="calls that run at once")
    parser.add_argument("--gate", action="store_true", help="wait at the gate before anything else")
    parser.add_argument("--crash", help="a crash point, as for TOOLSLOT_CRASH_AT")
    return parser.parse_args(args)


def main(args: list[str]) -> None:
    options = parse(args)
    life = Life(options)
    if options.gate:
        pass_gate(life.folder / "gate")
    if options.crash:
        arm(Trap.parse(options.crash))
    report = life.report()
    life.executor.journal.close()
    say(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
