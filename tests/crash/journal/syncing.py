"""One record after another, each followed by a mark in the list of system calls: `syncing.py <journal> <durability>`."""

from __future__ import annotations

import os
import sys
from typing import cast

from support.batches import manifest, reserve, reserving
from toolslot._errors import JournalIOError
from toolslot.journal import Append, DiskJournal
from toolslot.journal._disk._journal import Durability
from toolslot.testing._worker import do


def mark(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def main(root: str, durability: str) -> None:
    with DiskJournal.open(root, durability=cast("Durability", durability)) as journal:
        worker = reserve(journal, 20)
        mark("begin")
        for index in range(20):
            try:
                worker.start(index)
                mark(f"recorded {index}")
            except JournalIOError:
                mark(f"failed {index}")
        do(journal, reserving(journal, manifest(1000, batch="thousand")))
        mark("reserved 1000")
        rows = [worker.finished(index) for index in range(20)]
        futures = [journal.submit(Append(key=worker.key, row=row)) for row in rows]
        for future in futures:
            future.exception(60)
        mark("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
