"""What must hold when there is more of everything: tools, batches, processes."""

from __future__ import annotations

import asyncio
import heapq
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from measure import Options, Row, timed

from cases.floor import batches, executor
from toolslot import Batch, Call, DiskJournal, DurableExecutor


def bound(durations: list[float], workers: int) -> float:
    """Seconds that a list schedule takes: each call in its order, in the first worker that is free. What a pool can reach at best."""
    free = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def schedule(options: Options) -> Iterator[Row]:
    """2 to 64 async tools of 20 to 500 ms, 8 at once, against the list schedule of the same tools."""
    chosen = random.Random(7)
    loop = asyncio.new_event_loop()
    with executor(batch=8) as (held, _):
        for count in (2, 8, 16, 64):
            for low, high, aim in ((0.02, 0.1, None), (0.1, 0.5, 1.05)):
                durations = [round(chosen.uniform(low, high), 3) for _ in range(count)]
                runs = [_scheduled(held, loop, count, durations, turn) for turn in range(3)]
                name = f"{count} tools of {low * 1e3:.0f} to {high * 1e3:.0f} ms, 8 at once"
                ideal = bound(durations, 8) * 1e3
                yield Row(
                    work=name,
                    ours=statistics.median(runs),
                    against="the list schedule",
                    other=ideal,
                    runs=3,
                    aim=aim,
                )
    loop.close()


def _scheduled(
    held: DurableExecutor, loop: asyncio.AbstractEventLoop, count: int, durations: list[float], turn: int
) -> float:
    async def naps(i: int) -> None:
        await asyncio.sleep(durations[i])

    calls = tuple(Call(tool="naps", args={"i": i}, call_id=f"c{i}") for i in range(count))
    batch = Batch(run_id=f"{durations}-{turn}", batch_id="b", calls=calls)
    return timed(lambda: loop.run_until_complete(held.arun_all(batch, {"naps": naps})))


def crowd(options: Options) -> Iterator[Row]:
    """Batches of 5 beside one of 10,000 calls, against batches of 5 alone: the 99th percentile of both."""
    count = 10_000 if options.full else 2_000
    with executor(process=64) as (held, _):
        made = batches(5)
        alone = [timed(lambda: held.run_all(next(made), {"nothing": _one_ms})) for _ in range(60)]
        big = next(batches(count, "nothing"))
        busy = threading.Thread(target=lambda: held.run_all(big, {"nothing": _one_ms}))
        busy.start()
        beside: list[float] = []
        while busy.is_alive():
            beside.append(timed(lambda: held.run_all(next(made), {"nothing": _one_ms})))
        busy.join()
    yield Row(
        work=f"batches of 5 beside one of {count}, p99",
        ours=_p99(beside),
        against="batches of 5 alone, p99",
        other=_p99(alone),
        runs=len(beside),
        aim=3.0,
    )


def _one_ms(i: int) -> str:
    time.sleep(0.001)
    return "ok"


def _p99(times: list[float]) -> float:
    return sorted(times)[min(int(len(times) * 0.99), len(times) - 1)]


_WORKER = """
import sys, time
from pathlib import Path
from toolslot import Batch, Call, DiskJournal, DurableExecutor
name, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
held = DurableExecutor(DiskJournal.open(folder))
def work(turn):
    calls = tuple(Call(tool="nothing", args={"i": i}, call_id=f"c{i}") for i in range(10))
    held.run_all(Batch(run_id=f"{name}-{turn}", batch_id="b", calls=calls), {"nothing": lambda i: "ok"})
work(-1)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(rounds):
    work(turn)
print("done", flush=True)
"""


def processes(options: Options) -> Iterator[Row]:
    """Batches of 10 calls that do nothing, through 1 to 8 processes on one journal, against one process: milliseconds a batch."""
    alone = _shared(1)
    for number in (2, 4, 8):
        yield Row(
            work=f"{number} processes on one journal, ms a batch of 10",
            ours=_shared(number),
            against="one process",
            other=alone,
            runs=1,
        )


def _shared(number: int, rounds: int = 120) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = str(Path(name) / "journal")
        DiskJournal.open(folder).close()
        each = rounds // number
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", _WORKER, f"w{i}", folder, str(each)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(number)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        began = time.perf_counter()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            worker.communicate()
        return (time.perf_counter() - began) * 1e3 / (each * number)
