"""Journals with a queue, over stores that have nothing in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from support.examining import examined
from support.log_store import LogJournal
from toolslot.journal import Change, DiskJournal, JournalView
from toolslot.journal._queue._queued import QueuedJournal
from toolslot.testing._worker import PATIENCE

Opened: TypeAlias = Callable[[], QueuedJournal]

STORES: dict[str, Callable[[Path], QueuedJournal]] = {"disk": DiskJournal.open, "log": LogJournal}


def sound(journal: QueuedJournal) -> bool:
    """Whether what is stored can be read."""
    if isinstance(journal, DiskJournal):
        return examined(journal).sound
    again = LogJournal(Path(journal.location))
    try:
        return all(again.load(key).result(PATIENCE) for key in again.keys().result(PATIENCE))
    finally:
        again.close()


@dataclass(frozen=True)
class Stopper:
    """Holds up the writer inside a transaction until it is told to go on."""

    entered: threading.Event
    go_on: threading.Event

    def change(self, view: JournalView) -> Change[None]:
        self.entered.set()
        assert self.go_on.wait(PATIENCE)
        return Change((), None)


class Hold:
    """While it holds, everything submitted waits, and then goes into one group."""

    def __init__(self, journal: QueuedJournal) -> None:
        self._stopper = Stopper(threading.Event(), threading.Event())
        self._future = journal.submit(self._stopper)

    def __enter__(self) -> None:
        assert self._stopper.entered.wait(PATIENCE)

    def __exit__(self, *_: object) -> None:
        self._stopper.go_on.set()
        self._future.result(PATIENCE)
