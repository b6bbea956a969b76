"""Where toolslot does not work, and what names no journal: one sentence that says what to do, and nothing has happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio

from support.harness import batch
from toolslot import DurableExecutor, InvalidSetting, MemoryJournal, ToolslotError
from toolslot.journal import DiskJournal

#: what Python has on Windows, as far as the core and its imports are concerned
WINDOWS = """
import asyncio, concurrent.futures.process, logging, multiprocessing, os, signal, sqlite3, subprocess, sys, tempfile
import diskcache

sys.platform = "win32"
for name in ("geteuid", "fork", "register_at_fork", "O_NOFOLLOW", "O_NONBLOCK", "sysconf"):
    delattr(os, name)
del signal.SIGKILL
for name in ("fcntl", "pwd", "resource", "termios"):
    sys.modules[name] = None

from toolslot import Batch, Call, DurableExecutor, JournalUnsupported, MemoryJournal

batch = Batch(run_id="run", batch_id="batch", calls=[Call(tool="tool")])
assert DurableExecutor(MemoryJournal(), hooks=[]).run_all(batch, {"tool": lambda: "ran"}) == ["ran"]
try:
    DurableExecutor(sys.argv[1], hooks=[]).run_all(batch, {"tool": lambda: "ran"})
except JournalUnsupported as error:
    print(error)
"""


def test_on_windows_a_journal_in_a_directory_is_refused_and_one_in_memory_works(tmp_path: Path) -> None:
    run = [sys.executable, "-c", WINDOWS, str(tmp_path / "journal")]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert "Windows Subsystem for Linux" in told
    assert "MemoryJournal()" in told
    assert not (tmp_path / "journal").exists()


async def _entered(executor: DurableExecutor) -> None:
    async with executor.open(batch("pay")):
        raise AssertionError("it was entered")


async def _called(executor: DurableExecutor) -> None:
    with executor.open(batch("pay")) as run:
        await run.acall(0, trio.lowlevel.checkpoint)


async def _ran_all(executor: DurableExecutor) -> None:
    await executor.arun_all(batch("pay"), {"pay": trio.sleep})


@pytest.mark.parametrize("door", [_entered, _called, _ran_all])
def test_under_trio_every_async_door_says_that_it_needs_asyncio(
    door: Callable[[DurableExecutor], Coroutine[Any, Any, None]],
) -> None:
    executor = DurableExecutor(MemoryJournal(), hooks=[])
    with pytest.raises(ToolslotError, match=r"need asyncio.*trio has a loop of its own.*to_thread\.run_sync"):
        trio.run(door, executor)


def test_under_trio_the_sync_doors_work_in_a_thread_as_the_sentence_says() -> None:
    executor = DurableExecutor(MemoryJournal(), hooks=[])

    async def main() -> list[Any]:
        return await trio.to_thread.run_sync(executor.run_all, batch("pay"), {"pay": lambda i: f"paid {i}"})

    assert trio.run(main) == ["paid 0"]


@pytest.mark.parametrize("name", ["", " ", "a\0b", "\0", b"journal"])
def test_what_names_no_directory_is_refused(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for opening in (DiskJournal.open, lambda path: DurableExecutor(path).journal):
        with pytest.raises(InvalidSetting, match=r"names no directory|give a directory's path"):
            opening(name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="characters that no file name can have"):
        DiskJournal.open("\ud800")


@pytest.mark.parametrize("journal", [5, ["a"], object()])
def test_what_is_neither_a_path_nor_a_journal_is_refused_at_once(journal: Any) -> None:
    with pytest.raises(InvalidSetting, match=f"journal= is a {type(journal).__name__}"):
        DurableExecutor(journal)
