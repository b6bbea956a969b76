"""Makes a journal with one row of every kind, to be kept as a file: `make.py <directory>`.

Run once for each format, by the version that wrote it, and never again: tests open these files in every later version. Times, ids and
values are fixed; process identities are what they were.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from support.batches import manifest, reserve, reserving, working
from toolslot._domain._slot import Verdict
from toolslot.journal import DiskJournal, Purge
from toolslot.testing._worker import an_error, do


def main(directory: str) -> None:
    root = Path(directory)
    with DiskJournal.open(root) as journal:
        every(journal)
    for name in ("owners", "commit.holder", ".gitignore"):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def every(journal: DiskJournal) -> None:
    worker = working(journal, manifest(10, run="order 17/ä", batch="first", lineage="response-1"))
    worker.run(0, "paid")
    worker.start(1)
    worker.write(worker.finished(1, error=an_error(), escaped=True))
    worker.start(2)
    worker.write(worker.withdrawn(2))
    worker.start(3)
    worker.write(worker.paused(3))
    worker.doubt(4)
    worker.decide(4, Verdict.DONE)
    worker.write(worker.delivered(5))
    worker.write(worker.regenerated(worker.record().slots[6].spec))
    worker.run(7, "x" * 270_000)
    worker.start(8)
    later = worker.succeed(journal, worker.owner)
    later.release(closed=False)
    reserve(journal, 10, run="order 17/ä", batch="fork", lineage="response-1")
    payload = replace(reserving(journal, manifest(1, run="turns", batch="1")), run_payload=b"turn record")
    do(journal, payload)
    reserve(journal, 2, run="r" * 300, batch="b" * 300).run(0)
    reserve(journal, 2, run="forgotten").run(0)
    do(journal, Purge(run_id="forgotten", at=1.0, why="asked to"))
    reserve(journal, 2, run="forgotten", batch="later", lineage="response-2").run(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
