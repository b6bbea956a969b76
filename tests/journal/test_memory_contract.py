"""The memory journal keeps the journal contract."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

from typing_extensions import override

from toolslot.journal import Change, Journal, JournalView, MemoryJournal, MemoryStore, Purge
from toolslot.testing import JournalContract


class TestMemoryJournal(JournalContract):
    """Openers over one store, as processes over one directory."""

    @cached_property
    def store(self) -> MemoryStore:
        return MemoryStore()

    @override
    def make_journal(self) -> Journal:
        return MemoryJournal(self.store)


@dataclass(frozen=True)
class Lingering:
    """Decides slowly, and says whether another operation decided meanwhile."""

    inside: threading.Semaphore
    other_came: threading.Event

    def change(self, view: JournalView) -> Change[bool]:
        alone = self.inside.acquire(blocking=False)
        if not alone:
            self.other_came.set()
            return Change((), False)
        met = self.other_came.wait(0.2)
        self.inside.release()
        return Change((), not met)


def test_operations_decide_one_after_another() -> None:
    store = MemoryStore()
    operation = Lingering(threading.Semaphore(), threading.Event())
    alone: list[bool] = []
    threads = [
        threading.Thread(target=lambda: alone.append(MemoryJournal(store).submit(operation).result()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone == [True, True]


def test_journals_share_nothing_unless_they_are_given_one_store() -> None:
    store = MemoryStore()
    alone, other, shared = MemoryJournal(), MemoryJournal(store), MemoryJournal(store)
    other.submit(Purge(run_id="run", at=0.0, why="")).result()
    assert [repr(journal) for journal in (alone, other, shared)] == [
        "<MemoryJournal batches=0 runs_purged=0>",
        "<MemoryJournal batches=0 runs_purged=1>",
        "<MemoryJournal batches=0 runs_purged=1>",
    ]
