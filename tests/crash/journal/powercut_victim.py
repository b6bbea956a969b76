"""Works on a new journal and says in a file what was acknowledged: `powercut_victim.py <directory> <durability> <seed>`.

The lines are those of storm.py. The journal lies below directories that are missing at first.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import threading
from pathlib import Path
from typing import cast

from support.batches import reserve
from toolslot.journal import DiskJournal, Purge
from toolslot.journal._disk._journal import Durability

TURNS = 8


class Acknowledging:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._descriptor, (" ".join(map(str, words)) + "\n").encode())


def work(journal: DiskJournal, name: str, chance: random.Random, acks: Acknowledging) -> None:
    for turn in range(TURNS):
        run = f"{name}-{turn // 3}"
        worker = reserve(journal, 3, run=run, batch=f"batch-{turn}")
        acks.say("reserved", run, worker.key.batch_id)
        for index in range(chance.randint(1, 3)):
            worker.start(index)
            acks.say("started", run, worker.key.batch_id, index)
            value = chance.choice("abc") * chance.choice([10, 10, 10, 1000, 400_000])
            worker.finish(index, value)
            acks.say("finished", run, worker.key.batch_id, index, hashlib.sha256(value.encode()).hexdigest())
        if turn % 3 == 2 and chance.random() < 0.5:
            acks.say("purging", run)
            journal.submit(Purge(run_id=run, at=0.0, why="enough")).result(60)
            acks.say("purged", run)


def main(directory: str, durability: str, seed: str) -> None:
    acks = Acknowledging(Path(directory) / "acks")
    home = Path(directory) / "far" / "below" / "journal"
    for life in range(2):
        with DiskJournal.open(home, durability=cast("Durability", durability)) as journal:
            threads = [
                threading.Thread(target=work, args=(journal, name, random.Random(name), acks))
                for name in (f"{seed}-{life}-{number}" for number in range(2))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
