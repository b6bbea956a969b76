"""When an executor opens its journal: when a batch is entered, no sooner, and never on an event loop."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from pathlib import Path

import pytest

from support.harness import batch
from toolslot import DurableExecutor, InvalidSetting, MemoryJournal
from toolslot.journal import DiskJournal

HOLDS_THE_LOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_until_a_batch_is_entered_nothing_happens(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    executor = DurableExecutor(root, hooks=[])
    run = executor.open(batch("pay"))
    assert not executor.opened
    assert not root.exists()
    with run:
        assert run.call(0, lambda: "paid") == "paid"
        assert run.journal is executor.journal
        assert root.exists()
    executor.journal.close()


def test_what_means_nothing_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="max_parallel"):
        DurableExecutor(tmp_path / "journal").open(batch("pay"), max_parallel=0)


def test_entered_from_an_event_loop_the_loop_goes_on_while_another_process_holds_the_journals_lock(
    tmp_path: Path,
) -> None:
    root = tmp_path / "journal"
    DiskJournal.open(root).close()

    async def life() -> object:
        holder = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", HOLDS_THE_LOCK, str(root / "commit.lock")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        executor = DurableExecutor(root, hooks=[])
        answers = asyncio.create_task(executor.arun_all(batch("pay"), {"pay": lambda i: f"paid {i}"}))
        await asyncio.sleep(
            0
        )  # it begins. If it held the loop, nobody would give the lock back, and it would end with JournalBusy
        assert not answers.done()
        holder.stdin.close()
        await holder.wait()
        with closing(executor.journal):
            return await answers

    assert asyncio.run(life()) == ["paid 0"]


def test_a_journal_that_somebody_has_opened_takes_no_turn_of_the_loop() -> None:
    executor = DurableExecutor(MemoryJournal(), hooks=[])
    assert executor.open(batch("pay")).journal is executor.journal
    assert executor.opened
