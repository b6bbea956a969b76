"""A busy agent that cannot wait: it writes batch after batch, and gives up on one at the first lock that it does not get at once."""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path

from toolslot import Batch, Call, DiskJournal, DurableExecutor, JournalBusy


def main(argv: list[str]) -> None:
    folder = Path(argv[0])
    refused = 0
    with DiskJournal.open(folder / "journal", lock_timeout=0, durability="process") as journal:
        executor = DurableExecutor(journal, hooks=[])
        for number in count():
            calls = [Call(tool="pay", args={"i": i}) for i in range(3)]
            try:
                batch = Batch(run_id=f"run-{number % 5}", batch_id=f"batch-{number}", calls=calls)
                executor.run_all(batch, {"pay": lambda i: i})
            except JournalBusy:
                refused += 1
            if number == 20:
                print("WRITING", flush=True)
            if (folder / "go-on").exists():
                break
    print(json.dumps({"batches": number, "refused": refused}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
