"""Children of multiprocessing that share a journal with their parent: `forking.py <journal> <start method>`."""

from __future__ import annotations

import multiprocessing
import sys

from support.batches import reserve
from support.examining import examined
from toolslot import BatchKey
from toolslot._domain._slot import SlotState
from toolslot.journal import Append, DiskJournal


def work(root: str, number: int) -> None:
    # Neither closed nor waited for: what is queued must be written all the same.
    worker = reserve(DiskJournal.open(root), 20, batch=f"batch {number}")
    for index in range(20):
        worker.journal.submit(Append(key=worker.key, row=worker.started(index)))


def main(root: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    with DiskJournal.open(root) as journal:
        reserve(journal)
        processes = [context.Process(target=work, args=(root, number)) for number in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
            assert process.exitcode == 0, process
        assert len(journal.keys().result(60)) == 4
        for number in range(3):
            record = journal.load(BatchKey("run", f"batch {number}")).result(60)
            assert record is not None
            assert {slot.state for slot in record.slots} == {SlotState.RUNNING}
        assert examined(journal).sound


if __name__ == "__main__":
    main(*sys.argv[1:])
