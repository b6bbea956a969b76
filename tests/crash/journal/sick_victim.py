"""Works on a journal as it is told, line by line on its standard input, and answers each line: `sick_victim.py <journal> <durability>`.

    reserve <batch>   start <index>   finish <index> <size>   load   close   open   limit <files>   exhaust

The answer is "ok ..." or the name and text of the error.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import cast

from support.batches import reserve
from toolslot.journal import DiskJournal
from toolslot.journal._disk._journal import Durability
from toolslot.testing._worker import Worker


class Victim:
    def __init__(self, root: str, durability: str) -> None:
        self._root = root
        self._durability = cast("Durability", durability)
        self._worker: Worker
        self._held: list[int] = []
        self.open()

    def open(self) -> str:
        self._journal = DiskJournal.open(self._root, durability=self._durability, lock_timeout=1.0)
        return "open"

    def reserve(self, batch: str) -> str:
        self._worker = reserve(self._journal, 5, batch=batch)
        return "reserved"

    def start(self, index: str) -> str:
        return self._worker.start(int(index)).state.value

    def finish(self, index: str, size: str) -> str:
        return self._worker.finish(int(index), "x" * int(size)).state.value

    def load(self) -> str:
        return ",".join(slot.state.value for slot in self._worker.record().slots)

    def close(self) -> str:
        self._journal.close()
        return "closed"

    def exhaust(self) -> str:
        """Use up every file that this process may open."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        try:
            while True:
                self._held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            return error.strerror or ""

    def relax(self) -> str:
        while self._held:
            os.close(self._held.pop())
        return "relaxed"


def main(root: str, durability: str) -> None:
    victim = Victim(root, durability)
    print("ok open", flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        try:
            answer = f"ok {getattr(victim, command)(*args)}"
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        print(" ".join(answer.split()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
