"""The core without a framework, against bare SQLite: what one would write by hand."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import Options, Row, Work, compare

from cases.graphs import sixteen
from toolslot import Batch, Call, DiskJournal, DurableExecutor, Limits

RESULT = json.dumps({"status": "ok"})


class Bare:
    """A table with a row for each event, a transaction for each row, one connection behind a lock; WAL, synchronous=FULL."""

    def __init__(self, folder: Path) -> None:
        self.lock = threading.Lock()
        self._batches = 0
        self.connection = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=wal")
        self.connection.execute("PRAGMA synchronous=2")
        self.connection.execute(
            "CREATE TABLE event (batch, slot, kind, at, body, PRIMARY KEY (batch, slot, kind)) WITHOUT ROWID"
        )

    def reserve(self, batch: int, count: int) -> None:
        rows = [(batch, index, 0, time.time(), "{}") for index in range(count)]
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)
            self.connection.execute("COMMIT")

    def call(self, batch: int, index: int) -> None:
        for kind, body in ((1, None), (2, RESULT)):
            with self.lock:
                self.connection.execute("BEGIN IMMEDIATE")
                self.connection.execute(
                    "INSERT INTO event VALUES (?, ?, ?, ?, ?)", (batch, index, kind, time.time(), body)
                )
                self.connection.execute("COMMIT")

    def runs(self, count: int) -> Work:
        """Batches of `count` calls that do nothing, one after the other in this thread: no lock is ever waited for."""

        def run() -> None:
            self._batches += 1
            batch = self._batches
            self.reserve(batch, count)
            for index in range(count):
                self.call(batch, index)

        return run


@contextmanager
def executor(**limits: Any) -> Iterator[tuple[DurableExecutor, Path]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = DiskJournal.open(folder / "journal")
        try:
            yield DurableExecutor(journal, limits=Limits(**limits)), folder
        finally:
            journal.close()


_numbers = itertools.count()


def batches(count: int, tool: str = "nothing") -> Iterator[Batch]:
    """Batches of `count` calls, each in a run of its own: nothing is found that was recorded before."""
    calls = tuple(Call(tool=tool, args={"i": i}, call_id=f"c{i}") for i in range(count))
    while True:
        yield Batch(run_id=f"run-{next(_numbers)}", batch_id="b", calls=calls)


def nothing(i: int) -> str:
    return "ok"


async def anothing(i: int) -> str:
    return "ok"


def run_all(held: DurableExecutor, count: int) -> Work:
    made = batches(count)
    return lambda: held.run_all(next(made), {"nothing": nothing})


def arun_all(held: DurableExecutor, count: int, loop: asyncio.AbstractEventLoop) -> Work:
    made = batches(count)
    return lambda: loop.run_until_complete(held.arun_all(next(made), {"nothing": anothing}))


def plain(options: Options) -> Iterator[Row]:
    """100 calls that do nothing, each with a durable start and a durable result."""
    loop = asyncio.new_event_loop()
    with executor() as (held, folder):
        bare = Bare(folder)
        against = "bare SQLite, a commit for each start and result"
        yield compare(
            "run_all, 100 no-op calls", run_all(held, 100), against, bare.runs(100), options, aim=0.6
        )
        yield compare(
            "arun_all, 100 no-op calls", arun_all(held, 100, loop), against, bare.runs(100), options, aim=0.4
        )
        bare.connection.close()
    loop.close()


def journal(options: Options) -> Iterator[Row]:
    """Calls one after the other, each in a batch that is open already: what a single call waits for."""
    with executor() as (held, folder):
        bare = Bare(folder)
        made = batches(100)

        def ours() -> None:
            with held.open(next(made)) as run:
                for index in range(100):
                    run.call(index, lambda: "ok")

        yield compare("call, 100 one after the other", ours, "bare SQLite", bare.runs(100), options)
        bare.connection.close()


def replay(options: Options) -> Iterator[Row]:
    """100 recorded calls: an answer out of the journal against reading the rows of a table."""
    with executor() as (held, folder):
        bare = Bare(folder)
        bare.reserve(0, 100)
        for index in range(100):
            bare.call(0, index)
        batch = next(batches(100))
        held.run_all(batch, {"nothing": nothing})

        def ours() -> None:
            with held.open(batch) as run:
                for index in range(100):
                    run.call(index, lambda: "ok")

        def other() -> None:
            for index in range(100):
                with bare.lock:
                    rows = bare.connection.execute(
                        "SELECT body FROM event WHERE batch = 0 AND slot = ? AND kind = 2", (index,)
                    )
                    json.loads(rows.fetchone()[0])

        yield compare("replay of 100 recorded calls", ours, "bare SQLite, a SELECT for each", other, options)
        bare.connection.close()


def parallel(options: Options) -> Iterator[Row]:
    """16 tools of 50 ms at once, against the longest of them."""
    with executor(batch=None) as (held, _):
        made = batches(16, "naps")

        def naps(i: int) -> None:
            time.sleep(0.05)

        ours: Work = lambda: held.run_all(next(made), {"naps": naps})  # noqa: E731
        yield compare(
            "run_all, 16 tools of 50 ms", ours, "the longest", lambda: time.sleep(0.05), options, aim=1.15
        )
    for mode in ("sync", "async"):
        run, at = sixteen(mode)
        yield compare(
            f"node, 16 tools of 50 ms, {mode}",
            run,
            "the longest",
            lambda: time.sleep(0.05),
            options,
            aim=1.15,
        )
        at.close()
