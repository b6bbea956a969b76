"""A process that ends while calls are in flight: `ending.py FOLDER HOW`. Call 0 is done, call 1 has had its effect, call 2 has not begun.

What the end does to the calls is judged by the process that resumes.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from pathlib import Path
from typing import Any

LATE = len(sys.argv) > 2 and sys.argv[2] == "atexit before the import"
if LATE:
    atexit.register(lambda: at_exit())  # runs after whatever toolslot registers

from support.gate import say  # noqa: E402
from support.ledger import Ledger  # noqa: E402
from toolslot import Batch, BatchRun, Call, DurableExecutor, ToolslotError  # noqa: E402

FOLDER, HOW = Path(sys.argv[1]), sys.argv[2]
LEDGER = Ledger(FOLDER / "ledger")
DURABLE = DurableExecutor(FOLDER / "journal", hooks=[])
BATCH = Batch(
    run_id="run",
    batch_id="batch",
    calls=[Call(tool="pay", args={"i": i}, call_id=f"c{i}") for i in range(3)],
)
INSIDE = threading.Event()


def pay(i: int) -> str:
    LEDGER.note("effect", i)
    if i == 1:
        INSIDE.set()
        if HOW == "sys.exit in a tool":
            sys.exit(3)
        if HOW == "os._exit in a tool":
            os._exit(3)
        if HOW == "main returns":
            threading.Event().wait()
    return f"paid {i}"


async def apay(i: int) -> str:
    LEDGER.note("effect", i)
    if i == 1:
        asyncio.get_running_loop().stop()  # asyncio.run cancels what is left, and raises
        await asyncio.Event().wait()
    return f"paid {i}"


def calls(run: BatchRun, until: int) -> list[Any]:
    return [run.call(i, lambda i=i: pay(i)) for i in range(until)]


def in_daemon() -> None:
    with DURABLE.open(BATCH) as run:
        calls(run, 3)


async def in_loop() -> None:
    async with DURABLE.open(BATCH) as run:
        for i in range(3):
            await run.acall(i, lambda i=i: apay(i))


def at_exit() -> None:
    """A program's own farewell, which uses the journal."""
    try:
        with DURABLE.open(BATCH) as run:
            say(f"told {run.call(0, lambda: 'again')}")
    except ToolslotError as error:
        say(f"told {type(error).__name__}")


def main() -> None:
    match HOW:
        case "main returns":
            threading.Thread(target=in_daemon, daemon=True).start()
            INSIDE.wait(30)
        case "loop stops":
            try:
                asyncio.run(in_loop())
            except RuntimeError:
                say("stopped")
        case "atexit before the import" | "atexit":
            with DURABLE.open(BATCH) as run:
                calls(run, 1)
            if not LATE:
                atexit.register(at_exit)
        case _:
            with DURABLE.open(BATCH) as run:
                calls(run, 3)


if __name__ == "__main__":
    main()
