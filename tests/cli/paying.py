"""An agent without a framework, in a process that tests kill, stop or watch: six payments in one batch, three at once."""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path
from typing import Any

from support.ledger import Ledger
from toolslot import Batch, Call, CallEvent, DurableExecutor, EventKind, Limits, ToolPolicy

#: names that a model may make up to mislead whoever looks
HOSTILE = "pay\x1b[31m[bold]\u202e\nrm -rf"


class Agent:
    """One process of it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.lock = threading.Lock()
        self.awaited = args.ready or args.calls  # each call of a first life either hangs or is recorded

    def tick(self) -> None:
        with self.lock:
            self.awaited -= 1
            if self.awaited == 0 and self.args.hang:
                print("HANGING", flush=True)

    def hook(self, event: Any) -> None:
        if isinstance(event, CallEvent) and event.kind is EventKind.FINISHED:
            self.tick()

    def pay(self, i: int) -> Any:
        self.ledger.note("begin", i)
        if i in self.args.hang:
            self.tick()
            self.wait()
        self.ledger.note("effect", i)
        return {"receipt": i}

    def wait(self) -> None:
        """Until the test makes the file; other processes can be told nothing else."""
        tick = threading.Event()
        while not (self.folder / "go-on").exists():
            tick.wait(0.01)

    def live(self) -> Any:
        executor = DurableExecutor(
            self.folder / "journal",
            limits=Limits(batch=3, busy_timeout=self.args.busy_timeout),
            hooks=[self.hook],
            default_policy=ToolPolicy(on_unknown="ask", effect_key=self.args.effect_key),
        )
        calls = [
            Call(tool=self.args.tool, args={"i": i}, call_id=f"{self.args.call_id}{i}")
            for i in range(self.args.calls)
        ]
        batch = Batch(run_id=self.args.run, batch_id=self.args.batch, calls=calls)
        found = executor.run_all(batch, {self.args.tool: self.pay}, return_exceptions=True)
        return [f"{type(each).__name__}" if isinstance(each, Exception) else each for each in found]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--run", default="order-17")
    parser.add_argument("--batch", default="step-1")
    parser.add_argument("--tool", default="pay")
    parser.add_argument("--call-id", default="call_")
    parser.add_argument("--effect-key")
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument(
        "--ready", type=int, default=0, help="so many calls hang or are recorded before HANGING"
    )
    parser.add_argument("--busy-timeout", type=float, default=30.0)
    parser.add_argument(
        "--hang", type=lambda text: frozenset(map(int, filter(None, text.split(",")))), default=frozenset()
    )
    agent = Agent(parser.parse_args(argv))
    print(json.dumps(agent.live()), flush=True)


if __name__ == "__main__":
    main()
