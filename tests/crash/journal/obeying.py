"""A process that does to a journal what it is told on standard input, line by line, and answers each line.

    obeying.py <journal>

`own`: enlist as the owner of "batch" (reserved when missing). `start <i>`, `finish <i>`: write a row under the epoch it
owns. `take`: take the batch over from the epoch it sees. The answer is the slot's state, the epoch, or the error's name.
"""

from __future__ import annotations

import sys

from support.batches import CLOCK, owner_of, reserve
from toolslot._errors import ToolslotError
from toolslot.journal import DiskJournal, TakeOver
from toolslot.testing._worker import Worker, do


def obey(worker: Worker, command: str, rest: list[str]) -> str:
    match command:
        case "start":
            return worker.start(int(rest[0])).state.value
        case "finish":
            return worker.finish(int(rest[0])).state.value
        case "take":
            record = worker.record()
            mine = owner_of(worker.journal, "taker")
            take = TakeOver(
                key=worker.key,
                owner=mine,
                expected_epoch=record.fence.epoch,
                at=CLOCK(),
                why="told to",
                force=rest == ["force"],
            )
            fence = do(worker.journal, take).fence
            worker.epoch = fence.epoch if fence.owner == mine else 0
            return f"{fence.epoch} {fence.owner == mine}"
        case _:
            worker.journal.enlist(worker.owner)
            return str(worker.epoch)


def main(root: str) -> None:
    worker = reserve(DiskJournal.open(root), 3)
    for line in sys.stdin:
        command, *rest = line.split()
        try:
            print(obey(worker, command, rest), flush=True)
        except ToolslotError as error:
            print(type(error).__name__, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
