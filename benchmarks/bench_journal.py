"""DiskJournal against bare SQLite: `python benchmarks/bench_journal.py [repeats]` prints a table.

Both write to the same directory's disk with a write-ahead log and synchronous=FULL. "bare SQLite" is what one would write by
hand: a table with one row per event, one transaction per event, one connection behind a lock; a reservation inserts its N
rows in one transaction. Times are medians over fresh batches; the ratio is DiskJournal / bare SQLite, so below 1 is faster.

- reserve N:        one reservation of N calls
- start+record 1x1: N calls one after the other, each a start mark and a result, both waited for
- start+record all: N calls at once, each in a thread of its own (32 at most), as above
- load N:           read the finished batch: from memory, and by a process that has just opened the journal
"""

from __future__ import annotations

import gc
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolslot._codec import Payload
from toolslot._identity import Owner
from toolslot._slot import BatchKey, Finished, Manifest, SlotSpec, Started
from toolslot.journal import Append, DiskJournal, Reserve

RESULT = b'{"status": "ok", "note": "' + b"x" * 200 + b'"}'
ARGS = b'{"amount": 12, "to": "account 4711"}'
SIZES = (1, 10, 100, 1000)


class Bare:
    """The same facts in a table of one's own."""

    def __init__(self, directory: Path) -> None:
        self.lock = threading.Lock()
        self.path = directory / "bare.db"
        self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode=wal")
        self.connection.execute("PRAGMA synchronous=2")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS event (run, batch, slot, kind, at, body, PRIMARY KEY (run, batch, slot, kind))"
            " WITHOUT ROWID"
        )

    def reserve(self, batch: str, count: int) -> None:
        at = time.time()
        rows = [("run", batch, index, 0, at, ARGS) for index in range(count)]
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)
            self.connection.execute("COMMIT")

    def call(self, batch: str, index: int) -> None:
        for kind, body in ((1, None), (2, RESULT)):
            with self.lock:
                self.connection.execute("BEGIN IMMEDIATE")
                row = ("run", batch, index, kind, time.time(), body)
                self.connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", row)
                self.connection.execute("COMMIT")

    def load(self, batch: str) -> object:
        with self.lock:
            rows = self.connection.execute(
                "SELECT slot, kind, at, body FROM event WHERE run = ? AND batch = ?", ("run", batch)
            ).fetchall()
        return [(slot, kind, at, json.loads(body) if body else None) for slot, kind, at, body in rows]

    load_cold = load

    def close(self) -> None:
        self.connection.close()


class Disk:
    """DiskJournal."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "journal"
        self.journal = DiskJournal.open(self.path)
        self.owner = Owner(process=self.journal.process, token="bench")

    def reserve(self, batch: str, count: int) -> None:
        specs = tuple(
            SlotSpec(
                index=i, tool="pay", call_id=f"call_{i}", digest="0" * 64, args=Payload(codec="j", data=ARGS)
            )
            for i in range(count)
        )
        manifest = Manifest(key=BatchKey("run", batch), specs=specs, created=time.time())
        self.journal.submit(Reserve(manifest=manifest, owner=self.owner, at=time.time())).result()

    def call(self, batch: str, index: int) -> None:
        key, at = BatchKey("run", batch), time.time()
        start = Started(index=index, generation=1, attempt=1, epoch=1, at=at, queued_at=at)
        self.journal.submit(Append(key=key, row=start)).result()
        outcome = Payload(codec="j", data=RESULT)
        row = Finished(
            index=index, generation=1, attempt=1, epoch=1, at=at, outcome=outcome, queued_at=at, started_at=at
        )
        self.journal.submit(Append(key=key, row=row)).result()

    def load(self, batch: str) -> object:
        return self.journal.load(BatchKey("run", batch)).result()

    def load_cold(self, batch: str) -> object:
        core = self.journal._session.present()
        assert core is not None
        core.writer._store.states.clear()
        return self.load(batch)

    def close(self) -> None:
        self.journal.close()


Store = Bare | Disk


def timed(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e6


def measure(store: Store, count: int, repeat: int, pool: ThreadPoolExecutor) -> dict[str, float]:
    batch, other = f"{count}-{repeat}", f"{count}-{repeat}-at-once"
    found = {"reserve": timed(lambda: store.reserve(batch, count))}
    if count <= 100:
        found["start+record 1x1"] = timed(lambda: [store.call(batch, index) for index in range(count)])
    store.reserve(other, count)
    found["start+record all"] = timed(
        lambda: list(pool.map(lambda index: store.call(other, index), range(count)))
    )
    found["load, in memory"] = timed(lambda: store.load(other))
    found["load, just opened"] = timed(lambda: store.load_cold(other))
    return found


def main(repeats: int = 7) -> None:
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(32) as pool:
        list(pool.map(time.sleep, [0.01] * 32))
        bare, disk = Bare(Path(name)), Disk(Path(name))
        print(f"SQLite {sqlite3.sqlite_version}, synchronous=FULL, medians of {repeats}, microseconds")
        print(f"{'':18} {'N':>5} {'bare SQLite':>13} {'DiskJournal':>13} {'ratio':>7} {'per call':>10}")
        for count in SIZES:
            # Interleaved, so that a busy moment of the machine hits both.
            runs = [
                (measure(bare, count, turn, pool), measure(disk, count, turn, pool))
                for turn in range(repeats)
            ]
            for what in runs[0][0]:
                plain = statistics.median(run[0][what] for run in runs)
                ours = statistics.median(run[1][what] for run in runs)
                print(
                    f"{what:18} {count:5} {plain:13.0f} {ours:13.0f} {ours / plain:7.2f} {ours / count:10.1f}"
                )
        bare.close()
        disk.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
