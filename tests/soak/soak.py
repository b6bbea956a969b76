"""One process runs batch after batch and purges what is finished: what it takes must not grow.

    soak.py [--batches 100000]

Prints a reading now and then, and ends with 1 when memory, open files, threads or the journal grew after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a script

from support.measuring import Reading
from toolslot import Batch, Call, DurableExecutor, Limits
from toolslot.journal import DiskJournal, purge_older

CALLS = 2
PER_RUN = 20
READINGS = 40
#: what the memory of a process may wander by without growing, and the journal between two purges
MEMORY, JOURNAL = 8 * 2**20, 2 * 2**20
#: a purged run leaves its tombstone, for ever
TOMBSTONE = 600


class Tools:
    """Results small and large, answers that are failures, and sync tools beside async ones."""

    def __init__(self) -> None:
        self.runs = 0

    def look(self, i: int) -> str:
        self.runs += 1
        return "xx" + "y" * (i % 50 == 7) + "x" * (300_000 if i % 100 == 13 else 200)

    async def alook(self, i: int) -> str:
        await asyncio.sleep(0)
        return self.look(i)


def work(executor: DurableExecutor, tools: Tools, number: int) -> None:
    """One batch: mostly call by call, as frameworks do; one in twenty in threads, one in tasks, and one is run again, as after a crash."""
    calls = [Call(tool="look", args={"i": number * CALLS + i}, call_id=f"c{i}") for i in range(CALLS)]
    batch = Batch(run_id=f"run {number // PER_RUN}", batch_id=f"batch {number}", calls=calls)
    found: list[Any] = []
    for again in range(2 if number % 20 == 2 else 1):
        before = tools.runs
        match number % 20:
            case 0:
                found = executor.run_all(batch, {"look": tools.look})
            case 1:
                found = asyncio.run(executor.arun_all(batch, {"look": tools.alook}))
            case _:
                with executor.open(batch) as run:
                    found = [
                        run.call(
                            i,
                            partial(tools.look, number * CALLS + i),
                            is_error=lambda value: value.startswith("xxy"),
                        )
                        for i in range(CALLS)
                    ]
        assert tools.runs - before == (0 if again else CALLS)
    assert len(found) == CALLS


def soak(root: Path, batches: int) -> list[tuple[Reading, int]]:
    """A reading after each fortieth of the work, right after a purge, with the runs purged so far."""
    tools = Tools()
    readings: list[tuple[Reading, int]] = []
    purged, step = 0, max(batches // READINGS // PER_RUN, 1) * PER_RUN  # when a run has just ended
    with DiskJournal.open(root, durability="process") as journal:
        executor = DurableExecutor(journal, limits=Limits(batch=4), hooks=[])
        for number in range(batches):
            work(executor, tools, number)
            if (number + 1) % step == 0:
                purged += len(purge_older(journal, 1e-3).purged)
                gc.collect()
                readings.append((Reading.now(root), purged))
                print(f"batches={number + 1} runs_purged={purged} {readings[-1][0]}", flush=True)
    return readings


def grown(readings: list[tuple[Reading, int]]) -> list[str]:
    """What is larger at the end than it ever was in the middle: the first third is the warm-up."""
    third = len(readings) // 3
    middle, end = readings[third : 2 * third], readings[2 * third :]
    found: list[str] = []
    for name, margin in (("memory", MEMORY), ("descriptors", 0), ("threads", 0)):
        before, after = (max(getattr(each, name) for each, _ in part) for part in (middle, end))
        if after > before + margin:
            found.append(f"{name}: {before} -> {after}")
    (before, runs_before), (after, runs_after) = middle[-1], end[-1]
    allowed = before.journal + JOURNAL + (runs_after - runs_before) * TOMBSTONE
    if after.journal > allowed:
        found.append(
            f"journal: {before.journal} -> {after.journal}, with {runs_after - runs_before} tombstones more"
        )
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100_000)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="toolslot-soak-") as folder:
        readings = soak(Path(folder) / "journal", options.batches)
    found = grown(readings)
    print(
        f"batches={options.batches} in={time.perf_counter() - began:.0f}s grown:",
        "; ".join(found) or "nothing",
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
