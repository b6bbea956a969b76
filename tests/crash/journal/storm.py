"""A process to be killed: it writes a journal from several threads and says on its standard output what was acknowledged.

    storm.py <journal> <seed> <threads>

Lines, each written after the future was done: `reserved <run> <batch>`, `started <run> <batch> <index>`,
`finished <run> <batch> <index> <digest of the result>`, `purging <run>` (before it is handed in), `purged <run>`.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading

from support.batches import reserve
from toolslot.journal import DiskJournal, Purge


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def work(journal: DiskJournal, name: str, chance: random.Random) -> None:
    for turn in range(10**6):
        run = f"{name}-{turn // 5}"
        worker = reserve(journal, 4, run=run, batch=f"batch-{turn}")
        say("reserved", run, worker.key.batch_id)
        for index in range(chance.randint(1, 4)):
            worker.start(index)
            say("started", run, worker.key.batch_id, index)
            value = chance.choice("abc") * chance.choice([10, 10, 10, 1000, 700_000])
            worker.finish(index, value)
            say("finished", run, worker.key.batch_id, index, hashlib.sha256(value.encode()).hexdigest())
        if turn % 5 == 4 and chance.random() < 0.5:
            say("purging", run)
            journal.submit(Purge(run_id=run, at=0.0, why="enough")).result(60)
            say("purged", run)


def main(root: str, seed: str, threads: str) -> None:
    journal = DiskJournal.open(root)
    say("open")
    for number in range(int(threads)):
        name = f"{seed}-{number}"
        threading.Thread(target=work, args=(journal, name, random.Random(name)), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
