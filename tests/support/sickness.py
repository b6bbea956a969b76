"""Journals with runs that were cut short, what became of them, and ways to damage the files."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.batches import database
from support.harness import batch
from toolslot import DurableExecutor
from toolslot.journal import DiskJournal

PAGE = 4096


def value_of(run: str, index: int, size: int) -> str:
    return f"{run} {index} ".ljust(size, "x")


def cut_short(root: Path, runs: Iterable[str], *, size: int = 10) -> None:
    """A process does two of three calls of each run, and is killed."""

    def work() -> None:
        executor = DurableExecutor(DiskJournal.open(root, durability="process"))
        for run in runs:
            opened = executor.open(batch("t", "t", "t", run=run))
            opened.__enter__()
            for index in (0, 1):
                opened.call(index, lambda run=run, index=index: value_of(run, index, size))

    die_after(work)


def die_after(work: Callable[[], object]) -> None:
    """`work` in a process of its own, which is killed the moment it is done."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@dataclass
class Resumed:
    """What a run gave, and which of its calls really ran."""

    results: list[Any]
    ran: list[int] = field(default_factory=lambda: [])


def resume(root: Path, run: str, *, size: int = 10) -> Resumed:
    ran: list[int] = []

    def tool(i: int) -> str:
        ran.append(i)
        return value_of(run, i, size)

    with DiskJournal.open(root) as journal:
        results = DurableExecutor(journal).run_all(batch("t", "t", "t", run=run), {"t": tool})
    return Resumed(results, ran)


def assert_resumes(root: Path, run: str, *, size: int = 10) -> None:
    """What was recorded is handed out again, and only the third call runs."""
    resumed = resume(root, run, size=size)
    assert resumed.results == [value_of(run, index, size) for index in range(3)]
    assert resumed.ran == [2]


def settle(root: Path) -> None:
    """Open and close it once, so that all of it lies in the database."""
    DiskJournal.open(root).close()


def tamper(root: Path, statement: str, *values: object) -> int:
    with closing(sqlite3.connect(database(root))) as connection, connection:
        return connection.execute(statement, values).rowcount


def keys_in(root: Path, like: str = "%") -> list[str]:
    with closing(sqlite3.connect(database(root))) as connection:
        query = "SELECT key FROM Cache NOT INDEXED WHERE key LIKE ? ORDER BY rowid"
        return [key for (key,) in connection.execute(query, (like,))]


def overwrite(path: Path, where: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(what)


def pages(root: Path, name: str) -> list[int]:
    """The numbers of the leaves of a table or an index, from 1."""
    with closing(sqlite3.connect(database(root))) as connection:
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
        return [number for (number,) in connection.execute(query, (name,))]


def spoil_page(root: Path, number: int, what: bytes = b"\xa5" * PAGE) -> None:
    overwrite(database(root), (number - 1) * PAGE, what)


def copy_page(root: Path, source: int, target: int) -> None:
    data = database(root).read_bytes()
    spoil_page(root, target, data[(source - 1) * PAGE : source * PAGE])
