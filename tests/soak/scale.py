"""A journal of many slots: opening it, reading a batch, purging by age while another process writes.

    scale.py [--slots 1000000] [--margin 1.0]

Prints the figures, and ends with 1 when one is above its limit times the margin (a loaded machine needs one).
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a script

from support.batches import manifest, owner_of, working
from support.measuring import at, lock_holds, memory, timed
from toolslot import BatchKey
from toolslot._codec import Payload
from toolslot._domain._slot import Finished
from toolslot.journal import Append, DiskJournal, Release, Reserve, purge_older

PER_BATCH = 100
PER_RUN = 5
RESULT = Payload(codec="s", data=b"x" * 256)
#: what must hold whatever the size
LIMITS = {"open ms": 50.0, "batch read ms": 2.0, "lock hold ms": 50.0, "memory of the purge MiB": 32.0}


def fill(root: Path, slots: int) -> float:
    """Finished batches of 100 calls, one a second, the last reserved just now. The time of the first."""
    batches = slots // PER_BATCH
    first = time.time() - batches
    waiting: deque[Future[Any]] = deque()
    with DiskJournal.open(root, durability="process") as journal:
        owner = owner_of(journal)

        def put(operation: Any) -> None:
            waiting.append(journal.submit(operation))
            if len(waiting) > 2000:
                waiting.popleft().result()

        for number in range(batches):
            made = manifest(PER_BATCH, run=f"run {number // PER_RUN:07}", batch=f"batch {number}")
            specs = tuple(replace(spec, idempotent=True) for spec in made.specs)
            made = replace(made, created=first + number, specs=specs)
            at = made.created
            put(Reserve(manifest=made, owner=owner, at=at))
            for index in range(PER_BATCH):
                row = Finished(index=index, generation=1, attempt=1, epoch=1, at=at, outcome=RESULT)
                put(Append(key=made.key, row=row))
            put(Release(key=made.key, epoch=1, closed=True))
        for future in waiting:
            future.result()
    return first


def opened(root: Path) -> float:
    """The best of some: others use the machine, too."""
    return min(timed(lambda: DiskJournal.open(root).close()) for _ in range(15))


def read(root: Path, batches: int) -> float:
    """One batch of 100 slots that nobody has read before; the best of some."""
    numbers = range(0, batches, max(batches // 60, 1))
    keys = [BatchKey(f"run {number // PER_RUN:07}", f"batch {number}") for number in numbers]
    with DiskJournal.open(root) as journal:
        return min(timed(partial(_load, journal, key)) for key in keys)


def _load(journal: DiskJournal, key: BatchKey) -> None:
    assert journal.load(key).result() is not None


def write(root: str) -> None:
    """In a process of its own: record one result after another until told to stop, and tell how long each took."""
    took: list[float] = []
    turn = 0
    with DiskJournal.open(root) as journal:
        print("writing", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            made = manifest(10, run="writer", batch=f"{os.getpid()} {turn}")
            worker = working(journal, replace(made, created=time.time()))
            turn += 1
            for index in range(10):
                worker.start(index)
                took.append(timed(partial(worker.finish, index)))
    print(json.dumps({"p50": at(took, 0.5), "p99": at(took, 0.99), "max": max(took)}))


class Writer:
    """That process."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, __file__, "--write", str(root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "writing\n"

    def end(self) -> str:
        out, _ = self._process.communicate("\n", timeout=60)
        return " ".join(f"{name}={value:.1f}ms" for name, value in json.loads(out).items())


def purge(root: Path, age: float, runs: int) -> tuple[float, float]:
    """Purge what is older than so many seconds beside a writer. The longest hold of the lock, and how much memory grew."""
    alone = Writer(root)
    time.sleep(2)  # how fast it is when nobody purges
    print(f"writer_alone: {alone.end()}")
    writer = Writer(root)
    with DiskJournal.open(root) as journal, lock_holds() as holds:
        before, now = (
            memory(),
            time.time(),
        )  # one moment for both, or more would be old enough the second time
        dry = purge_older(journal, age, dry_run=True, clock=lambda: now)
        holds.clear()
        began = time.perf_counter()
        done = purge_older(journal, age, clock=lambda: now)
        took = time.perf_counter() - began
        grown = (memory() - before) / 2**20
    assert set(done.purged) == set(dry.purged), "a dry run tells what would be done"
    assert len(done.purged) >= runs // 12, done.kept
    print(f"writer_beside_the_purge: {writer.end()}")
    print(
        f"purge: runs={len(done.purged)} of {runs} in={took:.1f}s memory_grown={grown:.1f}MiB"
        f" lock_held={len(holds)} times p99={at(holds, 0.99):.1f}ms max={max(holds):.1f}ms"
    )
    return max(holds), grown


def measure(root: Path, slots: int) -> dict[str, float]:
    began = time.perf_counter()
    first = fill(root, slots)
    batches, database = slots // PER_BATCH, root / "db" / "cache.db"
    full = database.stat().st_size
    print(
        f"slots={slots} batches={batches} bytes_per_slot={full / slots:.0f} filled_in={time.perf_counter() - began:.0f}s"
    )
    figures = {"open ms": opened(root), "batch read ms": read(root, batches)}
    print(f"open={figures['open ms']:.1f}ms batch_read={figures['batch read ms']:.2f}ms ({PER_BATCH} calls)")
    age = time.time() - first - batches / 10
    figures["lock hold ms"], figures["memory of the purge MiB"] = purge(root, age, batches // PER_RUN)
    print(f"database after it: {database.stat().st_size / full:.2f} of its size before")
    return figures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=1_000_000)
    parser.add_argument("--margin", type=float, default=1.0)
    parser.add_argument("--write", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write:
        write(options.write)
        return 0
    with tempfile.TemporaryDirectory(prefix="toolslot-scale-") as folder:
        figures = measure(Path(folder) / "journal", options.slots)
    over = [name for name, limit in LIMITS.items() if figures[name] > limit * options.margin]
    print("over the limit:", ", ".join(over) if over else "nothing")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
