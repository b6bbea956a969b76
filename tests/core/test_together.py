"""Many threads, and several event loops, in one batch of one journal on disk."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.apart import open_apart
from support.harness import batch
from toolslot import DurableExecutor, Limits

TOOLS = ["pay"] * 4


class Counting:
    """What ran, and where."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ran: list[int] = []

    def pay(self, i: int) -> str:
        with self.lock:
            self.ran.append(i)
            return f"paid {i} in {threading.current_thread().name}, {len(self.ran)}"

    async def apay(self, i: int) -> str:
        await asyncio.sleep(0)
        return self.pay(i)


def executor(root: Path) -> DurableExecutor:
    return DurableExecutor(root, limits=Limits(busy_timeout=30), hooks=[])


def test_64_threads_that_enter_one_batch_run_every_call_once_and_are_told_the_same(tmp_path: Path) -> None:
    durable, tools, barrier = executor(tmp_path / "journal"), Counting(), threading.Barrier(64)

    def enter(number: int) -> list[str]:
        barrier.wait(30)
        with durable.open(batch(*TOOLS)) as run:
            order = sorted(range(4), key=lambda i: (i + number) % 4)
            found = {i: run.call(i, lambda i=i: tools.pay(i)) for i in order}
        return [found[i] for i in range(4)]

    with ThreadPoolExecutor(64) as threads:
        told = list(threads.map(enter, range(64)))
    durable.journal.close()
    assert told == [told[0]] * 64
    assert sorted(tools.ran) == [0, 1, 2, 3]


@pytest.mark.parametrize("apart", [False, True], ids=["one executor", "two journals"])
def test_two_event_loops_at_once_run_every_call_once_and_are_told_the_same(
    tmp_path: Path, apart: bool
) -> None:
    root, tools, barrier = tmp_path / "journal", Counting(), threading.Barrier(2)
    shared = executor(root)
    # Journals opened apart have nothing in common but the files, as those of two processes.
    other = DurableExecutor(open_apart(root), hooks=[]) if apart else shared

    def loop(durable: DurableExecutor) -> list[str]:
        async def main() -> list[str]:
            barrier.wait(30)
            return await durable.arun_all(batch(*TOOLS), {"pay": tools.apay})

        return asyncio.run(main())

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(loop, [shared, other]))
    other.journal.close()
    shared.journal.close()
    assert told[0] == told[1]
    assert sorted(tools.ran) == [0, 1, 2, 3]
