"""A sync run that gets a KeyboardInterrupt at one of its lines: `interrupted.py FOLDER LINE call|run_all`.

LINE counts the lines of toolslot that the main thread comes to, from 1; 0 interrupts nothing and tells how many there are. Then the same
process runs the batch again, as people do in a notebook. The report: the lines, whether the interrupt came, and the answers.
"""

from __future__ import annotations

import json
import linecache
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import toolslot
from support.gate import say
from support.ledger import Ledger
from toolslot import Batch, Call, Done, DurableExecutor, Limits, NotDone, ToolPolicy

CORE = str(Path(toolslot.__file__).parent)
CALLS = 2


class Interrupter:
    """Counts lines, and raises at one of them."""

    def __init__(self, line: int) -> None:
        self.line, self.count, self.where = line, 0, ""

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        return self.each if frame.f_code.co_filename.startswith(CORE) else None

    def each(self, frame: FrameType, event: str, _: object) -> Any:
        # Where a `with` ends the tracer comes before the lock is given back, and no real signal does.
        if event == "line" and not linecache.getline(
            frame.f_code.co_filename, frame.f_lineno
        ).lstrip().startswith("with "):
            self.count += 1
            if self.count == self.line:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self.each


class Payments:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder / "ledger")
        self.executor = DurableExecutor(
            folder / "journal",
            policies={"pay": ToolPolicy(reconcile=self.look_up)},
            limits=Limits(busy_timeout=5),
            hooks=[],
        )
        calls = [Call(tool="pay", args={"i": i}, call_id=f"c{i}") for i in range(CALLS)]
        self.batch = Batch(run_id="run", batch_id="batch", calls=calls)

    def look_up(self, slot: Any) -> Done | NotDone:
        i = slot.args["i"]
        return Done(f"paid {i}") if self.ledger.count("effect", i) else NotDone()

    def pay(self, i: int) -> str:
        self.ledger.note("effect", i)
        return f"paid {i}"

    def run(self, how: str) -> list[Any]:
        if how == "run_all":
            return self.executor.run_all(self.batch, {"pay": self.pay})
        with self.executor.open(self.batch) as run:
            return [run.call(i, lambda i=i: self.pay(i)) for i in range(CALLS)]


def main(args: list[str]) -> None:
    payments, interrupter, interrupted = Payments(Path(args[0])), Interrupter(int(args[1])), False
    _ = payments.executor.journal  # opened before: the lines of a process's first opening are another matter
    sys.settrace(interrupter)
    try:
        payments.run(args[2])
    except KeyboardInterrupt:
        interrupted = True
    finally:
        sys.settrace(None)
    lines = interrupter.count
    try:
        again: object = payments.run(args[2])
    except Exception as error:
        again = f"{type(error).__name__}: {error}"
    payments.executor.journal.close()
    say(json.dumps({"lines": lines, "where": interrupter.where, "interrupted": interrupted, "again": again}))


if __name__ == "__main__":
    main(sys.argv[1:])
